"""Training on pairs of pulse trains: every pair trains, pairs as visited calibrate, one step of charge is counted.

What is counted as grid: pairs of 5 s pulses, 20 % of rated charge apart, both trains between 5 and
50 % on the grid. What calibrates: one pair as visited per battery, of any width and step.
"""

from dataclasses import dataclass, replace

import numpy as np

from training.recipes.listed import ListedRecipe
from training.recipes.recipe import Counted
from training.table import FeatureTable

COUNTED_MOVED_FRACTION = 0.20
COUNTED_WIDTH_SECOND = 5.0
COUNTED_HIGHEST_CHARGED_FRACTION = 0.50

_TOLERANCE = 0.01
"""Steps of charge lie 0.05 apart in the data; a charger is not exact to the last digit."""


@dataclass(frozen=True)
class TwoTrainRecipe(ListedRecipe):
    """Recipe of the method ``two_pulse_trains``; see `training.recipes.recipe.Recipe`."""

    def counted(self, table: FeatureTable) -> Counted:
        """The first pair as visited of each battery; of the others one width and step, none ending above half full."""
        every = super().counted(table)
        moved, log_width = table.columns(("moved_charge_fraction", "log_pulse_width")).T
        charged_at_second = table.labels["charged_fraction"].to_numpy(dtype=np.float64) + moved
        grid = (
            (np.abs(moved - COUNTED_MOVED_FRACTION) < _TOLERANCE)
            & (np.round(10.0**log_width, 3) == COUNTED_WIDTH_SECOND)
            & ~(charged_at_second > COUNTED_HIGHEST_CHARGED_FRACTION + _TOLERANCE)
        )
        return replace(every, grid=every.grid & grid)

    @property
    def features_in_words(self) -> str:
        """What the two trains are asked for."""
        return (
            "Features: open-circuit voltage and its slope over the charge put in between two pulse trains, "
            "resistances and ratios of both trains, their relative change per charge; never a state of charge."
        )

    @property
    def limits_in_words(self) -> str:
        """What calibrates, and what must be measured."""
        return (
            "Calibrated on laboratory grid tests carried to what the same battery showed at its visit (one pair per "
            "battery), not on batteries given two trains at a station: nobody has measured such a visit yet. "
            f"{super().limits_in_words}"
        )
