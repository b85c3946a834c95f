"""The capacity all charging sessions of a vehicle show together, and how sure that is.

Estimator: the median of the sessions' capacities, each weighted by its window of reported state of
charge. It says nothing below a total window of `LEAST_TOTAL_SOC_WINDOW_PERCENT`. What it gives is the
charge of a full range of the *reported* state of charge, so it carries that report's error.
"""

import math
from dataclasses import dataclass

import numpy as np

from features.charging import ChargingSession
from features.robust import MEDIAN_EFFICIENCY, weighted_deviation, weighted_median

LEAST_TOTAL_SOC_WINDOW_PERCENT = 40.0
"""A vehicle corrects its state of charge by about 1 % at either end of a charge: 1.4 % of 40 % is 3.5 %, still
less than the systematic share below."""
SESSION_SCATTER_FRACTION = 0.02
"""Scatter between sessions of one car; observed 1 to 1.5 % on 22 sessions. Holds while few sessions are seen."""
SOC_SCALE_UNCERTAINTY_FRACTION = 0.05
"""Systematic share: the error usually allowed for a vehicle's state of charge, 5 %, taken whole as a standard
uncertainty. Within a session the report follows the vehicle's own capacity value; no number of sessions
averages its error out."""
COUNTER_SCATTER_FRACTION = 0.003
"""Sessions that agree closer than this repeat a stored capacity: no measured state of charge is that good."""
_SESSIONS_THAT_SPEAK_FOR_THEMSELVES = 10.0


@dataclass(frozen=True, slots=True)
class WindowCapacity:
    """Capacity from all sessions with a large enough window.

    Attributes
    ----------
    capacity_ah : float
        Weighted median over the sessions. [Ah]
    standard_uncertainty_ah : float
        Scatter, quantisation and the systematic share together. [Ah]
    scatter_fraction : float
        Robust standard deviation of one session over the median; NaN for one session.
    session_count : int
        Sessions used.
    total_window_percent : float
        Sum of their windows of reported state of charge. [%]
    """

    capacity_ah: float
    standard_uncertainty_ah: float
    scatter_fraction: float
    session_count: int
    total_window_percent: float

    @property
    def repeats_a_stored_value(self) -> bool:
        """Whether the sessions agree too well to be more than the vehicle's own capacity value."""
        return self.session_count > 2 and self.scatter_fraction < COUNTER_SCATTER_FRACTION


def usable_sessions(sessions: tuple[ChargingSession, ...]) -> tuple[ChargingSession, ...]:
    """Sessions that show a capacity by themselves."""
    return tuple(each for each in sessions if each.capacity_ah > 0.0)


def window_capacity(sessions: tuple[ChargingSession, ...]) -> WindowCapacity | None:
    r"""Compute the capacity all sessions together show; None where their windows together are too small.

    Parameters
    ----------
    sessions : tuple of ChargingSession
        Sessions of one vehicle.

    Notes
    -----
    Weighted median and weighted median absolute deviation; a window's weight is its width. With
    $n = (\sum w)^2 / \sum w^2$ sessions' worth, the standard error is

    $$ u^2 = \frac{\pi}{2} \frac{\max(s, q, s_0)^2}{n} + (0.05\,C)^2, $$

    s the scatter (MAD × 1.4826), q the sessions' own quantisation, $s_0$ = `SESSION_SCATTER_FRACTION`
    until ten sessions speak for themselves, and the last term `SOC_SCALE_UNCERTAINTY_FRACTION`. The
    efficiency π/2 of a median holds from three sessions on.

    Examples
    --------
    >>> one = ChargingSession(0, 9, 0.0, 7200.0, 50.0, 20.0, 70.0, 100.0, 0.5)
    >>> found = window_capacity((one,))
    >>> found.capacity_ah, round(found.standard_uncertainty_ah, 2)
    (100.0, 5.39)
    """
    usable = usable_sessions(sessions)
    total = sum(each.soc_window_percent for each in usable)
    if total < LEAST_TOTAL_SOC_WINDOW_PERCENT:
        return None
    capacities = np.array([each.capacity_ah for each in usable])
    windows = np.array([each.soc_window_percent for each in usable])
    capacity = weighted_median(capacities, windows)
    scatter = weighted_deviation(capacities, windows) if len(usable) > 1 else math.nan
    worth = total**2 / float(windows @ windows)
    expected = SESSION_SCATTER_FRACTION * capacity if worth < _SESSIONS_THAT_SPEAK_FOR_THEMSELVES else 0.0
    quantisation = math.sqrt(float(np.mean([each.capacity_uncertainty_ah**2 for each in usable])))
    one_session = max(quantisation, expected, 0.0 if len(usable) == 1 else scatter)
    efficiency = MEDIAN_EFFICIENCY if len(usable) > 2 else 1.0
    statistical = efficiency * one_session / math.sqrt(worth)
    uncertainty = math.hypot(statistical, SOC_SCALE_UNCERTAINTY_FRACTION * capacity)
    return WindowCapacity(capacity, uncertainty, scatter / capacity, len(usable), total)
