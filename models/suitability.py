"""Cascade suitability: the calibrated probability that state of health lies below a cut.

Every cut has the conformal predictive distribution of the capacity model (Vovk et al., 2017): the
share of calibration batteries whose normalised error would put this one below. Where enough
batteries lie on both sides of a cut and it earns a weight, a trained classifier joins it in the log
odds. All of it is arrays; nothing here is an object of a library but the booster.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from lightgbm import Booster

from features.measurement import FloatArray
from models.columns import columns_of
from models.decision import cut_key
from models.trees import Trees

_NEVER_CERTAIN = 1e-4
"""Probabilities stay this far from 0 and 1: no calibration set of hundreds supports more."""


def predictive_probability(scores: FloatArray, value: FloatArray) -> FloatArray:
    """P(normalised error < value) from sorted calibration errors, interpolated.

    Parameters
    ----------
    scores : ndarray, shape (m,)
        Normalised calibration errors, ascending.
    value : ndarray, shape (n,)
        (cut - point) / spread.

    Returns
    -------
    ndarray, shape (n,)

    Examples
    --------
    >>> predictive_probability(np.array([-1.0, 0.0, 1.0]), np.array([0.0])).tolist()
    [0.5]
    """
    probability: FloatArray = np.interp(value, *_distribution(scores))
    return probability


def _distribution(scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Errors and the probability of a smaller one, from almost never to almost always; each shape (m + 2,)."""
    rank = np.arange(1, len(scores) + 1) / (len(scores) + 1)
    beyond = np.concatenate(([scores[0] - 2.0], scores, [scores[-1] + 2.0]))
    levels = np.concatenate(([_NEVER_CERTAIN], rank, [1.0 - _NEVER_CERTAIN]))
    return beyond, levels


@dataclass(frozen=True)
class CutClassifier:
    """A trained classifier for one cut, joined with the predictive distribution.

    Attributes
    ----------
    names : tuple of str
        Features of the booster.
    booster : Booster
        Binary LightGBM model of P(state of health < cut).
    intercept, predictive_weight, booster_weight : float
        Logistic curve over the logits of both.
    """

    names: tuple[str, ...]
    booster: Booster
    intercept: float
    predictive_weight: float
    booster_weight: float

    def probability(self, matrix: FloatArray, names: Sequence[str], predictive: FloatArray) -> FloatArray:
        """Calibrated P(state of health < cut) per row."""
        classified = self._trees.predict(columns_of(matrix, self.names, names))
        score = self.intercept + self.predictive_weight * logit(predictive) + self.booster_weight * logit(classified)
        return _held(1.0 / (1.0 + np.exp(-score)))

    @cached_property
    def _trees(self) -> Trees:
        return Trees.of(self.booster)


def _held(probability: FloatArray) -> FloatArray:
    held: FloatArray = np.minimum(np.maximum(probability, _NEVER_CERTAIN), 1.0 - _NEVER_CERTAIN)
    return held


def logit(probability: FloatArray) -> FloatArray:
    """Log odds of a probability held away from 0 and 1."""
    held = _held(probability)
    log_odds: FloatArray = np.log(held / (1.0 - held))
    return log_odds


@dataclass(frozen=True)
class Suitability:
    """P(state of health < cut) for any cut of a policy.

    Attributes
    ----------
    scores : ndarray, shape (m,)
        Normalised errors of the calibration batteries, ascending.
    classifiers : mapping of str to CutClassifier
        Trained classifiers by `cut_key`, where the data allowed one.
    """

    scores: FloatArray
    classifiers: Mapping[str, CutClassifier]

    def probability_below(
        self, cuts: Sequence[float], point: FloatArray, spread: FloatArray, matrix: FloatArray, names: Sequence[str]
    ) -> FloatArray:
        """Probability per case and cut, rising with the cut.

        Returns
        -------
        ndarray, shape (n, len(cuts))
            In the order of `cuts`.
        """
        rising = sorted(cuts)
        errors = (np.array(rising) - point[:, None]) / spread[:, None]
        below: FloatArray = np.interp(errors, *self._predictive)
        for place, cut in enumerate(rising):
            if (classifier := self.classifiers.get(cut_key(cut))) is not None:
                below[:, place] = classifier.probability(matrix, names, below[:, place])
        ordered = np.maximum.accumulate(below, axis=1)
        return ordered[:, [rising.index(cut) for cut in cuts]]

    @cached_property
    def _predictive(self) -> tuple[FloatArray, FloatArray]:
        return _distribution(self.scores)
