"""Charge over voltage of a vehicle's charging sessions, and its incremental capacity.

The same slices and peaks as a bench's partial charge (`charge_curve`, `incremental_capacity`). A vehicle
charges at any rate, so the voltage is first freed of the drop its own current steps show
(`resistance_steps`); a record has many sessions, so each slice is a median. Charge is a fraction of rated
capacity and voltage is per cell. No state of charge goes in.
"""

import math
from dataclasses import dataclass

import numpy as np

from features.charge_count import ChargeCount
from features.charge_curve import GRIDS, SLICE_COUNT, ChargeCurve, SliceGrid, charge_curve, slice_charges
from features.charging import ChargingSession
from features.incremental_capacity import IncrementalPeaks, incremental_peaks
from features.measurement import FloatArray
from features.robust import medians, weighted_median
from features.vocabulary import Chemistry

WIDE_SLICE_COUNT = 16
_FINE_PER_WIDE = SLICE_COUNT // WIDE_SLICE_COUNT
SETTLING_SECOND = 180.0
"""Begin of a session during which the voltage still rises by polarisation, not by charge."""
FEWEST_ROWS = 20
_MOST_SESSIONS = 40


@dataclass(frozen=True)
class SessionCurves:
    """What charging sessions show over voltage; NaN where none passed.

    Attributes
    ----------
    slice_fraction : ndarray, shape (WIDE_SLICE_COUNT,)
        Charge inside five slices of the family's grid, over rated capacity, median over the sessions. [1]
    rate_c : float
        Usual current over rated capacity. [1/h]
    peaks : IncrementalPeaks
        Of the session with the most charge, where voltage is sampled finely enough.
    """

    slice_fraction: FloatArray
    rate_c: float
    peaks: IncrementalPeaks


def session_curves(
    counted: ChargeCount,
    relaxed_cell_volt: FloatArray,
    sessions: tuple[ChargingSession, ...],
    chemistry: Chemistry,
    rated_capacity_ah: float,
) -> SessionCurves:
    """Summarise charge over voltage of the sessions with the most charge.

    Parameters
    ----------
    counted : ChargeCount
        The record, n rows, with its charge.
    relaxed_cell_volt : ndarray, shape (n,)
        Mean voltage per cell less current times resistance, NaN where not known. [V]
    sessions : tuple of ChargingSession
        Sessions of the record.
    chemistry : Chemistry
        Decides on the grid; without one nothing but the rate is told.
    rated_capacity_ah : float
        Plate capacity. [Ah]
    """
    charges = np.array([each.charge_moved_ah for each in sessions])
    rates = np.array([each.mean_current_ampere for each in sessions]) / rated_capacity_ah
    usual = weighted_median(rates, charges) if sessions else math.nan
    most = [sessions[at] for at in np.argsort(-charges, kind="stable")[:_MOST_SESSIONS]]
    grid = GRIDS[chemistry][1] if chemistry in GRIDS else None
    curves = [_curve(counted, relaxed_cell_volt, each, rated_capacity_ah) for each in most]
    found = [each for each in curves if each is not None]
    if grid is None or not found:
        return SessionCurves(np.full(WIDE_SLICE_COUNT, np.nan), usual, IncrementalPeaks())
    slices = np.array([slice_charges(each, grid) for each in found])
    wide = slices.reshape(len(slices), WIDE_SLICE_COUNT, _FINE_PER_WIDE).sum(axis=2)
    return SessionCurves(medians(wide.T), usual, _peaks(slices[0], found[0], grid))


def _curve(
    counted: ChargeCount, relaxed_cell_volt: FloatArray, session: ChargingSession, rated_capacity_ah: float
) -> ChargeCurve | None:
    begin = np.searchsorted(counted.unix_time_second, session.begins_at_second + SETTLING_SECOND)
    rows = slice(int(begin), session.last_row + 1)
    volt, moved = relaxed_cell_volt[rows], counted.charge_ah[rows]
    known = np.isfinite(volt)
    if np.count_nonzero(known) < FEWEST_ROWS:
        return None
    volt, moved = volt[known], moved[known]
    return charge_curve(volt, (moved - moved[0]) / rated_capacity_ah, 1)


def _peaks(slices: FloatArray, curve: ChargeCurve, grid: SliceGrid) -> IncrementalPeaks:
    """Peaks of dQ/dV where most slices hold a sample of their own; none on a coarser record."""
    samples_per_slice = grid.width_volt * curve.volt.size / max(curve.end_volt - curve.begin_volt, 1e-9)
    return incremental_peaks(slices, curve, grid) if samples_per_slice >= 1.0 else IncrementalPeaks()
