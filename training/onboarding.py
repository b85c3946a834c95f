"""A battery type learned from a few fully tested batteries: what is fitted, and what may be promised of it.

The type learns from its own batteries; what it takes from the types the bundle knows is the prior: the
form of the kernels, their noise, and, while the batteries are too few for an interval of their own,
the scale of the other types' errors. Features are standardised within the type (resistances as
logarithm over the type's median), so nothing depends on its size. Every figure rests on predictions
for a battery whose own tests, under whatever name, were left out.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from features.errors import InvalidInput
from features.measurement import BatteryIdentity, FloatArray
from models.bundle import Bundle
from models.interval import ConformalInterval, TypeScale
from training.calibrate import HeldOutFacts, conformal_quantile
from training.fit import FittedType, fit_models
from training.labels import identities, type_key
from training.plan import PulsePlan
from training.recipes.by_method import recipe_of
from training.recipes.pulse import pulse_width_second
from training.table import FeatureTable, require_distinct_types

LEAST_BATTERIES = 5
"""With fewer, the mean of a type's batteries predicted held-out ones no worse than any model."""

SCALE_LEVEL, POOLING_BATTERIES = 0.80, 5.0
"""Quantile that is the scale of a type, and the batteries' worth of all types it is shrunk towards."""

_SMALLEST = 1e-4


@dataclass(frozen=True)
class LearnedType:
    """A type as it was learned.

    Attributes
    ----------
    identity : BatteryIdentity
        Plate of one of its batteries.
    fitted : FittedType
        Members and look, fitted on every battery.
    facts : HeldOutFacts
        One row per battery, predicted without it; a visit where it has one.
    scale : TypeScale
        How wide its interval is beside the bundle's quantile.
    spread : ndarray, shape (batteries,)
        Scale of each battery's interval before the quantile.
    mean_error_of_mean : float
        Mean absolute percentage error of guessing the mean of the other batteries.
    """

    identity: BatteryIdentity
    fitted: FittedType
    facts: HeldOutFacts
    scale: TypeScale
    spread: FloatArray
    mean_error_of_mean: float

    @property
    def key(self) -> str:
        """Short name of the type."""
        return type_key(self.identity)

    @property
    def mean_absolute_percentage_error(self) -> float:
        """Of batteries that were left out."""
        return float(np.mean(np.abs(self.facts.point / self.facts.measured - 1.0)))

    @property
    def visit_count(self) -> int:
        """Batteries that look like one arriving at a station."""
        return int(np.count_nonzero(self.facts.visits))


def batteries_for_interval(coverage_fraction: float) -> int:
    """Fewest batteries whose largest left-out error covers the next one at that level.

    Examples
    --------
    >>> batteries_for_interval(0.9)
    9
    """
    return math.ceil(round(coverage_fraction / (1.0 - coverage_fraction), 9))


def fitted_plan(plan: PulsePlan, table: FeatureTable) -> PulsePlan:
    """The plan with the pulse widths that are in the table."""
    widths = tuple(float(width) for width in np.unique(pulse_width_second(table)) if np.isfinite(width))
    return plan.model_copy(update={"rows": plan.rows.model_copy(update={"pulse_width_second": widths})})


def learned_type(plan: PulsePlan, table: FeatureTable, bundle: Bundle) -> LearnedType:
    """Learn the one type of a table.

    Parameters
    ----------
    plan : PulsePlan
        Members and look; see `fitted_plan`.
    table : FeatureTable
        Labelled tests of one type the bundle does not know.
    bundle : Bundle
        Whose quantile and scales are the prior of the interval.

    Returns
    -------
    LearnedType

    Raises
    ------
    InvalidInput
        ``NOT_ONE_TYPE``, ``TYPE_KNOWN``, ``TYPES_OVERLAP``, ``TOO_FEW_BATTERIES``.
    """
    usable = table.taken(recipe_of(plan).usable(table))
    identity = _one_new_type(usable, bundle)
    _require_enough(len(set(usable.physical_cells.tolist())), len(table) - len(usable))
    facts, of_mean = left_out_facts(plan, usable)
    interval = bundle.estimators[plan.method].interval
    scale, spread = type_scale(interval, facts)
    fitted = fit_models(plan, usable, ()).types[type_key(identity)]
    return LearnedType(identity, fitted, facts, scale, spread, of_mean)


def left_out_facts(plan: PulsePlan, table: FeatureTable) -> tuple[HeldOutFacts, float]:
    """What models say of each battery when all its tests are left out, and the error of guessing the mean."""
    cells, key = table.physical_cells, str(table.type_keys[0])
    presented = np.array(list(_one_test_each(table)))
    said = [_said(plan, table.taken(cells != cells[row]), table.taken(np.array([row])), key) for row in presented]
    point, disagreement, lowest, highest = np.array(said).T
    asked = table.taken(presented)
    measured = asked.state_of_health_fraction
    of_others = (measured.sum() - measured) / (len(measured) - 1)
    facts = HeldOutFacts(asked.type_keys, asked.visits, measured, point, disagreement, lowest, highest, {})
    return facts, float(np.mean(np.abs(of_others / measured - 1.0)))


def type_scale(interval: ConformalInterval, facts: HeldOutFacts) -> tuple[TypeScale, FloatArray]:
    """Scale that gives a type its own interval under the bundle's quantile, and the spread of each battery.

    Notes
    -----
    With enough visited batteries the half width is the conformal quantile of their left-out errors over
    their difficulty (jackknife; Barber et al., *Annals of Statistics* 49 (2021) 486, promise 1 − 2α for
    its close relative and find 1 − α in practice). With fewer, the scale is that of all types, shrunk
    towards the type's own errors: an indication.
    """
    typical = max(float(np.median(facts.disagreement)), _SMALLEST)
    relative = np.minimum(facts.disagreement / typical, interval.largest_relative_disagreement)
    difficulty = 1.0 + interval.difficulty_slope * relative
    errors = np.abs(facts.measured - facts.point) / difficulty
    visited = errors[facts.visits]
    if len(visited) >= batteries_for_interval(interval.coverage_fraction):
        scale = conformal_quantile(visited, interval.coverage_fraction) / interval.quantile
    else:
        of_all = float(np.mean(np.log([each.scale_fraction for each in interval.types.values()])))
        own = math.log(max(float(np.quantile(errors, SCALE_LEVEL)), _SMALLEST))
        scale = math.exp((len(errors) * own + POOLING_BATTERIES * of_all) / (len(errors) + POOLING_BATTERIES))
    scale = max(scale, _SMALLEST)
    return TypeScale(scale_fraction=scale, typical_disagreement=typical), scale * difficulty


def _one_new_type(table: FeatureTable, bundle: Bundle) -> BatteryIdentity:
    found = sorted(set(table.type_keys.tolist()))
    if len(found) != 1:
        raise InvalidInput(
            f"One type is onboarded at a time; the tests are of {', '.join(found) or 'none'}. Nothing was learned.",
            code="NOT_ONE_TYPE",
        )
    identity = identities(table.labels.iloc[:1])[0]
    known = bundle.known_type(identity)
    if known is not None:
        raise InvalidInput(
            f"The bundle knows {known.key} already. Nothing was learned. Train it with these batteries, or "
            "recalibrate it with outcomes.",
            code="TYPE_KNOWN",
        )
    plates = [
        BatteryIdentity(
            "known", each.level, each.chemistry, each.rated_capacity_ah, type_designation=each.type_designation
        )
        for each in bundle.manifest.known_types
    ]
    require_distinct_types([*plates, identity])
    return identity


def _require_enough(count: int, unusable: int) -> None:
    if count < LEAST_BATTERIES:
        lost = f" ({unusable} tests lack a required feature)" if unusable else ""
        raise InvalidInput(
            f"{count} batteries with usable tests{lost} cannot teach a type; {LEAST_BATTERIES} are the least. "
            "Nothing was learned. Test more batteries fully.",
            code="TOO_FEW_BATTERIES",
        )


def _one_test_each(table: FeatureTable) -> Iterator[int]:
    """Of every physical cell the first visit, else the first test."""
    for cell in sorted(set(table.physical_cells.tolist())):
        rows = np.flatnonzero(table.physical_cells == cell)
        visits = rows[table.visits[rows]]
        yield int(visits[0] if len(visits) else rows[0])


def _said(plan: PulsePlan, train: FeatureTable, asked: FeatureTable, key: str) -> tuple[float, float, float, float]:
    ensemble = fit_models(plan, train, ()).types[key].ensemble()
    said = ensemble.said(asked.values, asked.feature_set.names)
    point, disagreement = said.joined()
    lowest, highest = said.extremes()
    return float(point[0]), float(disagreement[0]), float(lowest[0]), float(highest[0])
