"""Charge over voltage of one constant-current stretch, and the charge inside fixed voltage slices.

A window never begins where the last one did, so the curve is cut at fixed voltages: a slice holds the
same physics whichever window reached it, and stays NaN where none did. Charge is a fraction of rated
capacity and voltage is per cell, so that batteries compare across sizes. Both directions are kept as
charge rising with voltage. Nothing here decides whether a window is large enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features.measurement import FloatArray
from features.vocabulary import Chemistry

SLICE_COUNT = 80
_LEAST_COVERED = 0.5
"""A slice counts when at least half of it was passed; its charge is then extended to the whole slice."""


@dataclass(frozen=True, slots=True)
class SliceGrid:
    """Voltage slices of one chemistry family in one direction.

    Attributes
    ----------
    lowest_volt : float
        Lower edge of slice 0, per cell. [V]
    width_volt : float
        Width of a slice. [V]
    """

    lowest_volt: float
    width_volt: float

    @property
    def edges_volt(self) -> FloatArray:
        """Edges of the slices, shape (SLICE_COUNT + 1,). [V]."""
        return self.lowest_volt + self.width_volt * np.arange(SLICE_COUNT + 1.0)

    @property
    def highest_volt(self) -> float:
        """Upper edge of the last slice. [V]."""
        return self.lowest_volt + self.width_volt * SLICE_COUNT


_SLOPING = {1: SliceGrid(3.40, 0.01), -1: SliceGrid(3.40, 0.01)}
_FLAT = {1: SliceGrid(3.20, 0.005), -1: SliceGrid(3.00, 0.005)}
GRIDS: Mapping[Chemistry, Mapping[int, SliceGrid]] = {
    Chemistry.NMC: _SLOPING,
    Chemistry.NCA: _SLOPING,
    Chemistry.LCO: _SLOPING,
    Chemistry.LMO: _SLOPING,
    Chemistry.LFP: _FLAT,
}
"""Slices by chemistry and direction (1 charge, -1 discharge).

Layered oxides and spinel slope from 3.4 to 4.2 V: 10 mV. LFP moves nine tenths of its charge within
0.2 V that lies above 3.2 V while charging and below 3.4 V while discharging: 5 mV, the finest that a
meter of 1 mV resolves.
"""


@dataclass(frozen=True)
class ChargeCurve:
    """Charge over voltage, both increasing.

    Attributes
    ----------
    volt : ndarray, shape (n,)
        Voltage per cell, strictly increasing. [V]
    moved_fraction : ndarray, shape (n,)
        Charge between the lowest voltage and this one, over rated capacity. [1]
    """

    volt: FloatArray
    moved_fraction: FloatArray

    @property
    def begin_volt(self) -> float:
        """Lowest voltage of the window. [V]."""
        return float(self.volt[0])

    @property
    def end_volt(self) -> float:
        """Highest voltage of the window. [V]."""
        return float(self.volt[-1])

    @property
    def window_fraction(self) -> float:
        """Charge of the whole window over rated capacity. [1]."""
        return float(self.moved_fraction[-1])

    @property
    def mean_slope_volt(self) -> float:
        """Voltage passed over the charge fraction moved; at one current the ohmic drop cancels. [V]."""
        return (self.end_volt - self.begin_volt) / self.window_fraction

    def moved_between(self, low_volt: float, high_volt: float) -> float:
        """Charge between two voltages over rated capacity; NaN unless the window covers both."""
        if low_volt < self.volt[0] or high_volt > self.volt[-1]:
            return float("nan")
        low, high = np.interp((low_volt, high_volt), self.volt, self.moved_fraction)
        return float(high - low)


def charge_curve(volt: FloatArray, moved_fraction: FloatArray, direction: int) -> ChargeCurve:
    """Curve of one stretch, free of noise that would make charge fall with voltage.

    Parameters
    ----------
    volt : ndarray, shape (n,)
        Voltage per cell in order of time. [V]
    moved_fraction : ndarray, shape (n,)
        Charge moved so far over rated capacity, not decreasing. [1]
    direction : int
        1 for a charge, -1 for a discharge, whose curve is turned round.

    Returns
    -------
    ChargeCurve

    Raises
    ------
    ValueError
        If the arrays differ in length or are empty.

    Notes
    -----
    Voltage is replaced by the mean of its running maximum and its running minimum from the other
    end: monotone, O(n), and without bias for symmetric noise. Samples of one voltage become one
    point at their mean charge.

    Examples
    --------
    >>> curve = charge_curve(np.array([3.60, 3.62, 3.61, 3.70]), np.array([0.0, 0.1, 0.2, 0.3]), 1)
    >>> curve.volt.round(3).tolist(), curve.moved_fraction.round(3).tolist()
    ([3.6, 3.615, 3.7], [0.0, 0.15, 0.3])
    """
    if volt.shape != moved_fraction.shape or volt.size == 0:
        raise ValueError(f"A curve needs arrays of one length, got {volt.shape} and {moved_fraction.shape}.")
    if direction < 0:
        volt, moved_fraction = volt[::-1], moved_fraction[-1] - moved_fraction[::-1]
    rising = 0.5 * (np.maximum.accumulate(volt) + np.minimum.accumulate(volt[::-1])[::-1])
    levels, first, count = np.unique(rising, return_index=True, return_counts=True)
    mean = np.add.reduceat(moved_fraction, first) / count
    return ChargeCurve(levels, mean - mean[0])


def slice_charges(curve: ChargeCurve, grid: SliceGrid) -> FloatArray:
    """Charge inside every slice over rated capacity.

    Parameters
    ----------
    curve : ChargeCurve
        Window that was passed.
    grid : SliceGrid
        Slices.

    Returns
    -------
    ndarray, shape (SLICE_COUNT,)
        NaN where less than half of a slice was passed.

    Examples
    --------
    >>> curve = ChargeCurve(np.array([3.40, 3.416]), np.array([0.0, 0.016]))
    >>> slice_charges(curve, SliceGrid(3.40, 0.01))[:3].round(6).tolist()
    [0.01, 0.01, nan]
    """
    edges = grid.edges_volt
    low, high = np.maximum(edges[:-1], curve.begin_volt), np.minimum(edges[1:], curve.end_volt)
    covered = high - low
    passed = covered >= _LEAST_COVERED * grid.width_volt - 1e-9
    moved = np.interp(high, curve.volt, curve.moved_fraction) - np.interp(low, curve.volt, curve.moved_fraction)
    charges: FloatArray = np.where(passed, moved * grid.width_volt / np.where(passed, covered, 1.0), np.nan)
    return charges
