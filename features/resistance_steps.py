"""Resistance of a pack from the steps of its current while it is used.

Everything here takes plain arrays and returns values. A vehicle samples voltage and current at
slightly different moments, so only steps between two steady stretches count, and of those the median.
The value belongs to the seconds it was taken over: 4 s and 20 s after a step show different resistance.
"""

import math
from dataclasses import dataclass

import numpy as np

from features.charge_count import ChargeCount, IntArray
from features.measurement import FloatArray
from features.robust import MEDIAN_EFFICIENCY, deviation, median

LEAST_STEP_C_RATE = 0.2
"""24 A for 120 Ah: 100 mΩ of pack give 2.4 V, twenty times the resolution of the pack voltage."""
STEADY_C_RATE = 0.05
LONGEST_STEP_SECOND = 60.0
"""Over a longer time the open-circuit voltage moves too."""
FEWEST_STEPS = 10


@dataclass(frozen=True, slots=True)
class StepResistance:
    """Resistance from current steps; NaN where fewer than `FEWEST_STEPS` were seen or it is not positive.

    Attributes
    ----------
    resistance_ohm : float
        Median of voltage step over current step, whole pack. [Ω]
    uncertainty_ohm : float
        Standard error of that median. [Ω]
    after_second : float
        Median time from the last row before a step to the row that is compared. [s]
    rows : ndarray of int, shape (steps,)
        Rows of the counted record before each step.
    """

    resistance_ohm: float
    uncertainty_ohm: float
    after_second: float
    rows: IntArray


def step_resistance(counted: ChargeCount, pack_voltage_volt: FloatArray, rated_capacity_ah: float) -> StepResistance:
    """Resistance of the pack.

    Parameters
    ----------
    counted : ChargeCount
        The record, n rows.
    pack_voltage_volt : ndarray, shape (n,)
        Pack voltage, NaN where invalid. [V]
    rated_capacity_ah : float
        Plate capacity. [Ah]

    Notes
    -----
    A step lies between rows i and i+1 where the current changes by `LEAST_STEP_C_RATE` or more, while it
    stays within `STEADY_C_RATE` from i-1 to i and from i+1 to i+2. Compared are rows i and i+2, so that a
    voltage sampled a moment before its current does no harm. $R = (V_{i+2}-V_i)/(I_{i+2}-I_i)$.

    Examples
    --------
    >>> from features.charge_count import charge_count
    >>> current = np.tile(np.repeat([0.0, -50.0], 4), 8)
    >>> counted = charge_count(np.arange(64.0), current, 100.0)
    >>> round(step_resistance(counted, 360.0 + 0.1 * current, 100.0).resistance_ohm, 6)
    0.1
    """
    current, moment = counted.current_ampere, counted.unix_time_second
    change = np.diff(current)
    steps = np.flatnonzero(np.abs(change) >= LEAST_STEP_C_RATE * rated_capacity_ah)
    steps = steps[(steps >= 1) & (steps + 2 < current.size)]
    steady = STEADY_C_RATE * rated_capacity_ah
    calm = (np.abs(change[steps - 1]) <= steady) & (np.abs(change[steps + 1]) <= steady)
    calm &= moment[steps + 2] - moment[steps] <= LONGEST_STEP_SECOND
    steps = steps[calm]
    ohm = (pack_voltage_volt[steps + 2] - pack_voltage_volt[steps]) / (current[steps + 2] - current[steps])
    known = np.isfinite(ohm)
    steps, ohm = steps[known], ohm[known]
    if ohm.size < FEWEST_STEPS or median(ohm) <= 0.0:
        return StepResistance(math.nan, math.nan, math.nan, steps)
    error = MEDIAN_EFFICIENCY * deviation(ohm) / math.sqrt(ohm.size)
    return StepResistance(median(ohm), error, median(moment[steps + 2] - moment[steps]), steps)
