"""Charging sessions in vehicle telemetry, and the capacity they show.

Everything here takes plain arrays and returns values; nothing reads a file, knows a battery or
decides anything. Current is positive while charging. A session is an uninterrupted charge of a
parked vehicle; current fed back while driving is none. Capacity is the slope of charge moved over
the state of charge the vehicle reports, so it carries that report's error: see
`SOC_SCALE_UNCERTAINTY_FRACTION`.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.measurement import FloatArray

BoolArray = npt.NDArray[np.bool_]

CHARGING_STATES = (1.0, 4.0)
"""GB/T 32960.3: 1 charging parked, 4 charge complete. 2 is fed back while driving, 3 is not charging."""
LEAST_CHARGING_C_RATE = 0.01
"""1.2 A for 120 Ah: above a current sensor's offset, below the slowest charger."""
LONGEST_SILENCE_SECOND = 180.0
"""At C/2 this hides 2.5 % of charge, of which a steady charger leaves no doubt; longer ends a session."""
SHORTEST_SESSION_SECOND = 300.0
"""No braking lasts five minutes."""
LARGEST_PARKED_DISTANCE_KILOMETER = 0.2

SMALLEST_SOC_WINDOW_PERCENT = 15.0
"""Below it one step of 1 % is more than 6 % of the window."""
FEWEST_SOC_STEPS = 8
_MOST_SOC_STEPS = 200

SESSION_SCATTER_FRACTION = 0.02
"""Scatter between sessions of one car; observed 1 to 1.5 % on 22 sessions. Holds while few sessions are seen."""
SOC_SCALE_UNCERTAINTY_FRACTION = 0.05
"""Systematic share: the error usually allowed for a vehicle's state of charge, 5 %, taken whole as a standard
uncertainty. Within a session the report follows the vehicle's own capacity value; no number of sessions
averages its error out."""

COUNTER_SCATTER_FRACTION = 0.003
"""Sessions that agree closer than this repeat a stored capacity: no measured state of charge is that good."""


@dataclass(frozen=True, slots=True)
class ChargingSession:
    """One uninterrupted charge.

    Attributes
    ----------
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
    def soc_window_percent(self) -> float:
        """Gain of reported state of charge in percent."""
        return self.soc_end_percent - self.soc_begin_percent


@dataclass(frozen=True, slots=True)
class WindowCapacity:
    """Capacity from all sessions with a large enough window.

    Attributes
    ----------
    capacity_ah : float
        Median over the sessions. [Ah]
    standard_uncertainty_ah : float
        Scatter, quantisation and the systematic share together. [Ah]
    scatter_fraction : float
        Robust standard deviation of one session over the median; NaN for one session.
    session_count : int
        Sessions used.
    """

    capacity_ah: float
    standard_uncertainty_ah: float
    scatter_fraction: float
    session_count: int

    @property
    def repeats_a_stored_value(self) -> bool:
        """Whether the sessions agree too well to be more than the vehicle's own capacity value."""
        return self.session_count > 2 and self.scatter_fraction < COUNTER_SCATTER_FRACTION


def charging_sessions(
    unix_time_second: FloatArray,
    pack_current_ampere: FloatArray,
    reported_soc_percent: FloatArray,
    rated_capacity_ah: float,
    *,
    charge_state: FloatArray | None = None,
    odometer_kilometer: FloatArray | None = None,
) -> tuple[ChargingSession, ...]:
    """Find the charging sessions of a parked vehicle.

    Parameters
    ----------
    unix_time_second : ndarray, shape (n,)
        Strictly increasing. [s]
    pack_current_ampere : ndarray, shape (n,)
        Positive while charging; NaN where not reported. [A]
    reported_soc_percent : ndarray, shape (n,)
        State of charge as reported, in steps; NaN where not reported. [%]
    rated_capacity_ah : float
        Plate capacity; sets the smallest current that counts. [Ah]
    charge_state : ndarray, shape (n,), optional
        Codes of GB/T 32960.3; a missing code leaves it to the current.
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
    """
    optional = [each for each in (charge_state, odometer_kilometer) if each is not None]
    lengths = {each.size for each in (unix_time_second, pack_current_ampere, reported_soc_percent, *optional)}
    if len(lengths) != 1 or not rated_capacity_ah > 0.0:
        raise ValueError(
            f"Sessions need arrays of one length and a rated capacity, got {lengths}, {rated_capacity_ah}."
        )
    charging = pack_current_ampere >= LEAST_CHARGING_C_RATE * rated_capacity_ah
    charging &= np.isfinite(reported_soc_percent)
    if charge_state is not None:
        charging &= np.isnan(charge_state) | np.isin(charge_state, CHARGING_STATES)
    found = []
    for begin, end in _runs(charging, unix_time_second):
        rows = slice(begin, end)
        if odometer_kilometer is None or _parked(odometer_kilometer[rows]):
            found.append(_session(unix_time_second[rows], pack_current_ampere[rows], reported_soc_percent[rows]))
    return tuple(found)


def _runs(charging: BoolArray, unix_time_second: FloatArray) -> list[tuple[int, int]]:
    """First row and row after the last of every run without silence, long enough to be a charge."""
    rows = np.flatnonzero(charging)
    if rows.size < 2:
        return []
    cuts = np.flatnonzero((np.diff(rows) > 1) | (np.diff(unix_time_second[rows]) > LONGEST_SILENCE_SECOND)) + 1
    begins, ends = np.r_[0, cuts], np.r_[cuts, rows.size]
    first, last = rows[begins], rows[ends - 1]
    lasting = unix_time_second[last] - unix_time_second[first] >= SHORTEST_SESSION_SECOND
    return [(int(a), int(b) + 1) for a, b in zip(first[lasting], last[lasting], strict=True)]


def _parked(odometer_kilometer: FloatArray) -> bool:
    known = odometer_kilometer[np.isfinite(odometer_kilometer)]
    return known.size == 0 or float(np.ptp(known)) <= LARGEST_PARKED_DISTANCE_KILOMETER


def _session(unix_time_second: FloatArray, current_ampere: FloatArray, soc_percent: FloatArray) -> ChargingSession:
    parts = 0.5 * (current_ampere[1:] + current_ampere[:-1]) * np.diff(unix_time_second) / 3600.0
    charge_ah = np.r_[0.0, np.cumsum(parts)]
    capacity, uncertainty = math.nan, math.nan
    if soc_percent[-1] - soc_percent[0] >= SMALLEST_SOC_WINDOW_PERCENT:
        capacity, uncertainty = capacity_from_steps(charge_ah, soc_percent)
    return ChargingSession(
        float(unix_time_second[0]),
        float(unix_time_second[-1]),
        float(charge_ah[-1]),
        float(soc_percent[0]),
        float(soc_percent[-1]),
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
    first, second = np.triu_indices(edges.size, k=1)
    rising = level[second] > level[first]
    slope = float(np.median((moved[second] - moved[first])[rising] / (level[second] - level[first])[rising]))
    residual = moved - slope * level
    scatter = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
    sampling = float(np.median(charge_ah[edges + 1] - charge_ah[edges])) / math.sqrt(12.0)
    spread = math.sqrt(float(np.sum((level - level.mean()) ** 2)))
    return 100.0 * slope, 100.0 * max(scatter, sampling) / spread


def window_capacity(sessions: tuple[ChargingSession, ...]) -> WindowCapacity | None:
    """Compute the capacity all sessions together show; None when no session has a large enough window.

    Parameters
    ----------
    sessions : tuple of ChargingSession
        Sessions of one vehicle.

    Notes
    -----
    Median over sessions. Statistical part: π/2 efficiency of a median, MAD scatter, not below
    `SESSION_SCATTER_FRACTION` until ten sessions speak for themselves, and not below the sessions'
    own quantisation. `SOC_SCALE_UNCERTAINTY_FRACTION` of the capacity is added in quadrature.
    """
    usable = [each for each in sessions if math.isfinite(each.capacity_ah) and each.capacity_ah > 0.0]
    if not usable:
        return None
    capacities = np.array([each.capacity_ah for each in usable])
    capacity = float(np.median(capacities))
    count = capacities.size
    scatter = 1.4826 * float(np.median(np.abs(capacities - capacity))) if count > 1 else math.nan
    expected = SESSION_SCATTER_FRACTION * capacity if count < 10 else 0.0
    quantisation = float(np.sqrt(np.mean([each.capacity_uncertainty_ah**2 for each in usable])))
    one_session = max(quantisation, expected, 0.0 if count == 1 else scatter)
    efficiency = math.sqrt(math.pi / 2.0) if count > 2 else 1.0
    statistical = efficiency * one_session / math.sqrt(count)
    uncertainty = math.hypot(statistical, SOC_SCALE_UNCERTAINTY_FRACTION * capacity)
    return WindowCapacity(capacity, uncertainty, scatter / capacity, count)
