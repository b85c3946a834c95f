"""How alike the cells of a pack are: spread at rest and under load, the weakest cell and its drift.

Everything here takes plain arrays and returns values. Invalid readings are NaN and are left out. A
vehicle polls its cells one after another, so a single row under changing current shows differences
that are none: rest rows count only after a rest row, and every figure is a median over many rows.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.findings import Evidence, Finding, Message, Severity
from features.measurement import FloatArray

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

REST_C_RATE = 0.02
LOAD_C_RATE = 0.1
LONGEST_STEP_SECOND = 120.0
"""A row is settled when the row before it is at most this old and at rest too."""
RECENT_SECOND = 30.0 * 86_400.0
"""The state of today is the median of the last thirty days of the record."""
MONTH_SECOND = 30.4375 * 86_400.0
SHORTEST_DRIFT_RECORD_SECOND = 20.0 * 86_400.0
"""A drift per month needs most of a month."""

WEAK_CELL_VOLT = 0.050
"""A sound car shows a constant 33 mV (sensor and assembly), a developing weak cell 80 mV and more."""
SINKING_CELL_VOLT = 0.025
SINKING_VOLT_PER_MONTH = 0.005
"""A cell that already lies low and sinks this fast is weak before it reaches `WEAK_CELL_VOLT`."""
DEFECTIVE_CELL_VOLT = 0.300
"""Our limit, not a standard: at rest, 0.3 V below the others is an inner short or a lost cell."""
WIDE_SPREAD_VOLT = 0.100
WIDE_TEMPERATURE_SPREAD_KELVIN = 10.0

_MOST_ROWS = 20_000
_BIN_COUNT = 12
"""Coarse parts average over the state of charge, on which a deviation depends too."""
_FEWEST_BINS = 5
_FEWEST_ROWS = 20


@dataclass(frozen=True, slots=True)
class CellConsistency:
    """What the cell voltages say about each other; NaN where it cannot be told.

    Attributes
    ----------
    rest_spread_volt, load_spread_volt : float
        Median of highest minus lowest cell, in the recent part of the record. [V]
    below_median_volt : ndarray, shape (cells,)
        How far each cell lies below the median cell at rest, recent part. [V]
    drift_volt_per_month : ndarray, shape (cells,)
        Change of the cell's deviation from the median cell; negative = sinking. [V/month]
    change_volt : ndarray, shape (cells,)
        Deviation in the last quarter of the rest rows minus that in the first. [V]
    weakest_cell : int
        Number of the lowest cell, from 1; 0 without cell list.
    rest_row_count : int
        Rest rows the figures rest on.
    """

    rest_spread_volt: float
    load_spread_volt: float
    below_median_volt: FloatArray
    drift_volt_per_month: FloatArray
    change_volt: FloatArray
    weakest_cell: int
    rest_row_count: int

    @property
    def weakest_below_median_volt(self) -> float:
        """How far the weakest cell lies below the median cell, in volt."""
        return float(self.below_median_volt[self.weakest_cell - 1]) if self.weakest_cell else math.nan

    @property
    def weakest_drift_volt_per_month(self) -> float:
        """Drift of the weakest cell, in volt per month."""
        return float(self.drift_volt_per_month[self.weakest_cell - 1]) if self.weakest_cell else math.nan

    @property
    def weak_cells(self) -> tuple[int, ...]:
        """Numbers of the weak cells, the weakest first."""
        low = self.below_median_volt
        sinking = (low >= SINKING_CELL_VOLT) & (self.drift_volt_per_month <= -SINKING_VOLT_PER_MONTH)
        weak = np.flatnonzero((low >= WEAK_CELL_VOLT) | sinking)
        return tuple(int(cell) + 1 for cell in weak[np.argsort(-low[weak], kind="stable")])


def settled_rows(unix_time_second: FloatArray, current_ampere: FloatArray, rated_capacity_ah: float) -> BoolArray:
    """Tell which rows are at rest and follow a row at rest.

    Parameters
    ----------
    unix_time_second, current_ampere : ndarray, shape (n,)
        Strictly increasing time [s] and pack current [A].
    rated_capacity_ah : float
        Plate capacity; a current below `REST_C_RATE` is rest. [Ah]
    """
    at_rest = np.abs(current_ampere) <= REST_C_RATE * rated_capacity_ah
    follows = at_rest[:-1] & (np.diff(unix_time_second) <= LONGEST_STEP_SECOND)
    settled: BoolArray = at_rest & np.r_[False, follows]
    return settled


def cell_consistency(
    unix_time_second: FloatArray,
    current_ampere: FloatArray,
    cell_voltage_volt: FloatArray,
    rated_capacity_ah: float,
) -> CellConsistency:
    """Compare the cells of a pack.

    Parameters
    ----------
    unix_time_second, current_ampere : ndarray, shape (n,)
        Strictly increasing time [s] and pack current, positive while charging [A].
    cell_voltage_volt : ndarray, shape (n, cells)
        Cell voltages, NaN where invalid. Two columns, highest and lowest cell, give the spreads alone. [V]
    rated_capacity_ah : float
        Plate capacity. [Ah]

    Notes
    -----
    Deviations are taken from the median cell of the same row. The drift is the median of all
    pairwise slopes (Theil 1950, Sen 1968) between medians of 12 equal parts of the record.
    """
    rest = _evenly(np.flatnonzero(settled_rows(unix_time_second, current_ampere, rated_capacity_ah)))
    load = _evenly(np.flatnonzero(np.abs(current_ampere) >= LOAD_C_RATE * rated_capacity_ah))
    latest = float(unix_time_second[-1]) - RECENT_SECOND
    rest_spread = _spread(cell_voltage_volt[rest[unix_time_second[rest] >= latest]])
    load_spread = _spread(cell_voltage_volt[load[unix_time_second[load] >= latest]])
    below, drift, change = _deviations(unix_time_second[rest], cell_voltage_volt[rest], latest)
    weakest = int(np.nanargmax(below)) + 1 if np.isfinite(below).any() else 0
    return CellConsistency(rest_spread, load_spread, below, drift, change, weakest, int(rest.size))


def _evenly(rows: IntArray) -> IntArray:
    """At most `_MOST_ROWS` of the rows, evenly picked: a median needs no more."""
    return rows[:: max(1, -(-rows.size // _MOST_ROWS))]


def _spread(voltage_volt: FloatArray) -> float:
    spread = np.fmax.reduce(voltage_volt, axis=1, initial=np.nan)
    spread -= np.fmin.reduce(voltage_volt, axis=1, initial=np.nan)
    spread = spread[np.isfinite(spread)]
    return float(np.median(spread)) if spread.size >= _FEWEST_ROWS and voltage_volt.shape[1] > 1 else math.nan


def _deviations(
    moment: FloatArray, voltage_volt: FloatArray, latest: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    cells = voltage_volt.shape[1]
    unknown = np.full(cells, np.nan)
    usable = np.isfinite(voltage_volt).sum(axis=1) >= max(3.0, 0.9 * np.isfinite(voltage_volt).any(axis=0).sum())
    if np.count_nonzero(usable) < _FEWEST_ROWS:
        return unknown, unknown, unknown
    moment, voltage_volt = moment[usable], voltage_volt[usable]
    deviation = voltage_volt - _median(voltage_volt.T)[:, None]
    recent = moment >= latest
    if np.count_nonzero(recent) < _FEWEST_ROWS:
        recent = np.arange(moment.size) >= moment.size - _FEWEST_ROWS
    quarter = moment.size // 4
    change = _median(deviation[-quarter:]) - _median(deviation[:quarter])
    return -_median(deviation[recent]), _drift(moment, deviation), change


def _median(values: FloatArray) -> FloatArray:
    """Median down the columns without NaN; NaN where a column has nothing else."""
    medians: FloatArray = np.full(values.shape[1], np.nan)
    whole = np.isfinite(values).all(axis=0)
    medians[whole] = np.median(values[:, whole], axis=0)
    partly = np.isfinite(values).any(axis=0) & ~whole
    medians[partly] = np.nanmedian(values[:, partly], axis=0)
    return medians


def _drift(moment: FloatArray, deviation: FloatArray) -> FloatArray:
    unknown = np.full(deviation.shape[1], np.nan)
    length = float(moment[-1] - moment[0])
    if length < SHORTEST_DRIFT_RECORD_SECOND:
        return unknown
    part = np.minimum((moment - moment[0]) / length * _BIN_COUNT, _BIN_COUNT - 1).astype(np.int64)
    parts, begins, counts = np.unique(part, return_index=True, return_counts=True)
    chosen = [slice(begin, begin + count) for begin, count in zip(begins, counts, strict=True)]
    if parts.size < _FEWEST_BINS:
        return unknown
    middles = np.array([float(np.mean(moment[rows])) for rows in chosen])
    medians = np.array([_median(deviation[rows]) for rows in chosen])
    first, second = np.triu_indices(parts.size, k=1)
    slopes = (medians[second] - medians[first]) / (middles[second] - middles[first])[:, None]
    return _median(slopes) * MONTH_SECOND


def temperature_spread_kelvin(probe_temperature_celsius: FloatArray) -> float:
    """Compute the median over time of hottest minus coldest probe; NaN with fewer than two probes.

    Parameters
    ----------
    probe_temperature_celsius : ndarray, shape (n, probes)
        Probe temperatures, NaN where invalid. [°C]
    """
    return _spread(probe_temperature_celsius[_evenly(np.arange(len(probe_temperature_celsius)))])


def consistency_findings(cells: CellConsistency, temperature_spread: float) -> tuple[Finding, ...]:
    """Say what is unusual about the cells, the worst first.

    Parameters
    ----------
    cells : CellConsistency
        Comparison of the cells.
    temperature_spread : float
        Usual difference between hottest and coldest probe; NaN where unknown. [K]
    """
    found = [*_weak_cell_findings(cells)]
    if cells.rest_spread_volt > WIDE_SPREAD_VOLT:
        spread = 1e3 * cells.rest_spread_volt
        message = Message(
            f"At rest the cells differ by {spread:.0f} mV (allowed: {1e3 * WIDE_SPREAD_VOLT:.0f} mV).",
            f"静置时单体电压极差为{spread:.0f}毫伏（允许{1e3 * WIDE_SPREAD_VOLT:.0f}毫伏）。",
        )
        evidence: Evidence = {"rest_spread_volt": cells.rest_spread_volt, "allowed_volt": WIDE_SPREAD_VOLT}
        found.append(Finding("consistency.cell_spread", Severity.CAUTION, message, evidence))
    if temperature_spread > WIDE_TEMPERATURE_SPREAD_KELVIN:
        allowed = WIDE_TEMPERATURE_SPREAD_KELVIN
        message = Message(
            f"The temperature probes usually differ by {temperature_spread:.0f} K (allowed: {allowed:.0f} K).",
            f"温度探头之间通常相差{temperature_spread:.0f}K（允许{allowed:.0f}K）。",
        )
        evidence = {"temperature_spread_kelvin": temperature_spread, "allowed_kelvin": allowed}
        found.append(Finding("consistency.temperature_spread", Severity.CAUTION, message, evidence))
    return tuple(found)


def _weak_cell_findings(cells: CellConsistency) -> list[Finding]:
    if not cells.weak_cells:
        return []
    weakest, *others = cells.weak_cells
    below = float(cells.below_median_volt[weakest - 1])
    drift = float(cells.drift_volt_per_month[weakest - 1])
    moving_en = f", moving by {1e3 * drift:+.1f} mV per month" if math.isfinite(drift) else ""
    moving_zh = f"，每月变化{1e3 * drift:+.1f}毫伏" if math.isfinite(drift) else ""
    message = Message(
        f"Cell {weakest} lies {1e3 * below:.0f} mV below the median cell at rest{moving_en} "
        f"(weak from {1e3 * WEAK_CELL_VOLT:.0f} mV, disqualifying from {1e3 * DEFECTIVE_CELL_VOLT:.0f} mV).",
        f"{weakest}号单体静置电压比中位值低{1e3 * below:.0f}毫伏{moving_zh}"
        f"（{1e3 * WEAK_CELL_VOLT:.0f}毫伏起为弱单体，{1e3 * DEFECTIVE_CELL_VOLT:.0f}毫伏起判为不合格）。",
    )
    evidence: dict[str, float | int | str] = {
        "cell": weakest,
        "below_median_volt": below,
        "change_over_record_volt": float(cells.change_volt[weakest - 1]),
        "weak_from_volt": WEAK_CELL_VOLT,
        "disqualifying_from_volt": DEFECTIVE_CELL_VOLT,
        "rest_row_count": cells.rest_row_count,
    }
    evidence |= {"drift_volt_per_month": drift} if math.isfinite(drift) else {}
    evidence |= {"other_weak_cells": ", ".join(map(str, others[:10]))} if others else {}
    severity = Severity.DISQUALIFYING if below >= DEFECTIVE_CELL_VOLT else Severity.CAUTION
    return [Finding("consistency.weak_cell", severity, message, evidence)]
