"""Does a measurement look like its declared type? A Gaussian mixture per type, as plain arrays.

A train is unlike its type when it is far from every component, or when another known type explains
it clearly better once its resistances are read with that type's rated capacity. No training row
is kept: means and precisions of a few components only.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.measurement import FloatArray

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
    limit : float
        Squared distance that held-out batteries of the type stay within.
    """

    rated_capacity_ah: float
    centre: FloatArray
    spread: FloatArray
    means: FloatArray
    precisions: FloatArray
    log_weights: FloatArray
    limit: float

    def distance(self, looks: FloatArray) -> FloatArray:
        """Squared distance to the nearest component over the limit, shape (n,); above 1 is unlike."""
        nearest: FloatArray = self._squared(looks).min(axis=1) / self.limit
        return nearest

    def log_likelihood(self, looks: FloatArray) -> FloatArray:
        """Log density of the mixture, shape (n,)."""
        half_log_determinant = 0.5 * np.linalg.slogdet(self.precisions)[1]
        per_component = self.log_weights + half_log_determinant - 0.5 * self._squared(looks)
        highest = per_component.max(axis=1)
        total = highest + np.log(np.exp(per_component - highest[:, None]).sum(axis=1))
        density: FloatArray = total - np.log(self.spread).sum()
        return density

    def _squared(self, looks: FloatArray) -> FloatArray:
        z = (looks - self.centre) / self.spread
        away = z[:, None, :] - self.means[None, :, :]
        squared: FloatArray = np.einsum("nci,cij,ncj->nc", away, self.precisions, away)
        return squared

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
            limit=np.array(self.limit),
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
        limit=float(held["limit"]),
    )


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
        position = {name: index for index, name in enumerate(names)}
        rows = matrix[:, [position[name] for name in self.names]]
        measured = np.asarray(np.isfinite(rows).all(axis=1))
        held = np.where(measured[:, None], rows, 1.0)
        distance = self.types[type_key].distance(look_of(held, self.names))
        explained = self._better_explained(held, type_key)
        unlike: FloatArray = np.where(measured, np.where(explained, np.maximum(distance, 1.0) + 1.0, distance), np.inf)
        return unlike

    def _better_explained(self, rows: FloatArray, type_key: str) -> BoolArray:
        declared = self.types[type_key]
        own = declared.log_likelihood(look_of(rows, self.names))
        best = own
        for key, other in self.types.items():
            if key != type_key:
                scale = np.where(_in_ohm_ah(self.names), other.rated_capacity_ah / declared.rated_capacity_ah, 1.0)
                best = np.maximum(best, other.log_likelihood(look_of(rows * scale, self.names)))
        clearly: BoolArray = own < best - self.margin
        return clearly


def look_of(rows: FloatArray, names: Sequence[str]) -> FloatArray:
    """Features as a look: residuals as asinh, resistances and non-linearities as logarithm, others as they are."""
    residual = np.array([name.startswith("residual") for name in names], dtype=np.bool_)
    nonlinear = np.array(["nonlinearity" in name for name in names], dtype=np.bool_)
    logarithmic = (_in_ohm_ah(names) | nonlinear) & ~residual
    curved = np.where(logarithmic, np.log(np.maximum(rows, _SMALLEST)), rows)
    looks: FloatArray = np.where(residual, np.arcsinh(rows / _RESIDUAL_SCALE_OHM_AH), curved)
    return looks


def _in_ohm_ah(names: Sequence[str]) -> BoolArray:
    return np.array(["ohm_ah" in name for name in names], dtype=np.bool_)
