"""Remaining-capacity estimators: the trained ensemble, and direct measurements that need no model.

A trained estimator predicts the logarithm of state of health as the weighted mean of its members,
per battery type, and hands the point to the interval and the suitability model. A direct capacity
test and a charge window of vehicle telemetry carry their measurement uncertainty instead.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Annotated, Literal

import numpy as np
from lightgbm import Booster
from pydantic import BaseModel, ConfigDict, Field

from features.measurement import FloatArray
from models.columns import columns_of
from models.decision import cut_key
from models.interval import ConformalInterval
from models.kernel import KernelForm, KernelGroup, KernelMember, Shape, kernel_member
from models.look import Looks, type_look
from models.manifest import CalibratedMethod
from models.suitability import CutClassifier, Suitability
from models.trees import Trees
from models.window_kernel import WindowKernelMember, window_kernel_member

DIRECT_COVERAGE_FRACTION = 0.90


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class KernelDescription(_Described):
    """A kernel member inside ``estimator.json``."""

    kind: Literal["kernel"] = "kernel"
    name: str
    weight: Annotated[float, Field(gt=0.0)]
    features: tuple[str, ...]
    required: tuple[str, ...]
    shape: Shape
    length_scale: float
    amplitude: float
    linear_share: float
    varying_share: float
    first_feature_weight: float
    offset: float
    arrays: str


class WindowKernelDescription(_Described):
    """A window-kernel member inside ``estimator.json``."""

    kind: Literal["window_kernel"] = "window_kernel"
    name: str
    weight: Annotated[float, Field(gt=0.0)]
    features: tuple[str, ...]
    least_feature_count: Annotated[int, Field(ge=1)]
    shape: Shape
    length_scale: float
    amplitude: float
    linear_share: float
    arrays: str


class TreesDescription(_Described):
    """A LightGBM member inside ``estimator.json``."""

    kind: Literal["lightgbm"] = "lightgbm"
    name: str
    weight: Annotated[float, Field(gt=0.0)]
    features: tuple[str, ...]
    model: str


class TypeDescription(_Described):
    """The members and the look of one type."""

    members: tuple[
        Annotated[KernelDescription | TreesDescription | WindowKernelDescription, Field(discriminator="kind")], ...
    ]
    look: str


class ClassifierDescription(_Described):
    """A trained classifier for one cut."""

    features: tuple[str, ...]
    model: str
    intercept: float
    predictive_weight: float
    booster_weight: float


class EstimatorDescription(_Described):
    """``<method>/estimator.json``: everything of a trained estimator that is not an array file."""

    required_features: tuple[str, ...]
    look_features: tuple[str, ...]
    look_margin: float
    types: dict[str, TypeDescription]
    interval: ConformalInterval
    calibration_scores: tuple[float, ...]
    classifiers: dict[str, ClassifierDescription]


@dataclass(frozen=True)
class TreesMember:
    """A LightGBM member; takes missing features as they are."""

    names: tuple[str, ...]
    booster: Booster

    def predict(self, matrix: FloatArray, names: Sequence[str]) -> FloatArray:
        """Log state of health per row, shape (n,)."""
        return self._trees.predict(columns_of(matrix, self.names, names))

    @cached_property
    def _trees(self) -> Trees:
        return Trees.of(self.booster)


Member = KernelMember | TreesMember | WindowKernelMember


@dataclass(frozen=True)
class Said:
    """What each member of an ensemble says about n batteries.

    Attributes
    ----------
    log_state_of_health : ndarray, shape (members, n)
        NaN where a member could not say anything.
    weights : ndarray, shape (members,)
        Weights of the members.
    """

    log_state_of_health: FloatArray
    weights: FloatArray

    def joined(self) -> tuple[FloatArray, FloatArray]:
        """State of health and the members' disagreement, each of shape (n,).

        Returns
        -------
        point : ndarray
            Exponential of the weighted mean of the members that could say something.
        disagreement : ndarray
            Weighted standard deviation of their log predictions.
        """
        by_row = np.ascontiguousarray(self.log_state_of_health.T)
        measured = np.isfinite(by_row)
        weight = np.where(measured, self.weights, 0.0)
        held = np.where(measured, by_row, 0.0)
        total = np.vecdot(weight, np.ones_like(self.weights))
        mean = np.vecdot(weight, held) / total
        variance = np.vecdot(weight, (held - mean[:, None]) ** 2) / total
        return np.exp(mean), np.sqrt(variance)

    def extremes(self) -> tuple[FloatArray, FloatArray]:
        """State of health of the least and of the most hopeful member, each of shape (n,)."""
        return np.exp(np.nanmin(self.log_state_of_health, axis=0)), np.exp(np.nanmax(self.log_state_of_health, axis=0))


@dataclass(frozen=True)
class Ensemble:
    """Weighted members of one type."""

    members: tuple[Member, ...]
    weights: tuple[float, ...]

    def said(self, matrix: FloatArray, names: Sequence[str]) -> Said:
        """What each member says about each row of features."""
        said = np.empty((len(self.members), len(matrix)))
        for group, places in self._kernels:
            said[places] = group.predict(matrix, names)
        for place, member in enumerate(self.members):
            if not isinstance(member, KernelMember):
                said[place] = member.predict(matrix, names)
        return Said(said, np.array(self.weights))

    @cached_property
    def _kernels(self) -> list[tuple[KernelGroup, list[int]]]:
        """Kernel members by their form, with their places among the members."""
        by_form: dict[KernelForm, dict[int, KernelMember]] = {}
        for place, member in enumerate(self.members):
            if isinstance(member, KernelMember):
                by_form.setdefault(member.form, {})[place] = member
        return [(KernelGroup(tuple(of_form.values())), list(of_form)) for of_form in by_form.values()]


@dataclass(frozen=True)
class Prediction:
    """Predictions for several batteries of one type; arrays of shape (n,), in state of health.

    Attributes
    ----------
    point, lower, upper : ndarray, shape (n,)
        State of health and its interval.
    spread : ndarray, shape (n,)
        Scale of the interval before the quantile.
    probability_below : ndarray, shape (n, cuts)
        P(state of health < cut), in the order of the cuts asked.
    distance : ndarray, shape (n,)
        How unlike the type; above 1 is outside.
    """

    point: FloatArray
    lower: FloatArray
    upper: FloatArray
    spread: FloatArray
    probability_below: FloatArray
    distance: FloatArray


@dataclass(frozen=True)
class TrainedEstimator:
    """A calibrated estimator of one method.

    Attributes
    ----------
    required : tuple of str
        Features without which nothing is said.
    ensembles : mapping of str to Ensemble
        Members per type key.
    looks : Looks
        What the known types look like.
    interval : ConformalInterval
        Calibrated interval.
    suitability : Suitability
        Calibrated probabilities below a cut.
    """

    required: tuple[str, ...]
    ensembles: Mapping[str, Ensemble]
    looks: Looks
    interval: ConformalInterval
    suitability: Suitability

    def sufficient(self, values: Mapping[str, float]) -> bool:
        """Whether every required feature was measured."""
        return all(math.isfinite(values.get(name, math.nan)) for name in self.required)

    def predict(self, matrix: FloatArray, names: Sequence[str], type_key: str, cuts: Sequence[float]) -> Prediction:
        """Predict batteries of one type.

        Parameters
        ----------
        matrix : ndarray, shape (n, features)
            Feature rows with every required feature measured.
        names : sequence of str
            Names of the columns.
        type_key : str
            Known type they are declared as.
        cuts : sequence of float
            Cuts of the policy.

        Returns
        -------
        Prediction
        """
        point, disagreement = self.ensembles[type_key].said(matrix, names).joined()
        spread = self.interval.spread_fraction(type_key, disagreement)
        lower, upper = self.interval.bounds(point, spread)
        below = self.suitability.probability_below(cuts, point, spread, matrix, names)
        return Prediction(point, lower, upper, spread, below, self.looks.distance(matrix, names, type_key))


def load_estimator(method: CalibratedMethod, files: Mapping[str, bytes]) -> TrainedEstimator:
    """Estimator of one method from a bundle's checked files.

    Raises
    ------
    KeyError
        If a file the description names is not in the bundle.
    pydantic.ValidationError
        If the description breaks its schema.
    """
    described = EstimatorDescription.model_validate_json(files[f"{method.method.value}/estimator.json"])
    looks = {key: type_look(files[each.look]) for key, each in described.types.items()}
    return TrainedEstimator(
        required=described.required_features,
        ensembles={key: _ensemble(each, files) for key, each in described.types.items()},
        looks=Looks(described.look_features, looks, described.look_margin),
        interval=described.interval,
        suitability=_suitability(described, files),
    )


def _ensemble(described: TypeDescription, files: Mapping[str, bytes]) -> Ensemble:
    members = tuple(_member(each, files) for each in described.members)
    return Ensemble(members, tuple(each.weight for each in described.members))


def _member(
    described: KernelDescription | TreesDescription | WindowKernelDescription, files: Mapping[str, bytes]
) -> Member:
    if isinstance(described, TreesDescription):
        return TreesMember(described.features, Booster(model_str=files[described.model].decode("utf-8")))
    if isinstance(described, WindowKernelDescription):
        return _window_member(described, files[described.arrays])
    form = KernelForm(
        described.shape,
        described.length_scale,
        described.amplitude,
        described.linear_share,
        described.varying_share,
        described.first_feature_weight,
    )
    return kernel_member(described.features, described.required, form, described.offset, files[described.arrays])


def _window_member(described: WindowKernelDescription, arrays: bytes) -> WindowKernelMember:
    shape, length_scale, amplitude = described.shape, described.length_scale, described.amplitude
    form = KernelForm(shape, length_scale, amplitude, described.linear_share, 0.0, 1.0)
    return window_kernel_member(described.features, described.least_feature_count, form, arrays)


def _suitability(described: EstimatorDescription, files: Mapping[str, bytes]) -> Suitability:
    classifiers = {
        cut: CutClassifier(
            names=each.features,
            booster=Booster(model_str=files[each.model].decode("utf-8")),
            intercept=each.intercept,
            predictive_weight=each.predictive_weight,
            booster_weight=each.booster_weight,
        )
        for cut, each in described.classifiers.items()
    }
    return Suitability(np.array(sorted(described.calibration_scores)), classifiers)


def estimator_json(described: EstimatorDescription) -> bytes:
    """The bytes of ``estimator.json``."""
    return (json.dumps(described.model_dump(mode="json"), indent=1, allow_nan=False) + "\n").encode("utf-8")


@dataclass(frozen=True)
class DirectCapacity:
    """A measured capacity with its standard uncertainty, as if normally distributed. [Ah]."""

    capacity_ah: float
    standard_uncertainty_ah: float

    def bounds(self) -> tuple[float, float]:
        """90 % interval, the lower bound never negative. [Ah]."""
        half = NormalDist().inv_cdf(0.5 + DIRECT_COVERAGE_FRACTION / 2.0) * self.standard_uncertainty_ah
        return max(self.capacity_ah - half, 0.0), self.capacity_ah + half

    def probability_below(self, cuts: Iterable[float], rated_capacity_ah: float) -> dict[str, float]:
        """P(state of health < cut) by `cut_key`."""
        distribution = NormalDist(self.capacity_ah, self.standard_uncertainty_ah)
        return {cut_key(cut): distribution.cdf(cut * rated_capacity_ah) for cut in cuts}
