"""A named person overrides an unsafe verdict or withdraws a decision; what is recorded stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from features.errors import InvalidInput
from serving.events.corrections import Correction, record_correction
from serving.events.outcomes import UnknownDecision, record_outcome
from serving.events.verdicts import CorrectionAction
from serving.grading import GradingRequest, RecordedDecision
from serving.record.entry import IdempotencyConflict, Recorded
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger
from serving.record.verify import verify_record
from tests.support.cases import MOMENT
from tests.support.graded import DUE_DATES, an_outcome, graded, held_without_measurement, report

OVERRIDE, WITHDRAW = CorrectionAction.OVERRIDE, CorrectionAction.WITHDRAW
SALT = bytes(range(16))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "record.sqlite", "test") as opened:
        yield opened


@pytest.fixture
def held(ledger: Ledger) -> RecordedDecision:
    return held_without_measurement(ledger)


def corrected(
    ledger: Ledger,
    decision_id: str,
    action: CorrectionAction = OVERRIDE,
    *,
    person: str = "Li Wei",
    key: str = "1",
    content: str = "a",
    reason: str = "it was cooling water",
) -> Recorded:
    request = GradingRequest("station-1", f"correction-{key}", content * 64, f"{ledger.head().sequence:032x}", MOMENT)
    correction = Correction(decision_id, action, reason, person)
    return record_correction(ledger, correction, request, SALT, DUE_DATES)


def test_a_correction_names_the_decision_and_its_leaf_and_leaves_both_as_they_are(
    ledger: Ledger, held: RecordedDecision, tmp_path: Path
) -> None:
    recorded = corrected(ledger, held.decision_id)
    assert (recorded.leaf.kind, recorded.leaf.battery_id) == (LeafKind.CORRECTION, "CELL-9")
    assert recorded.leaf.body == {
        "decision_id": held.decision_id,
        "decision_leaf_sha256": held.leaf_sha256,
        "action": "override",
        "reason": "it was cooling water",
        "upload_due_on": "2026-12-11",
    }
    unchanged = ledger.by_event_id(held.decision_id)
    assert unchanged is not None
    assert unchanged.leaf_sha256 == held.leaf_sha256
    assert verify_record(tmp_path / "record.sqlite").is_intact


def test_the_person_is_a_pseudonym_in_the_log_and_can_be_erased(ledger: Ledger, held: RecordedDecision) -> None:
    recorded = corrected(ledger, held.decision_id)
    operator = recorded.leaf.operator
    assert operator is not None
    assert ledger.erasable_value(operator) == "Li Wei"
    assert b"Li Wei" not in recorded.leaf.body_json
    assert ledger.erase(operator)
    assert ledger.erasable_value(operator) is None


def test_a_refused_correction_keeps_no_name(ledger: Ledger, held: RecordedDecision) -> None:
    with pytest.raises(UnknownDecision):
        corrected(ledger, "e" * 32)
    assert ledger.pseudonym_of("operator", "station-1", "Li Wei") is None


@pytest.mark.parametrize("person", ["", "   ", "x" * 65, "Li\nWei"])
def test_a_correction_by_nobody_is_refused(ledger: Ledger, held: RecordedDecision, person: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        corrected(ledger, held.decision_id, person=person)
    assert [problem.where for problem in refused.value.problems] == ["person"]
    assert ledger.head().sequence == 0


def test_a_reason_that_names_a_vehicle_is_refused_without_repeating_it(ledger: Ledger, held: RecordedDecision) -> None:
    with pytest.raises(InvalidInput) as refused:
        corrected(ledger, held.decision_id, reason="came from 1M8GDM9AXKP042788")
    assert refused.value.problems[0].where == "reason"
    assert "1M8GDM9AXKP042788" not in str(refused.value)


def test_the_same_correction_again_is_the_same_entry_and_another_under_its_key_is_refused(
    ledger: Ledger, held: RecordedDecision
) -> None:
    first = corrected(ledger, held.decision_id)
    again = corrected(ledger, held.decision_id)
    assert (again.leaf, again.replayed) == (first.leaf, True)
    with pytest.raises(IdempotencyConflict):
        corrected(ledger, held.decision_id, WITHDRAW, content="b")


def test_an_unknown_decision_is_not_found(ledger: Ledger, held: RecordedDecision) -> None:
    with pytest.raises(UnknownDecision, match="holds no decision"):
        corrected(ledger, "e" * 32)


def test_a_correction_of_a_correction_or_of_an_outcome_is_refused_naming_what_it_is(
    ledger: Ledger, held: RecordedDecision
) -> None:
    correction = corrected(ledger, held.decision_id)
    outcome = record_outcome(ledger, an_outcome(graded(ledger).decision_id), report(), DUE_DATES)
    for number, recorded in enumerate((correction, outcome)):
        with pytest.raises(InvalidInput, match=f"must name a decision.*got {recorded.leaf.kind}"):
            corrected(ledger, recorded.leaf.event_id, key=f"again-{number}", content="b")


def test_a_safe_decision_can_be_withdrawn_but_not_overridden(ledger: Ledger) -> None:
    decision = graded(ledger)
    with pytest.raises(InvalidInput, match="must be an unsafe verdict of its own"):
        corrected(ledger, decision.decision_id)
    assert corrected(ledger, decision.decision_id, WITHDRAW).leaf.body["action"] == "withdraw"


def test_what_was_overridden_can_still_be_withdrawn_but_nothing_twice(ledger: Ledger, held: RecordedDecision) -> None:
    first = corrected(ledger, held.decision_id)
    with pytest.raises(InvalidInput, match=f"was overridden by correction {first.leaf.event_id}"):
        corrected(ledger, held.decision_id, key="2", content="b")
    second = corrected(ledger, held.decision_id, WITHDRAW, key="3", content="c")
    for number, action in enumerate(CorrectionAction):
        with pytest.raises(InvalidInput, match=f"was withdrawn by correction {second.leaf.event_id}"):
            corrected(ledger, held.decision_id, action, key=f"4-{number}", content="d")


def test_a_decision_that_repeats_a_verdict_is_not_overridden_but_names_the_one_that_stands(
    ledger: Ledger, held: RecordedDecision
) -> None:
    repeating = graded(ledger, battery_id="CELL-9")
    assert repeating.body["decision"]["reasons"][0]["code"] == "VERDICT_STANDS"
    with pytest.raises(InvalidInput, match=f"repeats decision {held.decision_id}, which stands; override that one"):
        corrected(ledger, repeating.decision_id)
