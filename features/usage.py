"""How a battery was used: cycles and their depth, temperature exposure, fast charging, age.

Everything here takes plain arrays and returns values. A record shows the time it covers, never the
life before it. Cycles are counted on the reported state of charge, which remembers charges that were
driven or charged while nothing was recorded; charge is counted where the record speaks.
"""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import rainflow

from features.charging import ChargingSession
from features.measurement import FloatArray

DEPTH_EDGES_PERCENT = (2.0, 20.0, 40.0, 60.0, 80.0)
"""Lower edges of the depth histogram; a cycle below 2 % is the resolution of the report, not a cycle."""
FAST_C_RATE = 0.4
"""A household or street charger (up to 11 kW on 50 kWh, 0.22 C) stays below, a direct-current charger above. [1/h]"""
HOT_CELSIUS, COLD_CELSIUS = 40.0, 0.0
"""Ageing at rest doubles every 10 to 15 K; below 0 °C charging plates lithium."""
_SECOND_PER_YEAR = 365.25 * 86_400.0


@dataclass(frozen=True, slots=True)
class CycleDepths:
    """Cycles of a record by depth.

    Attributes
    ----------
    equivalent_full_cycles : float
        Depths of all cycles, added up.
    mean_depth_fraction : float
        Depth of the cycles, each weighted by its own depth; NaN without cycles.
    counts : tuple of float
        Cycles per bin of `DEPTH_EDGES_PERCENT`.
    """

    equivalent_full_cycles: float
    mean_depth_fraction: float
    counts: tuple[float, ...]


def cycle_depths(reported_soc_percent: FloatArray) -> CycleDepths:
    """Count cycles by depth.

    Parameters
    ----------
    reported_soc_percent : ndarray, shape (n,)
        State of charge in order of time; NaN is left out. [%]

    Notes
    -----
    Rainflow counting (ASTM E1049-85, 5.4.4; package ``rainflow``) on the turning points of the whole
    percents: a half cycle counts 0.5. Turning points are found here, so that the counting, which is
    slow, sees a few per cycle and not every row.

    Examples
    --------
    >>> found = cycle_depths(np.array([90.0, 40.0, 90.0, 40.0, 90.0]))
    >>> found.equivalent_full_cycles, found.counts
    (1.0, (0.0, 0.0, 2.0, 0.0, 0.0))
    """
    cycles = list(rainflow.extract_cycles(_turning_points(reported_soc_percent).tolist()))
    depth = np.array([each[0] for each in cycles])
    count = np.array([each[2] for each in cycles])
    deep = depth >= DEPTH_EDGES_PERCENT[0]
    depth, count = depth[deep], count[deep]
    total = float(depth @ count)
    if total == 0.0:
        return CycleDepths(0.0, math.nan, (0.0,) * len(DEPTH_EDGES_PERCENT))
    bins = np.searchsorted(DEPTH_EDGES_PERCENT, depth, side="right") - 1
    counts = np.bincount(bins, weights=count, minlength=len(DEPTH_EDGES_PERCENT))
    return CycleDepths(total / 100.0, float(depth**2 @ count) / total / 100.0, tuple(counts.tolist()))


def _turning_points(soc_percent: FloatArray) -> FloatArray:
    """Whole percents at which the direction changes, first and last included."""
    whole = np.floor(soc_percent)
    moved = np.flatnonzero(whole[1:] != whole[:-1])
    levels = np.r_[whole[moved], whole[-1:]]
    levels = levels[np.isfinite(levels)]
    levels = levels[np.r_[True, np.diff(levels) != 0.0]] if levels.size else levels
    step = np.sign(np.diff(levels))
    turning = np.r_[True, step[1:] != step[:-1], True][: levels.size]
    points: FloatArray = levels[turning]
    return points


@dataclass(frozen=True, slots=True)
class TemperatureExposure:
    """Temperatures a battery was seen at; NaN where none was reported.

    Attributes
    ----------
    mean_celsius : float
        Mean of the hottest probe over the record. [°C]
    hot_fraction, cold_fraction : float
        Share of the rows with the hottest probe above `HOT_CELSIUS`, the coldest below `COLD_CELSIUS`.
    """

    mean_celsius: float
    hot_fraction: float
    cold_fraction: float


def temperature_exposure(hottest_celsius: FloatArray, coldest_celsius: FloatArray) -> TemperatureExposure:
    """Summarise the temperatures of a record.

    Parameters
    ----------
    hottest_celsius, coldest_celsius : ndarray, shape (n,)
        Hottest and coldest probe, evenly picked rows, NaN where invalid. [°C]

    Examples
    --------
    >>> temperature_exposure(np.array([20.0, 45.0]), np.array([-5.0, 40.0]))
    TemperatureExposure(mean_celsius=32.5, hot_fraction=0.5, cold_fraction=0.5)
    """
    hottest, coldest = hottest_celsius[np.isfinite(hottest_celsius)], coldest_celsius[np.isfinite(coldest_celsius)]
    if not hottest.size or not coldest.size:
        return TemperatureExposure(math.nan, math.nan, math.nan)
    return TemperatureExposure(
        float(hottest.mean()), float((hottest > HOT_CELSIUS).mean()), float((coldest < COLD_CELSIUS).mean())
    )


def fast_charge_fraction(sessions: tuple[ChargingSession, ...], rated_capacity_ah: float) -> float:
    """Share of the charge put in at `FAST_C_RATE` or more; NaN without a session.

    Parameters
    ----------
    sessions : tuple of ChargingSession
        Sessions of one vehicle.
    rated_capacity_ah : float
        Plate capacity. [Ah]
    """
    total = sum(each.charge_moved_ah for each in sessions)
    fast_ampere = FAST_C_RATE * rated_capacity_ah
    fast = sum(each.charge_moved_ah for each in sessions if each.mean_current_ampere >= fast_ampere)
    return fast / total if total > 0.0 else math.nan


def calendar_age_year(manufactured_on: date | None, last_moment_second: float) -> float:
    """Years from manufacture to the end of the record; NaN where the date is not declared.

    Parameters
    ----------
    manufactured_on : date or None
        Date on the plate.
    last_moment_second : float
        Unix time of the last row. [s]

    Examples
    --------
    >>> round(calendar_age_year(date(2020, 1, 1), datetime(2024, 1, 1, tzinfo=UTC).timestamp()), 3)
    4.0
    """
    if manufactured_on is None:
        return math.nan
    made = datetime(manufactured_on.year, manufactured_on.month, manufactured_on.day, tzinfo=UTC)
    return (last_moment_second - made.timestamp()) / _SECOND_PER_YEAR
