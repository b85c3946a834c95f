"""Training on pulse tests: widths that train, pulses up to 1.5 C charge or all of them, visits and grid rows.

A train that stops after the charge pulse at 1.5 C (U1–U21 of the public tables) is enough for an
estimate; members on all amplitudes speak only where all were measured. What is counted is what the
data README counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from features.feature_set import FEATURE_SETS, FeatureSet, Method
from features.measurement import FloatArray
from training.plan import PulsePlan
from training.plan_tables import PulseCountingPlan, PulseRowsPlan
from training.recipes.recipe import Counted, Member, first_of_each_battery, with_anchors
from training.table import BoolArray, FeatureTable

_ANCHORS = ("open_circuit_voltage_volt", "log_pulse_width")
_RESISTANCES = ("instantaneous_resistance", "pulse_end_resistance")
_LARGER = [f"_{rate}c{way}" for rate in ("2.0", "2.5") for way in ("", "_charge", "_discharge")]
_NOT_REACHED = ("_1.5c_discharge", *_LARGER)
_NEED_BOTH_DIRECTIONS = ("_asymmetry_1.5c", "rest_drift_volt_1.5c")


@dataclass(frozen=True)
class PulseRecipe:
    """Recipe of the method ``pulse_test``; see `training.recipes.recipe.Recipe`.

    Attributes
    ----------
    rows : PulseRowsPlan
        Widths that train, and whether tests cut short by a voltage limit do.
    counting : PulseCountingPlan
        Widths and charges that are counted.
    """

    rows: PulseRowsPlan
    counting: PulseCountingPlan
    feature_set: FeatureSet = FEATURE_SETS[Method.PULSE_TEST]
    logarithmic: tuple[str, ...] = _RESISTANCES
    resistances: tuple[str, ...] = _RESISTANCES

    @classmethod
    def of(cls, plan: PulsePlan) -> "PulseRecipe":
        """Recipe of a plan."""
        return cls(plan.rows, plan.counting)

    @property
    def required(self) -> tuple[str, ...]:
        """Voltage and every resistance up to the charge pulse at 1.5 C."""
        early = (name for name in self._every_resistance() if not needs_larger_amplitudes(name))
        return ("open_circuit_voltage_volt", *early)

    def member_features(self, member: Member) -> tuple[str, ...]:
        """Voltage and width first, then those asked for, as far as the member's amplitudes reach."""
        names = with_anchors(self.feature_set, _ANCHORS, member.features)
        return names if member.amplitudes == "all" else _early(names)

    def member_required(self, member: Member) -> tuple[str, ...]:
        """Every resistance, for a member on all amplitudes."""
        return self._every_resistance() if member.amplitudes == "all" else ()

    def classifier_features(self, prefixes: Sequence[str]) -> tuple[str, ...]:
        """Those every graded test has: up to the charge pulse at 1.5 C."""
        return _early(with_anchors(self.feature_set, _ANCHORS, prefixes))

    def usable(self, table: FeatureTable) -> BoolArray:
        """Rows with every required feature, and no pulse cut short where the plan leaves those out."""
        limited = table.labels["voltage_limited"].to_numpy(dtype=np.bool_)
        return table.measured(self.required) & (self.rows.voltage_limited | ~limited)

    def typical(self, table: FeatureTable) -> BoolArray:
        """Rows of the widths that train."""
        return _of_width(table, self.rows.pulse_width_second)

    def member_rows(self, member: Member, table: FeatureTable) -> BoolArray:
        """Rows of the widths of the member's amplitudes in which those were measured."""
        if member.amplitudes != "all":
            return self.typical(table)
        widths = self.rows.all_amplitudes_pulse_width_second
        return _of_width(table, widths) & table.measured(self._every_resistance())

    def counted(self, table: FeatureTable) -> Counted:
        """Visits of one width, one per battery; grid rows of one width and charge, as if stopped early."""
        width, counting = pulse_width_second(table), self.counting
        measured = table.measured(self.required)
        at_station = table.visits & (width == counting.visit_pulse_width_second) & measured
        charged = table.labels["charged_fraction"].round(6)
        in_range = charged.between(counting.grid_lowest_charged_fraction, counting.grid_highest_charged_fraction)
        grid = ~table.visits & (width == counting.grid_pulse_width_second) & in_range.to_numpy() & measured
        values = np.where(grid[:, None], as_stopped_early(table).values, table.values)
        return Counted(replace(table, values=values), first_of_each_battery(table, at_station), grid)

    def read_with(self, values: FloatArray, ratio: float) -> FloatArray:
        """Resistances times capacity grow with the declared capacity; ratios stay."""
        return values * np.where(["_ohm_ah" in name for name in self.feature_set.names], ratio, 1.0)

    @property
    def features_in_words(self) -> str:
        """What the features are."""
        return "Features: resistances, relaxation, ratios and non-linearity of the pulses; never a state of charge."

    @property
    def limits_in_words(self) -> str:
        """Which widths trained."""
        widths = ", ".join(f"{width:g} s" for width in self.rows.pulse_width_second)
        return f"Trained on pulses of {widths} after a rest, at the temperature of the data; judged at no other width."

    def _every_resistance(self) -> tuple[str, ...]:
        return tuple(name for name in self.feature_set.names if name.startswith(_RESISTANCES))


def needs_larger_amplitudes(name: str) -> bool:
    """Whether a feature needs pulses after the charge pulse at 1.5 C.

    Examples
    --------
    >>> needs_larger_amplitudes("relaxation_ratio_1.5c_charge"), needs_larger_amplitudes("rest_drift_volt_1.5c")
    (False, True)
    """
    return name.endswith((*_NOT_REACHED, *_NEED_BOTH_DIRECTIONS))


def as_stopped_early(table: FeatureTable) -> FeatureTable:
    """Make the same tests as if the train had ended after the charge pulse at 1.5 C (U1–U21 of the public tables)."""
    values = table.values.copy()
    values[:, [needs_larger_amplitudes(name) for name in table.feature_set.names]] = np.nan
    return replace(table, values=values)


def pulse_width_second(table: FeatureTable) -> FloatArray:
    """Median pulse width of every row in seconds, to the millisecond, shape (n,)."""
    width: FloatArray = np.round(10.0 ** table.columns(("log_pulse_width",))[:, 0], 3)
    return width


def _early(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if not needs_larger_amplitudes(name))


def _of_width(table: FeatureTable, width_second: Iterable[float]) -> BoolArray:
    return np.isin(pulse_width_second(table), list(width_second))
