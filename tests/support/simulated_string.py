"""A module on the bench: groups in series whose capacities and charge differ, with every group's voltage.

Each group follows the equivalent circuit of its chemistry; one current flows through all. A group driven
beyond empty falls steeply, as a real one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.measurement import BatteryIdentity, CanonicalTable, FloatArray
from features.vocabulary import Chemistry, Level, TableFormat
from tests.support.equivalent_circuit import circuit_of
from tests.support.full_cycle import LIMITS_VOLT, FullCycle

SAMPLING_SECOND = 10.0
BEYOND_EMPTY_VOLT = 60.0
"""How far a group falls for its whole capacity taken beyond empty: 0.6 V a per cent. [V]"""


@dataclass(frozen=True)
class SimulatedString:
    """Groups in series.

    Attributes
    ----------
    group_capacities_ah : sequence of float
        What each group delivers at 1 C from full to cut-off. [Ah]
    rated_capacity_ah : float
        Plate. [Ah]
    chemistry : Chemistry
        Must have a fitted circuit.
    missing_ah : sequence of float
        Charge each group lacks when the charge ends; none unless given. [Ah]
    """

    group_capacities_ah: Sequence[float]
    rated_capacity_ah: float = 50.0
    chemistry: Chemistry = Chemistry.NMC
    missing_ah: Sequence[float] = ()

    @property
    def identity(self) -> BatteryIdentity:
        """The module as declared."""
        count = len(self.group_capacities_ah)
        return BatteryIdentity("module-1", Level.MODULE, self.chemistry, self.rated_capacity_ah, series_count=count)

    def capacity_test(self, *, cutoff_volt: float, watches_groups: bool = False) -> CanonicalTable:
        """Held charge, rest and 1 C discharge with every group's voltage.

        Parameters
        ----------
        cutoff_volt : float
            Where the discharge stops: the mean group, or the lowest where groups are watched. [V]
        watches_groups : bool
            Whether the tester looks at the groups.
        """
        _, full, limit = LIMITS_VOLT[self.chemistry]
        groups = len(self.group_capacities_ah)
        held, rest = np.full((180, groups), limit), np.full((90, groups), full)
        discharge = self._discharge(cutoff_volt, watches_groups=watches_groups)
        rated = self.rated_capacity_ah
        tapering = rated / 3.0 * np.geomspace(1.0, 0.1, len(held))
        volt = np.vstack([held, rest, discharge])
        current = np.concatenate([tapering, np.zeros(len(rest)), np.full(len(discharge), -rated)])
        columns = {
            "test_time_second": SAMPLING_SECOND * np.arange(len(volt)),
            "voltage_volt": volt.sum(axis=1),
            "current_ampere": current,
        }
        columns |= {f"cell_voltage_{n}_volt": volt[:, n - 1] for n in range(1, groups + 1)}
        return CanonicalTable(TableFormat.TIMESERIES, columns)

    def _discharge(self, cutoff_volt: float, *, watches_groups: bool) -> FloatArray:
        taken = self.rated_capacity_ah / 3600.0 * SAMPLING_SECOND * np.arange(600)
        missing = self.missing_ah or [0.0] * len(self.group_capacities_ah)
        curves = [
            self._loaded(each, taken + less) for each, less in zip(self.group_capacities_ah, missing, strict=True)
        ]
        volt = np.column_stack(curves)
        watched = volt.min(axis=1) if watches_groups else volt.mean(axis=1)
        stop = int(np.flatnonzero(watched <= cutoff_volt)[0])
        return volt[: stop + 1]

    def _loaded(self, capacity_ah: float, taken_ah: FloatArray) -> FloatArray:
        cycle = FullCycle(circuit_of(self.chemistry, self.rated_capacity_ah), self.rated_capacity_ah, capacity_ah)
        charged = 1.0 - taken_ah / capacity_ah
        within: FloatArray = cycle.loaded_volt(np.clip(charged, 0.0, 1.0), np.full(len(charged), -1.0))
        return within + BEYOND_EMPTY_VOLT * np.minimum(charged, 0.0)
