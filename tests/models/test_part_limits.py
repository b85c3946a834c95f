"""A battery's grade cannot beat its worst judged part."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InvalidInput
from models.decision import Assessment, GradingDecision, Outcome
from models.part_limits import STRICTEST_PARTS
from models.past import PartVerdict, RecordedPast, StandingVerdict
from models.policy import Policy
from models.policy_file import SHIPPED_POLICY, load_policy
from tests.support.cases import a_case, a_pack, assessed, predicted

POLICY = load_policy(SHIPPED_POLICY)
GRADES = [band.name for band in POLICY.bands]
ORDER = [Outcome.CASCADE, Outcome.RETEST, Outcome.RECYCLE, Outcome.HOLD]


def part(outcome: Outcome | None, grade: str | None = None, number: int = 1, gated: bool = True) -> PartVerdict:
    return PartVerdict(f"module-{number}", f"{number:032x}", outcome, grade, gated)


def decide(assessment: Assessment, *parts: PartVerdict, policy: Policy = POLICY) -> GradingDecision:
    return policy.decide(a_case(a_pack_measured()), assessment, "0" * 64, RecordedPast(parts=parts))


def a_pack_measured():
    """A whole that no insulation gate concerns."""
    return replace(a_pack(), level=a_case().identity.level)


def test_a_pack_of_grade_a_with_a_module_of_grade_c_is_graded_c_naming_the_module() -> None:
    decision = decide(predicted(0.95), part(Outcome.CASCADE, "A", 1), part(Outcome.CASCADE, "C", 2))
    assert (decision.outcome, decision.grade) == (Outcome.CASCADE, "C")
    assert decision.suitable_uses == POLICY.bands[2].uses
    limit = decision.reasons[0]
    assert (limit.code, limit.evidence["part"], limit.evidence["part_grade"]) == ("PART_LIMITS_GRADE", "module-2", "C")
    assert limit.evidence["grade_alone"] == "A"
    assert all("module-2" in said and "cascade A" in said for said in (limit.message.en, limit.message.zh))
    assert decision.reasons[1].code == "CLEARS_CUT"


def test_a_better_module_lifts_nothing() -> None:
    decision = decide(predicted(0.75), part(Outcome.CASCADE, "A"))
    assert (decision.grade, decision.reasons[0].code) == ("B", "CLEARS_CUT")


@pytest.mark.parametrize(
    ("outcome", "whole"),
    [(Outcome.HOLD, Outcome.HOLD), (Outcome.RECYCLE, Outcome.HOLD), (Outcome.RETEST, Outcome.RETEST)],
)
def test_a_module_without_a_grade_makes_the_pack_what_the_policy_says(outcome: Outcome, whole: Outcome) -> None:
    decision = decide(predicted(0.95), part(outcome))
    assert (decision.outcome, decision.reasons[0].code) == (whole, "PART_LIMITS_GRADE")


def test_a_pack_retested_for_a_module_asks_for_a_test_of_the_module() -> None:
    decision = decide(predicted(0.95), part(Outcome.RETEST))
    assert decision.next_test is not None
    assert decision.next_test.test_id == "test_of_the_part"


def test_a_module_nobody_judged_limits_nothing() -> None:
    never = PartVerdict("module-1", None, None, None, gated=False)
    assert decide(predicted(0.95), never).grade == "A"


def test_a_grade_of_another_policy_proves_as_little_as_a_retest() -> None:
    assert decide(predicted(0.95), part(Outcome.CASCADE, "A1")).outcome is Outcome.RETEST


def test_a_policy_without_the_section_holds_a_pack_whose_module_has_no_grade() -> None:
    strict = replace(POLICY, part_rule=STRICTEST_PARTS)
    assert decide(predicted(0.95), part(Outcome.RETEST), policy=strict).outcome is Outcome.HOLD


def test_a_verdict_that_stands_and_a_worse_module_are_both_told() -> None:
    standing = StandingVerdict("a" * 32, 17, Outcome.RECYCLE)
    past = RecordedPast(standing, (part(Outcome.HOLD),))
    decision = POLICY.decide(a_case(), predicted(0.95), "0" * 64, past)
    assert decision.outcome is Outcome.HOLD
    assert [reason.code for reason in decision.reasons][:2] == ["PART_LIMITS_GRADE", "VERDICT_STANDS"]
    assert decision.reasons[0].evidence["outcome_alone"] == "cascade"


verdicts = st.one_of(
    st.sampled_from(GRADES).map(lambda grade: (Outcome.CASCADE, grade)),
    st.sampled_from(ORDER[1:]).map(lambda outcome: (outcome, None)),
)
fractions = st.floats(0.0, 1.3, allow_nan=False)


@given(fractions, fractions, st.lists(st.tuples(verdicts, st.booleans()), max_size=6), st.booleans())
def test_a_pack_never_beats_its_worst_judged_part(
    a: float, b: float, said: list[tuple[tuple[Outcome, str | None], bool]], trained: bool
) -> None:
    parts = [part(*verdict, number, gated) for number, (verdict, gated) in enumerate(said)]
    measured = predicted(a) if trained else assessed(min(a, b), max(a, b))
    decision = decide(measured, *parts)
    alone = decide(measured)
    judged = [each for each in parts if each.gated]
    assert ORDER.index(decision.outcome) >= max([ORDER.index(alone.outcome), *(ORDER.index(e.outcome) for e in judged)])
    if decision.grade is not None:
        assert GRADES.index(decision.grade) >= max([0, *(GRADES.index(each.grade) for each in judged if each.grade)])


@given(st.permutations([part(Outcome.CASCADE, "B", 1), part(Outcome.CASCADE, "C", 2), part(Outcome.RETEST, None, 3)]))
def test_the_order_of_the_parts_changes_nothing(parts: list[PartVerdict]) -> None:
    assert decide(predicted(0.95), *parts) == decide(predicted(0.95), *reversed(parts))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"best_with": {**POLICY.part_rule.best_with, Outcome.HOLD: Outcome.CASCADE}}, "parts.with_hold"),
        ({"best_with": {Outcome.HOLD: Outcome.HOLD, Outcome.RETEST: Outcome.RETEST}}, "parts.with_recycle"),
        ({"test": None}, "exactly where a part makes the whole a retest"),
    ],
)
def test_a_rule_that_leaves_a_use_to_a_pack_with_an_ungraded_part_is_refused(
    changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        replace(POLICY, part_rule=replace(POLICY.part_rule, **changes))
