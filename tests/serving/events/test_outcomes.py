"""A capacity measured later stands beside its decision and changes nothing."""

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from features.errors import InvalidInput
from features.measurement import MeasurementRun
from features.vocabulary import Chemistry, Provenance, RunKind
from serving.events.outcomes import UnknownDecision, record_outcome, record_outcomes
from serving.record.entry import IdempotencyConflict
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger
from serving.record.verify import verify_record
from tests.support.graded import DUE_DATES, LATER, an_outcome, graded, record_of, report
from tests.support.simulated_battery import SimulatedBattery


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(record_of(tmp_path), "test") as opened:
        yield opened


def capacity_run(remaining_ah: float = 32.5, provenance: Provenance = Provenance.BENCH_MEASURED) -> MeasurementRun:
    history = SimulatedBattery(35.0, remaining_ah, Chemistry.LFP, "CELL-1").history()
    table = SimulatedBattery(35.0, remaining_ah, Chemistry.LFP, "CELL-1").capacity_test()
    source = replace(history.runs[0].source, provenance=provenance)
    return replace(history.runs[0], kind=RunKind.CAPACITY_TEST, table=table, source=source, train=None)


def test_an_outcome_is_recorded_beside_its_decision_which_stays_as_it_was(ledger: Ledger, tmp_path: Path) -> None:
    decision = graded(ledger)
    recorded = record_outcome(ledger, an_outcome(decision.decision_id), report(), DUE_DATES)
    assert recorded.leaf.kind is LeafKind.OUTCOME
    assert (recorded.leaf.sequence, recorded.leaf.battery_id, recorded.leaf.battery_sequence) == (1, "CELL-1", 1)
    assert recorded.leaf.body == {
        "decision_id": decision.decision_id,
        "decision_leaf_sha256": decision.leaf_sha256,
        "capacity_definition": "1C discharge after CCCV, 25 °C",
        "measured_at": "2026-11-21T08:00:00Z",
        "measured_by": "bench-2",
        "chosen_at_random": True,
        "remaining_capacity_ah": 32.5,
        "test": None,
        "upload_due_on": "2027-01-04",
    }
    unchanged = ledger.by_event_id(decision.decision_id)
    assert unchanged is not None
    assert unchanged.leaf_sha256 == decision.leaf_sha256
    assert verify_record(record_of(tmp_path)).is_intact


def test_the_same_report_again_is_the_same_entry_and_another_under_its_key_is_refused(ledger: Ledger) -> None:
    outcome = an_outcome(graded(ledger).decision_id)
    first = record_outcome(ledger, outcome, report(1), DUE_DATES)
    again = record_outcome(ledger, outcome, replace(report(1), event_id="f" * 32), DUE_DATES)
    assert (again.leaf, again.replayed) == (first.leaf, True)
    with pytest.raises(IdempotencyConflict):
        record_outcome(ledger, replace(outcome, measured=31.0), report(1, content="b"), DUE_DATES)
    assert ledger.head().sequence == 1


def test_a_second_measurement_under_a_new_key_is_a_second_entry(ledger: Ledger) -> None:
    outcome = an_outcome(graded(ledger).decision_id)
    record_outcome(ledger, outcome, report(1), DUE_DATES)
    second = record_outcome(ledger, replace(outcome, measured=32.1), report(2, content="b"), DUE_DATES)
    assert second.leaf.sequence == 2


def test_an_outcome_of_an_unknown_decision_is_refused(ledger: Ledger) -> None:
    graded(ledger)
    with pytest.raises(UnknownDecision, match="holds no decision"):
        record_outcome(ledger, an_outcome("e" * 32), report(), DUE_DATES)


def test_an_outcome_of_an_outcome_is_refused(ledger: Ledger) -> None:
    recorded = record_outcome(ledger, an_outcome(graded(ledger).decision_id), report(1), DUE_DATES)
    with pytest.raises(UnknownDecision):
        record_outcome(ledger, an_outcome(recorded.leaf.event_id), report(2, content="b"), DUE_DATES)


@pytest.mark.parametrize("capacity_ah", [0.0, -1.0, math.nan, math.inf, 32_500.0])
def test_a_capacity_that_cannot_be_is_refused_with_its_value(ledger: Ledger, capacity_ah: float) -> None:
    decision = graded(ledger)
    with pytest.raises(InvalidInput, match="is the unit Ah"):
        record_outcome(ledger, an_outcome(decision.decision_id, measured=capacity_ah), report(), DUE_DATES)
    assert ledger.head().sequence == decision.sequence


def test_a_measurement_later_than_its_report_is_refused(ledger: Ledger) -> None:
    outcome = an_outcome(graded(ledger).decision_id, measured_at=LATER + timedelta(seconds=1))
    with pytest.raises(InvalidInput, match="cannot be later than the report"):
        record_outcome(ledger, outcome, report(), DUE_DATES)


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00+23:59", "1989-12-31T23:59:59+00:00"])
def test_a_measurement_before_there_were_such_batteries_is_refused(ledger: Ledger, written: str) -> None:
    outcome = an_outcome(graded(ledger).decision_id, measured_at=datetime.fromisoformat(written))
    with pytest.raises(InvalidInput, match="must not be before 1990"):
        record_outcome(ledger, outcome, report(), DUE_DATES)


@pytest.mark.parametrize("definition", ["0C discharge", "0.0 C"])
def test_a_definition_of_no_rate_fits_no_test(ledger: Ledger, definition: str) -> None:
    outcome = an_outcome(graded(ledger).decision_id, measured=capacity_run(), capacity_definition=definition)
    with pytest.raises(InvalidInput, match="within 10 % of its rate"):
        record_outcome(ledger, outcome, report(), DUE_DATES)


def test_a_capacity_test_is_read_by_the_rules_of_a_test_that_grades(ledger: Ledger) -> None:
    outcome = an_outcome(graded(ledger).decision_id, measured=capacity_run(32.5))
    body = record_outcome(ledger, outcome, report(), DUE_DATES).leaf.body
    assert body["remaining_capacity_ah"] == pytest.approx(32.5, rel=1e-3)
    assert body["test"]["values"]["discharge_rate_c"] == pytest.approx(1.0, rel=1e-2)


def test_a_discharge_that_was_not_full_is_refused_with_the_reason(ledger: Ledger) -> None:
    run = capacity_run()
    table = replace(run.table, columns={name: values[:-2] for name, values in run.table.columns.items()})
    outcome = an_outcome(graded(ledger).decision_id, measured=replace(run, table=table))
    with pytest.raises(InvalidInput, match=r"capacity_test\."):
        record_outcome(ledger, outcome, report(), DUE_DATES)


def test_a_test_at_another_rate_than_its_definition_is_refused(ledger: Ledger) -> None:
    decision = graded(ledger)
    slow = an_outcome(decision.decision_id, measured=capacity_run(), capacity_definition="0.2C discharge, 25 °C")
    with pytest.raises(InvalidInput, match="within 10 % of its rate"):
        record_outcome(ledger, slow, report(), DUE_DATES)


def test_a_capacity_a_bms_reported_is_no_outcome(ledger: Ledger) -> None:
    run = capacity_run(provenance=Provenance.BMS_REPORTED)
    with pytest.raises(InvalidInput, match="proves no capacity"):
        record_outcome(ledger, an_outcome(graded(ledger).decision_id, measured=run), report(), DUE_DATES)


def test_many_reports_are_recorded_together_or_not_at_all(ledger: Ledger) -> None:
    decisions = [graded(ledger, number, f"cell-{number}") for number in (1, 2)]
    sound = {
        f"row {number}": (an_outcome(decision.decision_id), report(number))
        for number, decision in enumerate(decisions, start=2)
    }
    broken = sound | {
        "row 4": (an_outcome("e" * 32), report(4)),
        "row 5": (an_outcome(decisions[0].decision_id, measured=-1.0), report(5)),
    }
    with pytest.raises(InvalidInput) as refused:
        record_outcomes(ledger, broken, DUE_DATES)
    assert [problem.where for problem in refused.value.problems] == [
        "row 4.decision_id",
        "row 5.remaining_capacity_ah",
    ]
    assert ledger.head().sequence == 1
    assert [each.leaf.sequence for each in record_outcomes(ledger, sound, DUE_DATES)] == [2, 3]
