"""The tables every training plan is made of: bundle, splits, members, interval, suitability, applicability.

Values only; which of them a method's plan holds is in `training.plan`. Unknown keys, words for
numbers and numbers outside their range are errors.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.kernel import KernelForm

DEFAULT_TRACKING_URI = "sqlite:///mlruns/mlflow.db"

Text = Annotated[str, Field(min_length=1, max_length=200)]
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Positive = Annotated[float, Field(gt=0.0, strict=True)]
NotNegative = Annotated[float, Field(ge=0.0, strict=True)]
Share = Annotated[float, Field(gt=0.0, lt=1.0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Seed = Annotated[int, Field(ge=0, strict=True)]
YesOrNo = Annotated[bool, Field(strict=True)]
Amplitudes = Literal["up_to_1.5c_charge", "all"]


class Table(BaseModel):
    """A table of a plan: its keys are closed, its values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BundleName(Table):
    """What a bundle is called, and the command that makes it again."""

    name: Word
    version: Text
    reproduced_by: Text


class BundlePlan(BundleName):
    """Name of the bundle a method makes alone, and what the method promises."""

    capacity_definition: Text
    coverage_fraction: Share
    lowest_cut_fraction: Share
    highest_cut_fraction: Share


class PulseRowsPlan(Table):
    """Which pulse tests train.

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
    voltage_limited: YesOrNo


class PulseCountingPlan(Table):
    """Which pulse tests are counted: visits (one per battery) and grid rows."""

    visit_pulse_width_second: Positive
    grid_pulse_width_second: Positive
    grid_lowest_charged_fraction: NotNegative
    grid_highest_charged_fraction: Positive


class ListedFeaturesPlan(Table):
    """What a method without a room of its own in `training.recipes` says about its features.

    Attributes
    ----------
    required : tuple of str
        Features without which nothing is said; a test that lacks one neither trains nor is counted.
    anchors : tuple of str
        Features of every member, before those it asks for; the first one gets `first_feature_weight`.
    logarithmic : tuple of str
        Prefixes of features a kernel takes as logarithm.
    resistances : tuple of str
        Prefixes of features along which health falls (`falls_with_resistance` of a tree member).
    times_rated_capacity, over_rated_capacity : tuple of str
        Prefixes of features that were multiplied, or divided, by the rated capacity of the plate, beside
        those in ohm·Ah: how a wrong plate reads in `packgrade-train evaluate`.
    """

    required: Annotated[tuple[Text, ...], Field(min_length=1)]
    anchors: Annotated[tuple[Text, ...], Field(min_length=1)]
    logarithmic: tuple[Text, ...] = ()
    resistances: tuple[Text, ...] = ()
    times_rated_capacity: tuple[Text, ...] = ()
    over_rated_capacity: tuple[Text, ...] = ()


class SplitsPlan(Table):
    """Folds by physical cell, and how often batteries are split into calibrating and presented."""

    fold_count: Annotated[int, Field(ge=2, strict=True)]
    seed: Seed
    calibration_share: Share
    calibration_split_count: Count
    unseen_type_keys: tuple[Text, ...] = ()


class _Member(Table):
    """What both kinds of members say.

    Attributes
    ----------
    weight : float
        Weight of the member among those that can say something.
    features : tuple of str
        Prefixes of its features beside the method's anchors; empty means all.
    amplitudes : {"up_to_1.5c_charge", "all"} or None
        Pulses it looks at; every member of a ``pulse_test`` plan says so, no other does.
    needed : tuple of str
        Prefixes of features without which the member says nothing, in a plan that lists its features.
    """

    name: Word
    weight: Positive
    features: tuple[Text, ...]
    amplitudes: Amplitudes | None = None
    needed: tuple[Text, ...] = ()


class KernelMemberPlan(_Member):
    """A kernel member per battery type.

    Attributes
    ----------
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


class TreesPlan(Table):
    """How a LightGBM model is grown; `visit_weight` is a visit's weight over a grid row's."""

    round_count: Count
    learning_rate: Positive
    leaf_count: Count
    least_rows_per_leaf: Count
    feature_share: Share
    row_share: Share
    l2: NotNegative
    visit_weight: Positive


class TreeMemberPlan(_Member, TreesPlan):
    """A LightGBM member per battery type.

    Attributes
    ----------
    falls_with_resistance : bool
        Whether the prediction may never rise with a resistance (monotone constraints).
    """

    kind: Literal["trees"]
    falls_with_resistance: YesOrNo = False


class WindowKernelMemberPlan(_Member):
    """A kernel regression per battery type on whichever features a test measured (`models.window_kernel`).

    It takes the features of its prefixes alone, without the method's anchors.

    Attributes
    ----------
    noise : float
        Standard deviation of the logarithm of a prototype's label.
    prototype_count : int
        Most prototypes; fewer where a type has fewer than `rows_per_prototype` tests for each.
    least_measured_share : float
        Tests that measured at least this share of what the widest one did become prototypes.
    least_feature_count : int
        With fewer measured features the member says nothing.
    least_rows : int
        A type with fewer such tests goes without it.
    """

    kind: Literal["window_kernel"]
    features: Annotated[tuple[Text, ...], Field(min_length=1)]
    shape: Literal["rbf", "matern32"]
    length_scale: Positive
    amplitude: Positive
    linear_share: NotNegative
    noise: Positive
    prototype_count: Count
    rows_per_prototype: Annotated[float, Field(ge=2.0, strict=True)]
    least_measured_share: Share
    least_feature_count: Count
    least_rows: Annotated[int, Field(ge=4, strict=True)]

    @property
    def form(self) -> KernelForm:
        """The kernel; every feature weighs the same."""
        return KernelForm(self.shape, self.length_scale, self.amplitude, self.linear_share, 0.0, 1.0)


MemberPlan = Annotated[KernelMemberPlan | TreeMemberPlan | WindowKernelMemberPlan, Field(discriminator="kind")]


class IntervalPlan(Table):
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


class SuitabilityPlan(TreesPlan):
    """Classifiers of P(state of health < cut), beside the predictive distribution.

    Attributes
    ----------
    cuts : tuple of float
        Cuts that get a classifier if at least `least_batteries_per_side` visited batteries lie on
        both sides; none for a method that does without.
    features : tuple of str
        Prefixes of its features, as for a member.
    """

    cuts: tuple[Share, ...]
    least_batteries_per_side: Count
    features: tuple[Text, ...]


class ApplicabilityPlan(Table):
    """What a type looks like: a Gaussian mixture per type (`training.fit_looks`).

    Attributes
    ----------
    features : tuple of str
        Features that make a look; each must be measured.
    sliced_along : str or None
        Feature of the look along which a type is cut into slices of equally many tests, one component
        with a limit of its own for each; None finds the components by expectation maximisation.
    of_the_test : tuple of str
        Features of the look that a test sets and no battery has, described once for all slices.
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
    sliced_along: Text | None = None
    of_the_test: tuple[Text, ...] = ()
    component_count: dict[str, Count]
    default_component_count: Count
    covariance_floor: Positive
    limit_level: Share
    limit_slack: Positive
    margin: Positive

    @model_validator(mode="after")
    def _slices_are_of_the_look(self) -> Self:
        named = (*((self.sliced_along,) if self.sliced_along else ()), *self.of_the_test)
        others = [name for name in named if name not in self.features]
        if others:
            raise ValueError(f"sliced_along and of_the_test name features of the look, not {', '.join(others)}")
        return self


class TrackingPlan(Table):
    """Where the run goes."""

    uri: Text = DEFAULT_TRACKING_URI
    experiment: Word
    registered_name: Word
