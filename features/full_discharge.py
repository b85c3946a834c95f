"""What makes a discharge a full one.

Begun full, taken down to the cut-off of the chemistry in one go, at a constant rate, near room temperature.
Every broken rule is a finding. The limits are data; which discharge of a file is meant is decided in
`capacity_test`. Where the groups of a string were measured, it is full when its highest group is and
empty when its lowest is: neither can be taken further, whatever the others hold.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from features.findings import Finding, Message, Severity
from features.measurement import BatteryIdentity, CanonicalTable
from features.phases import Phase, charge_before, discharging_capacity_ah, rest_before_second
from features.string_capacity import StringLimit, string_limit
from features.string_groups import group_voltages
from features.vocabulary import Chemistry, Level, TableFormat


@dataclass(frozen=True, slots=True)
class FullRange:
    """Voltages between which a discharge is full, per cell in series.

    Attributes
    ----------
    rested_full_volt : float
        A battery that shows this much without being charged is full. [V]
    charge_limit_volt : float
        A charge held at no less than this, until its current has fallen, fills it. [V]
    lowest_cutoff_volt, highest_cutoff_volt : float
        Cut-off voltages in use. [V]
    """

    rested_full_volt: float
    charge_limit_volt: float
    lowest_cutoff_volt: float
    highest_cutoff_volt: float


FULL_RANGES: dict[Chemistry, FullRange] = {
    Chemistry.LFP: FullRange(3.40, 3.50, 2.0, 2.5),
    Chemistry.NMC: FullRange(4.15, 4.10, 2.5, 3.0),
    Chemistry.NCA: FullRange(4.15, 4.10, 2.5, 3.0),
    Chemistry.LCO: FullRange(4.15, 4.10, 2.5, 3.0),
    Chemistry.LMO: FullRange(4.15, 4.10, 2.0, 3.0),
    Chemistry.LTO: FullRange(2.60, 2.65, 1.4, 1.8),
}
"""Limits usual on maker data sheets of the families; the published tests of retired cells stop LMO at 2.0 V and
NMC at 2.7 V after a charge to 4.2 V. The voltage of a rested full cell is an engineering value: 50 mV below the
limit is about 3 % of charge. Families not listed are not judged."""

RATES_C = (0.1, 1.5)
"""Rates at which a discharge counts as a capacity test; the published labels are 1 C, GB/T 34015-2017 asks I5. [1/h]"""

TEMPERATURES_CELSIUS = (15.0, 35.0)
"""Surface temperatures at the begin of the discharge that count as room temperature (20 to 30 °C ambient). [°C]"""

CUTOFF_TOLERANCE_VOLT = 0.02
"""How far above the highest cut-off the last sample may lie, per cell. [V]"""

UNDERSHOOT_TOLERANCE_VOLT = 0.1
"""How far below the lowest cut-off the last sample may lie, per cell. [V]"""

INTERVAL_COUNT = 50
"""GB/T 34015-2017: the current is integrated over at least this many intervals."""

LARGEST_GAP_SECOND = 30.0
"""Time without a sample that is a gap, unless 1/50 of the discharge is longer. [s]"""

CURRENT_ACCURACY_FRACTION = 0.001
"""Assumed limit of error of a tester's current, rectangular. [1]"""

LARGEST_TAPER_C_RATE = 0.4
"""Mean current of a voltage hold that has tapered off: (1 - x) / ln(1 / x) of 1 C is 0.39 for x = 0.1. [1/h]"""

_LONG_REST_SECOND = 300.0

_UNEVEN_CURRENT_FRACTION = 0.1


class Discharge:
    """Numbers of the chosen discharge, all per battery."""

    def __init__(self, table: CanonicalTable, phases: Sequence[Phase], chosen: int, identity: BatteryIdentity) -> None:
        self.phase = phases[chosen]
        self.rated_capacity_ah = identity.rated_capacity_ah
        self.limits = FULL_RANGES.get(identity.chemistry)
        self.group_volt = group_voltages(table, identity)
        self.series_count = identity.series_count or self._series_count(identity)
        self.rate_c = abs(self.phase.mean_ampere) / identity.rated_capacity_ah
        self.rest_before_second = rest_before_second(phases, chosen)
        self.rested_volt = phases[chosen - 1].end_volt if self.rest_before_second > 0.0 else math.nan
        charge = charge_before(phases, chosen)
        self.charge = None if charge is None else phases[charge]
        rows = slice(self.phase.first, self.phase.stop)
        self.discharge_rows = rows
        self.celsius = math.nan
        if "surface_temperature_celsius" in table:
            self.celsius = float(table.floats("surface_temperature_celsius")[rows][0])
        self._integrate(table, rows)

    def _integrate(self, table: CanonicalTable, rows: slice) -> None:
        """Charge, its sampling uncertainty, and how evenly the current was sampled."""
        self.interval_count, self.longest_gap_second, self.current_spread = 1, 0.0, 0.0
        self.interval_second = 1.0  # a step report may give durations in whole seconds
        self.capacity_ah = abs(self.phase.mean_ampere) * self.phase.duration_second / 3600.0
        if table.format is TableFormat.TIMESERIES:
            time, current = table.floats("test_time_second")[rows], table.floats("current_ampere")[rows]
            self.discharge_time_second, self.discharge_current_ampere = time, current
            self.capacity_ah = discharging_capacity_ah(time, current)
            self.interval_count = len(time) - 1
            self.longest_gap_second = float(np.diff(time).max())
            self.interval_second = float(np.median(np.diff(time)))
            low, high = np.quantile(current, (0.05, 0.95))
            self.current_spread = float((high - low) / abs(self.phase.mean_ampere))

    def _series_count(self, identity: BatteryIdentity) -> int | None:
        if self.group_volt is not None:
            return int(self.group_volt.shape[1])
        return 1 if identity.level is Level.CELL else None

    def highest_volt(self, row: int, own_volt: float) -> float:
        """Voltage of the string in V if all its groups were as high as the highest; its own without groups."""
        if self.group_volt is None or self.series_count is None:
            return own_volt
        return max(own_volt, self.series_count * float(self.group_volt[row].max()))

    def lowest_volt(self, row: int, own_volt: float) -> float:
        """Voltage of the string in V if all its groups were as low as the lowest; its own without groups."""
        if self.group_volt is None or self.series_count is None:
            return own_volt
        return min(own_volt, self.series_count * float(self.group_volt[row].min()))

    @property
    def charged_full(self) -> bool:
        """Whether the charge before was held at its limit until the current had fallen."""
        if self.charge is None or self.limits is None or self.series_count is None:
            return False
        reached_volt = self.highest_volt(self.charge.stop - 1, self.charge.end_volt)
        if reached_volt < self.limits.charge_limit_volt * self.series_count:
            return False
        held = abs(self.charge.end_volt - self.charge.begin_volt) <= 0.01 * self.series_count
        gliding = self.charge.last_ampere < 0.5 * self.charge.mean_ampere
        falling = self.charge.last_ampere <= LARGEST_TAPER_C_RATE * self.rated_capacity_ah
        return falling and (held or gliding)

    def uncertainty_ah(self) -> float:
        """Combine tester current and one sampling interval at both ends, in Ah; repeatability is the policy's."""
        ends = abs(self.phase.mean_ampere) * self.interval_second / 3600.0 / math.sqrt(6.0)
        tester = CURRENT_ACCURACY_FRACTION * self.capacity_ah / math.sqrt(3.0)
        return math.hypot(ends, tester)


def discharge_limit(measured: Discharge) -> StringLimit | None:
    """Find the group that ended a full discharge of a string; None without group voltages.

    Notes
    -----
    The lower limit of a group is the test's own: the cut-off of the string over its cells, or, where the test
    was stopped for a group above that, the voltage it was stopped at; within the cut-offs in use.
    """
    if measured.group_volt is None or measured.limits is None or measured.series_count is None:
        return None
    volt = measured.group_volt[measured.discharge_rows]
    time, current = measured.discharge_time_second, measured.discharge_current_ampere
    taken = np.maximum(-current, 0.0)
    delivered = np.r_[0.0, np.cumsum(np.diff(time) * (taken[1:] + taken[:-1]) / 2.0)] / 3600.0
    own = measured.phase.end_volt / measured.series_count
    highest = measured.limits.highest_cutoff_volt
    stopped_at = own if own <= highest + CUTOFF_TOLERANCE_VOLT else float(volt[-1].min())
    limit_volt = min(max(stopped_at, measured.limits.lowest_cutoff_volt), highest)
    return string_limit(volt, delivered, limit_volt)


def reasons_against(measured: Discharge, identity: BatteryIdentity) -> Iterator[Finding]:
    """Yield why the discharge is not a full one; nothing if it is."""
    if measured.limits is None:
        yield rejection(
            "chemistry_not_judged",
            f"No full range of voltage is known for chemistry {identity.chemistry.value}.",
            f"化学体系 {identity.chemistry.value} 没有满充满放电压范围。",
            chemistry=identity.chemistry.value,
        )
    if measured.series_count is None:
        yield rejection(
            "series_count_missing",
            f"The cut-off of a {identity.level.value} needs the number of cells in series.",
            "判断该电池的截止电压需要串联数。",
            level=identity.level.value,
        )
    if measured.limits is not None and measured.series_count is not None:
        yield from _range_reasons(measured, measured.limits, measured.series_count)
    yield from _condition_reasons(measured)
    yield from _sampling_reasons(measured)


def _range_reasons(measured: Discharge, limits: FullRange, series_count: int) -> Iterator[Finding]:
    full_volt = limits.rested_full_volt * series_count
    phase = measured.phase
    rested_volt = measured.highest_volt(phase.first - 1, measured.rested_volt)
    rested = measured.rest_before_second >= _LONG_REST_SECOND and rested_volt >= full_volt
    begun_full = measured.highest_volt(phase.first, phase.begin_volt) >= full_volt or rested
    if not begun_full and not measured.charged_full:
        yield rejection(
            "not_full_discharge",
            f"The discharge did not begin full: {measured.phase.begin_volt:.3f} V at its begin "
            f"(full: {full_volt:.2f} V), and no charge held at its limit before it.",
            f"放电并非从满电开始：起始电压 {measured.phase.begin_volt:.3f} V（满电 {full_volt:.2f} V），"
            "之前没有充至恒压截止。",
            begin_volt=measured.phase.begin_volt,
            full_volt=full_volt,
            rest_before_second=measured.rest_before_second,
        )
    cutoff_volt = (limits.highest_cutoff_volt + CUTOFF_TOLERANCE_VOLT) * series_count
    if measured.lowest_volt(phase.stop - 1, phase.end_volt) > cutoff_volt:
        yield rejection(
            "stopped_early",
            f"The discharge stopped at {measured.phase.end_volt:.3f} V, above the cut-off "
            f"of at most {cutoff_volt:.2f} V.",
            f"放电在 {measured.phase.end_volt:.3f} V 停止，高于截止电压上限 {cutoff_volt:.2f} V。",
            end_volt=measured.phase.end_volt,
            cutoff_volt=cutoff_volt,
        )
    lowest_volt = (limits.lowest_cutoff_volt - UNDERSHOOT_TOLERANCE_VOLT) * series_count
    if measured.phase.end_volt < lowest_volt:
        yield rejection(
            "below_cutoff",
            f"The discharge went down to {measured.phase.end_volt:.3f} V, below the cut-off of {lowest_volt:.2f} V.",
            f"放电至 {measured.phase.end_volt:.3f} V，低于截止电压下限 {lowest_volt:.2f} V。",
            end_volt=measured.phase.end_volt,
            cutoff_volt=lowest_volt,
        )


def _condition_reasons(measured: Discharge) -> Iterator[Finding]:
    lowest, highest = RATES_C
    if not lowest <= measured.rate_c <= highest:
        yield rejection(
            "rate_outside",
            f"The discharge ran at {measured.rate_c:.2f} C (counts: {lowest:g} to {highest:g} C).",
            f"放电倍率 {measured.rate_c:.2f} C（有效范围 {lowest:g} 至 {highest:g} C）。",
            rate_c=measured.rate_c,
        )
    coldest, warmest = TEMPERATURES_CELSIUS
    if measured.celsius < coldest or measured.celsius > warmest:
        yield rejection(
            "temperature_outside",
            f"The discharge began at {measured.celsius:.1f} °C (counts: {coldest:g} to {warmest:g} °C).",
            f"放电起始温度 {measured.celsius:.1f} °C（有效范围 {coldest:g} 至 {warmest:g} °C）。",
            surface_temperature_celsius=measured.celsius,
        )


def _sampling_reasons(measured: Discharge) -> Iterator[Finding]:
    allowed_second = max(LARGEST_GAP_SECOND, measured.phase.duration_second / INTERVAL_COUNT)
    if measured.longest_gap_second > allowed_second:
        yield rejection(
            "current_gap",
            f"The current record has a gap of {measured.longest_gap_second:g} s during the discharge "
            f"(allowed: {allowed_second:.0f} s).",
            f"放电期间电流记录中断 {measured.longest_gap_second:g} s（允许 {allowed_second:.0f} s）。",
            gap_second=measured.longest_gap_second,
            allowed_second=allowed_second,
        )
    if measured.current_spread > _UNEVEN_CURRENT_FRACTION:
        yield rejection(
            "current_uneven",
            f"The discharge current varied by {measured.current_spread:.0%} (allowed: {_UNEVEN_CURRENT_FRACTION:.0%}).",
            f"放电电流波动 {measured.current_spread:.0%}（允许 {_UNEVEN_CURRENT_FRACTION:.0%}）。",
            current_spread_fraction=measured.current_spread,
        )


def rejection(code: str, english: str, chinese: str, **evidence: float | str) -> Finding:
    """Say why a capacity is not used: a CAUTION in both languages with its evidence."""
    message = Message(f"{english} Its capacity is not used.", f"{chinese}该容量不予采用。")
    return Finding(f"capacity_test.{code}", Severity.CAUTION, message, evidence)
