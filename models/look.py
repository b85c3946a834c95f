"""Does a measurement look like its declared type? A Gaussian mixture per type, as plain arrays.

A train is unlike its type when it is far from every component, or when another known type explains
it clearly better once its resistances are read with that type's rated capacity. No training row
is kept: means and precisions of a few components only.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from features.measurement import FloatArray
from models.columns import columns_of

BoolArray = npt.NDArray[np.bool_]

_RESIDUAL_SCALE_OHM_AH = 0.002
_SMALLEST = 1e-3


@dataclass(frozen=True)
class TypeLook:
    """What measurements of one type look like.

    Attributes
    ----------
    rated_capacity_ah : float
        Rated capacity of the type. [Ah]
    centre, spread : ndarray, shape (k,)
        Standardisation of the transformed features.
    means : ndarray, shape (c, k)
        Component means.
    precisions : ndarray, shape (c, k, k)
        Component precision matrices.
    log_weights : ndarray, shape (c,)
        Logarithms of the component weights.
    limit : ndarray, shape (c,)
        Squared distance that held-out batteries stay within, per component: where a type varies more, more passes.
    """

    rated_capacity_ah: float
    centre: FloatArray
    spread: FloatArray
    means: FloatArray
    precisions: FloatArray
    log_weights: FloatArray
    limit: FloatArray

    def distance(self, looks: FloatArray) -> FloatArray:
        """Squared distance over the limit of the nearest component, shape (n,); above 1 is unlike."""
        squared = _squared_distance(looks, self.centre, self.spread, self.means, self.precisions)
        nearest: FloatArray = (squared / self.limit).min(axis=-1)
        return nearest

    def array_bytes(self) -> bytes:
        """The arrays as an ``.npz`` without objects."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            rated_capacity_ah=np.array(self.rated_capacity_ah),
            centre=self.centre,
            spread=self.spread,
            means=self.means,
            precisions=self.precisions,
            log_weights=self.log_weights,
            limit=self.limit,
        )
        return buffer.getvalue()


def type_look(arrays: bytes) -> TypeLook:
    """Look from the bytes `TypeLook.array_bytes` wrote."""
    with np.load(io.BytesIO(arrays), allow_pickle=False) as stored:
        held = {name: np.array(stored[name], dtype=np.float64) for name in stored.files}
    return TypeLook(
        rated_capacity_ah=float(held["rated_capacity_ah"]),
        centre=held["centre"],
        spread=held["spread"],
        means=held["means"],
        precisions=held["precisions"],
        log_weights=held["log_weights"],
        limit=np.broadcast_to(held["limit"], held["log_weights"].shape),
    )


@dataclass(frozen=True)
class _Mixtures:
    """The mixtures of several types side by side, filled up to the largest number of components.

    Attributes
    ----------
    key : tuple of str
        Type keys, t of them.
    rated_capacity_ah : ndarray, shape (t,)
        [Ah]
    centre, spread : ndarray, shape (t, k)
    means : ndarray, shape (t, c, k)
    precisions : ndarray, shape (t, c, k, k)
    log_scale : ndarray, shape (t, c)
        Logarithm of each component's weight and density at its mean; minus infinity for one that only fills up.
    """

    key: tuple[str, ...]
    rated_capacity_ah: FloatArray
    centre: FloatArray
    spread: FloatArray
    means: FloatArray
    precisions: FloatArray
    log_scale: FloatArray

    @classmethod
    def of(cls, types: Mapping[str, TypeLook]) -> "_Mixtures":
        count = max(len(look.log_weights) for look in types.values())
        return cls(
            key=tuple(types),
            rated_capacity_ah=np.array([look.rated_capacity_ah for look in types.values()]),
            centre=np.stack([look.centre for look in types.values()]),
            spread=np.stack([look.spread for look in types.values()]),
            means=np.stack([_filled(look.means, count, 0.0) for look in types.values()]),
            precisions=np.stack([_filled(look.precisions, count, 0.0) for look in types.values()]),
            log_scale=np.stack([_filled(_log_scale(look), count, -np.inf) for look in types.values()]),
        )

    def log_likelihood(self, squared: FloatArray) -> FloatArray:
        """Log density from the squared distances (n, t, c), shape (n, t)."""
        per_component = self.log_scale - 0.5 * squared
        highest: FloatArray = per_component.max(axis=-1)
        density: FloatArray = highest + np.log(np.exp(per_component - highest[..., None]).sum(axis=-1))
        return density


def _filled(values: FloatArray, count: int, filling: float) -> FloatArray:
    missing = np.full((count - len(values), *values.shape[1:]), filling)
    return np.concatenate([values, missing])


def _log_scale(look: TypeLook) -> FloatArray:
    half_log_determinant = 0.5 * np.linalg.slogdet(look.precisions)[1]
    scale: FloatArray = look.log_weights + half_log_determinant - np.log(look.spread).sum()
    return scale


@dataclass(frozen=True)
class Looks:
    """The looks of all known types.

    Attributes
    ----------
    names : tuple of str
        Features that make a look.
    types : mapping of str to TypeLook
        Per type key.
    margin : float
        Log-likelihood by which another type must explain a measurement better to count against it.
    """

    names: tuple[str, ...]
    types: Mapping[str, TypeLook]
    margin: float

    def distance(self, matrix: FloatArray, names: Sequence[str], type_key: str) -> FloatArray:
        """How unlike its declared type each row is, shape (n,); above 1 is unlike, infinity where unmeasured."""
        rows = columns_of(matrix, self.names, names)
        measured = np.asarray(np.isfinite(rows).all(axis=1))
        squared = self._squared(np.where(measured[:, None], rows, 1.0), type_key)
        own, declared = self._mixtures.key.index(type_key), self.types[type_key]
        distance = (squared[:, own, : len(declared.log_weights)] / declared.limit).min(axis=1)
        likelihood = self._mixtures.log_likelihood(squared)
        explained = likelihood[:, own] < likelihood.max(axis=1) - self.margin
        unlike: FloatArray = np.where(measured, np.where(explained, np.maximum(distance, 1.0) + 1.0, distance), np.inf)
        return unlike

    @cached_property
    def _mixtures(self) -> _Mixtures:
        return _Mixtures.of(self.types)

    def _squared(self, rows: FloatArray, type_key: str) -> FloatArray:
        """Squared distance of rows to every component of every type, read with its capacity, shape (n, t, c)."""
        held = self._mixtures
        capacity_ratio = held.rated_capacity_ah / self.types[type_key].rated_capacity_ah
        scale = np.where(_curves(self.names).in_ohm_ah, capacity_ratio[:, None], 1.0)
        looks = look_of(rows[:, None, :] * scale, self.names)
        return _squared_distance(looks, held.centre, held.spread, held.means, held.precisions)


def _squared_distance(
    looks: FloatArray, centre: FloatArray, spread: FloatArray, means: FloatArray, precisions: FloatArray
) -> FloatArray:
    """Squared Mahalanobis distance of looks (…, k) to components (…, c, k), shape (…, c).

    Every row is multiplied by itself, so that it has the same distance alone and among others.
    """
    away = ((looks - centre) / spread)[..., None, :] - means
    squared: FloatArray = np.vecdot(away, np.matvec(precisions, away))
    return squared


@dataclass(frozen=True)
class _Curves:
    """How each feature of a look is bent; masks of shape (k,)."""

    in_ohm_ah: BoolArray
    residual: BoolArray
    logarithmic: BoolArray


@lru_cache(maxsize=64)
def _curves(names: tuple[str, ...]) -> _Curves:
    in_ohm_ah = np.array(["ohm_ah" in name for name in names], dtype=np.bool_)
    residual = np.array([name.startswith("residual") for name in names], dtype=np.bool_)
    nonlinear = np.array(["nonlinearity" in name for name in names], dtype=np.bool_)
    return _Curves(in_ohm_ah, residual, (in_ohm_ah | nonlinear) & ~residual)


def look_of(rows: FloatArray, names: Sequence[str]) -> FloatArray:
    """Features as a look: residuals as asinh, resistances and non-linearities as logarithm, others as they are.

    Parameters
    ----------
    rows : ndarray, shape (…, len(names))
    names : sequence of str

    Returns
    -------
    ndarray, shape of `rows`
    """
    curves = _curves(tuple(names))
    curved = np.where(curves.logarithmic, np.log(np.maximum(rows, _SMALLEST)), rows)
    looks: FloatArray = np.where(curves.residual, np.arcsinh(rows / _RESIDUAL_SCALE_OHM_AH), curved)
    return looks
