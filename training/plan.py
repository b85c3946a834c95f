"""A training plan: everything that decides what a bundle becomes, in one TOML file.

Unknown keys and words for numbers are errors. Two runs of one plan on one data set give identical
bundles; whatever is random has its seed here.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from features.errors import InvalidInput, Problem
from models.kernel import KernelForm

DEFAULT_TRACKING_URI = "sqlite:///mlruns/mlflow.db"

Text = Annotated[str, Field(min_length=1, max_length=200)]
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Positive = Annotated[float, Field(gt=0.0, strict=True)]
NotNegative = Annotated[float, Field(ge=0.0, strict=True)]
Share = Annotated[float, Field(gt=0.0, lt=1.0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Seed = Annotated[int, Field(ge=0, strict=True)]
Amplitudes = Literal["up_to_1.5c_charge", "all"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BundlePlan(_Table):
    """Name of the bundle, the command that makes it again, and what it promises."""

    name: Word
    version: Text
    reproduced_by: Text
    capacity_definition: Text
    coverage_fraction: Share
    lowest_cut_fraction: Share
    highest_cut_fraction: Share


class PulseRetiredPlan(_Table):
    """The public pulse tests of retired cells, under the data folder."""

    kind: Literal["pulse_retired"]


class CanonicalTablesPlan(_Table):
    """Tables of your own: manifest and labels, relative to the plan file."""

    kind: Literal["canonical_tables"]
    name: Word
    licence: Text
    manifest: Path
    labels: Path


DatasetPlan = Annotated[PulseRetiredPlan | CanonicalTablesPlan, Field(discriminator="kind")]


class RowsPlan(_Table):
    """Which rows train.

    Attributes
    ----------
    pulse_width_second : tuple of float
        Widths that train members on the first amplitudes. [s]
    all_amplitudes_pulse_width_second : tuple of float
        Widths that train members on all amplitudes. [s]
    voltage_limited : bool
        Whether tests with a pulse cut short by a voltage limit train.
    """

    pulse_width_second: tuple[Positive, ...]
    all_amplitudes_pulse_width_second: tuple[Positive, ...]
    voltage_limited: Annotated[bool, Field(strict=True)]


class SplitsPlan(_Table):
    """Folds by physical cell, and how often batteries are split into calibrating and presented."""

    fold_count: Annotated[int, Field(ge=2, strict=True)]
    seed: Seed
    calibration_share: Share
    calibration_split_count: Count
    unseen_type_keys: tuple[Text, ...] = ()


class CountingPlan(_Table):
    """Which rows are counted: visits (one per battery) and grid rows."""

    visit_pulse_width_second: Positive
    grid_pulse_width_second: Positive
    grid_lowest_charged_fraction: NotNegative
    grid_highest_charged_fraction: Positive


class KernelMemberPlan(_Table):
    """A kernel member per battery type.

    Attributes
    ----------
    features : tuple of str
        Prefixes of feature names beside open-circuit voltage and pulse width; empty means all.
    centre_count : int
        Most centres; a run makes fewer where a type has fewer than `rows_per_centre` rows for each.
    centre_run_count : int
        Most k-means runs whose centres are pooled until there are `centre_count`.
    noise : float
        Standard deviation of the logarithm of a grid label as seen by the kernel.
    visit_noise_factor : float
        Noise of a visit over that of a grid row: below 1 visits weigh more.
    least_rows : int
        A type with fewer training rows for this member goes without it.
    """

    kind: Literal["kernel"]
    name: Word
    weight: Positive
    amplitudes: Amplitudes
    features: tuple[Text, ...]
    shape: Literal["rbf", "matern32"]
    length_scale: Positive
    amplitude: Positive
    linear_share: NotNegative
    varying_share: NotNegative
    first_feature_weight: Positive
    centre_count: Count
    centre_run_count: Count
    rows_per_centre: Annotated[float, Field(ge=2.0, strict=True)]
    noise: Positive
    visit_noise_factor: Positive
    least_rows: Count

    @property
    def form(self) -> KernelForm:
        """The kernel."""
        return KernelForm(
            self.shape,
            self.length_scale,
            self.amplitude,
            self.linear_share,
            self.varying_share,
            self.first_feature_weight,
        )


class TreeMemberPlan(_Table):
    """A LightGBM member per battery type; `visit_weight` is a visit's weight over a grid row's."""

    kind: Literal["trees"]
    name: Word
    weight: Positive
    amplitudes: Amplitudes
    features: tuple[Text, ...]
    round_count: Count
    learning_rate: Positive
    leaf_count: Count
    least_rows_per_leaf: Count
    feature_share: Share
    row_share: Share
    l2: NotNegative
    visit_weight: Positive


MemberPlan = Annotated[KernelMemberPlan | TreeMemberPlan, Field(discriminator="kind")]


class IntervalPlan(_Table):
    """Normalised conformal interval (`training.calibrate`); its level is the promised coverage.

    Attributes
    ----------
    difficulty_slope : float
        How much a disagreement between members as large as usual widens the interval.
    largest_relative_disagreement : float
        Beyond this multiple of the usual disagreement the interval no longer widens.
    scale_level : float
        Quantile of the errors of a type that is its scale.
    pooling_batteries : float
        Batteries' worth of all types a type's scale is shrunk towards.
    """

    difficulty_slope: NotNegative
    largest_relative_disagreement: Positive
    scale_level: Share
    pooling_batteries: Positive


class SuitabilityPlan(_Table):
    """Classifiers of P(state of health < cut), beside the predictive distribution.

    Attributes
    ----------
    cuts : tuple of float
        Cuts that get a classifier if at least `least_batteries_per_side` visited batteries lie on
        both sides.
    features : tuple of str
        Prefixes of its features, as for a member.
    """

    cuts: tuple[Share, ...]
    least_batteries_per_side: Count
    features: tuple[Text, ...]
    round_count: Count
    learning_rate: Positive
    leaf_count: Count
    least_rows_per_leaf: Count
    feature_share: Share
    row_share: Share
    l2: NotNegative
    visit_weight: Positive


class ApplicabilityPlan(_Table):
    """What a type looks like: a Gaussian mixture per type (`training.fit_looks`).

    Attributes
    ----------
    features : tuple of str
        Features that make a look; each must be measured.
    component_count : mapping of str to int
        Components by type key; other types get `default_component_count`.
    covariance_floor : float
        Added to the diagonal of standardised covariances.
    limit_level : float
        Quantile of the distance of held-out cells that still passes.
    limit_slack : float
        Factor on that distance.
    margin : float
        How much better (log-likelihood) another known type may explain a test.
    """

    features: Annotated[tuple[Text, ...], Field(min_length=1)]
    component_count: dict[str, Count]
    default_component_count: Count
    covariance_floor: Positive
    limit_level: Share
    limit_slack: Positive
    margin: Positive


class TrackingPlan(_Table):
    """Where the run goes."""

    uri: Text = DEFAULT_TRACKING_URI
    experiment: Word
    registered_name: Word


class Plan(_Table):
    """A whole plan."""

    bundle: BundlePlan
    datasets: Annotated[tuple[DatasetPlan, ...], Field(min_length=1)]
    rows: RowsPlan
    splits: SplitsPlan
    counting: CountingPlan
    members: Annotated[tuple[MemberPlan, ...], Field(min_length=1)]
    interval: IntervalPlan
    suitability: SuitabilityPlan
    applicability: ApplicabilityPlan
    tracking: TrackingPlan
    seed: Seed

    def parameters(self) -> dict[str, str]:
        """Every number and word of the plan by its path, for the run."""
        return dict(_flat("", self.model_dump(mode="json")))


def load_plan(path: Path) -> Plan:
    """Plan from a TOML file.

    Parameters
    ----------
    path : Path
        Plan file; paths of own tables inside are taken relative to it.

    Returns
    -------
    Plan

    Raises
    ------
    InvalidInput
        ``PLAN_NOT_READABLE`` naming every key that is unknown, missing or of the wrong type.
    """
    try:
        written = tomllib.loads(path.read_bytes().decode("utf-8"))
        plan = Plan.model_validate(written)
    except OSError as problem:
        raise _refused(path, [Problem(path.name, "must be a readable file", problem.strerror or "")]) from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise _refused(path, [Problem(path.name, "must be UTF-8 TOML", str(problem))]) from problem
    except ValidationError as problem:
        faults = [
            Problem(".".join(map(str, each["loc"])), each["msg"], repr(each["input"])[:80])
            for each in problem.errors(include_url=False)
        ]
        raise _refused(path, faults) from problem
    return plan.model_copy(update={"datasets": tuple(_beside(path, dataset) for dataset in plan.datasets)})


def _beside(path: Path, dataset: PulseRetiredPlan | CanonicalTablesPlan) -> PulseRetiredPlan | CanonicalTablesPlan:
    if isinstance(dataset, PulseRetiredPlan):
        return dataset
    folder = path.resolve().parent
    return dataset.model_copy(update={"manifest": folder / dataset.manifest, "labels": folder / dataset.labels})


def _flat(prefix: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        items = [(str(key), each) for key, each in value.items()]
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        items = [(str(each.get("name", number)), each) for number, each in enumerate(value)]
    else:
        return [(prefix, str(value))]
    return [pair for key, each in items for pair in _flat(f"{prefix}.{key}".lstrip("."), each)]


def _refused(path: Path, problems: list[Problem]) -> InvalidInput:
    return InvalidInput(f"Plan {path.name} was not loaded. Nothing was trained.", problems, code="PLAN_NOT_READABLE")
