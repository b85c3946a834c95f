"""Columns of a feature matrix by name.

Where a name stands is looked up once per set of features; a battery at a time asks the same question
thousands of times. Rows come back contiguous, so that one row and many are computed by the same loops.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from features.measurement import FloatArray


def columns_of(matrix: FloatArray, wanted: Sequence[str], names: Sequence[str]) -> FloatArray:
    """Columns of a matrix in the order asked for.

    Parameters
    ----------
    matrix : ndarray, shape (n, len(names))
        Feature rows.
    wanted : sequence of str
        Columns asked for, any of them twice.
    names : sequence of str
        Names of the columns of `matrix`.

    Returns
    -------
    ndarray, shape (n, len(wanted))
        A contiguous copy.

    Raises
    ------
    KeyError
        If the matrix has no column of a name.

    Examples
    --------
    >>> columns_of(np.array([[1.0, 2.0, 3.0]]), ("c", "a"), ("a", "b", "c")).tolist()
    [[3.0, 1.0]]
    """
    taken: FloatArray = np.take(matrix, _positions(tuple(wanted), tuple(names)), axis=1)
    return taken


@lru_cache(maxsize=256)
def _positions(wanted: tuple[str, ...], names: tuple[str, ...]) -> npt.NDArray[np.intp]:
    position = {name: index for index, name in enumerate(names)}
    positions = np.array([position[name] for name in wanted], dtype=np.intp)
    positions.flags.writeable = False
    return positions
