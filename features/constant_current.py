"""The longest constant-current stretch of a record, in either direction.

A station's record holds rests, pauses, voltage holds and several stages of current in any order.
What is compared between batteries is the charge moved at *one* current, so the level that moved the
most charge is found first, then the samples that keep it. Nothing here reads a voltage window or
knows a chemistry. Current is positive while charging.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.measurement import FloatArray
from features.sampled import REST_C_RATE, USUAL_INTERVALS_IN_A_GAP

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

LEVEL_TOLERANCE_FRACTION = 0.05
"""Current within 5 % of its level is constant: chargers ripple by 1 to 2 %, stages differ by 10 % or more."""
LONGEST_PAUSE_SECOND = 600.0
"""A charge paused no longer than this goes on as one stretch (engineering value)."""
LONGEST_EXCURSION_SECOND = 30.0
"""Current off its level for no longer than this does not end a stretch."""
SHORTEST_GAP_SECOND = 120.0
"""Silence up to 120 s is bridged at a steady current: at C/2 it hides 1.7 % of charge."""
SETTLING_SECOND = 180.0
"""Begin of a stretch that is left out where the record shows what came before.

The voltage still rises by ohmic drop and polarisation then, not by charge; a record that begins under
current is taken as cut from a running charge.
"""

_LEVEL_BIN = 0.025
_BINS_IN_A_LEVEL = 4


@dataclass(frozen=True)
class SteadyStretch:
    """Samples of one constant-current stretch.

    Attributes
    ----------
    direction : int
        1 charging, -1 discharging.
    rows : ndarray of int, shape (n,)
        Rows of the record that keep the level, settled, increasing.
    moved_ah : ndarray, shape (n,)
        Charge moved since the first of the rows, not decreasing. [Ah]
    level_ampere : float
        Magnitude of the current. [A]
    """

    direction: int
    rows: IntArray
    moved_ah: FloatArray
    level_ampere: float


def longest_steady_stretch(
    test_time_second: FloatArray,
    voltage_volt: FloatArray,
    current_ampere: FloatArray,
    rated_capacity_ah: float,
    direction: int,
) -> SteadyStretch | None:
    """Stretch of one constant current that moved the most charge.

    Parameters
    ----------
    test_time_second, voltage_volt, current_ampere : ndarray, shape (n,)
        Record; time strictly increasing, current positive while charging. [s], [V], [A]
    rated_capacity_ah : float
        Sets what counts as rest. [Ah]
    direction : int
        1 for charges, -1 for discharges.

    Returns
    -------
    SteadyStretch or None
        None where fewer than three settled samples keep a level.

    Notes
    -----
    The level is the mode of the charge over the logarithm of the current. A pause is bridged: after
    it, samples are left out until the voltage is back where the pause began, so that the dip of a
    resting cell does not count as a part of the curve while all its charge does.

    Examples
    --------
    >>> time = np.arange(0.0, 3601.0, 10.0)
    >>> found = longest_steady_stretch(time, 3.6 + time / 9000.0, np.full(361, 5.0), 10.0, 1)
    >>> round(float(found.moved_ah[-1]), 6), found.level_ampere
    (5.0, 5.0)
    """
    along = direction * current_ampere
    flowing = along > REST_C_RATE * rated_capacity_ah
    if np.count_nonzero(flowing) < 3:
        return None
    interval = np.diff(test_time_second)
    charge_ah = np.r_[0.0, np.cumsum(0.5 * (along[1:] + along[:-1]) * interval)] / 3600.0
    level = _level(along[flowing], np.r_[interval, 0.0][flowing])
    steady = np.abs(along - level) <= LEVEL_TOLERANCE_FRACTION * level
    resting = np.abs(current_ampere) <= REST_C_RATE * rated_capacity_ah
    rows = _most_charge(_pieces(test_time_second, steady, resting), charge_ah)
    rows = _settled(rows, test_time_second, direction * voltage_volt)
    if rows.size < 3:
        return None
    return SteadyStretch(direction, rows, charge_ah[rows] - charge_ah[rows[0]], float(np.median(along[rows])))


def _level(along: FloatArray, seconds: FloatArray) -> float:
    """Current that moved the most charge, to a few percent; positive."""
    log = np.log(along)
    numbers = np.floor((log - log.min()) / _LEVEL_BIN).astype(np.int64)
    moved = np.bincount(numbers, weights=along * seconds)
    in_window = np.convolve(moved, np.ones(_BINS_IN_A_LEVEL))
    last = int(in_window.argmax())
    inside = (numbers <= last) & (numbers > last - _BINS_IN_A_LEVEL)
    return float(np.median(along[inside]))


def _pieces(time: FloatArray, steady: BoolArray, resting: BoolArray) -> list[IntArray]:
    """Rows of every piece whose pauses, excursions and gaps are short enough."""
    rows = np.flatnonzero(steady)
    if rows.size < 2:
        return [rows]
    interval = np.diff(time, append=time[-1])
    paused = np.r_[0.0, np.cumsum(np.where(resting, interval, 0.0))]
    strayed = np.r_[0.0, np.cumsum(np.where(steady | resting, 0.0, interval))]
    apart = np.diff(rows) > 1
    too_long = np.diff(paused[rows]) > LONGEST_PAUSE_SECOND
    too_far = np.diff(strayed[rows]) > LONGEST_EXCURSION_SECOND
    allowed = max(SHORTEST_GAP_SECOND, USUAL_INTERVALS_IN_A_GAP * float(np.median(np.diff(time))))
    silent = np.diff(time[rows]) > np.where(apart, np.inf, allowed)
    return np.split(rows, np.flatnonzero((apart & (too_long | too_far)) | silent) + 1)


def _most_charge(pieces: list[IntArray], charge_ah: FloatArray) -> IntArray:
    moved = [charge_ah[rows[-1]] - charge_ah[rows[0]] if rows.size else 0.0 for rows in pieces]
    return pieces[int(np.argmax(moved))]


def _settled(rows: IntArray, time: FloatArray, rising_volt: FloatArray) -> IntArray:
    """Rows without the transient at the begin and after every pause."""
    if rows.size and rows[0] > 0:
        rows = rows[time[rows] >= time[rows[0]] + SETTLING_SECOND]
    kept = np.ones(rows.size, dtype=np.bool_)
    volt = rising_volt[rows]
    highest = np.maximum.accumulate(volt)
    pauses = np.flatnonzero(np.diff(time[rows]) * (np.diff(rows) > 1) > LONGEST_EXCURSION_SECOND) + 1
    for resumed, stop in zip(pauses, np.append(pauses, rows.size)[1:], strict=True):
        back = volt[resumed:stop] >= highest[resumed - 1]
        kept[resumed : resumed + (int(back.argmax()) if back.any() else back.size)] = False
    return rows[kept]
