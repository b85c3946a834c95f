"""Charging sessions in vehicle telemetry, and the capacity each of them shows.

Everything here takes plain arrays and returns values; nothing reads a file, knows a battery or
decides anything. Current is positive while charging. A session is an uninterrupted charge of a
parked vehicle; current fed back while driving is none. What the sessions show together is told in
`session_capacity`.
"""

import math
from dataclasses import dataclass

import numpy as np

from features.charge_count import BoolArray, ChargeCount, IntArray
from features.measurement import FloatArray
from features.robust import deviation, median, median_slope

CHARGING_STATES = (1.0, 4.0)
"""GB/T 32960.3: 1 charging parked, 4 charge complete."""
NOT_CHARGING_STATES = (2.0, 3.0)
"""2 is fed back while driving, 3 is not charging; every other code leaves it to the current."""
LEAST_CHARGING_C_RATE = 0.01
"""1.2 A for 120 Ah: above a current sensor's offset, below the slowest charger."""
SHORTEST_SESSION_SECOND = 300.0
"""No braking lasts five minutes."""
LARGEST_PARKED_DISTANCE_KILOMETER = 0.2

SMALLEST_SOC_WINDOW_PERCENT = 20.0
"""Below it one step of 1 % is more than 5 % of the window."""
FEWEST_SOC_STEPS = 8
_MOST_SOC_STEPS = 60


@dataclass(frozen=True, slots=True)
class ChargingSession:
    """One uninterrupted charge.

    Attributes
    ----------
    first_row, last_row : int
        Of the counted record (`ChargeCount`), both included.
    begins_at_second, ends_at_second : float
        Unix time. [s]
    charge_moved_ah : float
        Charge put in. [Ah]
    soc_begin_percent, soc_end_percent : float
        Reported state of charge. [%]
    capacity_ah : float
        Slope of charge over state of charge, for a full range; NaN where the window is too small. [Ah]
    capacity_uncertainty_ah : float
        Standard uncertainty of the slope from quantisation and sampling. [Ah]
    """

    first_row: int
    last_row: int
    begins_at_second: float
    ends_at_second: float
    charge_moved_ah: float
    soc_begin_percent: float
    soc_end_percent: float
    capacity_ah: float
    capacity_uncertainty_ah: float

    @property
    def duration_second(self) -> float:
        """Length of the session in seconds."""
        return self.ends_at_second - self.begins_at_second

    @property
    def mean_current_ampere(self) -> float:
        """Charge over time, pauses included, in ampere."""
        return 3600.0 * self.charge_moved_ah / self.duration_second

    @property
    def soc_window_percent(self) -> float:
        """Gain of reported state of charge in percent."""
        return self.soc_end_percent - self.soc_begin_percent


def charging_sessions(
    counted: ChargeCount,
    reported_soc_percent: FloatArray,
    rated_capacity_ah: float,
    *,
    charge_state: FloatArray | None = None,
    odometer_kilometer: FloatArray | None = None,
) -> tuple[ChargingSession, ...]:
    """Find the charging sessions of a parked vehicle.

    Parameters
    ----------
    counted : ChargeCount
        The record, n rows, with its charge.
    reported_soc_percent : ndarray, shape (n,)
        State of charge as reported, in steps; NaN where not reported. [%]
    rated_capacity_ah : float
        Plate capacity; sets the smallest current that counts. [Ah]
    charge_state : ndarray, shape (n,), optional
        Codes of GB/T 32960.3; a missing or unknown code leaves it to the current, as does a column that
        never says charging.
    odometer_kilometer : ndarray, shape (n,), optional
        A session during which the vehicle moves is none. [km]

    Returns
    -------
    tuple of ChargingSession
        In order of time.

    Raises
    ------
    ValueError
        If the arrays differ in length or the rated capacity is not positive.

    Notes
    -----
    A session goes on over lost rows and pauses while no current is drawn and no silence is longer than
    `ChargeCount.longest_silence_second`.
    """
    optional = [each for each in (charge_state, odometer_kilometer) if each is not None]
    lengths = {each.size for each in (counted.current_ampere, reported_soc_percent, *optional)}
    if len(lengths) != 1 or not rated_capacity_ah > 0.0:
        raise ValueError(
            f"Sessions need arrays of one length and a rated capacity, got {lengths}, {rated_capacity_ah}."
        )
    charging = counted.current_ampere >= LEAST_CHARGING_C_RATE * rated_capacity_ah
    rows = np.flatnonzero(charging)
    if charge_state is not None:
        rows = rows[_may_charge(charge_state, charge_state[rows])]
    rows = rows[np.isfinite(reported_soc_percent[rows])]
    drawn = counted.current_ampere <= -LEAST_CHARGING_C_RATE * rated_capacity_ah
    return tuple(
        _session(counted, reported_soc_percent, first, last)
        for first, last in _runs(counted, rows, drawn)
        if odometer_kilometer is None or _parked(odometer_kilometer[first : last + 1])
    )


def _may_charge(charge_state: FloatArray, of_rows: FloatArray) -> BoolArray:
    may: BoolArray = (of_rows != NOT_CHARGING_STATES[0]) & (of_rows != NOT_CHARGING_STATES[1])
    if may.any() or np.isin(charge_state, CHARGING_STATES).any():
        return may
    return np.ones(of_rows.size, dtype=np.bool_)


def _runs(counted: ChargeCount, rows: IntArray, drawn: BoolArray) -> list[tuple[int, int]]:
    """First and last row of every run without silence or discharge, long enough to be a charge."""
    if rows.size < 2:
        return []
    moment = counted.unix_time_second[rows]
    cut = np.diff(moment) > counted.longest_silence_second
    apart = np.flatnonzero(np.diff(rows) > 1)
    if apart.size:
        between = np.searchsorted(np.flatnonzero(drawn), rows)
        cut[apart] |= between[apart + 1] > between[apart]
    cuts = np.flatnonzero(cut) + 1
    first, last = rows[np.r_[0, cuts]], rows[np.r_[cuts, rows.size] - 1]
    lasting = counted.unix_time_second[last] - counted.unix_time_second[first] >= SHORTEST_SESSION_SECOND
    return [(int(a), int(b)) for a, b in zip(first[lasting], last[lasting], strict=True)]


def _parked(odometer_kilometer: FloatArray) -> bool:
    """Whether both halves stand at one distance; zeros and single odd values say nothing."""
    if odometer_kilometer[0] == odometer_kilometer[-1] > 0.0:
        return True
    known = odometer_kilometer[odometer_kilometer > 0.0]
    if known.size < 2:
        return True
    half = known.size // 2
    return abs(median(known[half:]) - median(known[:half])) <= LARGEST_PARKED_DISTANCE_KILOMETER


def _session(counted: ChargeCount, soc_percent: FloatArray, first: int, last: int) -> ChargingSession:
    charge_ah, soc = counted.charge_ah[first : last + 1], soc_percent[first : last + 1]
    capacity, uncertainty = math.nan, math.nan
    if soc[-1] - soc[0] >= SMALLEST_SOC_WINDOW_PERCENT:
        known = np.isfinite(soc)
        capacity, uncertainty = capacity_from_steps(charge_ah[known], soc[known])
    return ChargingSession(
        first,
        last,
        float(counted.unix_time_second[first]),
        float(counted.unix_time_second[last]),
        float(charge_ah[-1] - charge_ah[0]),
        float(soc[0]),
        float(soc[-1]),
        capacity,
        uncertainty,
    )


def capacity_from_steps(charge_ah: FloatArray, soc_percent: FloatArray) -> tuple[float, float]:
    """Compute a full range's charge from charge moved at the moments the reported state of charge steps up.

    Parameters
    ----------
    charge_ah : ndarray, shape (n,)
        Charge since the begin of the session, increasing. [Ah]
    soc_percent : ndarray, shape (n,)
        Reported state of charge, in steps. [%]

    Returns
    -------
    float
        Capacity; NaN with fewer than `FEWEST_SOC_STEPS` steps. [Ah]
    float
        Standard uncertainty from quantisation and sampling. [Ah]

    Notes
    -----
    Between two rows with different values the true state of charge crosses the middle of the two
    (plus a constant, which a slope does not see), so a step tells more than the values do: the
    quantisation error of the window's ends falls away. The slope is the median of all pairwise
    slopes (Theil 1950, Sen 1968), which a jump by the vehicle's own correction does not move.

    Examples
    --------
    >>> charge_ah = np.arange(0.0, 30.0, 0.1)
    >>> capacity, _ = capacity_from_steps(charge_ah, np.floor(40.0 + charge_ah))
    >>> round(capacity, 6)
    100.0
    """
    edges = np.flatnonzero(np.diff(soc_percent) > 0.0)
    if edges.size < FEWEST_SOC_STEPS:
        return math.nan, math.nan
    edges = edges[np.linspace(0, edges.size - 1, min(edges.size, _MOST_SOC_STEPS)).astype(np.int64)]
    moved = 0.5 * (charge_ah[edges] + charge_ah[edges + 1])
    level = 0.5 * (soc_percent[edges] + soc_percent[edges + 1])
    slope = median_slope(level, moved)
    scatter = deviation(moved - slope * level)
    sampling = median(charge_ah[edges + 1] - charge_ah[edges]) / math.sqrt(12.0)
    around = level - level.mean()
    spread = math.sqrt(float(around @ around))
    return 100.0 * slope, 100.0 * max(scatter, sampling) / spread
