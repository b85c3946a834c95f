"""The nouns of a decision: what is graded, what is estimated, what is decided.

Only values here: no model, no file, no rule of a policy. A constructor that returns has returned
something consistent (`lower <= point <= upper`, probabilities that rise with the cut).
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from features.feature_set import FeatureVector, Method
from features.findings import Finding, Message
from features.measurement import BatteryIdentity, Inspection
from features.vocabulary import Provenance
from models.thresholds import Thresholds


class AbstentionCode(StrEnum):
    """Why a battery is not graded; the reason code of a `retest`."""

    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"
    METHOD_NOT_CALIBRATED = "METHOD_NOT_CALIBRATED"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    OUTSIDE_KNOWN_RANGE = "OUTSIDE_KNOWN_RANGE"
    INSULATION_NOT_MEASURED = "INSULATION_NOT_MEASURED"
    METHODS_DISAGREE = "METHODS_DISAGREE"
    UNDECIDED_AT_CUT = "UNDECIDED_AT_CUT"


VERDICT_STANDS = "VERDICT_STANDS"
"""Reason code of a decision that an earlier unsafe verdict on the battery holds back."""


class Outcome(StrEnum):
    """What happens to the battery next."""

    CASCADE = "cascade"
    RECYCLE = "recycle"
    RETEST = "retest"
    HOLD = "hold"


@dataclass(frozen=True)
class GradingCase:
    """Everything a decision rests on; stored whole, so that the decision can be replayed.

    Attributes
    ----------
    identity : BatteryIdentity
        The battery as declared.
    inspection : Inspection
        What was seen on it.
    vector : FeatureVector
        What was computed from its measurements.
    """

    identity: BatteryIdentity
    inspection: Inspection
    vector: FeatureVector


def cut_key(cut: float) -> str:
    """A cut as it is written everywhere: two decimals.

    Examples
    --------
    >>> cut_key(0.8)
    '0.80'
    """
    return f"{cut:.2f}"


@dataclass(frozen=True)
class CapacityEstimate:
    """Remaining capacity with an interval, and how likely it lies below each cut.

    Attributes
    ----------
    method : Method
        Method the estimate rests on.
    remaining_capacity_ah, lower_ah, upper_ah : float
        Point and interval, ``lower <= point <= upper``, not negative. [Ah]
    coverage_fraction : float
        Nominal coverage of the interval, in (0, 1).
    rated_capacity_ah : float
        Plate capacity the state of health refers to. [Ah]
    capacity_definition : str
        Which capacity is meant (rate, end, temperature): 1C and I5 capacities differ.
    probability_below_cut : mapping of str to float
        P(state of health < cut), keyed by `cut_key`; not falling as the cut rises.
    calibrated : bool
        Whether the interval was calibrated on batteries of known capacity (or is a direct measurement).
    provenance : Provenance
        Who vouches for the numbers behind it.
    """

    method: Method
    remaining_capacity_ah: float
    lower_ah: float
    upper_ah: float
    coverage_fraction: float
    rated_capacity_ah: float
    capacity_definition: str
    probability_below_cut: Mapping[str, float] = field(default_factory=dict)
    calibrated: bool = True
    provenance: Provenance = Provenance.BENCH_MEASURED

    def __post_init__(self) -> None:
        ordered = 0.0 <= self.lower_ah <= self.remaining_capacity_ah <= self.upper_ah
        if not (ordered and math.isfinite(self.upper_ah)):
            shown = f"{self.lower_ah} / {self.remaining_capacity_ah} / {self.upper_ah}"
            raise ValueError(f"A capacity estimate needs 0 <= lower <= point <= upper, got {shown} Ah.")
        if not 0.0 < self.coverage_fraction < 1.0:
            raise ValueError(f"Coverage must lie between 0 and 1, got {self.coverage_fraction}.")
        if not (math.isfinite(self.rated_capacity_ah) and self.rated_capacity_ah > 0.0):
            raise ValueError(f"Rated capacity must be positive, got {self.rated_capacity_ah}.")
        by_cut = [p for _, p in sorted((float(cut), p) for cut, p in self.probability_below_cut.items())]
        if any(not 0.0 <= p <= 1.0 for p in by_cut) or any(a > b for a, b in itertools.pairwise(by_cut)):
            raise ValueError(
                f"Probabilities must lie in [0, 1] and rise with the cut, got {self.probability_below_cut}."
            )

    @property
    def state_of_health_fraction(self) -> float:
        """Remaining over rated capacity; the only place where the two are divided."""
        return self.remaining_capacity_ah / self.rated_capacity_ah

    @property
    def lower_fraction(self) -> float:
        """Lower bound over rated capacity."""
        return self.lower_ah / self.rated_capacity_ah

    @property
    def upper_fraction(self) -> float:
        """Upper bound over rated capacity."""
        return self.upper_ah / self.rated_capacity_ah


@dataclass(frozen=True)
class Assessment:
    """What a bundle says about a case: an estimate, or the reasons why there is none.

    Attributes
    ----------
    estimate : CapacityEstimate or None
        The estimate; None when nothing honest can be said.
    abstentions : tuple of Finding
        Why the estimate (if any) may not be used to grade: unknown type, outside what was seen,
        no calibrated estimator, too little data. Empty when it may.
        Their codes are `AbstentionCode` values.
    known_type : bool
        Whether the declared type is one the bundle was trained on.
    notes : tuple of Finding
        What else is worth telling: which method decided, what the others say.
    thresholds : Thresholds or None
        Certified thresholds in force for the estimate; None for a direct measurement, which is judged by
        its interval, and for an estimate that may not grade.
    certified_methods : frozenset of Method
        Trained methods whose certificate reaches the declared type: tests that could decide.
    """

    estimate: CapacityEstimate | None
    abstentions: tuple[Finding, ...] = ()
    known_type: bool = False
    notes: tuple[Finding, ...] = ()
    thresholds: Thresholds | None = None
    certified_methods: frozenset[Method] = frozenset()

    @property
    def usable(self) -> bool:
        """Whether the estimate may grade."""
        return self.estimate is not None and self.estimate.calibrated and not self.abstentions


@dataclass(frozen=True, slots=True)
class NextTest:
    """The cheapest test that would tell.

    Attributes
    ----------
    test_id : str
        Identifier in the policy.
    method : Method
        Method it feeds.
    minutes : float
        Bench time. [min]
    instruction : Message
        What to do.
    """

    test_id: str
    method: Method
    minutes: float
    instruction: Message


@dataclass(frozen=True, slots=True)
class PolicyStamp:
    """Which policy decided."""

    policy_id: str
    version: str
    sha256: str


@dataclass(frozen=True)
class GradingDecision:
    """What is to be done with a battery, and why.

    Attributes
    ----------
    outcome : Outcome
        Cascade, recycle, retest or hold.
    grade : str or None
        Grade of the policy; only with `cascade`.
    suitable_uses : tuple of str
        Uses the policy gives that grade; only with `cascade`.
    reasons : tuple of Finding
        Why, the deciding one first.
    next_test : NextTest or None
        Cheapest test that would tell, always with `retest`; the one that could override it where an earlier
        verdict stands; never otherwise.
    policy : PolicyStamp
        Policy that decided.
    bundle_sha256 : str
        Digest of the bundle whose estimate was used.
    estimate : CapacityEstimate or None
        The estimate the decision saw.
    thresholds : Thresholds or None
        Certified thresholds in force for it; None for a direct measurement or without an estimate that grades.
    """

    outcome: Outcome
    grade: str | None
    suitable_uses: tuple[str, ...]
    reasons: tuple[Finding, ...]
    next_test: NextTest | None
    policy: PolicyStamp
    bundle_sha256: str
    estimate: CapacityEstimate | None
    thresholds: Thresholds | None = None

    def __post_init__(self) -> None:
        cascade = self.outcome is Outcome.CASCADE
        if cascade != (self.grade is not None) or cascade != bool(self.suitable_uses):
            raise ValueError(f"Grade and uses belong to cascade alone, got {self.outcome} {self.grade}.")
        if not self.reasons:
            raise ValueError("A decision gives at least one reason.")
        retest, stands = self.outcome is Outcome.RETEST, self.reasons[0].code == VERDICT_STANDS
        if (retest and self.next_test is None) or (self.next_test is not None and not (retest or stands)):
            raise ValueError(
                f"A retest, and beside it only a verdict that stands, names its next test; got {self.outcome}."
            )
