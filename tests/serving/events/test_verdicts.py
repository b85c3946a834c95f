"""What the record holds against a battery when it is graded again, from a real record."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InvalidInput
from features.measurement import BatteryHistory, BatteryIdentity, Inspection
from features.vocabulary import Chemistry, RunKind, Scheme
from models.bundle import REFERENCE_BUNDLE, load_bundle
from models.decision import Outcome
from models.policy_file import SHIPPED_POLICY, load_policy
from models.standing import StandingRule
from serving.events.corrections import Correction, record_correction
from serving.events.past import BatteryPast, battery_pasts
from serving.events.verdicts import CorrectionAction, past_decisions
from serving.grading import Grader, GradingRequest, RecordedDecision, history_sha256
from serving.record.canonical import canonical_json
from serving.record.entry import NewEntry
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger
from serving.record.store import Reader
from serving.record.verify import verify_record
from tests.support.cases import MOMENT
from tests.support.graded import DUE_DATES
from tests.support.simulated_battery import SimulatedBattery

BUNDLE, POLICY = load_bundle(REFERENCE_BUNDLE), load_policy(SHIPPED_POLICY)
HEALTHY = SimulatedBattery(35.0, 33.0, Chemistry.LFP, "CELL-1")
SPENT = replace(HEALTHY, remaining_capacity_ah=15.0)
DRY, LEAKING = Inspection(leakage=False, swelling=False), Inspection(leakage=True)


def pulsed(cell: SimulatedBattery = HEALTHY, inspection: Inspection = DRY) -> BatteryHistory:
    return cell.history(inspection=inspection)


def measured(cell: SimulatedBattery = HEALTHY, inspection: Inspection = DRY) -> BatteryHistory:
    return cell.history(cell.run(RunKind.CAPACITY_TEST, cell.capacity_test()), inspection=inspection)


SPENT_TEST, HEALTHY_PULSE, LEAKING_PULSE = measured(SPENT), pulsed(), pulsed(inspection=LEAKING)


@dataclass
class Station:
    """Grades one thing after another under fresh keys."""

    ledger: Ledger
    number: int = 0

    def __post_init__(self) -> None:
        self.grader = Grader(BUNDLE, POLICY, self.ledger)

    def grade(self, history: BatteryHistory) -> RecordedDecision:
        return self.grader.grade(history, self.request(history_sha256(history)))

    def correct(self, decision_id: str, action: str) -> None:
        correction = Correction(decision_id, CorrectionAction(action), "looked at it again", "Li Wei")
        record_correction(self.ledger, correction, self.request("c" * 64), bytes(16), DUE_DATES)

    def request(self, sha256: str) -> GradingRequest:
        self.number += 1
        return GradingRequest("station-1", f"key-{self.number}", sha256, f"{self.number:032x}", MOMENT)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Ledger.open(tmp_path / "record.sqlite", "test") as ledger:
        yield Station(ledger)


def told(decision: RecordedDecision) -> tuple[str, str]:
    """Outcome or grade, and the code of the deciding reason."""
    said = decision.body["decision"]
    return said["grade"] or said["outcome"], said["reasons"][0]["code"]


def known_of(
    ledger: Ledger, policy_sha256: str = POLICY.stamp.sha256, rule: StandingRule = POLICY.standing
) -> BatteryPast:
    (known,) = battery_pasts(ledger, ["CELL-1"], policy_sha256, rule)
    return known


def test_a_battery_never_seen_has_no_past(station: Station) -> None:
    known = known_of(station.ledger)
    assert (known.past.standing, known.past.parts, known.head) == (None, (), None)
    assert station.grade(HEALTHY_PULSE).body["past"] == {"standing": None, "parts": []}


class CountedReads:
    """A reader that notes what is asked of it."""

    def __init__(self, reader: Reader, asked: list[str]) -> None:
        self._reader, self._asked = reader, asked

    def __getattr__(self, name: str) -> object:
        self._asked.append(name)
        return getattr(self._reader, name)


class CountedLedger:
    """A ledger whose views note what is asked of them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self.asked = ledger, list[str]()

    @contextmanager
    def reading(self) -> Iterator[CountedReads]:
        with self._ledger.reading() as reader:
            yield CountedReads(reader, self.asked)


def reads(ledger: Ledger, battery_id: str) -> list[str]:
    counted = CountedLedger(ledger)
    battery_pasts(counted, [battery_id], POLICY.stamp.sha256, POLICY.standing)
    return counted.asked


def test_a_battery_never_seen_costs_one_read_and_one_graded_often_no_more_than_one_graded_once(
    station: Station,
) -> None:
    assert reads(station.ledger, "CELL-1") == ["last_of_battery"]
    station.grade(SPENT_TEST)
    once = reads(station.ledger, "CELL-1")
    for _ in range(3):
        station.grade(HEALTHY_PULSE)
    assert reads(station.ledger, "CELL-1") == once
    assert "by_battery" not in once


def test_grading_a_recycled_battery_again_until_it_passes_is_blocked_and_counted(station: Station) -> None:
    recycled = station.grade(SPENT_TEST)
    again = [station.grade(HEALTHY_PULSE) for _ in range(3)]
    assert told(recycled) == ("recycle", "BELOW_LOWEST_CUT")
    assert [told(each) for each in again] == [("recycle", "VERDICT_STANDS")] * 3
    evidence = [each.body["decision"]["reasons"][0]["evidence"] for each in again]
    assert [each["graded_since"] for each in evidence] == [0, 1, 2]
    assert {each["decision_id"] for each in evidence} == {recycled.decision_id}
    assert again[0].body["past"]["standing"]["sequence"] == recycled.sequence


def test_a_capacity_test_overrides_recycling_and_the_pulse_after_it_is_free(station: Station) -> None:
    station.grade(SPENT_TEST)
    assert told(station.grade(measured()))[0] == "A"
    assert told(station.grade(HEALTHY_PULSE)) == ("A", "CLEARS_CUT")


def test_faults_of_two_holds_must_both_be_answered(station: Station) -> None:
    station.grade(LEAKING_PULSE)
    station.grade(pulsed(inspection=Inspection(burn=True)))
    assert told(station.grade(measured()))[0] == "hold"
    assert told(station.grade(measured(inspection=replace(DRY, burn=False))))[0] == "A"


def test_an_overridden_verdict_lets_the_battery_be_graded_afresh(station: Station) -> None:
    held = station.grade(LEAKING_PULSE)
    station.correct(held.decision_id, "override")
    assert told(station.grade(HEALTHY_PULSE)) == ("A", "CLEARS_CUT")


def test_a_person_who_overrides_one_verdict_leaves_the_other_standing(station: Station) -> None:
    held, recycled = station.grade(LEAKING_PULSE), station.grade(measured(SPENT, inspection=Inspection()))
    assert told(recycled) == ("hold", "VERDICT_STANDS")
    station.correct(held.decision_id, "override")
    again = station.grade(HEALTHY_PULSE)
    assert told(again) == ("recycle", "VERDICT_STANDS")
    assert again.body["past"]["standing"]["decision_id"] == recycled.decision_id


def test_withdrawing_a_capacity_test_brings_back_what_it_overrode(station: Station) -> None:
    station.grade(SPENT_TEST)
    freed = station.grade(measured())
    station.correct(freed.decision_id, "withdraw")
    assert told(station.grade(HEALTHY_PULSE)) == ("recycle", "VERDICT_STANDS")


def test_a_withdrawn_verdict_stands_no_longer(station: Station) -> None:
    held = station.grade(LEAKING_PULSE)
    station.correct(held.decision_id, "withdraw")
    assert told(station.grade(HEALTHY_PULSE))[0] == "A"


@pytest.mark.parametrize(
    ("code", "disguise"),
    [
        ("04QCB01SAMPLE0B340000101", "04qcb01sample0b340000101"),
        ("04QCB01SAMPLE0B340000101", "０４ＱＣＢ０１ＳＡＭＰＬＥ０Ｂ３４００００１０１"),
        ("PACK-1", "pack\u20111"),
        ("PACK-1", "Pack - \u0661"),
    ],
)
def test_a_hold_is_not_walked_past_by_writing_the_code_otherwise(station: Station, code: str, disguise: str) -> None:
    leaking = pulsed(replace(HEALTHY, battery_id=code), inspection=LEAKING)
    station.grade(leaking)
    identity = BatteryIdentity.declared(
        disguise,
        scheme=Scheme.LOCAL,
        level=leaking.identity.level,
        chemistry=leaking.identity.chemistry,
        rated_capacity_ah=leaking.identity.rated_capacity_ah,
    )
    assert told(station.grade(replace(pulsed(HEALTHY), identity=identity))) == ("hold", "VERDICT_STANDS")


def test_another_battery_is_not_concerned(station: Station) -> None:
    station.grade(SPENT_TEST)
    assert told(station.grade(pulsed(replace(HEALTHY, battery_id="CELL-2"))))[0] == "A"


def test_a_new_code_keeps_the_past_of_the_old_one(station: Station) -> None:
    station.grade(SPENT_TEST)
    recoding = station.request("d" * 64).entry(
        LeafKind.RECODING, "NEW-1", {"old_codes": ["CELL-1"], "new_code": "NEW-1"}
    )
    station.ledger.append(recoding)
    assert told(station.grade(pulsed(replace(HEALTHY, battery_id="NEW-1")))) == ("recycle", "VERDICT_STANDS")


def test_a_code_out_of_use_is_no_way_around_a_verdict_on_the_new_one(station: Station) -> None:
    station.grade(HEALTHY_PULSE)
    body = {"old_codes": ["CELL-1"], "new_code": "NEW-1"}
    station.ledger.append(station.request("d" * 64).entry(LeafKind.RECODING, "NEW-1", body))
    station.grade(measured(replace(SPENT, battery_id="NEW-1")))
    assert told(station.grade(HEALTHY_PULSE)) == ("recycle", "VERDICT_STANDS")


def joined(station: Station, action: str) -> None:
    body = {"parent": "PACK-1", "children": ["CELL-1", "CELL-2"], "action": action}
    station.ledger.append(station.request("d" * 64).entry(LeafKind.ASSOCIATION, "PACK-1", body))


def test_a_whole_is_limited_by_its_worst_part_until_that_is_taken_out(station: Station) -> None:
    station.grade(HEALTHY_PULSE)
    spent = station.grade(measured(replace(SPENT, battery_id="CELL-2")))
    whole = measured(replace(HEALTHY, battery_id="PACK-1"))
    joined(station, "ADD")
    limited = station.grade(whole)
    assert told(limited) == ("hold", "PART_LIMITS_GRADE")
    assert [part["battery_id"] for part in limited.body["past"]["parts"]] == ["CELL-1", "CELL-2"]
    assert limited.body["decision"]["reasons"][0]["evidence"]["part_decision_id"] == spent.decision_id
    assert station.grader.replay(next(each.leaf for each in reversed(list(station.ledger)))).equal
    joined(station, "DELETE")
    assert told(station.grade(whole)) == ("A", "CLEARS_CUT")


def test_every_decision_is_replayed_bit_for_bit_in_the_past_it_was_made_in(station: Station, tmp_path: Path) -> None:
    for history in (SPENT_TEST, HEALTHY_PULSE, LEAKING_PULSE, measured(), HEALTHY_PULSE, SPENT_TEST):
        station.grade(history)
    replays = [station.grader.replay(entry.leaf) for entry in station.ledger]
    assert len(replays) == 6
    assert all(replay.equal for replay in replays)
    assert verify_record(tmp_path / "record.sqlite").is_intact


def test_a_body_without_a_past_is_replayed_as_if_nothing_was_known(station: Station) -> None:
    station.grade(HEALTHY_PULSE)
    (entry,) = list(station.ledger)
    body = entry.leaf.body
    del body["past"]
    assert station.grader.replay(replace(entry.leaf, body_json=canonical_json(body))).equal


def test_a_verdict_of_a_record_older_than_the_rule_stands_too(station: Station) -> None:
    """An old body has no past and no own outcome in its evidence; its outcome is its own."""
    station.grade(SPENT_TEST)
    (entry,) = list(station.ledger)
    body = entry.leaf.body | {"battery": entry.leaf.body["battery"] | {"battery_id": "OLD-1"}}
    del body["past"]
    request = station.request("e" * 64)
    station.ledger.append(
        NewEntry(
            kind=LeafKind.DECISION,
            battery_id="OLD-1",
            station=request.station,
            idempotency_key=request.idempotency_key,
            request_sha256=request.request_sha256,
            event_id=request.event_id,
            recorded_at=request.moment,
            body=body,
        )
    )
    assert told(station.grade(pulsed(replace(HEALTHY, battery_id="OLD-1")))) == ("recycle", "VERDICT_STANDS")


def test_a_repeated_request_gets_its_answer_though_the_past_moved_on(station: Station) -> None:
    request = station.request(history_sha256(HEALTHY_PULSE))
    first = station.grader.grade(HEALTHY_PULSE, request)
    station.grade(LEAKING_PULSE)
    assert station.grader.grade(HEALTHY_PULSE, request) == replace(first, repeated=True)
    (many,) = station.grader.grade_many([(HEALTHY_PULSE, request)])
    assert (many.body, many.repeated) == (first.body, True)


def test_a_decision_carries_the_day_by_which_the_platform_must_know_it(station: Station) -> None:
    assert station.grade(HEALTHY_PULSE).body["upload_due_on"] == "2026-12-11"
    (row,) = station.ledger.outbox_page(0, 10)
    assert (row.sequence, row.battery_id, row.due_on) == (0, "CELL-1", "2026-12-11")


def test_what_stands_under_another_policy_is_read_from_the_whole_record(station: Station) -> None:
    lenient = replace(POLICY.standing, unsafe_outcomes=frozenset({Outcome.HOLD}))
    station.grade(SPENT_TEST)
    station.grade(HEALTHY_PULSE)
    assert known_of(station.ledger, "0" * 64, lenient).past.standing is None
    standing = known_of(station.ledger, "0" * 64).past.standing
    assert standing == known_of(station.ledger).past.standing


SAFE_OR_NOT = {
    "pulse of a healthy cell": HEALTHY_PULSE,
    "pulse of a healthy cell nobody looked at": pulsed(inspection=Inspection()),
    "pulse of a spent cell": pulsed(SPENT),
    "leaking": LEAKING_PULSE,
    "burnt": pulsed(inspection=Inspection(burn=True)),
    "not measured": BatteryHistory(HEALTHY.identity),
}


@settings(max_examples=12)
@given(st.lists(st.sampled_from(list(SAFE_OR_NOT)), max_size=6), st.sampled_from([SPENT_TEST, LEAKING_PULSE]))
def test_no_sequence_of_gradings_without_capacity_test_or_correction_moves_an_unsafe_battery_to_a_use(
    gradings: list[str], unsafe: BatteryHistory
) -> None:
    with TemporaryDirectory() as folder, Ledger.open(Path(folder) / "record.sqlite", "test") as ledger:
        station = Station(ledger)
        station.grade(unsafe)
        for name in gradings:
            said = station.grade(SAFE_OR_NOT[name]).body["decision"]
            assert said["outcome"] in ("hold", "recycle")
            assert said["suitable_uses"] == []


STEPS = [*SAFE_OR_NOT, "capacity test", "capacity test of a spent cell", "override", "withdraw"]
DONE = {**SAFE_OR_NOT, "capacity test": measured(), "capacity test of a spent cell": SPENT_TEST}


@settings(max_examples=12)
@given(st.lists(st.sampled_from(STEPS), max_size=8))
def test_what_the_last_decision_keeps_is_what_the_whole_record_says(steps: list[str]) -> None:
    with TemporaryDirectory() as folder, Ledger.open(Path(folder) / "record.sqlite", "test") as ledger:
        station = Station(ledger)
        decided = list[str]()
        for step in steps:
            if step in DONE:
                decided.append(station.grade(DONE[step]).decision_id)
            elif decided:
                with suppress(InvalidInput):
                    station.correct(decided[-1], step)
            whole = POLICY.standing.standing(past_decisions([each.leaf for each in ledger]))
            assert known_of(ledger).past.standing == whole
