"""Incremental capacity dQ/dV and differential voltage dV/dQ of a charge curve.

A peak of dQ/dV is a voltage at which an electrode changes phase; its height and area fall with the
active material that is left, its position rises with resistance. A hump of dV/dQ marks the charge at
which one phase change ends and the next begins, which is what LFP's flat plateau has to offer. Charge is
a fraction of rated capacity throughout. Sources: Dubarry & Liaw, *J. Power Sources* 194 (2009) 541;
Bloom et al., *J. Power Sources* 139 (2005) 295.
"""

import math
from dataclasses import dataclass

import numpy as np

from features.charge_curve import ChargeCurve, SliceGrid
from features.constant_current import BoolArray, IntArray
from features.measurement import FloatArray

_SMOOTHED_SLICES = 3
_EDGE_SLICES = 2
_PEAK_HALF_SLICES = 5
_VALLEY_DEPTH_FRACTION = 0.9

_CHARGE_STEP_FRACTION = 0.005
_SLOPE_BASE_FRACTION = 0.03
_HUMP_PROMINENCE = 1.2


@dataclass(frozen=True, slots=True)
class IncrementalPeaks:
    """Highest peak of dQ/dV inside a window, and the next one; NaN where there is none.

    Attributes
    ----------
    volt : float
        Position. [V]
    height_per_volt : float
        dQ/dV over rated capacity. [1/V]
    area_fraction : float
        Charge within five slices on either side of the peak over rated capacity. [1]
    second_volt, second_height_per_volt : float
        The same of the next peak. [V], [1/V]
    between_fraction : float
        Charge between the two peaks over rated capacity. [1]
    """

    volt: float = math.nan
    height_per_volt: float = math.nan
    area_fraction: float = math.nan
    second_volt: float = math.nan
    second_height_per_volt: float = math.nan
    between_fraction: float = math.nan


@dataclass(frozen=True, slots=True)
class DifferentialVoltage:
    """Slope dV/dQ inside a window; NaN where the window is too small.

    Attributes
    ----------
    flattest_volt, hump_volt : float
        Least slope, and slope at the hump between two flat parts, per rated capacity. [V]
    hump_at_volt : float
        Voltage of the hump. [V]
    below_hump_fraction, above_hump_fraction : float
        Charge of the window below and above the hump over rated capacity. [1]
    """

    flattest_volt: float = math.nan
    hump_volt: float = math.nan
    hump_at_volt: float = math.nan
    below_hump_fraction: float = math.nan
    above_hump_fraction: float = math.nan


def incremental_peaks(slices: FloatArray, curve: ChargeCurve, grid: SliceGrid) -> IncrementalPeaks:
    """Peaks of dQ/dV that lie wholly inside the window.

    Parameters
    ----------
    slices : ndarray, shape (SLICE_COUNT,)
        Charge per slice over rated capacity, NaN outside the window.
    curve : ChargeCurve
        The window.
    grid : SliceGrid
        Voltages of the slices.

    Notes
    -----
    dQ/dV is the charge of a slice over its width, averaged over three slices. A maximum within two
    slices of an edge may belong to a peak outside and is none, nor is one that does not stand a tenth
    above its surroundings on both sides; between two peaks lies a valley as deep.
    """
    density = _smoothed(slices) / grid.width_volt
    middles = grid.edges_volt[:-1] + 0.5 * grid.width_volt
    passed = np.flatnonzero(np.isfinite(density))
    inner = passed[_EDGE_SLICES:-_EDGE_SLICES] if passed.size > 2 * _EDGE_SLICES else passed[:0]
    tops = inner[(density[inner] >= density[inner - 1]) & (density[inner] > density[inner + 1])]
    tops = tops[_rises_from_both_sides(density[passed])[tops - passed[0]]] if tops.size else tops
    if not tops.size:
        return IncrementalPeaks()
    highest = int(tops[density[tops].argmax()])
    half = _PEAK_HALF_SLICES * grid.width_volt
    top_volt = float(middles[highest])
    area = curve.moved_between(top_volt - half, top_volt + half)
    second = _second_top(density, tops, highest)
    if second is None:
        return IncrementalPeaks(top_volt, float(density[highest]), area)
    second_volt = float(middles[second])
    between = curve.moved_between(min(top_volt, second_volt), max(top_volt, second_volt))
    return IncrementalPeaks(top_volt, float(density[highest]), area, second_volt, float(density[second]), between)


def _smoothed(slices: FloatArray) -> FloatArray:
    """Mean over three slices; NaN next to the edges of the window."""
    padded = np.r_[np.nan, slices, np.nan]
    mean: FloatArray = (padded[:-2] + padded[1:-1] + padded[2:]) / _SMOOTHED_SLICES
    return mean


def _rises_from_both_sides(density: FloatArray) -> BoolArray:
    """Where dQ/dV stands a tenth above something on either side inside the window."""
    left, right = np.minimum.accumulate(density), np.minimum.accumulate(density[::-1])[::-1]
    rises: BoolArray = np.maximum(left, right) <= _VALLEY_DEPTH_FRACTION * density
    return rises


def _second_top(density: FloatArray, tops: IntArray, highest: int) -> int | None:
    for top in sorted((int(each) for each in tops), key=lambda each: -density[each]):
        low, high = sorted((top, highest))
        if high - low >= _PEAK_HALF_SLICES and density[low:high].min() <= _VALLEY_DEPTH_FRACTION * density[top]:
            return top
    return None


def differential_voltage(curve: ChargeCurve) -> DifferentialVoltage:
    """Least slope of a window and the hump between its flat parts.

    Parameters
    ----------
    curve : ChargeCurve
        The window.

    Notes
    -----
    Slope over 3 % of rated charge every 0.5 %. A hump is the highest slope that has a slope at least
    1.2 times lower on either side.

    Examples
    --------
    >>> charge = np.linspace(0.0, 0.6, 601)
    >>> volt = 3.35 + 0.05 * charge + 0.02 / (1.0 + np.exp(-(charge - 0.4) / 0.01))
    >>> found = differential_voltage(ChargeCurve(volt, charge))
    >>> round(found.below_hump_fraction, 2), round(found.above_hump_fraction, 2), round(found.flattest_volt, 2)
    (0.4, 0.2, 0.05)
    """
    half = 0.5 * _SLOPE_BASE_FRACTION
    centres = np.arange(half, curve.window_fraction - half, _CHARGE_STEP_FRACTION)
    if centres.size < 3:
        return DifferentialVoltage()
    above = np.interp(centres + half, curve.moved_fraction, curve.volt)
    slope = (above - np.interp(centres - half, curve.moved_fraction, curve.volt)) / _SLOPE_BASE_FRACTION
    flattest = float(slope.min())
    lower_left, lower_right = np.minimum.accumulate(slope), np.minimum.accumulate(slope[::-1])[::-1]
    humps = np.flatnonzero(slope >= _HUMP_PROMINENCE * np.maximum(lower_left, lower_right))
    if not humps.size:
        return DifferentialVoltage(flattest)
    hump = int(humps[slope[humps].argmax()])
    at_charge = float(centres[hump])
    at_volt = float(np.interp(at_charge, curve.moved_fraction, curve.volt))
    return DifferentialVoltage(flattest, float(slope[hump]), at_volt, at_charge, curve.window_fraction - at_charge)
