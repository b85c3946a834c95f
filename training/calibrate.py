"""Calibrating on batteries the models did not see: the interval and the probabilities at the cuts.

One row per visited battery calibrates, because visits are the only rows that look like a battery at
a station. A score is a battery's error over its difficulty and the scale of its type; that scale is
a quantile of the errors of the *other* batteries, shrunk towards all types where the type has few,
so that no battery makes its own score small. One conformal quantile over all scores then makes the
promise, at its nominal level. A type that was never visited takes its scale from grid rows; its
interval is an indication, not a promise.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from features.errors import InvalidInput
from features.measurement import FloatArray
from models.interval import ConformalInterval, TypeScale
from training.join import booster_weight
from training.plan import Plan
from training.scale import scale_from_grid, scale_of_types, scale_without_own
from training.table import BoolArray

_SMALLEST_DISAGREEMENT = 1e-4


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
    lowest_member, highest_member : ndarray
        State of health the least and the most hopeful member predicts.
    classifier_probability : mapping of str to ndarray
        Raw P(state of health < cut) per `cut_key` with a classifier.
    """

    type_keys: npt.NDArray[np.object_]
    visits: BoolArray
    measured: FloatArray
    point: FloatArray
    disagreement: FloatArray
    lowest_member: FloatArray
    highest_member: FloatArray
    classifier_probability: Mapping[str, FloatArray]

    def taken(self, rows: npt.NDArray[np.int64] | BoolArray) -> "HeldOutFacts":
        """Rows by number or mask."""
        arrays = {
            each.name: getattr(self, each.name)[rows] for each in fields(self) if each.name != "classifier_probability"
        }
        raw = {cut: probability[rows] for cut, probability in self.classifier_probability.items()}
        return replace(self, **arrays, classifier_probability=raw)


@dataclass(frozen=True)
class Calibration:
    """A calibrated interval and calibrated probabilities.

    Attributes
    ----------
    interval : ConformalInterval
        Interval per type.
    visits : HeldOutFacts
        The batteries that calibrate.
    spread : ndarray, shape (visits,)
        Scale of each battery's interval before the quantile, made by the others of its type.
    booster_weights : mapping of str to float
        Weight of the classifier in the log odds, per `cut_key` with a classifier; 0 where it was not earned.
    """

    interval: ConformalInterval
    visits: HeldOutFacts
    spread: FloatArray
    booster_weights: Mapping[str, float]

    @property
    def scores(self) -> FloatArray:
        """Normalised signed errors of the visited batteries, ascending."""
        return np.sort((self.visits.measured - self.visits.point) / self.spread)


def calibrate(plan: Plan, facts: HeldOutFacts) -> Calibration:
    """Calibrate interval and probabilities on held-out facts.

    Parameters
    ----------
    plan : Plan
        Promised coverage and the shape of the interval.
    facts : HeldOutFacts
        One row per visited battery, and grid rows for types never visited.

    Raises
    ------
    InvalidInput
        ``TOO_FEW_VISITS``, naming how many visited batteries the promised coverage needs.
    """
    interval, spread = _calibrated(plan, facts)
    visits = facts.taken(facts.visits)
    weights = {
        cut: booster_weight(visits.measured, visits.point, spread, float(cut), raw)
        for cut, raw in visits.classifier_probability.items()
    }
    return Calibration(interval, visits, spread, weights)


def calibrate_interval(plan: Plan, facts: HeldOutFacts) -> ConformalInterval:
    """Calibrate the interval alone; see `calibrate`."""
    return _calibrated(plan, facts)[0]


def conformal_quantile(scores: FloatArray, level: float) -> float:
    """Score at rank ⌈level·(n+1)⌉ (Vovk et al., *Algorithmic Learning in a Random World*, 2005).

    Examples
    --------
    >>> conformal_quantile(np.arange(1.0, 20.0), 0.9)
    18.0
    """
    return float(np.sort(scores)[_rank(len(scores), level) - 1])


def spread_of(interval: ConformalInterval, facts: HeldOutFacts) -> FloatArray:
    """Scale of the interval of every row, before the quantile."""
    spread = np.empty(len(facts.measured))
    for key in np.unique(facts.type_keys.astype(str)):
        rows = facts.type_keys == key
        spread[rows] = interval.spread_fraction(str(key), facts.disagreement[rows])
    return spread


def _calibrated(plan: Plan, facts: HeldOutFacts) -> tuple[ConformalInterval, FloatArray]:
    """Interval, and the spread of each visited battery made by the others."""
    visits, grid = facts.taken(facts.visits), facts.taken(~facts.visits)
    _require_enough(plan, len(visits.measured))
    typical, typical_of_grid = _typical_disagreement(visits), _typical_disagreement(grid)
    unscaled = _unscaled(plan, typical)
    difficulty = spread_of(unscaled, visits)
    errors = np.abs(visits.measured - visits.point) / difficulty
    grid_errors = np.abs(grid.measured - grid.point) / spread_of(_unscaled(plan, typical_of_grid), grid)
    level, pooling = plan.interval.scale_level, plan.interval.pooling_batteries
    scales = scale_of_types(errors, visits.type_keys, level, pooling)
    never_visited = scale_from_grid(errors, visits.type_keys, grid_errors, grid.type_keys, level)
    of_others = scale_without_own(errors, visits.type_keys, level, pooling)
    interval = unscaled.model_copy(
        update={
            "quantile": conformal_quantile(errors / of_others, plan.bundle.coverage_fraction),
            "types": {
                key: TypeScale(scale_fraction=scale, typical_disagreement=(typical_of_grid | typical)[key])
                for key, scale in sorted((never_visited | scales).items())
            },
        }
    )
    return interval, difficulty * of_others


def _typical_disagreement(facts: HeldOutFacts) -> dict[str, float]:
    keys = np.unique(facts.type_keys.astype(str)).tolist()
    medians = {key: float(np.median(facts.disagreement[facts.type_keys == key])) for key in keys}
    return {key: max(median, _SMALLEST_DISAGREEMENT) for key, median in medians.items()}


def _unscaled(plan: Plan, typical_disagreement: Mapping[str, float]) -> ConformalInterval:
    """Interval that knows how hard a case is for its type, but not yet how hard the type is."""
    return ConformalInterval(
        coverage_fraction=plan.bundle.coverage_fraction,
        quantile=1.0,
        difficulty_slope=plan.interval.difficulty_slope,
        largest_relative_disagreement=plan.interval.largest_relative_disagreement,
        types={
            key: TypeScale(scale_fraction=1.0, typical_disagreement=typical)
            for key, typical in typical_disagreement.items()
        },
    )


def _rank(count: int, level: float) -> int:
    return math.ceil(round(level * (count + 1), 9))


def _require_enough(plan: Plan, count: int) -> None:
    level = plan.bundle.coverage_fraction
    needed = math.ceil(round(level / (1.0 - level), 9))
    if count < needed:
        raise InvalidInput(
            f"{count} visited batteries cannot calibrate an interval that covers {level}; {needed} are needed. "
            "Nothing was trained. Measure more batteries on arrival (visit = true), or promise less in the plan.",
            code="TOO_FEW_VISITS",
        )
