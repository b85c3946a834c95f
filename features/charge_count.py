"""Charge counted along a vehicle's record, and which silences it may be counted across.

Everything here takes plain arrays and returns values. Rows without a current are left out first, so
that one lost row neither ends a charge nor counts as none. Current is positive while charging.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.measurement import FloatArray

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

LONGEST_SILENCE_SECOND = 180.0
"""At C/2 this hides 2.5 % of charge, of which a steady charger leaves no doubt; longer, nothing is counted across."""
USUAL_INTERVALS_IN_A_SILENCE = 3.0
SLOWEST_SILENCE_SECOND = 900.0
"""A logger that writes every few minutes may be silent for three of its intervals, never for longer than this."""

HIGHEST_C_RATE = 20.0
"""No traction battery carries more; what does is a code for 'invalid'. [1/h]"""
CURRENT_SENTINELS_AMPERE = (1000.0, 3000.0, 3276.7, 3276.8, 6553.4, 6553.5)
"""Zero or all bits set behind the offsets of GB/T 32960.3, either sign; see `quality_sensors`."""
_MOST_INTERVALS = 10_000


@dataclass(frozen=True)
class ChargeCount:
    """A record with its charge counted.

    Attributes
    ----------
    rows : ndarray of int or slice
        Rows of the record that have a current, to pick other columns by.
    unix_time_second, current_ampere : ndarray, shape (n,)
        Those rows. [s], [A]
    interval_second : ndarray, shape (n - 1,)
        Time to the next row. [s]
    charge_ah : ndarray, shape (n,)
        Charge put in since the first row; a silence adds nothing. [Ah]
    longest_silence_second : float
        Charge is counted across intervals up to this. [s]
    usual_interval_second : float
        Median interval. [s]
    """

    rows: IntArray | slice
    unix_time_second: FloatArray
    current_ampere: FloatArray
    interval_second: FloatArray
    charge_ah: FloatArray
    longest_silence_second: float
    usual_interval_second: float

    @property
    def observed_second(self) -> float:
        """Time the record speaks of, silences left out. [s]."""
        silent = self.interval_second[self.interval_second > self.longest_silence_second]
        return float(self.unix_time_second[-1] - self.unix_time_second[0] - silent.sum())

    def record_rows(self, rows: IntArray) -> IntArray:
        """Rows of the whole record that rows of this count stand for."""
        return rows if isinstance(self.rows, slice) else self.rows[rows]

    def moved_ah(self) -> tuple[float, float]:
        """Charge put in and charge taken out, neither negative. [Ah]."""
        steps = np.diff(self.charge_ah)
        put_in = float(np.maximum(steps, 0.0).sum())
        return put_in, put_in - float(self.charge_ah[-1])


def charge_count(
    unix_time_second: FloatArray, pack_current_ampere: FloatArray, rated_capacity_ah: float
) -> ChargeCount | None:
    """Count charge along a record; None with fewer than two rows that have a current.

    Parameters
    ----------
    unix_time_second : ndarray, shape (n,)
        Strictly increasing. [s]
    pack_current_ampere : ndarray, shape (n,)
        Positive while charging; NaN where not reported. [A]
    rated_capacity_ah : float
        Plate capacity. [Ah]

    Raises
    ------
    ValueError
        If the arrays differ in length or the rated capacity is not positive.

    Notes
    -----
    Trapezoidal rule. What means 'invalid' (`CURRENT_SENTINELS_AMPERE`, more than `HIGHEST_C_RATE`) is no current.

    Examples
    --------
    >>> time = np.array([0.0, 60.0, 120.0, 7200.0, 7260.0])
    >>> counted = charge_count(time, np.array([60.0, np.nan, 60.0, 60.0, 60.0]), 120.0)
    >>> counted.charge_ah.tolist()
    [0.0, 2.0, 2.0, 3.0]
    """
    if unix_time_second.shape != pack_current_ampere.shape or not rated_capacity_ah > 0.0:
        shapes = f"{unix_time_second.shape} and {pack_current_ampere.shape}"
        raise ValueError(
            f"Counting needs arrays of one length and a rated capacity, got {shapes}, {rated_capacity_ah}."
        )
    rows = _with_current(pack_current_ampere, rated_capacity_ah)
    moment, current = unix_time_second[rows], pack_current_ampere[rows]
    if moment.size < 2:
        return None
    interval = np.diff(moment)
    usual = float(np.median(interval[:: max(1, interval.size // _MOST_INTERVALS)]))
    silence = min(max(LONGEST_SILENCE_SECOND, USUAL_INTERVALS_IN_A_SILENCE * usual), SLOWEST_SILENCE_SECOND)
    parts = current[1:] + current[:-1]
    parts *= interval
    parts *= 0.5 / 3600.0
    parts[interval > silence] = 0.0
    charge = np.empty(moment.size)
    charge[0] = 0.0
    np.cumsum(parts, out=charge[1:])
    return ChargeCount(rows, moment, current, interval, charge, silence, usual)


def _with_current(current: FloatArray, rated_capacity_ah: float) -> IntArray | slice:
    """Rows whose current is a current; all of them as a slice, which copies nothing."""
    with np.errstate(invalid="ignore"):
        highest = max(float(current.max()), -float(current.min())) if current.size else 0.0
    if highest <= HIGHEST_C_RATE * rated_capacity_ah and highest < min(CURRENT_SENTINELS_AMPERE):
        return slice(None)
    size = np.abs(current)
    valid = size <= HIGHEST_C_RATE * rated_capacity_ah
    if np.fmax.reduce(size, initial=0.0) >= min(CURRENT_SENTINELS_AMPERE):
        valid &= ~np.isin(size, CURRENT_SENTINELS_AMPERE)
    return np.flatnonzero(valid)
