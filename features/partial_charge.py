"""Features of a partial charge: whatever constant-current window exists, at an unknown state of charge.

One stretch per direction is read (the one that moved the most charge); the window's own quantities
are those of the charge, or of the discharge where no charge is large enough. Nothing a station does not
know goes in: no state of charge, no cycle number, no other day of the same battery. Current is
positive while charging; charge is a fraction of rated capacity and voltage is per cell.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features.charge_curve import GRIDS, SLICE_COUNT, ChargeCurve, SliceGrid, charge_curve, slice_charges
from features.constant_current import SteadyStretch, longest_steady_stretch
from features.findings import Finding, Message, Severity
from features.incremental_capacity import differential_voltage, incremental_peaks
from features.measurement import BatteryIdentity, CanonicalTable, FloatArray
from features.relaxation import DROP_SECONDS, relaxation_after_charge
from features.vocabulary import Chemistry, FeatureDefinition, Level

_WORDS = {1: Message("charge", "充电"), -1: Message("discharge", "放电")}


@dataclass(frozen=True, slots=True)
class LeastWindow:
    """What a window must have passed: slices of the family's grid, and charge over rated capacity."""

    slice_count: int
    charge_fraction: float


_LEAST_SLOPING = LeastWindow(5, 0.001)
_LEAST_FLAT = LeastWindow(3, 0.10)
LEAST_WINDOWS: Mapping[Chemistry, LeastWindow] = {
    chemistry: _LEAST_FLAT if chemistry is Chemistry.LFP else _LEAST_SLOPING for chemistry in GRIDS
}
"""Sloping curves tell by voltage: 50 mV, whatever little charge a worn cell takes there. LFP's plateau
tells by charge: 10 % of rated, over at least 15 mV."""


def _slice_definitions(direction: str) -> tuple[FeatureDefinition, ...]:
    meaning = "charge {} in voltage slice {} of the family's grid, over rated capacity; NaN = not passed"
    moved = {"charge": "put in", "discharge": "taken out"}[direction]
    return tuple(
        FeatureDefinition(f"{direction}_slice_{number:02d}_fraction", "1", meaning.format(moved, number))
        for number in range(SLICE_COUNT)
    )


_WINDOW = (
    FeatureDefinition("window_begin_volt", "V", "lowest voltage per cell of the graded window"),
    FeatureDefinition("window_end_volt", "V", "highest voltage per cell of the graded window"),
    FeatureDefinition("window_charge_fraction", "1", "charge of the graded window over rated capacity"),
    FeatureDefinition("window_rate_c", "1/h", "magnitude of its current over rated capacity"),
    FeatureDefinition("window_direction", "1", "1 if the graded window is a charge, -1 if a discharge"),
    FeatureDefinition("window_temperature_celsius", "°C", "mean surface temperature over the graded window"),
    FeatureDefinition("peak_volt", "V", "voltage of the highest dQ/dV peak inside the window"),
    FeatureDefinition("peak_height_per_volt", "1/V", "dQ/dV at that peak over rated capacity"),
    FeatureDefinition("peak_area_fraction", "1", "charge within five slices on either side of it, over rated capacity"),
    FeatureDefinition("second_peak_volt", "V", "voltage of the next dQ/dV peak"),
    FeatureDefinition("second_peak_height_per_volt", "1/V", "dQ/dV at the next peak over rated capacity"),
    FeatureDefinition("between_peaks_fraction", "1", "charge between the two peaks over rated capacity"),
    FeatureDefinition("mean_differential_volt", "V", "voltage passed over charge moved, per rated capacity"),
    FeatureDefinition("flattest_differential_volt", "V", "least dV/dQ of the window, per rated capacity"),
    FeatureDefinition("hump_differential_volt", "V", "dV/dQ at the hump between two flat parts, per rated capacity"),
    FeatureDefinition("hump_volt", "V", "voltage of that hump"),
    FeatureDefinition("below_hump_fraction", "1", "charge of the window below the hump over rated capacity"),
    FeatureDefinition("above_hump_fraction", "1", "charge of the window above the hump over rated capacity"),
)
_RELAXATION = (
    FeatureDefinition("relaxation_begin_volt", "V", "first voltage per cell after the last charge ended"),
    *(
        FeatureDefinition(f"relaxation_drop_{second:.0f}s_volt", "V", f"fall of that voltage within {second:.0f} s")
        for second in DROP_SECONDS
    ),
)
PARTIAL_CHARGE_DEFINITIONS: tuple[FeatureDefinition, ...] = (
    *_WINDOW,
    *_RELAXATION,
    *_slice_definitions("charge"),
    *_slice_definitions("discharge"),
)


@dataclass(frozen=True)
class _Window:
    stretch: SteadyStretch
    curve: ChargeCurve
    grid: SliceGrid
    slices: FloatArray

    @property
    def slice_count(self) -> int:
        return int(np.isfinite(self.slices).sum())


def partial_charge_features(
    table: CanonicalTable, identity: BatteryIdentity
) -> tuple[dict[str, float], tuple[Finding, ...]]:
    """Everything a constant-current window shows of the battery.

    Parameters
    ----------
    table : CanonicalTable
        A ``timeseries``; rests, pauses, voltage holds and other currents may stand in it.
    identity : BatteryIdentity
        Chemistry, rated capacity, level and cells in series.

    Returns
    -------
    dict of str to float
        In the order of `PARTIAL_CHARGE_DEFINITIONS`; all NaN where no window is large enough.
    tuple of Finding
        ``partial_charge.window_too_small`` with the window found and the window needed,
        ``partial_charge.no_steady_current``, ``partial_charge.chemistry_not_covered``,
        ``partial_charge.series_count_missing``.
    """
    grids, series_count = GRIDS.get(identity.chemistry), _series_count(identity)
    if grids is None:
        return _nothing(), (_chemistry_not_covered(identity),)
    if series_count is None:
        return _nothing(), (_series_count_missing(identity),)
    cell_volt = table.floats("voltage_volt") / series_count
    windows = [
        window
        for direction, grid in grids.items()
        if (window := _window(table, cell_volt, identity.rated_capacity_ah, direction, grid)) is not None
    ]
    large = [window for window in windows if _large_enough(window, identity.chemistry)]
    if not large:
        return _nothing(), tuple(_too_small(windows, identity.chemistry))
    time, current = table.floats("test_time_second"), table.floats("current_ampere")
    relaxation = relaxation_after_charge(time, cell_volt, current, identity.rated_capacity_ah)
    slices = {window.stretch.direction: window.slices for window in large}
    not_passed = np.full(SLICE_COUNT, np.nan)
    numbers = (
        *_window_values(large[0], table, identity.rated_capacity_ah),
        *relaxation,
        *slices.get(1, not_passed).tolist(),
        *slices.get(-1, not_passed).tolist(),
    )
    return dict(zip((each.name for each in PARTIAL_CHARGE_DEFINITIONS), numbers, strict=True)), ()


def _nothing() -> dict[str, float]:
    return dict.fromkeys((each.name for each in PARTIAL_CHARGE_DEFINITIONS), math.nan)


def _series_count(identity: BatteryIdentity) -> int | None:
    return identity.series_count or (1 if identity.level is Level.CELL else None)


def _window(
    table: CanonicalTable, cell_volt: FloatArray, rated_capacity_ah: float, direction: int, grid: SliceGrid
) -> _Window | None:
    time, current = table.floats("test_time_second"), table.floats("current_ampere")
    stretch = longest_steady_stretch(time, cell_volt, current, rated_capacity_ah, direction)
    if stretch is None:
        return None
    curve = charge_curve(cell_volt[stretch.rows], stretch.moved_ah / rated_capacity_ah, direction)
    return _Window(stretch, curve, grid, slice_charges(curve, grid))


def _large_enough(window: _Window, chemistry: Chemistry) -> bool:
    least = LEAST_WINDOWS[chemistry]
    return window.slice_count >= least.slice_count and float(np.nansum(window.slices)) >= least.charge_fraction


def _window_values(window: _Window, table: CanonicalTable, rated_capacity_ah: float) -> Iterator[float]:
    curve, stretch = window.curve, window.stretch
    peaks = incremental_peaks(window.slices, curve, window.grid)
    slope = differential_voltage(curve)
    yield from (curve.begin_volt, curve.end_volt, curve.window_fraction)
    yield from (stretch.level_ampere / rated_capacity_ah, float(stretch.direction), _temperature(table, stretch))
    yield from (peaks.volt, peaks.height_per_volt, peaks.area_fraction)
    yield from (peaks.second_volt, peaks.second_height_per_volt, peaks.between_fraction)
    yield curve.mean_slope_volt
    yield from (slope.flattest_volt, slope.hump_volt, slope.hump_at_volt)
    yield from (slope.below_hump_fraction, slope.above_hump_fraction)


def _temperature(table: CanonicalTable, stretch: SteadyStretch) -> float:
    if "surface_temperature_celsius" not in table:
        return math.nan
    known = table.floats("surface_temperature_celsius")[stretch.rows]
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else math.nan


def _too_small(windows: Sequence[_Window], chemistry: Chemistry) -> Iterator[Finding]:
    if not windows:
        yield _caution(
            "no_steady_current",
            Message(
                "The record holds no stretch of constant current; charge or discharge at one current.",
                "记录中没有恒流段；请以恒定电流充电或放电。",
            ),
        )
    for window in windows:
        least = LEAST_WINDOWS[chemistry]
        needed_volt, needed = least.slice_count * window.grid.width_volt, least.charge_fraction
        curve, grid, word = window.curve, window.grid, _WORDS[window.stretch.direction]
        yield _caution(
            "window_too_small",
            Message(
                f"The constant-current {word.en} went from {curve.begin_volt:.3f} to {curve.end_volt:.3f} V per cell "
                f"and moved {curve.window_fraction:.1%} of rated charge; needed: {1000 * needed_volt:.0f} mV and "
                f"{needed:.1%} between {grid.lowest_volt:.2f} and {grid.highest_volt:.2f} V.",
                f"恒流{word.zh}段每只电芯从 {curve.begin_volt:.3f} V 到 {curve.end_volt:.3f} V,"
                f"电量为标称的 {curve.window_fraction:.1%};需要在 {grid.lowest_volt:.2f} 至 {grid.highest_volt:.2f} V "
                f"之间至少 {1000 * needed_volt:.0f} mV 和 {needed:.1%}。",
            ),
            window_begin_volt=curve.begin_volt,
            window_end_volt=curve.end_volt,
            window_charge_fraction=curve.window_fraction,
            needed_window_volt=needed_volt,
            needed_charge_fraction=needed,
            lowest_volt=grid.lowest_volt,
            highest_volt=grid.highest_volt,
        )


def _chemistry_not_covered(identity: BatteryIdentity) -> Finding:
    known = ", ".join(each.value for each in GRIDS)
    return _caution(
        "chemistry_not_covered",
        Message(
            f"No voltage slices are known for chemistry {identity.chemistry.value} (known: {known}).",
            f"化学体系 {identity.chemistry.value} 没有电压分段（已知：{known}）。",
        ),
        chemistry=identity.chemistry.value,
    )


def _series_count_missing(identity: BatteryIdentity) -> Finding:
    return _caution(
        "series_count_missing",
        Message(
            f"The voltage per cell of a {identity.level.value} needs the number of cells in series.",
            "计算单体电压需要串联数。",
        ),
        level=identity.level.value,
    )


def _caution(code: str, message: Message, **evidence: float | str) -> Finding:
    return Finding(f"partial_charge.{code}", Severity.CAUTION, message, evidence)
