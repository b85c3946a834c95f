"""Capacity from the charge moved between two rests, after which the vehicle has set its state of charge anew.

While a vehicle charges, its state of charge is a count against the capacity it believes in, so a session
repeats that belief. After a rest most vehicles set it by the voltage: between two such readings the belief
does not enter. A curve of open-circuit voltage of our own is not used: within one family of
chemistry such curves differ so much that the capacity was off by a quarter on packs of known capacity.
"""

import math
from dataclasses import dataclass

import numpy as np

from features.charge_count import BoolArray, ChargeCount, IntArray
from features.measurement import FloatArray
from features.robust import MEDIAN_EFFICIENCY, weighted_deviation, weighted_median
from features.sampled import REST_C_RATE
from features.session_capacity import SOC_SCALE_UNCERTAINTY_FRACTION

SHORTEST_REST_SECOND = 1800.0
"""After half an hour a cell lies within a few millivolts of its open-circuit voltage at room temperature."""
HIDDEN_SOC_PERCENT = 1.5
"""More than one step of reported state of charge across a silence: charge moved unseen."""
LEAST_WINDOW_PERCENT = 20.0
READING_PERCENT = 1.0
"""Standard uncertainty of one reading after a rest, quantisation included."""
FEWEST_PAIRS = 3
SLOWEST_SAMPLING_SECOND = 30.0
"""A drive sampled once a minute moves charge between its rows: on one car 7 % of it, at five minutes 28 %."""
_MOST_APART = 4


@dataclass(frozen=True, slots=True)
class RestCapacity:
    """Capacity between rests; NaN with fewer than `FEWEST_PAIRS` pairs of them or slow sampling.

    Attributes
    ----------
    capacity_ah, standard_uncertainty_ah : float
        Weighted median over the pairs and its standard uncertainty. [Ah]
    pair_count : int
        Pairs of rests used.
    """

    capacity_ah: float = math.nan
    standard_uncertainty_ah: float = math.nan
    pair_count: int = 0


def rest_capacity(counted: ChargeCount, reported_soc_percent: FloatArray, rated_capacity_ah: float) -> RestCapacity:
    r"""Capacity from pairs of rests.

    Parameters
    ----------
    counted : ChargeCount
        The record, n rows, with its charge.
    reported_soc_percent : ndarray, shape (n,)
        NaN where not reported. [%]
    rated_capacity_ah : float
        Plate capacity. [Ah]

    Notes
    -----
    $C = 100\,\Delta Q / \Delta s$ for rests up to four apart, $s$ read in the row after the rest. Median weighted
    by $|\Delta s|$; the readings' own error and the scatter average out over pairs that share no rest, the
    systematic share of `session_capacity` does not.
    """
    rests = rested_rows(counted, rated_capacity_ah)
    if rests.size < 2 or counted.usual_interval_second > SLOWEST_SAMPLING_SECOND:
        return RestCapacity()
    after = np.minimum(rests + 1, counted.current_ampere.size - 1)
    hidden = np.cumsum(np.r_[False, _hides_charge(counted, reported_soc_percent, rated_capacity_ah)])[rests]
    first, second = (np.concatenate(part) for part in zip(*_pairs(rests.size), strict=True))
    window = reported_soc_percent[after[second]] - reported_soc_percent[after[first]]
    moved = counted.charge_ah[rests[second]] - counted.charge_ah[rests[first]]
    sure = (hidden[first] == hidden[second]) & (np.abs(window) >= LEAST_WINDOW_PERCENT) & (moved * window > 0.0)
    if np.count_nonzero(sure) < FEWEST_PAIRS:
        return RestCapacity()
    return _combined(100.0 * moved[sure] / window[sure], np.abs(window[sure]))


def _combined(capacities: FloatArray, windows: FloatArray) -> RestCapacity:
    capacity = weighted_median(capacities, windows)
    reading = capacity * math.sqrt(2.0) * READING_PERCENT / float(windows.mean())
    one_pair = max(weighted_deviation(capacities, windows), reading)
    independent = max(1.0, capacities.size / _MOST_APART)
    statistical = MEDIAN_EFFICIENCY * one_pair / math.sqrt(independent)
    uncertainty = math.hypot(statistical, SOC_SCALE_UNCERTAINTY_FRACTION * capacity)
    return RestCapacity(capacity, uncertainty, int(capacities.size))


def _pairs(count: int) -> list[tuple[IntArray, IntArray]]:
    apart = range(1, min(_MOST_APART, count - 1) + 1)
    return [(np.arange(count - step), np.arange(step, count)) for step in apart]


def rested_rows(counted: ChargeCount, rated_capacity_ah: float) -> IntArray:
    """Last row of every rest of at least `SHORTEST_REST_SECOND`, silences within it included.

    Parameters
    ----------
    counted : ChargeCount
        The record.
    rated_capacity_ah : float
        A current below `REST_C_RATE` is rest. [Ah]

    Examples
    --------
    >>> from features.charge_count import charge_count
    >>> time = np.array([0.0, 10.0, 20.0, 3600.0, 3610.0, 3620.0])
    >>> rested_rows(charge_count(time, np.array([-50.0, -50.0, 0.0, 0.0, -50.0, 0.0]), 100.0), 100.0).tolist()
    [3]
    """
    active = np.flatnonzero(np.abs(counted.current_ampere) > REST_C_RATE * rated_capacity_ah)
    before, after = np.r_[0, active], np.r_[active, counted.current_ampere.size]
    last = after - 1
    moment = counted.unix_time_second
    rested = (last > before) & (moment[last] - moment[before] >= SHORTEST_REST_SECOND)
    rows: IntArray = last[rested]
    return rows


def _hides_charge(counted: ChargeCount, soc_percent: FloatArray, rated_capacity_ah: float) -> BoolArray:
    """Intervals across which charge may have moved unseen."""
    silent = np.flatnonzero(counted.interval_second > counted.longest_silence_second)
    at_rest = REST_C_RATE * rated_capacity_ah
    calm = np.abs(counted.current_ampere[silent]) <= at_rest
    calm &= np.abs(counted.current_ampere[silent + 1]) <= at_rest
    calm &= np.abs(soc_percent[silent + 1] - soc_percent[silent]) <= HIDDEN_SOC_PERCENT
    hides = np.zeros(counted.interval_second.size, dtype=np.bool_)
    hides[silent[~calm]] = True
    return hides
