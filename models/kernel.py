"""One ensemble member: a Nyström kernel ridge on averaged centres, evaluated with numpy alone.

The member is a handful of arrays (centres, weights, the scaling of its features), never an object
of a library and never a training row: each centre is the mean of at least two rows. Fitting lives
in `training/fit`; this file is the only place where the kernel itself is written down.

A battery gets the same number alone and among others, to the last bit: every row is multiplied with
the centres by itself (`numpy.matvec`), never as a part of a matrix product whose order of additions
depends on how many rows there are.
"""

import io
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from features.measurement import FloatArray
from models.columns import columns_of

Shape = Literal["rbf", "matern32"]
_WIDEST_Z = 4.0
_SMALLEST_RESISTANCE = 1e-4
_ROWS_AT_ONCE = 8
"""Rows whose kernel values fit into a processor's cache; changes no number."""


class PerFeature(NamedTuple):
    """What turns sums over the features into the means the kernel asks for; numbers, or arrays of shape (m,).

    Attributes
    ----------
    share : float or ndarray
        One over the number of features.
    decay : float or ndarray
        Factor of the squared distance (RBF) or of the distance (Matérn) in the exponent.
    """

    share: FloatArray | float
    decay: FloatArray | float


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
        value = self.unscaled(
            rows @ centres.T,
            np.subtract.outer(rows[:, 0], centres[:, 0]),
            np.add.outer(np.vecdot(rows, rows), np.vecdot(centres, centres)),
            self.per_feature(rows.shape[1]),
        )
        value *= self.amplitude**2
        return value

    def per_feature(self, count: int) -> PerFeature:
        """Factors for points of `count` features."""
        if self.shape == "rbf":
            return PerFeature(1.0 / count, -0.5 / (count * self.length_scale**2))
        return PerFeature(1.0 / count, -math.sqrt(3.0 / count) / self.length_scale)

    def unscaled(
        self, product: FloatArray, gap: FloatArray, squares: FloatArray, per_feature: PerFeature
    ) -> FloatArray:
        """Kernel over its squared amplitude, shape (n, m); the arrays handed in are used up.

        Parameters
        ----------
        product, gap, squares : ndarray, shape (n, m)
            ``z·c``, ``z₁ − c₁`` and ``|z|² + |c|²`` of every row and centre.
        per_feature : PerFeature
            From `per_feature`, for all centres or for each.

        Notes
        -----
        With the first feature weighted by *w*: ``k d² = |z|² + |c|² − 2 z·c + (w² − 1)(z₁ − c₁)²``.
        """
        gap *= gap
        squares -= 2.0 * product
        squares += gap * (self.first_feature_weight**2 - 1.0)
        value = self._decayed(np.maximum(squares, 0.0, out=squares), per_feature.decay)
        product *= per_feature.share
        if self.varying_share:
            gap *= -0.5
            near = np.exp(gap, out=gap)
            near *= self.varying_share
            value += near
            near += self.linear_share
            product *= near
        else:
            product *= self.linear_share
        value += product
        return value

    def _decayed(self, squared: FloatArray, factor: FloatArray | float) -> FloatArray:
        """Decay from the squared distance summed over features, which is used up."""
        if self.shape == "rbf":
            squared *= factor
            return np.exp(squared, out=squared)
        exponent = np.sqrt(squared, out=squared)
        exponent *= factor
        decayed: FloatArray = np.exp(exponent)
        decayed *= np.subtract(1.0, exponent, out=exponent)
        return decayed


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
        held: FloatArray = np.where(np.isfinite(z), z, 0.0)
        return np.minimum(np.maximum(held, -_WIDEST_Z, out=held), _WIDEST_Z, out=held)


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
        said: FloatArray = KernelGroup((self,)).predict(matrix, names)[0]
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


@dataclass(frozen=True)
class KernelGroup:
    """Members of one kernel form, evaluated together: their features and their centres stand side by side.

    Raises
    ------
    ValueError
        If there is no member, or two of them have different forms.
    """

    members: tuple[KernelMember, ...]

    def __post_init__(self) -> None:
        forms = {member.form for member in self.members}
        if len(forms) != 1:
            raise ValueError(f"Members evaluated together share one kernel form, got {len(forms)} forms.")

    def predict(self, matrix: FloatArray, names: Sequence[str]) -> FloatArray:
        """Log state of health of every member, shape (members, n); see `KernelMember.predict`."""
        rows = self._scaling.standardised(columns_of(matrix, self._names, names))
        said = np.empty((len(self.members), len(rows)))
        for begin in range(0, len(rows), _ROWS_AT_ONCE):
            said[:, begin : begin + _ROWS_AT_ONCE] = self._of_standardised(rows[begin : begin + _ROWS_AT_ONCE])
        for value, member in zip(said, self.members, strict=True):
            if member.required:
                value[~np.isfinite(columns_of(matrix, member.required, names)).all(axis=1)] = np.nan
        return said

    def _of_standardised(self, rows: FloatArray) -> FloatArray:
        product, gap, squares = np.empty((3, len(rows), len(self._first)))
        for member, (features, centres) in zip(self.members, self._places, strict=True):
            own = rows[:, features]
            np.matvec(member.centres, own, out=product[:, centres])
            np.subtract(own[:, :1], self._first[centres], out=gap[:, centres])
            np.add(np.vecdot(own, own)[:, None], self._squared[centres], out=squares[:, centres])
        value = self.members[0].form.unscaled(product, gap, squares, self._per_feature)
        return np.stack(
            [
                np.vecdot(value[:, centres], self._weights[centres]) + member.offset
                for member, (_, centres) in zip(self.members, self._places, strict=True)
            ]
        )

    @cached_property
    def _places(self) -> list[tuple[slice, slice]]:
        """Where each member's features and centres stand."""
        return list(
            zip(
                _side_by_side([len(member.names) for member in self.members]),
                _side_by_side([len(member.weights) for member in self.members]),
                strict=True,
            )
        )

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(name for member in self.members for name in member.names)

    @cached_property
    def _scaling(self) -> Standardisation:
        scalings = [member.standardisation for member in self.members]
        return Standardisation(
            np.concatenate([each.logarithmic for each in scalings]),
            np.concatenate([each.median for each in scalings]),
            np.concatenate([each.spread for each in scalings]),
        )

    @cached_property
    def _first(self) -> FloatArray:
        return np.concatenate([member.centres[:, 0] for member in self.members])

    @cached_property
    def _squared(self) -> FloatArray:
        return np.concatenate([np.vecdot(member.centres, member.centres) for member in self.members])

    @cached_property
    def _weights(self) -> FloatArray:
        return np.concatenate([member.form.amplitude**2 * member.weights for member in self.members])

    @cached_property
    def _per_feature(self) -> PerFeature:
        of_members = [member.form.per_feature(len(member.names)) for member in self.members]
        counts = [len(member.weights) for member in self.members]
        return PerFeature(*(np.repeat(factors, counts) for factors in zip(*of_members, strict=True)))


def _side_by_side(lengths: Sequence[int]) -> list[slice]:
    edges = itertools.accumulate(lengths, initial=0)
    return [slice(first, stop) for first, stop in itertools.pairwise(edges)]


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
