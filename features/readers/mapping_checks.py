"""Whether a vehicle mapping fits the data it was applied to.

A wrong sign, unit or offset gives numbers that look like a battery. Four comparisons inside the
data catch them: charge against state of charge, cell voltages against pack voltage, lists against
the extrema of the vehicle, temperatures against the weather. Arrays here are canonical: current is
positive while charging.
"""

from collections.abc import Iterator

import numpy as np

from features.errors import Problem
from features.findings import Finding, Message, Severity
from features.measurement import CanonicalTable, FloatArray

WINDOW_SECOND = 1800.0
"""Charge and state of charge are compared over half an hour: several steps of 1 %, little drift."""
SMALLEST_SOC_CHANGE_PERCENT = 2.0
"""One step more than the resolution."""
LEAST_SOC_EVIDENCE_PERCENT = 6.0
"""Three such windows; less proves no sign."""
LARGEST_SERIES_DEVIATION_FRACTION = 0.03
"""Pack and cell sensors of real cars differ by 1 %; a wrong unit or cell count by more than 3 %."""
LARGEST_CELL_DISAGREEMENT_VOLT = 0.1
LARGEST_PROBE_DISAGREEMENT_KELVIN = 10.0
"""List and extrema are not simultaneous, their medians are near; a forgotten offset of 40 is not."""
COLDEST_MEDIAN_CELSIUS, HOTTEST_MEDIAN_CELSIUS = -35.0, 60.0
_MOST_ROWS = 20_000


def contradictions(table: CanonicalTable, series_count: int | None) -> tuple[Problem, ...]:
    """List what in the data contradicts the mapping, with the evidence; empty when nothing does.

    Parameters
    ----------
    table : CanonicalTable
        The converted telemetry.
    series_count : int or None
        Cells in series where the mapping states them; None takes the length of the cell list.
    """
    return (
        *_soc_problems(table),
        *_current_problems(table),
        *_series_problems(table, series_count),
        *_list_problems(table, "cell_voltage", "volt", LARGEST_CELL_DISAGREEMENT_VOLT),
        *_list_problems(table, "probe_temperature", "celsius", LARGEST_PROBE_DISAGREEMENT_KELVIN),
        *_weather_problems(table),
    )


def sign_findings(table: CanonicalTable) -> tuple[Finding, ...]:
    """Caution when the state of charge moved too little to prove the sign of the current."""
    _, soc_change = _windows(table)
    moved = float(np.abs(soc_change).sum())
    if moved >= LEAST_SOC_EVIDENCE_PERCENT:
        return ()
    message = Message(
        f"The state of charge moves by only {moved:.0f} % in steady windows; the current's sign cannot be checked.",
        f"荷电状态在连续数据中仅变化{moved:.0f}%，无法验证电流正负号。",
    )
    return (Finding("telemetry.sign_not_proven", Severity.CAUTION, message, {"soc_change_percent": moved}),)


def _windows(table: CanonicalTable) -> tuple[FloatArray, FloatArray]:
    """Charge [Ah] and change of state of charge [%] in windows where the latter is large enough."""
    moment = table.floats("unix_time_second")
    current, soc = table.floats("pack_current_ampere"), table.floats("reported_soc_percent")
    valid = np.isfinite(current) & np.isfinite(soc)
    moment, current, soc = moment[valid], current[valid], soc[valid]
    if moment.size < 2:
        return np.empty(0), np.empty(0)
    interval = np.diff(moment)
    steady = interval <= WINDOW_SECOND / 3.0
    window = np.unique(((moment[:-1] - moment[0]) // WINDOW_SECOND).astype(np.int64), return_inverse=True)[1]
    charge = np.where(steady, 0.5 * (current[1:] + current[:-1]) * interval / 3600.0, 0.0)
    change = np.where(steady, np.diff(soc), 0.0)
    charge_by_window = np.bincount(window, weights=charge).astype(np.float64)
    change_by_window = np.bincount(window, weights=change).astype(np.float64)
    large = np.abs(change_by_window) >= SMALLEST_SOC_CHANGE_PERCENT
    return charge_by_window[large], change_by_window[large]


def _current_problems(table: CanonicalTable) -> Iterator[Problem]:
    charge, change = _windows(table)
    for word, direction in (("rises", 1.0), ("falls", -1.0)):
        chosen = change * direction > 0.0
        moved = float(np.abs(change[chosen]).sum())
        agreeing = float(np.abs(change[chosen & (charge * direction > 0.0)]).sum())
        if moved >= LEAST_SOC_EVIDENCE_PERCENT and agreeing < 0.5 * moved:
            needed = "positive" if direction > 0 else "negative"
            rule = f"the mean current must be {needed} where the state of charge {word}; check positive and unit"
            evidence = f"{charge[chosen].sum():+.1f} Ah over {change[chosen].sum():+.0f} % in {chosen.sum()} windows"
            yield Problem("columns.pack_current_ampere", rule, evidence)


def _soc_problems(table: CanonicalTable) -> Iterator[Problem]:
    soc = table.floats("reported_soc_percent")
    highest = float(np.nanmax(soc))
    if 0.0 < highest <= 1.0 and np.unique(soc[np.isfinite(soc)]).size > 2:
        rule = "a state of charge that never exceeds 1 % looks like a fraction; check unit"
        yield Problem("columns.reported_soc_percent", rule, f"at most {highest:g} %")


def _series_problems(table: CanonicalTable, series_count: int | None) -> Iterator[Problem]:
    rows = _evenly(table.row_count)
    cells = table.numbered("cell_voltage_{n}_volt")[rows]
    pack = table.floats("pack_voltage_volt")[rows]
    if cells.shape[1] == 0:
        names = ("cell_voltage_max_volt", "cell_voltage_min_volt")
        if series_count is None or any(name not in table for name in names):
            return
        cells = np.column_stack([table.floats(name)[rows] for name in names])
    cells = cells[:, np.isfinite(cells).any(axis=0)]
    complete = np.isfinite(cells).sum(axis=1) >= max(1.0, 0.9 * cells.shape[1])
    complete &= np.isfinite(pack) & (np.where(np.isfinite(cells), cells, 0.0).sum(axis=1) > 0.0)
    if not complete.any():
        return
    implied = float(np.median(pack[complete] / _row_means(cells[complete])))
    expected = series_count or cells.shape[1]
    if abs(implied / expected - 1.0) > LARGEST_SERIES_DEVIATION_FRACTION:
        rule = f"pack voltage over mean cell voltage must give {expected} cells in series within 3 %"
        yield Problem("cells", f"{rule}; check units, the list's range and series_count", f"{implied:.2f}")


def _row_means(values: FloatArray) -> FloatArray:
    valid = np.isfinite(values)
    means: FloatArray = np.where(valid, values, 0.0).sum(axis=1) / valid.sum(axis=1)
    return means


def _list_problems(table: CanonicalTable, family: str, unit: str, allowed: float) -> Iterator[Problem]:
    rows = _evenly(table.row_count)
    values = table.numbered(f"{family}_{{n}}_{unit}")[rows]
    for word, extremum in (("max", np.fmax), ("min", np.fmin)):
        name = f"{family}_{word}_{unit}"
        if name not in table or values.shape[1] == 0:
            continue
        reported = table.floats(name)[rows]
        difference = extremum.reduce(values, axis=1) - reported
        difference = difference[np.isfinite(difference)]
        if difference.size and abs(median := float(np.median(difference))) > allowed:
            rule = f"must agree with the list of the same quantity within {allowed:g}; check offset and unit of both"
            yield Problem(f"columns.{name}", rule, f"the list lies {median:+.3f} {unit} beside it")


def _weather_problems(table: CanonicalTable) -> Iterator[Problem]:
    for name in table.columns:
        if not name.startswith("probe_temperature_"):
            continue
        values = table.floats(name)[_evenly(table.row_count)]
        values = values[np.isfinite(values)]
        if values.size and not COLDEST_MEDIAN_CELSIUS <= (median := float(np.median(values))) <= HOTTEST_MEDIAN_CELSIUS:
            rule = f"the usual temperature must lie from {COLDEST_MEDIAN_CELSIUS:g} to {HOTTEST_MEDIAN_CELSIUS:g} °C"
            yield Problem(name, f"{rule}; check offset and unit", f"median {median:.1f} °C")
            return


def _evenly(row_count: int) -> slice:
    return slice(None, None, max(1, row_count // _MOST_ROWS))
