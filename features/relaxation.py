"""How the voltage of a cell falls back when a charge ends.

The drop in the first minutes is polarisation that grows with age; it needs no known state of charge,
but it depends on where the charge stopped, so it stands beside the curve and not in its place.
Current is positive while charging.
"""

import math

import numpy as np

from features.measurement import FloatArray
from features.sampled import REST_C_RATE

DROP_SECONDS = (60.0, 300.0, 600.0, 1800.0)
"""Times after the first resting sample at which the drop is read. [s]"""

LONGEST_WAIT_SECOND = 15.0
"""The first resting sample must follow the last charging one this soon, or the fastest part is lost."""


def relaxation_after_charge(
    test_time_second: FloatArray, cell_volt: FloatArray, current_ampere: FloatArray, rated_capacity_ah: float
) -> tuple[float, ...]:
    """Voltage of the first rested sample after the last charge, and its drops.

    Parameters
    ----------
    test_time_second, cell_volt, current_ampere : ndarray, shape (n,)
        Record, voltage per cell. [s], [V], [A]
    rated_capacity_ah : float
        Sets what counts as rest. [Ah]

    Returns
    -------
    tuple of float
        First resting voltage, then the drop after each of `DROP_SECONDS`; NaN where the rest is
        shorter, begins unseen or no charge precedes. [V]

    Examples
    --------
    >>> time = np.array([0.0, 10.0, 20.0, 80.0, 320.0])
    >>> volt = np.array([4.15, 4.2, 4.19, 4.18, 4.17])
    >>> found = relaxation_after_charge(time, volt, np.array([5.0, 5.0, 0.0, 0.0, 0.0]), 10.0)
    >>> [round(each, 3) for each in found]
    [4.19, 0.01, 0.02, nan, nan]
    """
    nothing = (math.nan,) * (1 + len(DROP_SECONDS))
    resting = np.abs(current_ampere) <= REST_C_RATE * rated_capacity_ah
    charging = current_ampere > REST_C_RATE * rated_capacity_ah
    begins = np.flatnonzero(resting[1:] & charging[:-1]) + 1
    if not begins.size or test_time_second[begins[-1]] - test_time_second[begins[-1] - 1] > LONGEST_WAIT_SECOND:
        return nothing
    first = int(begins[-1])
    disturbed = np.flatnonzero(~resting[first:])
    rest = slice(first, first + int(disturbed[0]) if disturbed.size else resting.size)
    since = test_time_second[rest] - test_time_second[first]
    asked = np.array(DROP_SECONDS)
    drop = cell_volt[first] - np.interp(asked, since, cell_volt[rest])
    return float(cell_volt[first]), *(float(each) for each in np.where(asked <= since[-1], drop, np.nan))
