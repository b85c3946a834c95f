"""One ensemble member: a Nyström kernel ridge on averaged centres, evaluated with numpy alone.

The member is a handful of arrays (centres, weights, the scaling of its features), never an object
of a library and never a training row: each centre is the mean of at least two rows. Fitting lives
in `training/fit`; this file is the only place where the kernel itself is written down.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from features.measurement import FloatArray

Shape = Literal["rbf", "matern32"]
_WIDEST_Z = 4.0
_SMALLEST_RESISTANCE = 1e-4


@dataclass(frozen=True)
class KernelForm:
    """The kernel's shape and hyper-parameters, all dimensionless.

    Attributes
    ----------
    shape : {"rbf", "matern32"}
        Decay with distance (Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, ch. 4.2).
    length_scale : float
        Distance, in root-mean-square standard deviations per feature, over which it decays.
    amplitude : float
        Prior standard deviation of the target.
    linear_share : float
        Weight of a linear term beside the decaying one.
    varying_share : float
        Weight of a linear term whose coefficients vary with the first feature (open-circuit voltage).
    first_feature_weight : float
        How much further apart the first feature pulls two batteries.
    """

    shape: Shape
    length_scale: float
    amplitude: float
    linear_share: float
    varying_share: float
    first_feature_weight: float

    def between(self, rows: FloatArray, centres: FloatArray) -> FloatArray:
        """Kernel matrix of standardised rows (n, k) against centres (m, k), shape (n, m).

        Notes
        -----
        ``a² [ s(d) + l·z·c/k + v·(1 + z·c/k)·exp(−(z₁−c₁)²/2) ]`` with *s* the RBF or Matérn-3/2 decay of the
        mean squared distance *d²* per feature.
        """
        count = rows.shape[1]
        weight = np.ones(count)
        weight[0] = self.first_feature_weight
        left, right = rows * weight, centres * weight
        squared = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :] - 2.0 * left @ right.T
        mean_squared = np.maximum(squared, 0.0) / count
        inner = rows @ centres.T / count
        value = self._decay(mean_squared) + self.linear_share * inner
        if self.varying_share:
            near = np.exp(-((rows[:, :1] - centres[:, 0][None, :]) ** 2) / 2.0)
            value = value + self.varying_share * (1.0 + inner) * near
        matrix: FloatArray = self.amplitude**2 * value
        return matrix

    def _decay(self, mean_squared: FloatArray) -> FloatArray:
        if self.shape == "rbf":
            decayed: FloatArray = np.exp(-mean_squared / (2.0 * self.length_scale**2))
            return decayed
        scaled = np.sqrt(3.0 * mean_squared) / self.length_scale
        rough: FloatArray = (1.0 + scaled) * np.exp(-scaled)
        return rough


@dataclass(frozen=True)
class Standardisation:
    """How features become comparable: log of resistances, median and spread of the training rows.

    Attributes
    ----------
    logarithmic : ndarray of bool, shape (k,)
        Features taken as natural logarithm.
    median, spread : ndarray, shape (k,)
        Centre and scale (10 to 90 percentile over 2.56) of the training rows.
    """

    logarithmic: FloatArray
    median: FloatArray
    spread: FloatArray

    def raw(self, matrix: FloatArray) -> FloatArray:
        """Features with the logarithms taken; NaN stays NaN."""
        positive = np.maximum(matrix, _SMALLEST_RESISTANCE)
        taken: FloatArray = np.where(self.logarithmic, np.log(positive), matrix)
        return taken

    def standardised(self, matrix: FloatArray) -> FloatArray:
        """Z-values within ±4; a feature that could not be measured sits at the median (0)."""
        z = (self.raw(matrix) - self.median) / self.spread
        held: FloatArray = np.clip(np.where(np.isfinite(z), z, 0.0), -_WIDEST_Z, _WIDEST_Z)
        return held


@dataclass(frozen=True)
class KernelMember:
    """A fitted member: predicts the logarithm of state of health.

    Attributes
    ----------
    names : tuple of str
        Features it uses, the open-circuit voltage first.
    required : tuple of str
        Features without which it says nothing (NaN).
    form : KernelForm
        The kernel.
    standardisation : Standardisation
        Scaling of its features.
    centres : ndarray, shape (m, k)
        Standardised centres, each the mean of several rows.
    weights : ndarray, shape (m,)
        Coefficients.
    offset : float
        Mean of the target.
    """

    names: tuple[str, ...]
    required: tuple[str, ...]
    form: KernelForm
    standardisation: Standardisation
    centres: FloatArray
    weights: FloatArray
    offset: float

    def predict(self, matrix: FloatArray, names: Sequence[str]) -> FloatArray:
        """Log state of health per row; NaN where a required feature is missing.

        Parameters
        ----------
        matrix : ndarray, shape (n, features)
            Feature rows.
        names : sequence of str
            Names of the columns of `matrix`.

        Returns
        -------
        ndarray, shape (n,)
        """
        position = {name: index for index, name in enumerate(names)}
        rows = self.standardisation.standardised(matrix[:, [position[name] for name in self.names]])
        value = self.form.between(rows, self.centres) @ self.weights + self.offset
        if not self.required:
            return value
        measured = np.isfinite(matrix[:, [position[name] for name in self.required]]).all(axis=1)
        said: FloatArray = np.where(measured, value, np.nan)
        return said

    def array_bytes(self) -> bytes:
        """The arrays as an ``.npz`` without objects."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            logarithmic=self.standardisation.logarithmic.astype(np.bool_),
            median=self.standardisation.median,
            spread=self.standardisation.spread,
            centres=self.centres.astype(np.float32),
            weights=self.weights,
        )
        return buffer.getvalue()


def kernel_member(
    names: Sequence[str], required: Sequence[str], form: KernelForm, offset: float, arrays: bytes
) -> KernelMember:
    """Member from its description and the bytes `KernelMember.array_bytes` wrote.

    Raises
    ------
    ValueError
        If an array is missing, holds objects or has the wrong shape.
    """
    with np.load(io.BytesIO(arrays), allow_pickle=False) as stored:
        held: Mapping[str, FloatArray] = {name: np.array(stored[name]) for name in stored.files}
    missing = {"logarithmic", "median", "spread", "centres", "weights"} - set(held)
    if missing:
        raise ValueError(f"A kernel member lacks the arrays {', '.join(sorted(missing))}.")
    centres = held["centres"].astype(np.float64)
    if centres.shape != (held["weights"].shape[0], len(names)) or held["median"].shape != (len(names),):
        raise ValueError(
            f"Centres {centres.shape} do not fit {held['weights'].shape[0]} weights, {len(names)} features."
        )
    scaling = Standardisation(held["logarithmic"].astype(np.bool_), held["median"], held["spread"])
    return KernelMember(tuple(names), tuple(required), form, scaling, centres, held["weights"], offset)
