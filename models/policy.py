"""The one policy: from an assessed battery to a decision.

Gates first, in the policy's order; then the reasons not to grade; then the grade: the highest cut
that the evidence clears, a direct measurement by its interval, a trained method by the certified
thresholds in force (`models.evidence`). Whatever the policy's numbers are, a disqualifying finding
wins, a wider interval never earns a better grade, and every state of health falls into exactly one
band: that is proved in the constructor. An earlier verdict on the battery (`models.standing`) and its
parts (`models.part_limits`) come last and only ever make a decision worse. The numbers themselves
live in dated files (`policies/*.toml`), read by `policy_file`.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from features.errors import InvalidInput, Problem
from features.feature_set import Method
from features.findings import Finding, Message, Severity
from features.vocabulary import Level, Provenance
from models.applicability import not_calibrated
from models.certification import Certification
from models.decision import (
    AbstentionCode,
    Assessment,
    GradingCase,
    GradingDecision,
    NextTest,
    Outcome,
    PolicyStamp,
    cut_key,
)
from models.evidence import CertifiedScore, MeasuredInterval, Proof
from models.gates import Gates
from models.part_limits import PartRule
from models.past import NOTHING_PAST, RecordedPast
from models.risk_levels import RiskRule
from models.standing import StandingRule
from models.terms import CapacityTestTerms, GradingTerms
from models.traceability import TraceabilityTerms
from models.verdict import GradeBand, Verdict

FORBIDDEN_USES = frozenset({"e_bicycle", "e_moped", "e_scooter"})
"""Uses no policy may offer: industry conditions for cascade use, 2024 (read in a secondary source)."""

KNOWN_USES: Mapping[str, Message] = {
    "stationary_storage_small": Message("small stationary storage", "小型固定储能"),
    "stationary_storage_large": Message("large stationary storage", "大型固定储能"),
    "backup_power": Message("backup power", "备用电源"),
    "telecom_base_station": Message("telecom base station", "通信基站"),
    "low_speed_logistics_vehicle": Message("low-speed logistics vehicle inside a site", "场内低速物流车"),
    "street_lighting": Message("street lighting", "路灯储能"),
}
"""Closed vocabulary of uses a policy may offer."""


class WhenUncertain(StrEnum):
    """What happens when the evidence leaves a cut between two grades open."""

    DOWNGRADE = "downgrade"
    RETEST = "retest"


@dataclass(frozen=True, slots=True)
class OfferedTest:
    """A test the policy may ask for, and which open questions it answers.

    Attributes
    ----------
    test : NextTest
        What to do, by which method, in how many minutes.
    answers : frozenset of AbstentionCode
        Questions it may settle.
    after : frozenset of Method
        Best methods measured so far after which it is offered.
    levels : frozenset of Level
        Levels it can be done on.
    needs_known_type : bool
        Whether it is offered only where a certificate of its method reaches the declared type.
    """

    test: NextTest
    answers: frozenset[AbstentionCode]
    after: frozenset[Method]
    levels: frozenset[Level]
    needs_known_type: bool

    def fits(self, code: str, case: GradingCase, certified_methods: frozenset[Method]) -> bool:
        """Whether this test would answer the open question for this battery."""
        return (
            code in self.answers
            and case.identity.level in self.levels
            and (self.test.method in certified_methods or not self.needs_known_type)
            and (case.vector.method is None or case.vector.method in self.after)
        )


@dataclass(frozen=True)
class Policy:
    """Dated rules for one deployment.

    Attributes
    ----------
    stamp : PolicyStamp
        Identifier, version and digest of the file.
    effective_from : date
        First day it applies.
    status : str
        What kind of authority it has.
    bands : tuple of GradeBand
        Grades, best first, without gap or overlap.
    recycle_below_fraction : float
        State of health under which a battery is recycled; the lowest grade's minimum.
    when_uncertain : WhenUncertain
        What an open cut between two grades means.
    certified_probability_below_cut : float
        A certified cut is cleared only if P(state of health < cut) of this battery is at most this: a share
        of all batteries presented says little at a cut that few of them miss.
    maximum_probability_below_cut : float
        A direct measurement clears a cut only if P(state of health < cut) is at most this.
    risk : RiskRule
        What is promised of trained methods, and over which batteries.
    capacity_test : CapacityTestTerms
        When a directly measured capacity may be compared with the cuts, and how sure it is.
    bms_reported_ceiling : str
        Best grade for evidence that rests on BMS-reported numbers only.
    gates : Gates
        Hard gates in order.
    offered_tests : tuple of OfferedTest
        Tests a `retest` may name.
    standing : StandingRule
        Which earlier verdicts on the battery stand, and what overrides them.
    part_rule : PartRule
        What parts without a grade make of the whole.
    traceability : TraceabilityTerms or None
        When events must be reported; None where nothing is.

    Raises
    ------
    InvalidInput
        If a state of health would fall into no band or two, a use is unknown or forbidden, a range ends
        before it begins, some open question has no test that answers it, a hold would not stand or nobody
        could override it, or a part without a grade would leave the whole a use.
    """

    stamp: PolicyStamp
    effective_from: date
    status: str
    bands: tuple[GradeBand, ...]
    recycle_below_fraction: float
    when_uncertain: WhenUncertain
    certified_probability_below_cut: float
    maximum_probability_below_cut: float
    risk: RiskRule
    capacity_test: CapacityTestTerms
    bms_reported_ceiling: str
    gates: Gates
    offered_tests: tuple[OfferedTest, ...]
    standing: StandingRule
    part_rule: PartRule
    traceability: TraceabilityTerms | None

    def __post_init__(self) -> None:
        problems = [
            *_band_problems(self),
            *_use_problems(self),
            *_range_problems(self.capacity_test),
            *_next_test_problems(self.offered_tests),
            *self.standing.problems(),
            *self.part_rule.problems(),
            *(self.traceability.problems() if self.traceability else ()),
        ]
        if problems:
            raise InvalidInput(
                f"Policy {self.stamp.policy_id} {self.stamp.version} is not sound; it was not loaded.",
                problems,
                code="POLICY_NOT_SOUND",
            )

    @property
    def cuts(self) -> tuple[float, ...]:
        """Minimum state of health of every grade, highest first."""
        return tuple(band.minimum_fraction for band in self.bands)

    def terms(self, certification: Certification) -> GradingTerms:
        """What an assessment needs to know, with what was certified for the bundle under this policy."""
        return GradingTerms(self.cuts, self.capacity_test, certification)

    def decide(
        self, case: GradingCase, assessment: Assessment, bundle_sha256: str, past: RecordedPast = NOTHING_PAST
    ) -> GradingDecision:
        """Decide what happens to a battery.

        Parameters
        ----------
        case : GradingCase
            The battery, its inspection and its features.
        assessment : Assessment
            What the models say about it.
        bundle_sha256 : str
            Digest of the bundle that said so.
        past : RecordedPast, optional
            What the record says of the battery and its parts.

        Returns
        -------
        GradingDecision
            Always one; never raises for a valid case.
        """
        alone = self._held(case) or self._abstained(case, assessment) or self._graded(case, assessment)
        stood = self.standing.held_to(alone, case, assessment, self.gates, past.standing)
        verdict = self.part_rule.limited(stood, alone, past.parts, self.bands)
        reasons = (*verdict.reasons, *self._others(case, assessment, verdict.reasons))
        band = verdict.band
        return GradingDecision(
            outcome=verdict.outcome,
            grade=band.name if band else None,
            suitable_uses=band.uses if band else (),
            reasons=reasons,
            next_test=self._next_test(case, assessment, verdict),
            policy=self.stamp,
            bundle_sha256=bundle_sha256,
            estimate=assessment.estimate,
            thresholds=assessment.thresholds,
        )

    def _held(self, case: GradingCase) -> Verdict | None:
        closed = self.gates.closed(case)
        return Verdict(Outcome.HOLD, closed) if closed else None

    def _abstained(self, case: GradingCase, assessment: Assessment) -> Verdict | None:
        missing = (*self.gates.unmeasured(case), *assessment.abstentions) or _unproved(assessment)
        return Verdict(Outcome.RETEST, missing) if missing else None

    def _graded(self, case: GradingCase, assessment: Assessment) -> Verdict:
        proof = self._proof(case, assessment)
        cleared = next((band for band in self.bands if proof.clears(band.minimum_fraction)), None)
        if cleared is None:
            return self._below_all_cuts(proof)
        better = cleared.below_fraction
        if self.when_uncertain is WhenUncertain.RETEST and better in self.cuts and not proof.lies_below(better):
            return Verdict(Outcome.RETEST, (proof.undecided(better),))
        return self._under_ceiling(assessment, cleared, proof.cleared(cleared.minimum_fraction, cleared.name))

    def _proof(self, case: GradingCase, assessment: Assessment) -> Proof:
        estimate = assessment.estimate
        if estimate is None:
            raise ValueError(f"Battery {case.identity.battery_id} has no estimate; abstention comes before grading.")
        if assessment.thresholds is not None:
            return CertifiedScore(estimate, assessment.thresholds, self.certified_probability_below_cut)
        return MeasuredInterval(estimate, self.maximum_probability_below_cut)

    def _below_all_cuts(self, proof: Proof) -> Verdict:
        lowest = self.recycle_below_fraction
        if proof.lies_below(lowest):
            return Verdict(Outcome.RECYCLE, (proof.below(lowest),))
        return Verdict(Outcome.RETEST, (proof.undecided(lowest),))

    def _under_ceiling(self, assessment: Assessment, cleared: GradeBand, clears: Finding) -> Verdict:
        names = [band.name for band in self.bands]
        ceiling = names.index(self.bms_reported_ceiling)
        reported = assessment.estimate is not None and assessment.estimate.provenance is Provenance.BMS_REPORTED
        if not reported or names.index(cleared.name) >= ceiling:
            return Verdict(Outcome.CASCADE, (clears,), cleared)
        return Verdict(Outcome.CASCADE, (_ceiling(self.bms_reported_ceiling), clears), self.bands[ceiling])

    def _others(self, case: GradingCase, assessment: Assessment, said: Iterable[Finding]) -> list[Finding]:
        """Findings that did not decide, the serious ones first."""
        told = {finding.code for finding in said}
        noticed = (*assessment.abstentions, *assessment.notes, *case.vector.findings, *self.gates.unseen(case))
        serious = list(reversed(Severity))
        return sorted(
            (each for each in noticed if each.code not in told), key=lambda each: serious.index(each.severity)
        )

    def _next_test(self, case: GradingCase, assessment: Assessment, verdict: Verdict) -> NextTest | None:
        if verdict.outcome is not Outcome.RETEST or verdict.next_test is not None:
            return verdict.next_test
        code = verdict.reasons[0].code
        fitting = [each.test for each in self.offered_tests if each.fits(code, case, assessment.certified_methods)]
        return min(fitting, key=lambda test: test.minutes)


def _unproved(assessment: Assessment) -> tuple[Finding, ...]:
    """A direct capacity test knows its uncertainty; everything else needs a certificate."""
    estimate = assessment.estimate
    if estimate is None:
        return (_insufficient(),)
    proved = assessment.thresholds is not None or estimate.method is Method.CAPACITY_TEST
    return () if proved else (not_calibrated(estimate.method),)


def _ceiling(grade: str) -> Finding:
    message = Message(
        f"The capacity rests on BMS-reported numbers only; the policy grades those no better than {grade}.",
        f"容量仅依据 BMS 上报数据,按策略最高评为 {grade} 级。",
    )
    return Finding("PROVENANCE_CEILING", Severity.CAUTION, message, {"ceiling_grade": grade})


def _insufficient() -> Finding:
    message = Message("Nothing was measured that tells the capacity.", "没有可用于判断容量的测量数据。")
    return Finding(AbstentionCode.INSUFFICIENT_DATA.value, Severity.CAUTION, message)


def _band_problems(policy: Policy) -> Iterator[Problem]:
    bands = policy.bands
    if not bands:
        yield Problem("grades", "a policy needs at least one grade")
        return
    if len({band.name for band in bands}) != len(bands):
        yield Problem("grades", "every grade needs a name of its own", ", ".join(band.name for band in bands))
    if not math.isinf(bands[0].below_fraction):
        yield Problem(f"grades.{bands[0].name}", "the best grade has no upper end", str(bands[0].below_fraction))
    for better, worse in itertools.pairwise(bands):
        yield from _seam_problems(better, worse)
    lowest = bands[-1]
    if not 0.0 < lowest.minimum_fraction < bands[0].below_fraction:
        yield Problem(f"grades.{lowest.name}", "the lowest cut must be above 0", str(lowest.minimum_fraction))
    if policy.recycle_below_fraction != lowest.minimum_fraction:
        rule = f"must equal the minimum of the lowest grade ({lowest.minimum_fraction:g}): no gap, no overlap"
        yield Problem("recycle_below_state_of_health_fraction", rule, f"{policy.recycle_below_fraction:g}")
    if len({cut_key(cut) for cut in policy.cuts}) != len(bands) or any(
        float(cut_key(cut)) != cut for cut in policy.cuts
    ):
        yield Problem("grades", "cuts are given in whole percent", ", ".join(f"{cut:g}" for cut in policy.cuts))
    if policy.bms_reported_ceiling not in {band.name for band in bands}:
        yield Problem("provenance.bms_reported_ceiling", "must name a grade", policy.bms_reported_ceiling)


def _seam_problems(better: GradeBand, worse: GradeBand) -> Iterator[Problem]:
    if worse.minimum_fraction >= better.minimum_fraction:
        yield Problem(f"grades.{worse.name}", f"must lie below grade {better.name}", f"{worse.minimum_fraction:g}")
    elif worse.below_fraction < better.minimum_fraction:
        seam = f"{worse.below_fraction:g} to {better.minimum_fraction:g}"
        yield Problem(f"grades.{worse.name}", f"leaves a gap below grade {better.name}", seam)
    elif worse.below_fraction > better.minimum_fraction:
        seam = f"{better.minimum_fraction:g} to {worse.below_fraction:g}"
        yield Problem(f"grades.{worse.name}", f"overlaps grade {better.name}", seam)


def _use_problems(policy: Policy) -> Iterator[Problem]:
    for band in policy.bands:
        if not band.uses:
            yield Problem(f"grades.{band.name}.uses", "a grade needs at least one use")
        for use in band.uses:
            if use in FORBIDDEN_USES:
                yield Problem(f"grades.{band.name}.uses", "cascade batteries may not go into e-bicycles", use)
            elif use not in KNOWN_USES:
                yield Problem(f"grades.{band.name}.uses", f"must be one of {', '.join(KNOWN_USES)}", use)


def _range_problems(terms: CapacityTestTerms) -> Iterator[Problem]:
    for name, lowest, highest in (
        ("discharge_rate_c", terms.lowest_rate_c, terms.highest_rate_c),
        ("temperature_celsius", terms.lowest_temperature_celsius, terms.highest_temperature_celsius),
    ):
        if lowest >= highest:
            yield Problem(f"capacity_test.lowest_{name}", f"must lie below the highest ({highest:g})", f"{lowest:g}")


def _next_test_problems(offered: tuple[OfferedTest, ...]) -> Iterator[Problem]:
    for code in AbstentionCode:
        for level in Level:
            for method in Method:
                if not any(
                    code in each.answers and level in each.levels and method in each.after and not each.needs_known_type
                    for each in offered
                ):
                    where = f"{code.value} after {method.value} on a {level.value}"
                    yield Problem("next_tests", "no test answers this open question", where)
