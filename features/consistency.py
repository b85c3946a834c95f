"""How alike the cells of a pack are: spread at rest and under load, the weakest cell and its drift.

Everything here takes plain arrays and returns values. Invalid readings are NaN and are left out. A
vehicle polls its cells one after another, so a single row under changing current shows differences
that are none: rest rows count only after a rest row, and every figure is a median over many rows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from features.charge_count import BoolArray, IntArray
from features.measurement import FloatArray
from features.robust import median, medians

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

CELL_SENTINELS_VOLT = (0.0, 5.0)
"""What vehicles write for a cell that was not read; a cell is never that exactly."""
LEAST_MOVED_VOLT = 0.050
"""A sensor that never moves while the median cell moves by this is stuck."""
ENTROPY_BIN_VOLT = 0.005

_MOST_ROWS = 2_500
"""Of 2,500 rows a median is as sure as of all: rows of one day are no independent samples."""
_MOST_LOAD_ROWS = 1_000
_BIN_COUNT = 12
"""Coarse parts average over the state of charge, on which a deviation depends too."""
_FEWEST_BINS = 4
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
    stuck_cells : tuple of int
        Numbers of cells whose sensor never moves; they are left out.
    """

    rest_spread_volt: float
    load_spread_volt: float
    below_median_volt: FloatArray
    drift_volt_per_month: FloatArray
    change_volt: FloatArray
    weakest_cell: int
    rest_row_count: int
    stuck_cells: tuple[int, ...] = ()

    @property
    def deviation_entropy_bit(self) -> float:
        """Shannon entropy of the cells over steps of `ENTROPY_BIN_VOLT` of their deviation at rest, in bit.

        Nought while all cells lie within one step, higher the more unlike they are. It sees a pack whose
        cells scatter where the difference of highest and lowest cell sees one outlier only.
        """
        known = self.below_median_volt[np.isfinite(self.below_median_volt)]
        if not known.size:
            return math.nan
        _, counts = np.unique(np.rint(known / ENTROPY_BIN_VOLT), return_counts=True)
        share = counts / known.size
        return abs(float(share @ np.log2(share)))

    @property
    def deviation_volt(self) -> float:
        """Standard deviation of the cells at rest, in volt."""
        known = self.below_median_volt[np.isfinite(self.below_median_volt)]
        return float(known.std()) if known.size else math.nan

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
    cell_voltage_volt: Sequence[FloatArray],
    rated_capacity_ah: float,
) -> CellConsistency:
    """Compare the cells of a pack.

    Parameters
    ----------
    unix_time_second, current_ampere : ndarray, shape (n,)
        Strictly increasing time [s] and pack current, positive while charging [A].
    cell_voltage_volt : sequence of ndarray, shape (n,)
        Voltages cell by cell, NaN where invalid. Two, highest and lowest cell, give the spreads alone. [V]
    rated_capacity_ah : float
        Plate capacity. [Ah]

    Notes
    -----
    Deviations are taken from the median cell of the same row. The drift is the median of all
    pairwise slopes (Theil 1950, Sen 1968) between medians of 12 equal parts of the record.
    """
    latest = float(unix_time_second[-1]) - RECENT_SECOND
    rest = _evenly(np.flatnonzero(settled_rows(unix_time_second, current_ampere, rated_capacity_ah)), _MOST_ROWS)
    load = np.flatnonzero(np.abs(current_ampere) >= LOAD_C_RATE * rated_capacity_ah)
    load = _evenly(load[unix_time_second[load] >= latest], _MOST_LOAD_ROWS)
    rested, loaded = _of_rows(cell_voltage_volt, rest), _of_rows(cell_voltage_volt, load)
    stuck = _stuck_sensors(rested)
    rested[stuck], loaded[stuck] = np.nan, np.nan
    rest_spread = _spread(rested[:, unix_time_second[rest] >= latest])
    below, drift, change = _deviations(unix_time_second[rest], rested, latest)
    weakest = int(np.nanargmax(below)) + 1 if np.isfinite(below).any() else 0
    numbers = tuple(int(cell) + 1 for cell in stuck)
    return CellConsistency(rest_spread, _spread(loaded), below, drift, change, weakest, int(rest.size), numbers)


def _of_rows(cell_voltage_volt: Sequence[FloatArray], rows: IntArray) -> FloatArray:
    """Cells in the given rows, shape (cells, rows), without sentinels."""
    chosen = np.empty((len(cell_voltage_volt), rows.size))
    for cell, volt in zip(chosen, cell_voltage_volt, strict=True):
        cell[:] = volt[rows]
    for sentinel in CELL_SENTINELS_VOLT:
        chosen[chosen == sentinel] = np.nan
    return chosen


def _stuck_sensors(voltage_volt: FloatArray) -> IntArray:
    """Cells that show one value while the median cell moves."""
    if len(voltage_volt) < 3 or voltage_volt.shape[1] < _FEWEST_ROWS:
        return np.empty(0, dtype=np.int64)
    moved = np.fmax.reduce(voltage_volt, axis=1) - np.fmin.reduce(voltage_volt, axis=1)
    usual = float(medians(moved[None, :])[0])
    return np.flatnonzero(moved == 0.0) if usual >= LEAST_MOVED_VOLT else np.empty(0, dtype=np.int64)


def _evenly(rows: IntArray, at_most: int) -> IntArray:
    """Rows evenly picked: a median needs no more."""
    return rows[:: max(1, -(-rows.size // at_most))]


def _spread(voltage_volt: FloatArray) -> float:
    """Median over the rows of highest minus lowest of several, shape (several, rows)."""
    spread = np.fmax.reduce(voltage_volt, axis=0, initial=np.nan)
    spread -= np.fmin.reduce(voltage_volt, axis=0, initial=np.nan)
    spread = spread[np.isfinite(spread)]
    return median(spread) if spread.size >= _FEWEST_ROWS and len(voltage_volt) > 1 else math.nan


def _deviations(
    moment: FloatArray, voltage_volt: FloatArray, latest: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    unknown = np.full(len(voltage_volt), np.nan)
    known = np.isfinite(voltage_volt)
    usable = known.sum(axis=0) >= max(3.0, 0.9 * known.any(axis=1).sum())
    if np.count_nonzero(usable) < _FEWEST_ROWS:
        return unknown, unknown, unknown
    moment, voltage_volt = moment[usable], voltage_volt[:, usable]
    deviation = voltage_volt - medians(np.ascontiguousarray(voltage_volt.T))
    first_recent = min(int(np.searchsorted(moment, latest)), moment.size - _FEWEST_ROWS)
    quarter = moment.size // 4
    change = medians(deviation[:, -quarter:]) - medians(deviation[:, :quarter])
    return -medians(deviation[:, first_recent:]), _drift(moment, deviation), change


def _drift(moment: FloatArray, deviation: FloatArray) -> FloatArray:
    length = float(moment[-1] - moment[0])
    part = np.minimum((moment - moment[0]) / max(length, 1.0) * _BIN_COUNT, _BIN_COUNT - 1).astype(np.int64)
    parts, begins = np.unique(part, return_index=True)
    if length < SHORTEST_DRIFT_RECORD_SECOND or parts.size < _FEWEST_BINS:
        return np.full(len(deviation), np.nan)
    chosen = [slice(begin, end) for begin, end in pairwise((*begins, moment.size))]
    middles = np.array([float(np.mean(moment[rows])) for rows in chosen])
    levels = np.array([medians(deviation[:, rows]) for rows in chosen])
    first, second = np.triu_indices(parts.size, k=1)
    slopes = (levels[second] - levels[first]) / (middles[second] - middles[first])[:, None]
    return medians(slopes.T) * MONTH_SECOND


def temperature_spread_kelvin(probe_temperature_celsius: FloatArray) -> float:
    """Compute the median over time of hottest minus coldest probe; NaN with fewer than two probes.

    Parameters
    ----------
    probe_temperature_celsius : ndarray, shape (probes, n)
        Probe temperatures in evenly picked rows, NaN where invalid. [°C]
    """
    return _spread(probe_temperature_celsius)
