"""How hard a battery type is: a quantile of its relative errors, shrunk towards all types.

Relative errors are absolute errors over the difficulty of their case. The scale that judges a
battery is made by the other batteries; a scale that a battery's own error helped to make would
promise too narrow an interval.
"""

import numpy as np
import numpy.typing as npt

from features.measurement import FloatArray

_SMALLEST = 1e-6

TypeKeys = npt.NDArray[np.object_]


def quantile_without_each(values: FloatArray, level: float) -> FloatArray:
    """Quantile (linear) of all values but one, for each value left out.

    Parameters
    ----------
    values : ndarray, shape (n,)
        At least two.
    level : float
        In (0, 1).

    Returns
    -------
    ndarray, shape (n,)

    Examples
    --------
    >>> quantile_without_each(np.array([1.0, 2.0, 4.0]), 0.5).tolist()
    [3.0, 2.5, 1.5]
    """
    ordered, place = np.sort(values), np.argsort(np.argsort(values, kind="stable"), kind="stable")
    position = level * (len(values) - 2)
    low = int(position)
    high = min(low + 1, len(values) - 2)
    at_low, at_high = ordered[low + (place <= low)], ordered[high + (place <= high)]
    quantile: FloatArray = at_low + (position - low) * (at_high - at_low)
    return quantile


def scale_of_types(errors: FloatArray, type_keys: TypeKeys, level: float, pooling: float) -> dict[str, float]:
    """Scale of every visited type.

    Parameters
    ----------
    errors : ndarray, shape (n,)
        Relative errors, one per visited battery.
    type_keys : ndarray of str, shape (n,)
        Their types.
    level : float
        Quantile that is the scale.
    pooling : float
        Batteries' worth of all types mixed in.

    Notes
    -----
    ``log scale = (n·log Q(own) + pooling·log Q(all)) / (n + pooling)``, *n* batteries of the type.
    """
    of_all = np.array(_quantile(errors, level))
    own = {key: errors[type_keys == key] for key in np.unique(type_keys.astype(str)).tolist()}
    return {
        key: float(_shrunk(np.array(_quantile(each, level)), of_all, len(each), pooling)) for key, each in own.items()
    }


def scale_without_own(errors: FloatArray, type_keys: TypeKeys, level: float, pooling: float) -> FloatArray:
    """Scale for every battery as `scale_of_types` of all the others; shape (n,), arguments as there."""
    of_all = np.maximum(quantile_without_each(errors, level), _SMALLEST)
    scale = of_all.copy()
    for key in np.unique(type_keys.astype(str)).tolist():
        rows = np.flatnonzero(type_keys == key)
        if len(rows) > 1:
            own = np.maximum(quantile_without_each(errors[rows], level), _SMALLEST)
            scale[rows] = _shrunk(own, of_all[rows], len(rows) - 1, pooling)
    return scale


def scale_from_grid(
    errors: FloatArray, type_keys: TypeKeys, grid_errors: FloatArray, grid_type_keys: TypeKeys, level: float
) -> dict[str, float]:
    """Scale of every type that has grid rows and was never visited.

    Notes
    -----
    ``Q(grid) · max(1, ρ)``, ρ the geometric mean over visited types of their scale on visits over
    that on grid rows: a visit is rarely easier than the grid. Not shrunk towards other types; that
    covered less (79 % instead of 90 %) when cells of such a type were held out.
    """
    on_visits = {key: _quantile(errors[type_keys == key], level) for key in set(type_keys.tolist())}
    on_grid = {key: _quantile(grid_errors[grid_type_keys == key], level) for key in set(grid_type_keys.tolist())}
    both = sorted(set(on_visits) & set(on_grid))
    ratio = np.exp(np.mean([np.log(on_visits[key] / on_grid[key]) for key in both])) if both else 1.0
    return {key: on_grid[key] * max(1.0, float(ratio)) for key in sorted(set(on_grid) - set(on_visits))}


def _quantile(errors: FloatArray, level: float) -> float:
    return max(float(np.quantile(errors, level)), _SMALLEST)


def _shrunk(own: FloatArray, of_all: FloatArray, count: int, pooling: float) -> FloatArray:
    mixed: FloatArray = np.exp((count * np.log(own) + pooling * np.log(of_all)) / (count + pooling))
    return mixed
