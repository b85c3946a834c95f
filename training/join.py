"""How much a classifier may say beside the predictive distribution: one weight per cut.

The log odds of both are mixed, ``(1 − w)·predictive + w·classifier``, and w is the one that would
have described the calibration batteries best. With two hundred batteries one coefficient is what
the data can carry: a free logistic curve over both was worse than the distribution alone.
"""

import numpy as np
from sklearn.metrics import log_loss

from features.measurement import FloatArray
from models.suitability import logit, predictive_probability

_WEIGHTS = np.linspace(0.0, 1.0, 21)


def booster_weight(measured: FloatArray, point: FloatArray, spread: FloatArray, cut: float, raw: FloatArray) -> float:
    """Weight of a classifier in the joined log odds.

    Parameters
    ----------
    measured, point, spread : ndarray, shape (n,)
        State of health of the calibration batteries as measured and predicted, and their scale; all
        from models and scales that did not see the battery.
    cut : float
        The cut.
    raw : ndarray, shape (n,)
        Classifier's P(state of health < cut), likewise.

    Returns
    -------
    float
        0, 0.05 … 1 with the least log loss; 0 where the classifier adds nothing.
    """
    below = measured < cut
    predictive = logit(_predictive_without_own(measured, point, spread, cut))
    boosted = logit(raw)
    losses = [log_loss(below, _probability((1.0 - w) * predictive + w * boosted), labels=[0, 1]) for w in _WEIGHTS]
    return round(float(_WEIGHTS[int(np.argmin(losses))]), 2)


def _predictive_without_own(measured: FloatArray, point: FloatArray, spread: FloatArray, cut: float) -> FloatArray:
    """Predictive probability of every battery among the scores of the others."""
    scores, asked = (measured - point) / spread, (cut - point) / spread
    return np.array(
        [
            predictive_probability(np.sort(np.delete(scores, place)), asked[place : place + 1])[0]
            for place in range(len(scores))
        ]
    )


def _probability(log_odds: FloatArray) -> FloatArray:
    probability: FloatArray = 1.0 / (1.0 + np.exp(-log_odds))
    return probability
