"""Medians, and what is built from them: the statistics of records that hold single odd values.

Plain arrays in, numbers out. A median is asked for thousands of times per battery, so it is read here
from a plain sort: numpy sorts a few thousand numbers several times faster than it partitions them.
"""

import math
from functools import lru_cache

import numpy as np

from features.charge_count import IntArray
from features.measurement import FloatArray

MEDIAN_EFFICIENCY = math.sqrt(math.pi / 2.0)
"""Standard error of a median over that of a mean, of normal scatter."""
_MAD_TO_DEVIATION = 1.4826


def median(values: FloatArray) -> float:
    """Compute the middle of at least one number, none of them NaN.

    Examples
    --------
    >>> median(np.array([3.0, 1.0, 2.0])), median(np.array([1.0, 4.0]))
    (2.0, 2.5)
    """
    in_order, half = np.sort(values), values.size // 2
    return 0.5 * float(in_order[-1 - half] + in_order[half])


def medians(values: FloatArray) -> FloatArray:
    """Compute the middle of the numbers in every row; NaN is left out, a row without numbers has none.

    Parameters
    ----------
    values : ndarray, shape (rows, n)
        May hold NaN.

    Returns
    -------
    ndarray, shape (rows,)

    Examples
    --------
    >>> medians(np.array([[3.0, np.nan, 1.0], [np.nan, np.nan, np.nan]])).tolist()
    [2.0, nan]
    """
    in_order = np.sort(values, axis=1)  # NaN goes last
    count = np.isfinite(in_order).sum(axis=1)
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    rows = np.arange(len(values))
    middle: FloatArray = 0.5 * (
        in_order[rows, np.maximum(count - 1, 0) // 2] + in_order[rows, count // 2 * (count > 0)]
    )
    return middle


def deviation(values: FloatArray) -> float:
    """Standard deviation as the median absolute deviation tells it.

    Examples
    --------
    >>> deviation(np.array([1.0, 2.0, 3.0, 100.0]))
    1.4826
    """
    return _MAD_TO_DEVIATION * median(np.abs(values - median(values)))


def weighted_median(values: FloatArray, weights: FloatArray) -> float:
    """Compute the value below and above which half of the weight lies.

    Examples
    --------
    >>> weighted_median(np.array([1.0, 2.0, 9.0]), np.array([1.0, 1.0, 1.0]))
    2.0
    >>> weighted_median(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    1.5
    """
    order = np.argsort(values, kind="stable")
    sorted_values, below = values[order], np.cumsum(weights[order])
    half = 0.5 * float(below[-1])
    at = int(np.searchsorted(below, half * (1.0 - 1e-12)))
    between = at + 1 < values.size and math.isclose(float(below[at]), half)
    return float(0.5 * (sorted_values[at] + sorted_values[at + 1]) if between else sorted_values[at])


def weighted_deviation(values: FloatArray, weights: FloatArray) -> float:
    """Standard deviation as the weighted median absolute deviation tells it."""
    return _MAD_TO_DEVIATION * weighted_median(np.abs(values - weighted_median(values, weights)), weights)


def median_slope(abscissa: FloatArray, ordinate: FloatArray) -> float:
    """Slope that is the median of all pairwise slopes (Theil 1950, Sen 1968); NaN where nothing rises.

    Parameters
    ----------
    abscissa, ordinate : ndarray, shape (n,)
        Abscissa not decreasing.

    Examples
    --------
    >>> median_slope(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 2.0, 99.0, 6.0]))
    2.0
    """
    first, second = _pairs(abscissa.size)
    run = abscissa[second] - abscissa[first]
    rising = run > 0.0
    slopes = (ordinate[second] - ordinate[first])[rising] / run[rising]
    return median(slopes) if slopes.size else math.nan


@lru_cache(maxsize=256)
def _pairs(count: int) -> tuple[IntArray, IntArray]:
    first, second = np.triu_indices(count, k=1)
    return first, second
