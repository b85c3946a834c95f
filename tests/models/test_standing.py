"""An unsafe verdict stands until a capacity test or a named person overrides it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InvalidInput
from features.feature_set import Method
from features.findings import Finding, Message, Severity
from features.measurement import Inspection
from features.vocabulary import Provenance
from models.decision import Assessment, GradingDecision, Outcome
from models.past import PastDecision, RecordedPast, StandingVerdict
from models.policy import Policy
from models.policy_file import SHIPPED_POLICY, load_policy
from models.standing import STRICTEST, Overrider
from tests.support.cases import a_case, a_pack, assessed, predicted

POLICY = load_policy(SHIPPED_POLICY)
RECYCLED = StandingVerdict("a" * 32, 17, Outcome.RECYCLE, (), 3)
LEAKED = StandingVerdict("b" * 32, 18, Outcome.HOLD, ("appearance.leakage",), 1)
SEEN_DRY = Inspection(leakage=False, swelling=False)
UNSEEN = Inspection()


def decide(
    assessment: Assessment, standing: StandingVerdict | None, policy: Policy = POLICY, **case: object
) -> GradingDecision:
    return policy.decide(a_case(**case), assessment, "0" * 64, RecordedPast(standing))


@pytest.mark.parametrize("standing", [RECYCLED, LEAKED])
def test_a_better_grading_becomes_the_verdict_that_stands(standing: StandingVerdict) -> None:
    decision = decide(predicted(0.95), standing)
    assert (decision.outcome, decision.grade, decision.suitable_uses) == (standing.outcome, None, ())
    assert [reason.code for reason in decision.reasons][:2] == ["VERDICT_STANDS", "CLEARS_CUT"]
    assert decision.reasons[0].evidence["outcome_alone"] == "cascade"
    assert decision.reasons[0].evidence["grade_alone"] == "A"


def test_the_reason_names_the_old_decision_its_entry_and_how_often_it_was_graded_since_in_both_languages() -> None:
    reason = decide(predicted(0.95), RECYCLED).reasons[0]
    for said in (reason.message.en, reason.message.zh):
        assert all(part in said for part in ("a" * 32, "17", "3", "recycle", "cascade A"))
    assert (reason.evidence["decision_id"], reason.evidence["sequence"], reason.evidence["graded_since"]) == (
        "a" * 32,
        17,
        3,
    )


def test_where_a_verdict_stands_the_test_that_could_override_it_is_asked_for() -> None:
    test = decide(predicted(0.95), RECYCLED).next_test
    assert test is not None
    assert (test.test_id, test.method) == ("overriding_capacity_test", Method.CAPACITY_TEST)


def test_no_other_decision_than_a_retest_or_a_verdict_that_stands_names_a_test() -> None:
    stands, retest = decide(predicted(0.95), RECYCLED), decide(predicted(0.605), None)
    with pytest.raises(ValueError, match="names its next test"):
        replace(stands, reasons=stands.reasons[1:])
    with pytest.raises(ValueError, match="names its next test"):
        replace(retest, next_test=None)


def test_a_retest_is_better_than_a_hold_and_no_way_out_of_it() -> None:
    assert decide(predicted(0.605), LEAKED).outcome is Outcome.HOLD


def test_recycling_is_no_way_out_of_a_hold() -> None:
    decision = decide(predicted(0.3), LEAKED)
    assert (decision.outcome, decision.reasons[0].evidence["outcome_alone"]) == (Outcome.HOLD, "recycle")


def test_a_worse_verdict_is_always_allowed_and_decides_itself() -> None:
    leaking = decide(predicted(0.95), RECYCLED, inspection=Inspection(leakage=True))
    assert (leaking.outcome, leaking.reasons[0].code) == (Outcome.HOLD, "appearance.leakage")
    assert decide(predicted(0.3), RECYCLED).reasons[0].code == "BELOW_LOWEST_CUT"


def test_a_bench_capacity_test_overrides_recycling_and_says_so() -> None:
    decision = decide(assessed(0.85, 0.9), RECYCLED)
    assert (decision.outcome, decision.grade) == (Outcome.CASCADE, "A")
    assert [reason.code for reason in decision.reasons][:2] == ["CLEARS_CUT", "VERDICT_RELEASED"]
    assert decision.reasons[1].evidence["decision_id"] == "a" * 32


@pytest.mark.parametrize("provenance", [Provenance.BMS_REPORTED, Provenance.OPERATOR_ENTERED])
def test_a_capacity_nobody_measured_on_a_bench_overrides_nothing(provenance: Provenance) -> None:
    assert decide(assessed(0.85, 0.9, provenance=provenance), RECYCLED).outcome is Outcome.RECYCLE


def test_a_capacity_test_that_does_not_decide_overrides_nothing() -> None:
    assert decide(assessed(0.55, 0.65), RECYCLED).outcome is Outcome.RECYCLE


def test_a_capacity_test_overrides_a_hold_only_with_an_answer_to_each_gate() -> None:
    assert decide(assessed(0.85, 0.9), LEAKED, inspection=SEEN_DRY).grade == "A"
    silent = decide(assessed(0.85, 0.9), LEAKED, inspection=UNSEEN)
    assert (silent.outcome, silent.reasons[0].evidence["unanswered"]) == (Outcome.HOLD, "appearance.leakage")
    both = replace(LEAKED, open_gates=("appearance.leakage", "appearance.burn"))
    assert decide(assessed(0.85, 0.9), both, inspection=SEEN_DRY).reasons[0].evidence["unanswered"] == "appearance.burn"
    assert decide(assessed(0.85, 0.9), both, inspection=replace(SEEN_DRY, burn=False)).grade == "A"


@pytest.mark.parametrize(
    ("gate", "answer", "silence"),
    [
        ("insulation.too_low", Inspection(insulation_ohm_per_volt=100.0), Inspection(leakage=False)),
        ("alarm.level_too_high", Inspection(alarm_level=2), Inspection(leakage=False)),
    ],
)
def test_insulation_and_alarms_are_answered_by_a_value_within_the_gate(
    gate: str, answer: Inspection, silence: Inspection
) -> None:
    held = replace(LEAKED, open_gates=(gate,))
    assert decide(assessed(0.85, 0.9), held, inspection=answer).outcome is Outcome.CASCADE
    assert decide(assessed(0.85, 0.9), held, inspection=silence).outcome is Outcome.HOLD


def test_a_value_below_the_gate_answers_nothing_where_the_gate_no_longer_applies() -> None:
    held = replace(LEAKED, open_gates=("insulation.too_low",))
    declared_a_cell = decide(assessed(0.85, 0.9), held, inspection=Inspection(insulation_ohm_per_volt=5.0))
    assert declared_a_cell.outcome is Outcome.HOLD


@pytest.mark.parametrize("gate", ["identity.chemistry_conflict", "quality.rest_voltage", "consistency.defective_cell"])
def test_what_no_inspection_answers_is_left_to_a_named_person(gate: str) -> None:
    decision = decide(assessed(0.85, 0.9), replace(LEAKED, open_gates=(gate,)), inspection=SEEN_DRY)
    assert (decision.outcome, decision.next_test) == (Outcome.HOLD, None)
    assert "Only a named person" in decision.reasons[0].message.en


def test_a_policy_without_the_section_lets_nobody_but_a_person_override() -> None:
    strict = replace(POLICY, standing=STRICTEST)
    decision = decide(assessed(0.85, 0.9), RECYCLED, strict)
    assert (decision.outcome, decision.next_test) == (Outcome.RECYCLE, None)


def test_the_past_changes_nothing_where_nothing_stands() -> None:
    assert decide(predicted(0.95), None) == POLICY.decide(a_case(), predicted(0.95), "0" * 64)


def past(sequence: int, outcome: Outcome, *gates: str, **more: bool) -> PastDecision:
    return PastDecision(f"{sequence:032x}", sequence, outcome, gates, **more)


def test_nothing_stands_after_safe_decisions() -> None:
    assert POLICY.standing.standing([past(0, Outcome.CASCADE), past(1, Outcome.RETEST)]) is None


def test_the_worst_and_earliest_verdict_stands_with_the_gates_of_all() -> None:
    decisions = [
        past(0, Outcome.RECYCLE),
        past(1, Outcome.HOLD, "appearance.leakage"),
        past(5, Outcome.CASCADE),
        past(9, Outcome.HOLD, "appearance.burn", "appearance.leakage"),
    ]
    standing = POLICY.standing.standing(decisions)
    assert standing == StandingVerdict(f"{1:032x}", 1, Outcome.HOLD, ("appearance.leakage", "appearance.burn"), 2)


def test_an_overridden_verdict_no_longer_stands_but_another_does() -> None:
    decisions = [past(0, Outcome.HOLD, "appearance.burn", overridden=True), past(1, Outcome.RECYCLE)]
    standing = POLICY.standing.standing(decisions)
    assert standing is not None
    assert (standing.sequence, standing.outcome, standing.open_gates) == (1, Outcome.RECYCLE, ())
    assert POLICY.standing.standing(decisions[:1]) is None


def test_a_releasing_decision_ends_what_stood_before_it_and_may_stand_itself() -> None:
    before = [past(0, Outcome.HOLD, "appearance.burn"), past(1, Outcome.CASCADE, releases=True)]
    assert POLICY.standing.standing(before) is None
    after = [before[0], past(1, Outcome.RECYCLE, releases=True)]
    assert POLICY.standing.standing(after) == StandingVerdict(f"{1:032x}", 1, Outcome.RECYCLE)


fractions = st.floats(0.0, 1.3, allow_nan=False)
FAULT = Finding("identity.level_conflict", Severity.DISQUALIFYING, Message("pack", "包"))


@given(fractions, st.sampled_from([RECYCLED, LEAKED]), st.sampled_from([SEEN_DRY, UNSEEN, Inspection(burn=True)]))
def test_no_trained_estimate_moves_an_unsafe_battery_to_a_use(
    score: float, standing: StandingVerdict, inspection: Inspection
) -> None:
    decision = decide(predicted(score), standing, inspection=inspection)
    assert decision.outcome in (Outcome.RECYCLE, Outcome.HOLD)
    assert decision.suitable_uses == ()


@given(fractions, fractions, st.sampled_from([None, RECYCLED, LEAKED]), st.booleans(), st.booleans())
def test_a_past_never_makes_a_decision_better(
    a: float, b: float, standing: StandingVerdict | None, faulty: bool, pack: bool
) -> None:
    order = [Outcome.CASCADE, Outcome.RETEST, Outcome.RECYCLE, Outcome.HOLD]
    case = {"findings": (FAULT,) if faulty else (), "identity": a_pack() if pack else None}
    alone = decide(assessed(min(a, b), max(a, b)), None, **case)
    known = decide(assessed(min(a, b), max(a, b)), standing, **case)
    assert order.index(known.outcome) >= order.index(alone.outcome)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"unsafe_outcomes": frozenset({Outcome.RECYCLE})}, "must name hold"),
        ({"unsafe_outcomes": frozenset({Outcome.HOLD, Outcome.RETEST})}, "hold and recycle only"),
        ({"overridden_by": frozenset({Overrider.CAPACITY_TEST})}, "must name named_person"),
        ({"overridden_by": frozenset({Overrider.NAMED_PERSON})}, "exactly where a capacity test overrides"),
        ({"test": None}, "exactly where a capacity test overrides"),
        ({"test": replace(POLICY.standing.test, method=Method.PULSE_TEST)}, "must be capacity_test"),
    ],
)
def test_a_rule_under_which_a_hold_would_not_stand_or_nobody_could_override_is_refused(
    changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        replace(POLICY, standing=replace(POLICY.standing, **changes))
