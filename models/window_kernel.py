"""One ensemble member for tests that never measure the same features twice: a kernel regression on what is there.

A partial charge passes other voltage slices each time. This member keeps prototypes that passed them
all, and asks a question anew for every set of measured features: it compares a battery with the
prototypes on those features alone. That is Gaussian-process regression conditioned on the observed
inputs (Rasmussen & Williams, 2006, ch. 2.2), exact for any window, where a filled-in gap would not be. The
prototypes are means of at least two rows, never a training row. Arrays only; fitted in
`training.fit_windows`.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from features.measurement import FloatArray
from models.columns import columns_of
from models.kernel import KernelForm, Standardisation

BoolArray = npt.NDArray[np.bool_]

_LEAST_PROTOTYPE_SHARE = 0.8
"""A feature fewer prototypes than this measured is left out, so that enough prototypes can answer."""
_FEWEST_PROTOTYPES = 2


@dataclass(frozen=True)
class WindowKernelMember:
    """A fitted member: predicts the logarithm of state of health from whichever features were measured.

    Attributes
    ----------
    names : tuple of str
        Features it may use.
    least_feature_count : int
        With fewer measured features it says nothing (NaN).
    form : KernelForm
        The kernel.
    noise : float
        Standard deviation of a prototype's logarithmic label.
    standardisation : Standardisation
        Scaling of the features.
    prototypes : ndarray, shape (m, k)
        Standardised means of several tests; NaN where none of them measured the feature.
    targets : ndarray, shape (m,)
        Mean logarithm of state of health of those tests, less `offset`.
    offset : float
        Mean of the target.
    """

    names: tuple[str, ...]
    least_feature_count: int
    form: KernelForm
    noise: float
    standardisation: Standardisation
    prototypes: FloatArray
    targets: FloatArray
    offset: float

    def predict(self, matrix: FloatArray, names: Sequence[str]) -> FloatArray:
        """Log state of health per row; NaN where too few features were measured.

        Parameters
        ----------
        matrix : ndarray, shape (n, features)
            Feature rows.
        names : sequence of str
            Names of the columns of `matrix`.

        Returns
        -------
        ndarray, shape (n,)
            A row gets the same number alone and among others.
        """
        columns = columns_of(matrix, self.names, names)
        used = np.isfinite(columns) & self._shared
        rows = self.standardisation.standardised(columns)
        said = np.full(len(rows), np.nan)
        sets, set_of_row = np.unique(used, axis=0, return_inverse=True)
        for number, features in enumerate(sets):
            if np.count_nonzero(features) >= self.least_feature_count:
                asked = np.flatnonzero(set_of_row.reshape(-1) == number)
                said[asked] = self._conditioned(rows[asked][:, features], features)
        return said

    def _conditioned(self, rows: FloatArray, features: BoolArray) -> FloatArray:
        """Regression on some features, from the prototypes that measured them all."""
        complete = self._measured[:, features].all(axis=1)
        if np.count_nonzero(complete) < _FEWEST_PROTOTYPES:
            return np.full(len(rows), np.nan)
        prototypes = np.ascontiguousarray(self.prototypes[complete][:, features])
        covariance = self.form.between(prototypes, prototypes)
        covariance[np.diag_indices_from(covariance)] += self.noise**2
        weights = np.linalg.solve(covariance, self.targets[complete])
        said = [float(np.vecdot(self.form.between(row[np.newaxis], prototypes)[0], weights)) for row in rows]
        return np.array(said) + self.offset

    @cached_property
    def _measured(self) -> BoolArray:
        return np.isfinite(self.prototypes)

    @cached_property
    def _shared(self) -> BoolArray:
        shared: BoolArray = self._measured.mean(axis=0) >= _LEAST_PROTOTYPE_SHARE
        return shared

    def array_bytes(self) -> bytes:
        """The arrays as an ``.npz`` without objects."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            logarithmic=self.standardisation.logarithmic.astype(np.bool_),
            median=self.standardisation.median,
            spread=self.standardisation.spread,
            prototypes=self.prototypes.astype(np.float32),
            targets=self.targets,
            noise=np.array(self.noise),
            offset=np.array(self.offset),
        )
        return buffer.getvalue()


def window_kernel_member(
    names: Sequence[str], least_feature_count: int, form: KernelForm, arrays: bytes
) -> WindowKernelMember:
    """Member from its description and the bytes `WindowKernelMember.array_bytes` wrote.

    Raises
    ------
    ValueError
        If an array is missing, holds objects or has the wrong shape.
    """
    with np.load(io.BytesIO(arrays), allow_pickle=False) as stored:
        held: Mapping[str, FloatArray] = {name: np.array(stored[name]) for name in stored.files}
    missing = {"logarithmic", "median", "spread", "prototypes", "targets", "noise", "offset"} - set(held)
    if missing:
        raise ValueError(f"A window-kernel member lacks the arrays {', '.join(sorted(missing))}.")
    prototypes, targets = held["prototypes"].astype(np.float64), held["targets"]
    if prototypes.shape != (targets.shape[0], len(names)) or held["median"].shape != (len(names),):
        raise ValueError(f"Prototypes {prototypes.shape} do not fit {targets.shape[0]} targets, {len(names)} features.")
    scaling = Standardisation(held["logarithmic"].astype(np.bool_), held["median"], held["spread"])
    noise, offset = float(held["noise"]), float(held["offset"])
    return WindowKernelMember(tuple(names), least_feature_count, form, noise, scaling, prototypes, targets, offset)
