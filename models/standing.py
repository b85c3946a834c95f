"""An unsafe verdict stands until a capacity test or a named person overrides it.

Grading a battery again until it passes is no way out: what the record holds against it limits every
later decision, and that decision says so. A bench-measured capacity test that decides overrides a
`recycle`; a `hold` only if the same request also answers each gate the hold rests on. What no
inspection can answer (identity, voltages, cells that differ) is left to a named person, whose
correction takes the verdict out of the past this rule is given. A verdict as bad or worse is always allowed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import reduce

from features.errors import Problem
from features.feature_set import Method
from features.findings import Finding, Message, Severity
from features.vocabulary import Provenance
from models.decision import VERDICT_STANDS, Assessment, CapacityEstimate, GradingCase, NextTest, Outcome
from models.gates import APPEARANCE, Gates
from models.past import PastDecision, StandingVerdict
from models.verdict import Verdict, is_better

VERDICT_RELEASED = "VERDICT_RELEASED"
"""Reason code of the decision that overrode the verdicts before it."""


class Overrider(StrEnum):
    """Who may override an unsafe verdict."""

    CAPACITY_TEST = "capacity_test"
    NAMED_PERSON = "named_person"


@dataclass(frozen=True, slots=True)
class StandingRule:
    """Which verdicts stand and what overrides them.

    Attributes
    ----------
    unsafe_outcomes : frozenset of Outcome
        Outcomes that stand.
    overridden_by : frozenset of Overrider
        What overrides them.
    test : NextTest or None
        The capacity test asked for where a verdict stands that it could override; None where only a person can.
    """

    unsafe_outcomes: frozenset[Outcome]
    overridden_by: frozenset[Overrider]
    test: NextTest | None

    def problems(self) -> Iterator[Problem]:
        """What is not sound: a hold always stands, and somebody can always override it."""
        shown = ", ".join(sorted(self.unsafe_outcomes))
        if Outcome.HOLD not in self.unsafe_outcomes:
            yield Problem("standing.unsafe_outcomes", "must name hold: a closed gate is unsafe", shown)
        if not self.unsafe_outcomes <= {Outcome.HOLD, Outcome.RECYCLE}:
            yield Problem("standing.unsafe_outcomes", "may name hold and recycle only", shown)
        if Overrider.NAMED_PERSON not in self.overridden_by:
            rule = "must name named_person: no test answers every gate"
            yield Problem("standing.overridden_by", rule, ", ".join(sorted(self.overridden_by)))
        if (Overrider.CAPACITY_TEST in self.overridden_by) != (self.test is not None):
            yield Problem("standing.test", "must be given exactly where a capacity test overrides")
        if self.test is not None and self.test.method is not Method.CAPACITY_TEST:
            yield Problem("standing.test.method", "must be capacity_test", self.test.method.value)

    def standing(self, decisions: Iterable[PastDecision]) -> StandingVerdict | None:
        """The verdict that stands after decisions given in the order of the record, without those withdrawn."""
        return reduce(self.after, decisions, None)

    def after(self, standing: StandingVerdict | None, decided: PastDecision) -> StandingVerdict | None:
        """The verdict that stands after one more decision: the worst, the earliest of equals, with all open gates."""
        before = None if decided.releases or standing is None else standing
        counted = before and replace(before, graded_since=before.graded_since + 1)
        if decided.overridden or decided.outcome not in self.unsafe_outcomes:
            return counted
        own = StandingVerdict(decided.decision_id, decided.sequence, decided.outcome, decided.closed_gates)
        if counted is None:
            return own
        worst = own if is_better(counted.outcome, own.outcome) else counted
        return replace(worst, open_gates=tuple(dict.fromkeys((*counted.open_gates, *own.open_gates))))

    def held_to(
        self,
        alone: Verdict,
        case: GradingCase,
        assessment: Assessment,
        gates: Gates,
        standing: StandingVerdict | None,
    ) -> Verdict:
        """What a verdict becomes in view of the one that stands.

        Parameters
        ----------
        alone : Verdict
            What the battery's own measurements say now.
        case : GradingCase
            What was measured and seen.
        assessment : Assessment
            What the models say about it.
        gates : Gates
            Limits that an answer to a gate must keep.
        standing : StandingVerdict or None
            What the record holds against the battery.
        """
        if standing is None or not is_better(alone.outcome, standing.outcome):
            return alone
        test = self.test if all(code in _ANSWERS for code in standing.open_gates) else None
        if test is not None and _decided(alone, assessment) and not _unanswered(standing, case, gates):
            return Verdict(alone.outcome, (*alone.reasons, _released(standing)), alone.band)
        stands = _stands(standing, alone, _unanswered(standing, case, gates), self.test is not None)
        return Verdict(standing.outcome, (stands, *alone.reasons), next_test=test)


STRICTEST = StandingRule(frozenset({Outcome.HOLD, Outcome.RECYCLE}), frozenset({Overrider.NAMED_PERSON}), None)
"""For policies written before the rule: nobody but a named person overrides."""


def _not_seen(fault: str) -> Callable[[GradingCase, Gates], bool]:
    return lambda case, _: getattr(case.inspection, fault) is False


def _alarms_low(case: GradingCase, gates: Gates) -> bool:
    level = case.inspection.alarm_level
    return level is not None and level < gates.lowest_disqualifying_alarm_level


def _insulation_high(case: GradingCase, gates: Gates) -> bool:
    measured = case.inspection.insulation_ohm_per_volt
    return measured is not None and measured >= gates.minimum_insulation_ohm_per_volt


_ANSWERS: Mapping[str, Callable[[GradingCase, Gates], bool]] = {
    **{f"appearance.{fault}": _not_seen(fault) for fault in APPEARANCE},
    "alarm.level_too_high": _alarms_low,
    "insulation.too_low": _insulation_high,
}
"""What answers a gate finding explicitly: somebody looked again and says what there is, silence answers nothing."""


def _decided(alone: Verdict, assessment: Assessment) -> bool:
    """Whether a capacity test on a bench decided; an undecided one overrides nothing."""
    measured = assessment.estimate
    return alone.outcome is not Outcome.RETEST and measured is not None and _on_a_bench(measured)


def _on_a_bench(estimate: CapacityEstimate) -> bool:
    return estimate.method is Method.CAPACITY_TEST and estimate.provenance is Provenance.BENCH_MEASURED


def _unanswered(standing: StandingVerdict, case: GradingCase, gates: Gates) -> list[str]:
    asked = ((code, _ANSWERS.get(code)) for code in standing.open_gates)
    return [code for code, answered in asked if answered is None or not answered(case, gates)]


def _stands(standing: StandingVerdict, alone: Verdict, unanswered: list[str], test_overrides: bool) -> Finding:
    for_persons_only = not test_overrides or any(code not in _ANSWERS for code in unanswered)
    faults, named = ", ".join(unanswered), {"unanswered": ", ".join(unanswered)} if unanswered else {}
    if for_persons_only:
        en, zh = "Only a named person overrides it.", "仅可由指定人员撤销。"
    elif unanswered:
        en = f"A capacity test on a bench that also answers {faults}, or a named person, overrides it."
        zh = f"须由同时复核 {faults} 的台架容量测试或指定人员撤销。"
    else:
        en, zh = "A capacity test on a bench, or a named person, overrides it.", "须由台架容量测试或指定人员撤销。"
    message = Message(
        f"Decision {standing.decision_id} ({standing.outcome.value}, entry {standing.sequence}) stands; the battery "
        f"was graded {standing.graded_since} times since. This grading alone would say {alone.said}. {en}",
        f"决定 {standing.decision_id}({standing.outcome.value},记录第 {standing.sequence} 条)仍然有效;此后已评级 "
        f"{standing.graded_since} 次。仅凭本次评级将为 {alone.said}。{zh}",
    )
    return Finding(VERDICT_STANDS, Severity.CAUTION, message, {**_evidence(standing), **of_its_own(alone), **named})


def _released(standing: StandingVerdict) -> Finding:
    message = Message(
        f"A capacity test on a bench overrides decision {standing.decision_id} ({standing.outcome.value}, "
        f"entry {standing.sequence}).",
        f"台架容量测试撤销决定 {standing.decision_id}({standing.outcome.value},记录第 {standing.sequence} 条)。",
    )
    return Finding(VERDICT_RELEASED, Severity.NOTE, message, _evidence(standing))


def of_its_own(alone: Verdict) -> dict[str, str]:
    """Evidence of what a verdict was before something else held it back."""
    grade = {"grade_alone": alone.band.name} if alone.band else {}
    return {"outcome_alone": alone.outcome.value, **grade}


def _evidence(standing: StandingVerdict) -> dict[str, str | int]:
    return {
        "decision_id": standing.decision_id,
        "sequence": standing.sequence,
        "outcome": standing.outcome.value,
        "graded_since": standing.graded_since,
    }
