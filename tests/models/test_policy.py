import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InvalidInput
from features.feature_set import Method
from features.findings import Finding, Message, Severity
from features.measurement import Inspection
from features.vocabulary import Level, Provenance
from models.applicability import insufficient_data, not_calibrated, unknown_type
from models.decision import Assessment, Outcome
from models.policy import FORBIDDEN_USES, Policy, WhenUncertain
from models.policy_file import SHIPPED_POLICY, load_policy
from models.verdict import GradeBand
from tests.support.cases import THRESHOLDS, a_case, a_cell, a_pack, an_estimate, assessed, predicted

POLICY = load_policy(SHIPPED_POLICY)
RETESTING = replace(POLICY, when_uncertain=WhenUncertain.RETEST)
BUNDLE = "0" * 64


def decide(assessment: Assessment, policy: Policy = POLICY, **case: object):
    return policy.decide(a_case(**case), assessment, BUNDLE)


@pytest.mark.parametrize(
    ("lower", "upper", "outcome", "grade"),
    [
        (0.80, 0.86, Outcome.CASCADE, "A"),
        (0.79, 0.86, Outcome.CASCADE, "B"),
        (0.70, 0.75, Outcome.CASCADE, "B"),
        (0.60, 0.69, Outcome.CASCADE, "C"),
        (0.59, 0.65, Outcome.RETEST, None),
        (0.50, 0.60, Outcome.RETEST, None),
        (0.50, 0.599, Outcome.RECYCLE, None),
        (0.0, 0.20, Outcome.RECYCLE, None),
    ],
)
def test_the_grade_is_the_highest_cut_the_lower_bound_clears(
    lower: float, upper: float, outcome: Outcome, grade: str | None
) -> None:
    decision = decide(assessed(lower, upper))
    assert (decision.outcome, decision.grade) == (outcome, grade)


def test_with_retest_an_interval_that_reaches_a_better_grade_asks_again() -> None:
    assert decide(assessed(0.79, 0.86), RETESTING).outcome is Outcome.RETEST
    assert decide(assessed(0.71, 0.79), RETESTING).grade == "B"


def test_a_cut_is_not_cleared_against_the_suitability_probability() -> None:
    doubtful = {0.80: 0.06, 0.70: 0.01, 0.60: 0.0}
    assert decide(assessed(0.81, 0.90, probability_below=doubtful)).grade == "B"
    certain = {0.80: 0.05, 0.70: 0.01, 0.60: 0.0}
    assert decide(assessed(0.81, 0.90, probability_below=certain)).grade == "A"


def test_every_retest_names_a_test_and_no_other_decision_does() -> None:
    retest = decide(assessed(0.55, 0.65))
    assert retest.next_test is not None
    assert (retest.next_test.test_id, retest.next_test.minutes) == ("capacity_test", 360.0)
    assert decide(assessed(0.81, 0.86)).next_test is None


def next_test_after(assessment: Assessment, *certified: Method, **case: object) -> str:
    reached = replace(assessment, certified_methods=frozenset(certified))
    return decide(reached, **case).next_test.test_id


def test_a_thin_pulse_test_asks_for_a_full_train_where_a_certificate_reaches_the_type() -> None:
    thin = Assessment(None, (insufficient_data(Method.PULSE_TEST),), known_type=True)
    assert next_test_after(thin, Method.PULSE_TEST) == "pulse_train"
    assert next_test_after(thin) == "capacity_test"


def test_a_cell_undecided_after_one_train_is_offered_a_second_before_the_capacity_test() -> None:
    both = (Method.PULSE_TEST, Method.TWO_PULSE_TRAINS)
    assert next_test_after(predicted(0.60), *both) == "second_pulse_train"
    assert next_test_after(predicted(0.60), Method.PULSE_TEST) == "capacity_test"
    assert next_test_after(predicted(0.60), *both, method=Method.TWO_PULSE_TRAINS) == "capacity_test"
    assert decide(replace(predicted(0.60), certified_methods=frozenset(both))).next_test.minutes == 35.0


def test_methods_that_contradict_each_other_are_answered_by_a_capacity_test() -> None:
    contradiction = Finding("METHODS_DISAGREE", Severity.CAUTION, Message("both", "矛盾"))
    disagreeing = replace(predicted(0.9), abstentions=(contradiction,))
    assert next_test_after(disagreeing, Method.PULSE_TEST, Method.TWO_PULSE_TRAINS) == "capacity_test"


@pytest.mark.parametrize(
    ("score", "outcome", "grade"),
    [
        (0.95, Outcome.CASCADE, "A"),
        (0.85, Outcome.CASCADE, "A"),
        (0.8499, Outcome.CASCADE, "B"),
        (0.73, Outcome.CASCADE, "B"),
        (0.7299, Outcome.CASCADE, "C"),
        (0.62, Outcome.CASCADE, "C"),
        (0.6199, Outcome.RETEST, None),
        (0.59, Outcome.RETEST, None),
        (0.5899, Outcome.RECYCLE, None),
    ],
)
def test_a_trained_estimate_is_graded_by_the_thresholds_in_force(
    score: float, outcome: Outcome, grade: str | None
) -> None:
    decision = decide(predicted(score))
    assert (decision.outcome, decision.grade) == (outcome, grade)
    assert decision.thresholds is THRESHOLDS


@pytest.mark.parametrize(("score", "outcome"), [(0.85, "A"), (0.84, "retest"), (0.78, "retest"), (0.7799, "B")])
def test_with_retest_a_score_not_rejected_at_the_better_cut_asks_again(score: float, outcome: str) -> None:
    decision = decide(predicted(score), RETESTING)
    assert (decision.grade or decision.outcome.value) == outcome


def test_a_retest_for_indecision_says_score_thresholds_and_cut_in_both_languages() -> None:
    reason = decide(predicted(0.8123), RETESTING).reasons[0]
    assert reason.code == "UNDECIDED_AT_CUT"
    for said in (reason.message.en, reason.message.zh):
        assert all(part in said for part in ("81.23 %", "80.0 %", "85.00 %", "78.00 %"))
    assert reason.evidence == {
        "cut_fraction": 0.8,
        "score_fraction": 0.8123,
        "accept_at_least_fraction": 0.85,
        "reject_below_fraction": 0.78,
        "probability_below_cut": 0.0,
    }


@pytest.mark.parametrize(("probability", "grade"), [(0.15, "A"), (0.1501, "B"), (0.40, "B")])
def test_a_battery_likely_to_miss_a_cut_itself_is_not_given_it_whatever_the_certificate_allows(
    probability: float, grade: str
) -> None:
    certain = predicted(0.86)
    likely = {**certain.estimate.probability_below_cut, "0.80": probability}
    doubted = replace(certain, estimate=replace(certain.estimate, probability_below_cut=likely))
    assert decide(doubted).grade == grade


def test_a_grade_by_a_certificate_says_what_was_promised() -> None:
    reason = decide(predicted(0.9)).reasons[0]
    assert reason.code == "CLEARS_CUT"
    for said in (reason.message.en, reason.message.zh):
        assert all(part in said for part in ("90.00 %", "85.00 %", "2 %", "95 %"))
    below = decide(predicted(0.5)).reasons[0]
    assert (below.code, "5 %" in below.message.en) == ("BELOW_LOWEST_CUT", True)


def test_a_trained_estimate_without_a_certificate_grades_nothing() -> None:
    decision = decide(predicted(0.95, thresholds=None))
    assert (decision.outcome, decision.reasons[0].code) == (Outcome.RETEST, "METHOD_NOT_CALIBRATED")


def test_a_capacity_test_at_the_cut_asks_for_a_repetition_not_for_itself() -> None:
    case = {"method": Method.CAPACITY_TEST, "values": {"discharge_rate_c": 1.0}}
    assert decide(assessed(0.59, 0.61), **case).next_test.test_id == "repeated_capacity_test"


def test_an_unknown_type_is_retested_with_a_capacity_test() -> None:
    decision = decide(Assessment(None, (unknown_type(a_cell()),)))
    assert (decision.outcome, decision.reasons[0].code) == (Outcome.RETEST, "UNKNOWN_TYPE")
    assert decision.next_test.method is Method.CAPACITY_TEST


def test_an_estimate_nobody_calibrated_grades_nothing() -> None:
    assessment = Assessment(an_estimate(0.9, 0.95), (not_calibrated(Method.FIELD_TELEMETRY),))
    decision = decide(assessment, method=Method.FIELD_TELEMETRY)
    assert (decision.outcome, decision.reasons[0].code) == (Outcome.RETEST, "METHOD_NOT_CALIBRATED")


def test_a_pack_without_insulation_value_is_asked_for_the_five_minute_measurement() -> None:
    decision = decide(assessed(0.9, 0.95), identity=a_pack())
    assert (decision.outcome, decision.next_test.test_id) == (Outcome.RETEST, "insulation_measurement")


def test_no_estimate_and_no_reason_is_insufficient_data_not_a_grade() -> None:
    assert decide(Assessment(None)).reasons[0].code == "INSUFFICIENT_DATA"


def test_bms_reported_capacity_is_graded_no_better_than_the_ceiling() -> None:
    reported = assessed(0.85, 0.95, provenance=Provenance.BMS_REPORTED)
    decision = decide(reported)
    assert (decision.grade, decision.reasons[0].code) == ("C", "PROVENANCE_CEILING")
    assert decide(assessed(0.85, 0.95, provenance=Provenance.OPERATOR_ENTERED)).grade == "A"
    low = assessed(0.61, 0.65, provenance=Provenance.BMS_REPORTED)
    assert (decide(low).grade, decide(low).reasons[0].code) == ("C", "CLEARS_CUT")


fractions = st.floats(0.0, 1.3, allow_nan=False)
RANK = ["A", "B", "C", None]


@given(fractions, fractions, st.floats(0.0, 0.3), st.floats(0.0, 0.3), st.sampled_from(list(WhenUncertain)))
def test_a_wider_interval_never_earns_a_better_grade(
    a: float, b: float, down: float, up: float, when: WhenUncertain
) -> None:
    policy = replace(POLICY, when_uncertain=when)
    low, high = min(a, b), max(a, b)
    probability = {0.80: 0.03, 0.70: 0.02, 0.60: 0.0}
    narrow = decide(assessed(low, high, probability_below=probability), policy)
    wide = decide(assessed(max(low - down, 0.0), high + up, probability_below=probability), policy)
    assert RANK.index(wide.grade) >= RANK.index(narrow.grade)


@given(fractions, st.floats(0.0, 0.2), st.floats(0.0, 0.3), st.sampled_from(list(WhenUncertain)))
def test_a_wider_interval_never_earns_a_certified_estimate_a_better_grade(
    score: float, half: float, wider: float, when: WhenUncertain
) -> None:
    policy = replace(POLICY, when_uncertain=when)
    narrow = decide(predicted(score, half_width=half), policy)
    wide = decide(predicted(score, half_width=half + wider), policy)
    assert RANK.index(wide.grade) >= RANK.index(narrow.grade)


@given(fractions, fractions, st.sampled_from(list(WhenUncertain)))
def test_a_better_score_never_earns_a_worse_decision(a: float, b: float, when: WhenUncertain) -> None:
    """Recycle, then undecided at the lowest cut, then the grades; undecided at a better cut is no grade."""
    policy = replace(POLICY, when_uncertain=when)
    worse, better = (decide(predicted(score), policy) for score in sorted((a, b)))
    if worse.grade and better.grade:
        assert RANK.index(better.grade) <= RANK.index(worse.grade)
    assert not (better.outcome is Outcome.RECYCLE and worse.outcome is not Outcome.RECYCLE)


@given(fractions, st.sampled_from(list(WhenUncertain)))
def test_every_score_gets_exactly_one_outcome(score: float, when: WhenUncertain) -> None:
    decision = decide(predicted(score), replace(POLICY, when_uncertain=when))
    assert decision.outcome in set(Outcome) - {Outcome.HOLD}


@given(fractions)
def test_a_disqualifying_finding_beats_any_certified_score(score: float) -> None:
    fault = Finding("quality.anything", Severity.DISQUALIFYING, Message("broken", "损坏"))
    decision = decide(predicted(score), findings=(fault,))
    assert (decision.outcome, decision.reasons[0]) == (Outcome.HOLD, fault)


@given(fractions, fractions)
def test_every_interval_gets_exactly_one_outcome(a: float, b: float) -> None:
    assert decide(assessed(min(a, b), max(a, b))).outcome in set(Outcome) - {Outcome.HOLD}


@given(fractions, fractions, st.sampled_from(list(Level)))
def test_a_disqualifying_finding_always_wins(a: float, b: float, level: Level) -> None:
    fault = Finding("quality.anything", Severity.DISQUALIFYING, Message("broken", "损坏"))
    decision = decide(assessed(min(a, b), max(a, b)), identity=a_cell(level=level), findings=(fault,))
    assert (decision.outcome, decision.reasons[0]) == (Outcome.HOLD, fault)


def test_a_hold_beats_an_abstention() -> None:
    decision = decide(Assessment(None, (unknown_type(a_cell()),)), inspection=Inspection(leakage=True))
    assert decision.outcome is Outcome.HOLD


def test_findings_that_do_not_decide_still_travel_with_the_decision() -> None:
    caution = Finding("identity.day_ambiguous", Severity.NOTE, Message("ambiguous", "不确定"))
    assert caution in decide(assessed(0.81, 0.86), findings=(caution,)).reasons


def test_reasons_put_the_deciding_one_first_and_then_the_serious_ones() -> None:
    note = Finding("telemetry.columns_ignored", Severity.NOTE, Message("ignored", "忽略"))
    caution = Finding("consistency.weak_cell", Severity.CAUTION, Message("weak", "弱"))
    decision = decide(assessed(0.81, 0.86), findings=(note, caution))
    assert [reason.code for reason in decision.reasons] == ["CLEARS_CUT", caution.code, note.code]


def test_every_use_of_every_grade_is_allowed() -> None:
    assert all(band.uses and not FORBIDDEN_USES & set(band.uses) for band in POLICY.bands)


@pytest.mark.parametrize("use", [*sorted(FORBIDDEN_USES), "hoverboard"])
def test_a_policy_that_offers_a_forbidden_or_unknown_use_is_refused(use: str) -> None:
    bands = (replace(POLICY.bands[0], uses=(use,)), *POLICY.bands[1:])
    with pytest.raises(InvalidInput, match=r"e-bicycles|must be one of"):
        replace(POLICY, bands=bands)


def band(name: str, minimum: float, below: float) -> GradeBand:
    return GradeBand(name, minimum, below, ("backup_power",))


@pytest.mark.parametrize(
    ("bands", "complaint"),
    [
        ((band("A", 0.8, math.inf), band("C", 0.6, 0.75)), "leaves a gap below grade A"),
        ((band("A", 0.8, math.inf), band("C", 0.6, 0.85)), "overlaps grade A"),
        ((band("C", 0.6, math.inf), band("A", 0.8, 0.9)), "must lie below grade C"),
        ((band("A", 0.6, 1.2),), "the best grade has no upper end"),
        ((band("A", 0.8, math.inf), band("A", 0.6, 0.8)), "a name of its own"),
        ((band("A", 0.8, math.inf), band("C", 0.65, 0.8)), "no gap, no overlap"),
        ((band("A", 0.805, math.inf), band("C", 0.6, 0.805)), "whole percent"),
        ((), "at least one grade"),
    ],
)
def test_a_policy_with_a_gap_or_an_overlap_is_refused(bands: tuple[GradeBand, ...], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        replace(POLICY, bands=bands)


def test_a_policy_that_leaves_an_open_question_without_a_test_is_refused() -> None:
    cheap = tuple(each for each in POLICY.offered_tests if each.test.test_id != "capacity_test")
    with pytest.raises(InvalidInput, match="no test answers this open question"):
        replace(POLICY, offered_tests=cheap)
