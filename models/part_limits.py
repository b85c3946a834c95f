"""A battery's grade cannot beat its worst judged part.

A pack is as safe as its worst module, whatever its own measurement says. A part with a grade limits
the grade; a part without one limits the outcome, by a table of the policy. Parts nobody judged limit nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from features.errors import Problem
from features.findings import Finding, Message, Severity
from models.decision import NextTest, Outcome
from models.past import PartVerdict
from models.standing import of_its_own
from models.verdict import GradeBand, Verdict, is_better

PART_LIMITS_GRADE = "PART_LIMITS_GRADE"
"""Reason code of a decision that a part made worse."""

UNGRADED = (Outcome.HOLD, Outcome.RECYCLE, Outcome.RETEST)
"""Outcomes without a grade."""


@dataclass(frozen=True, slots=True)
class PartRule:
    """What a part without a grade makes of the whole.

    Attributes
    ----------
    best_with : mapping of Outcome to Outcome
        Best outcome of the whole with a part on hold, to be recycled or to be retested; never a use.
    test : NextTest or None
        Test asked for where a part makes the whole a retest.
    """

    best_with: Mapping[Outcome, Outcome]
    test: NextTest | None

    def problems(self) -> Iterator[Problem]:
        """What is not sound: no part without a grade leaves the whole a use."""
        for outcome in UNGRADED:
            best = self.best_with.get(outcome)
            if best not in UNGRADED:
                yield Problem(f"parts.with_{outcome.value}", f"must be one of {', '.join(UNGRADED)}", best or "")
        if (Outcome.RETEST in self.best_with.values()) != (self.test is not None):
            yield Problem("parts.test", "must be given exactly where a part makes the whole a retest")

    def limited(
        self, verdict: Verdict, alone: Verdict, parts: Sequence[PartVerdict], bands: Sequence[GradeBand]
    ) -> Verdict:
        """What a verdict on the whole becomes in view of its parts.

        Parameters
        ----------
        verdict : Verdict
            On the whole, in view of its own past.
        alone : Verdict
            What its own measurements say.
        parts : sequence of PartVerdict
            What was last decided on its parts.
        bands : sequence of GradeBand
            Grades, best first.
        """
        worst = verdict
        for part in parts:
            limit = self._limit(part, bands) if part.gated else None
            if limit is not None and _worse(limit, worst, bands):
                worst = Verdict(limit.outcome, (_limits(part, alone), *verdict.reasons), limit.band, limit.next_test)
        return worst

    def _limit(self, part: PartVerdict, bands: Sequence[GradeBand]) -> Verdict:
        """Best the whole can be with a part; a grade this policy does not know proves as little as a retest."""
        known = next((band for band in bands if band.name == part.grade), None)
        if known is not None:
            return Verdict(Outcome.CASCADE, (), known)
        best = self.best_with[part.outcome if part.outcome in UNGRADED else Outcome.RETEST]
        return Verdict(best, (), next_test=self.test if best is Outcome.RETEST else None)


STRICTEST_PARTS = PartRule(dict.fromkeys(UNGRADED, Outcome.HOLD), None)
"""For policies written before the rule: a part without a grade holds the whole."""


def _worse(limit: Verdict, verdict: Verdict, bands: Sequence[GradeBand]) -> bool:
    if limit.band is None or verdict.band is None:
        return is_better(verdict.outcome, limit.outcome)
    return bands.index(verdict.band) < bands.index(limit.band)


def _limits(part: PartVerdict, alone: Verdict) -> Finding:
    said = f"{part.outcome.value if part.outcome else ''} {part.grade or ''}".strip()
    message = Message(
        f"Part {part.battery_id} was decided {said}; the whole cannot be better. On its own measurement it would be "
        f"{alone.said}.",
        f"部件 {part.battery_id} 的判定为 {said},整体不得优于它。仅凭自身测量将为 {alone.said}。",
    )
    evidence = {"part": part.battery_id, "part_outcome": part.outcome.value if part.outcome else ""}
    named = {"part_grade": part.grade} if part.grade else {}
    decided = {"part_decision_id": part.decision_id} if part.decision_id else {}
    return Finding(PART_LIMITS_GRADE, Severity.CAUTION, message, {**evidence, **named, **decided, **of_its_own(alone)})
