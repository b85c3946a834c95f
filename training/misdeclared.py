"""What a bundle says about a battery of a type it never saw, declared as a type it knows.

Nothing on the plate warns of it: size and chemistry are those of a known type, only the measurement
is not. Such a battery is safe if the estimate is withheld, or if its capacity lies in the interval
all the same. It is read in two ways: as if the tester had been set by the wrong plate, so that
resistances are multiplied by the wrong capacity, and as if the rates of the record were the rates
of the plate. Certificates do not enter: a battery that is not graded for lack of one counts here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from models.bundle import Bundle
from models.capacity import TrainedEstimator
from models.manifest import KnownType
from training.metrics import BoolArray, Share
from training.plan import Plan
from training.recipes.by_method import recipe_of
from training.table import FeatureTable


class Reading(StrEnum):
    """How a test of a wrongly declared battery is read."""

    SET_BY_PLATE = "tester set by the plate"
    RATES_OF_PLATE = "rates taken for those of the plate"


@dataclass(frozen=True, slots=True)
class MisdeclaredFigures:
    """Tests of a type left out of training, declared as each known type in turn.

    Attributes
    ----------
    visits_abstained, visits_safe : Share
        Of the visits: no estimate that could grade; none, or one whose interval holds the capacity.
    grid_abstained, grid_safe : Share
        Of the grid rows.
    """

    visits_abstained: Share
    visits_safe: Share
    grid_abstained: Share
    grid_safe: Share

    @classmethod
    def together(cls, figures: Sequence["MisdeclaredFigures"]) -> "MisdeclaredFigures":
        """Figures over the tests of several."""
        return cls(*(_sum([getattr(each, name) for each in figures]) for name in cls.__slots__))


def misdeclared_figures(plan: Plan, bundle: Bundle, presented: FeatureTable) -> Mapping[Reading, MisdeclaredFigures]:
    """Present tests of one type to a bundle trained without it, as each type it calibrates.

    Parameters
    ----------
    plan : Plan
        Plan of the method.
    bundle : Bundle
        Trained without the type.
    presented : FeatureTable
        Counted rows of the type.

    Returns
    -------
    mapping of Reading to MisdeclaredFigures
        Over all types a station could declare by mistake.
    """
    known = [each for each in bundle.manifest.known_types if each.calibration_batteries.get(plan.method)]
    return {
        reading: MisdeclaredFigures.together(
            [_declared_as(plan, bundle.estimators[plan.method], presented, each, reading) for each in known]
        )
        for reading in Reading
    }


def _declared_as(
    plan: Plan, estimator: TrainedEstimator, presented: FeatureTable, declared: KnownType, reading: Reading
) -> MisdeclaredFigures:
    names, rated_ah = presented.feature_set.names, presented.labels["rated_capacity_ah"].to_numpy()
    ratio = declared.rated_capacity_ah / float(rated_ah[0]) if reading is Reading.SET_BY_PLATE else 1.0
    values = recipe_of(plan).read_with(presented.values, ratio)
    prediction = estimator.predict(values, names, declared.key, ())
    measured = presented.labels["remaining_capacity_ah"].to_numpy() / declared.rated_capacity_ah
    abstained = ~(prediction.distance <= 1.0)
    safe = abstained | ((prediction.lower <= measured) & (measured <= prediction.upper))
    return MisdeclaredFigures(*_shares(presented.visits, abstained, safe))


def _shares(visits: BoolArray, abstained: BoolArray, safe: BoolArray) -> Iterator[Share]:
    for rows in (visits, ~visits):
        yield Share.of(np.asarray(abstained[rows]))
        yield Share.of(np.asarray(safe[rows]))


def _sum(shares: Sequence[Share]) -> Share:
    return Share(sum(each.count for each in shares), sum(each.total for each in shares))
