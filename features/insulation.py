"""Insulation resistance of a pack over its record: the level that counts and where it goes.

Everything here takes plain arrays and returns values. The low end is a percentile, because a vehicle
reports single odd values; the trend is the median of all slopes between monthly parts.
"""

import math
from dataclasses import dataclass

import numpy as np

from features.measurement import FloatArray
from features.robust import median, median_slope

LOW_PERCENTILE = 1.0
"""One odd sample decides nothing; one in a hundred does."""
LEAST_VOLT = 60.0
"""Below the limit of high voltage a quotient in Ω/V says nothing (ISO 6469-3, voltage class B begins at 60 V DC)."""
SHORTEST_TREND_SECOND = 20.0 * 86_400.0
MONTH_SECOND = 30.4375 * 86_400.0
_MOST_ROWS = 20_000
_PART_COUNT = 12
_FEWEST_PARTS = 5
_FEWEST_ROWS = 20


@dataclass(frozen=True, slots=True)
class InsulationRecord:
    """Insulation of a pack; NaN where the record cannot tell.

    Attributes
    ----------
    low_ohm_per_volt : float
        First percentile. [Ω/V]
    change_fraction_per_month : float
        Slope over the median level; negative = falling. [1/month]
    change_fraction : float
        That slope over the whole record. [1]
    """

    low_ohm_per_volt: float = math.nan
    change_fraction_per_month: float = math.nan
    change_fraction: float = math.nan


def insulation_record(
    unix_time_second: FloatArray, insulation_kiloohm: FloatArray, pack_voltage_volt: FloatArray
) -> InsulationRecord:
    """Summarise the insulation a vehicle reported.

    Parameters
    ----------
    unix_time_second : ndarray, shape (n,)
        Strictly increasing. [s]
    insulation_kiloohm : ndarray, shape (n,)
        Reported insulation resistance, NaN where invalid. [kΩ]
    pack_voltage_volt : ndarray, shape (n,)
        Pack voltage. [V]

    Examples
    --------
    >>> month = np.linspace(0.0, 3.0 * MONTH_SECOND, 400)
    >>> found = insulation_record(month, np.linspace(1000.0, 400.0, 400), np.full(400, 350.0))
    >>> round(found.change_fraction_per_month, 2), round(found.low_ohm_per_volt)
    (-0.29, 1160)
    """
    known = np.flatnonzero((pack_voltage_volt >= LEAST_VOLT) & np.isfinite(insulation_kiloohm))
    known = known[:: max(1, -(-known.size // _MOST_ROWS))]
    if not known.size:
        return InsulationRecord()
    per_volt = 1000.0 * insulation_kiloohm[known] / pack_voltage_volt[known]
    low = float(np.percentile(per_volt, LOW_PERCENTILE))
    moment = unix_time_second[known]
    length = float(moment[-1] - moment[0])
    level = median(per_volt)
    if length < SHORTEST_TREND_SECOND or level <= 0.0:
        return InsulationRecord(low)
    slope = _slope(moment, per_volt, length) / level
    return InsulationRecord(low, slope * MONTH_SECOND, slope * length)


def _slope(moment: FloatArray, per_volt: FloatArray, length: float) -> float:
    """Median of the slopes between the medians of twelve equal parts of the record (Theil 1950, Sen 1968)."""
    edges = moment[0] + length * np.arange(1, _PART_COUNT) / _PART_COUNT
    parts = [
        rows for rows in np.split(np.arange(moment.size), np.searchsorted(moment, edges)) if rows.size >= _FEWEST_ROWS
    ]
    if len(parts) < _FEWEST_PARTS:
        return math.nan
    middles = np.array([float(moment[rows].mean()) for rows in parts])
    levels = np.array([median(per_volt[rows]) for rows in parts])
    return median_slope(middles, levels)
