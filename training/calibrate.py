"""Calibrating on batteries the models did not see: the interval and the probabilities at the cuts.

One row per visited battery calibrates, because visits are the only rows that look like a battery at
a station. The scale of a type is a quantile of its errors, shrunk towards all types where it has
few batteries; one conformal quantile over all batteries then makes the promise. A type that was
never visited takes its scale from grid rows; its interval is an indication, not a promise.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import cross_val_predict

from features.errors import InvalidInput
from features.measurement import FloatArray
from models.interval import ConformalInterval, TypeScale
from models.suitability import logit, predictive_probability
from training.plan import Plan
from training.table import BoolArray

_SMALLEST_DISAGREEMENT = 1e-4
_CURVE_FOLDS = 5


@dataclass(frozen=True)
class HeldOutFacts:
    """What models that did not see a battery said about it; arrays of shape (n,).

    Attributes
    ----------
    type_keys : ndarray of str
        Battery type.
    visits : ndarray of bool
        Whether the row is a visit; the others are grid rows.
    measured, point, disagreement : ndarray
        State of health as measured and as predicted, and the members' disagreement.
    classifier_probability : mapping of str to ndarray
        Raw P(state of health < cut) per `cut_key`; NaN where the fold had no classifier.
    """

    type_keys: npt.NDArray[np.object_]
    visits: BoolArray
    measured: FloatArray
    point: FloatArray
    disagreement: FloatArray
    classifier_probability: Mapping[str, FloatArray]

    def taken(self, rows: npt.NDArray[np.int64] | BoolArray) -> "HeldOutFacts":
        """Rows by number or mask."""
        return HeldOutFacts(
            self.type_keys[rows],
            self.visits[rows],
            self.measured[rows],
            self.point[rows],
            self.disagreement[rows],
            {cut: probability[rows] for cut, probability in self.classifier_probability.items()},
        )


@dataclass(frozen=True, slots=True)
class Curve:
    """Logistic curve over the logits of the predictive distribution and of a classifier."""

    intercept: float
    predictive_weight: float
    booster_weight: float


@dataclass(frozen=True)
class Calibration:
    """A calibrated interval and calibrated probabilities.

    Attributes
    ----------
    interval : ConformalInterval
        Interval per type.
    scores : ndarray
        Normalised errors of the visited batteries, ascending.
    curves : mapping of str to Curve
        Per `cut_key` with a classifier.
    """

    interval: ConformalInterval
    scores: FloatArray
    curves: Mapping[str, Curve]


def calibrate(plan: Plan, facts: HeldOutFacts) -> Calibration:
    """Calibrate interval and probabilities on held-out facts.

    Parameters
    ----------
    plan : Plan
        Levels of the interval; cuts of the classifiers.
    facts : HeldOutFacts
        One row per visited battery, and grid rows for types never visited.

    Raises
    ------
    InvalidInput
        ``TOO_FEW_VISITS``, naming how many visited batteries the promised coverage needs.
    """
    visits = facts.taken(facts.visits)
    interval = calibrate_interval(plan, facts)
    spread = spread_of(interval, visits)
    scores = np.sort((visits.measured - visits.point) / spread)
    curves = {}
    for cut in visits.classifier_probability:
        curve = _curve(plan, visits, cut, predictive_probability(scores, (float(cut) - visits.point) / spread))
        if curve is not None:
            curves[cut] = curve
    return Calibration(interval, scores, curves)


def calibrate_interval(plan: Plan, facts: HeldOutFacts) -> ConformalInterval:
    """Calibrate the interval alone; see `calibrate`."""
    visits = facts.taken(facts.visits)
    _require_enough(plan, len(visits.measured))
    unscaled = ConformalInterval(
        coverage_fraction=plan.bundle.coverage_fraction,
        quantile=1.0,
        difficulty_slope=plan.interval.difficulty_slope,
        largest_relative_disagreement=plan.interval.largest_relative_disagreement,
        types=_type_scales(plan, facts),
    )
    scores = np.abs(visits.measured - visits.point) / spread_of(unscaled, visits)
    return unscaled.model_copy(update={"quantile": conformal_quantile(scores, plan.interval.quantile_level)})


def conformal_quantile(scores: FloatArray, level: float) -> float:
    """Score at rank ⌈level·(n+1)⌉ (Vovk et al., *Algorithmic Learning in a Random World*, 2005).

    Examples
    --------
    >>> conformal_quantile(np.arange(1.0, 20.0), 0.9)
    18.0
    """
    rank = math.ceil(level * (len(scores) + 1))
    return float(np.sort(scores)[rank - 1])


def spread_of(interval: ConformalInterval, facts: HeldOutFacts) -> FloatArray:
    """Scale of the interval of every row, before the quantile."""
    spread = np.empty(len(facts.measured))
    for key in np.unique(facts.type_keys.astype(str)):
        rows = facts.type_keys == key
        spread[rows] = interval.spread_fraction(str(key), facts.disagreement[rows])
    return spread


def _require_enough(plan: Plan, count: int) -> None:
    level = plan.interval.quantile_level
    needed = math.ceil(level / (1.0 - level))
    if count < needed:
        raise InvalidInput(
            f"{count} visited batteries cannot calibrate an interval at level {level}; {needed} are needed. "
            "Nothing was trained. Measure more batteries on arrival (visit = true), or promise less in the plan.",
            code="TOO_FEW_VISITS",
        )


def _type_scales(plan: Plan, facts: HeldOutFacts) -> dict[str, TypeScale]:
    errors = np.abs(facts.measured - facts.point)
    chosen = {str(key): _scale_rows(facts, str(key)) for key in np.unique(facts.type_keys.astype(str))}
    typical = {
        key: max(float(np.median(facts.disagreement[rows])), _SMALLEST_DISAGREEMENT) for key, rows in chosen.items()
    }
    relative = np.full(len(errors), np.nan)
    for key, rows in chosen.items():
        beyond = np.minimum(facts.disagreement[rows] / typical[key], plan.interval.largest_relative_disagreement)
        relative[rows] = errors[rows] / (1.0 + plan.interval.difficulty_slope * beyond)
    level, pooling = plan.interval.scale_level, plan.interval.pooling_batteries
    of_all = np.log(np.quantile(relative[facts.visits], level))
    scales = {}
    for key, rows in chosen.items():
        count = np.count_nonzero(rows)
        own = np.log(max(float(np.quantile(relative[rows], level)), 1e-6))
        shrunk = float(np.exp((count * own + pooling * of_all) / (count + pooling)))
        scales[key] = TypeScale(scale_fraction=shrunk, typical_disagreement=typical[key])
    return scales


def _scale_rows(facts: HeldOutFacts, key: str) -> BoolArray:
    of_type = facts.type_keys == key
    visited: BoolArray = of_type & facts.visits
    return visited if visited.any() else of_type


def _curve(plan: Plan, visits: HeldOutFacts, cut: str, predictive: FloatArray) -> Curve | None:
    """Join a classifier with the predictive distribution, where that lowers the cross-validated Brier score."""
    raw = visits.classifier_probability[cut]
    known = np.isfinite(raw)
    below = (visits.measured < float(cut))[known]
    rarer = int(min(np.count_nonzero(below), np.count_nonzero(~below)))
    if rarer < max(plan.suitability.least_batteries_per_side // 2, _CURVE_FOLDS):
        return None
    logits = np.column_stack([logit(predictive[known]), logit(raw[known])])
    joined = cross_val_predict(LogisticRegression(), logits, below, cv=_CURVE_FOLDS, method="predict_proba")[:, 1]
    fitted = LogisticRegression().fit(logits, below)
    predictive_weight, booster_weight = (float(weight) for weight in fitted.coef_[0])
    helps = brier_score_loss(below, joined) < brier_score_loss(below, predictive[known])
    if not helps or booster_weight <= 0.0:
        return None
    return Curve(float(fitted.intercept_[0]), predictive_weight, booster_weight)
