"""What a string can deliver: as much as its weakest group, whatever its own voltage says.

In series every group carries the same charge. The first group at the lower limit ends the discharge
for all; the others keep what they still hold. Functions here take plain arrays and return values; no
group's charge is told where the weakest group's measured curve does not reach. Current is
positive while charging.
"""

import math
from dataclasses import dataclass

import numpy as np

from features.measurement import FloatArray

VOLTAGE_TOLERANCE_VOLT = 0.010
"""By so much two groups of equal charge may differ: resistance, leads and meters. Our choice."""


@dataclass(frozen=True, slots=True)
class StringLimit:
    """Where a discharge ends for the first group, and what the others had then.

    Attributes
    ----------
    limiting_group : int
        Number of the weakest group, from 1.
    limit_volt : float
        Lower limit of a group, or where the weakest ended above it. [V]
    capacity_ah : float
        Charge delivered until the weakest group was at the limit. [Ah]
    delivered_ah : float
        Charge delivered until the discharge ended. [Ah]
    spread_volt : float
        Highest minus lowest group at the limit. [V]
    held_lower_ah, held_upper_ah : float
        Charge the median of the other groups still held, between these; NaN where the curve of the
        weakest group does not tell. [Ah]
    lowest_volt : float
        Lowest voltage any group was driven to. [V]
    """

    limiting_group: int
    limit_volt: float
    capacity_ah: float
    delivered_ah: float
    spread_volt: float
    held_lower_ah: float
    held_upper_ah: float
    lowest_volt: float


def string_limit(group_volt: FloatArray, delivered_ah: FloatArray, limit_volt: float) -> StringLimit:
    """Find the group that reaches the lower limit first.

    Parameters
    ----------
    group_volt : ndarray, shape (n, groups)
        Voltage of every group over one discharge. [V]
    delivered_ah : ndarray, shape (n,)
        Charge delivered since the discharge began, from 0, not decreasing. [Ah]
    limit_volt : float
        Lower limit of a group. [V]

    Returns
    -------
    StringLimit
        If no group reaches the limit, the lowest at the end is the weakest and everything was delivered.

    Raises
    ------
    ValueError
        If the arrays do not fit or hold fewer than two samples.

    Notes
    -----
    The charge another group still held is read from the weakest group's own discharge: what that
    delivered between the other's voltage, give or take `VOLTAGE_TOLERANCE_VOLT`, and the limit. It
    supposes equal cells, and is exact where they differ in state of charge only. On a flat curve the two
    bounds lie far apart; above the first voltage of the weakest group there is no bound.

    Examples
    --------
    >>> volt = np.array([[3.6, 3.6, 3.6], [3.3, 3.45, 3.45], [3.0, 3.3, 3.3], [2.7, 3.15, 3.15]])
    >>> found = string_limit(volt, np.array([0.0, 1.0, 2.0, 3.0]), 3.0)
    >>> found.limiting_group, found.capacity_ah, found.delivered_ah, round(found.held_upper_ah, 2)
    (1, 2.0, 3.0, 1.03)
    """
    if group_volt.ndim != 2 or len(group_volt) != len(delivered_ah) or len(delivered_ah) < 2:
        shapes = f"{group_volt.shape} and {delivered_ah.shape}"
        raise ValueError(f"group voltages and charge need the same length of 2 or more, got {shapes}")
    reached = [_first_charge_ah(volt, delivered_ah, limit_volt) for volt in group_volt.T]
    ended = all(map(math.isnan, reached))
    weakest = int(np.argmin(group_volt[-1])) if ended else int(np.nanargmin(reached))
    capacity = float(delivered_ah[-1]) if ended else reached[weakest]
    at_limit = np.array([float(np.interp(capacity, delivered_ah, volt)) for volt in group_volt.T])
    others = np.delete(at_limit, weakest)
    lower, upper = _held_ah(group_volt[:, weakest], delivered_ah, capacity, others)
    return StringLimit(
        limiting_group=weakest + 1,
        limit_volt=float(group_volt[-1, weakest]) if ended else limit_volt,
        capacity_ah=capacity,
        delivered_ah=float(delivered_ah[-1]),
        spread_volt=float(np.ptp(at_limit)),
        held_lower_ah=lower,
        held_upper_ah=upper,
        lowest_volt=float(group_volt.min()),
    )


def _held_ah(weakest: FloatArray, delivered: FloatArray, capacity: float, others: FloatArray) -> tuple[float, float]:
    if not others.size:
        return math.nan, math.nan
    middle = float(np.median(others))
    later = _first_charge_ah(weakest, delivered, middle - VOLTAGE_TOLERANCE_VOLT)
    sooner = _first_charge_ah(weakest, delivered, middle + VOLTAGE_TOLERANCE_VOLT)
    within = middle - VOLTAGE_TOLERANCE_VOLT <= float(weakest[0])
    lower = (0.0 if math.isnan(later) else max(capacity - later, 0.0)) if within else math.nan
    upper = capacity - sooner if middle + VOLTAGE_TOLERANCE_VOLT <= float(weakest[0]) else math.nan
    return lower, upper


def _first_charge_ah(volt: FloatArray, delivered: FloatArray, level: float) -> float:
    """Charge at which a voltage is first at or below a level, between two samples by a straight line; NaN if never."""
    below = np.flatnonzero(volt <= level)
    if not below.size:
        return math.nan
    row = int(below[0])
    if row == 0:
        return float(delivered[0])
    share = (volt[row - 1] - level) / (volt[row - 1] - volt[row])
    return float(delivered[row - 1] + share * (delivered[row] - delivered[row - 1]))
