import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from features.errors import InvalidInput, PackGradeError
from features.findings import Finding, Message, Severity
from features.measurement import BatteryHistory, Inspection
from features.vocabulary import Chemistry, Level, RunKind
from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.grading import Grader, GradingRequest, history_sha256
from serving.record.canonical import canonical_json
from serving.record.ledger import IdempotencyConflict, Ledger
from serving.record.store import RecordUnavailable
from tests.support.cases import MOMENT
from tests.support.simulated_battery import SimulatedBattery
from tests.support.untrained_bundle import untrained_bundle

HEALTHY = SimulatedBattery(35.0, 33.0, Chemistry.LFP)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "record.sqlite", "test") as opened:
        yield opened


@pytest.fixture
def grader(ledger: Ledger) -> Grader:
    return Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)


def asked(history: BatteryHistory, key: str = "key-1", number: int = 1) -> GradingRequest:
    return GradingRequest("station-1", key, history_sha256(history), f"{number:032x}", MOMENT)


def grade(grader: Grader, history: BatteryHistory, **request: object):
    return grader.grade(history, asked(history, **request))


def test_a_healthy_cell_is_graded_and_the_decision_is_in_the_record(grader: Grader, ledger: Ledger) -> None:
    recorded = grade(grader, HEALTHY.history())
    assert recorded.body["decision"]["outcome"] == "cascade"
    assert recorded.body["decision"]["grade"] == "A"
    entry = ledger.by_event_id(recorded.decision_id)
    assert entry is not None
    assert (entry.leaf_sha256, entry.leaf.sequence) == (recorded.leaf_sha256, recorded.sequence)
    assert entry.leaf.body == recorded.body


def test_the_same_request_gets_the_same_decision(grader: Grader, ledger: Ledger) -> None:
    first = grade(grader, HEALTHY.history())
    again = grade(grader, HEALTHY.history(), number=2)
    assert again == replace(first, repeated=True)
    assert ledger.head().sequence == 0


def test_the_same_key_for_another_battery_is_refused_and_nothing_is_recorded(grader: Grader, ledger: Ledger) -> None:
    grade(grader, HEALTHY.history())
    with pytest.raises(IdempotencyConflict):
        grade(grader, replace(HEALTHY, remaining_capacity_ah=25.0).history(), number=2)
    assert ledger.head().sequence == 0


def test_without_a_record_there_is_no_decision(grader: Grader, tmp_path: Path) -> None:
    (tmp_path / "record.sqlite").rename(tmp_path / "gone.sqlite")
    with pytest.raises(RecordUnavailable):
        grade(grader, HEALTHY.history())


def test_one_refused_entry_of_many_refuses_no_other(grader: Grader) -> None:
    grade(grader, HEALTHY.history())
    other = replace(HEALTHY, battery_id="SIM-2")
    conflicting, sound = replace(HEALTHY, remaining_capacity_ah=30.0).history(), other.history()
    answers = grader.grade_many([(conflicting, asked(conflicting, number=2)), (sound, asked(sound, "key-2", 3))])
    assert isinstance(answers[0], IdempotencyConflict)
    assert answers[1].body["battery"]["battery_id"] == "SIM-2"


def test_a_battery_that_cannot_be_read_refuses_no_other_of_its_group(grader: Grader) -> None:
    absent_train = HEALTHY.history(HEALTHY.run(RunKind.PULSE_TEST, HEALTHY.pulse_train(), train=9))
    sound = replace(HEALTHY, battery_id="SIM-2").history()
    refused, graded = grader.grade_many([(absent_train, asked(absent_train)), (sound, asked(sound, "key-2", 2))])
    assert isinstance(refused, InvalidInput)
    assert graded.body["decision"]["outcome"] == "cascade"


def test_a_corrected_mapping_or_reader_asks_something_new() -> None:
    run = HEALTHY.run(RunKind.PULSE_TEST, HEALTHY.pulse_train())
    worn = HEALTHY.run(RunKind.PULSE_TEST, replace(HEALTHY, remaining_capacity_ah=25.0).pulse_train())
    same_bytes_other_table = replace(run, table=worn.table)
    noticed = replace(run, findings=(Finding("x", Severity.NOTE, Message("seen", "发现")),))
    digests = {history_sha256(HEALTHY.history(each)) for each in (run, same_bytes_other_table, noticed)}
    assert len(digests) == 3


def test_many_at_once_are_decided_as_one_by_one(grader: Grader) -> None:
    batteries = [replace(HEALTHY, battery_id=f"SIM-{n}", remaining_capacity_ah=20.0 + 2 * n) for n in range(8)]
    together = grader.grade_many(
        [(each.history(), asked(each.history(), f"m{n}", n)) for n, each in enumerate(batteries)]
    )
    alone = [grade(grader, each.history(), key=f"a{n}", number=100 + n) for n, each in enumerate(batteries)]
    assert [each.body for each in together] == [each.body for each in alone]


def test_a_stored_decision_is_replayed_bit_for_bit(grader: Grader, ledger: Ledger) -> None:
    pack = SimulatedBattery(120.0, 100.0, Chemistry.NMC, "PACK-1", Level.PACK, series_count=90)
    histories = [
        HEALTHY.history(),
        replace(HEALTHY, remaining_capacity_ah=24.0).history(
            HEALTHY.run(RunKind.CAPACITY_TEST, HEALTHY.capacity_test())
        ),
        replace(HEALTHY, rated_capacity_ah=50.0).history(),
        HEALTHY.history(inspection=Inspection(leakage=True)),
        pack.history(pack.run(RunKind.FIELD_TELEMETRY, pack.telemetry())),
        BatteryHistory(HEALTHY.identity),
    ]
    for number, history in enumerate(histories):
        grade(grader, history, key=f"k{number}", number=number)
    replays = [grader.replay(entry.leaf) for entry in ledger]
    assert len(replays) == 6
    assert all(replay.equal and not replay.differences for replay in replays)


def test_a_replay_that_decides_otherwise_names_what_differs(grader: Grader, ledger: Ledger) -> None:
    grade(grader, HEALTHY.history())
    (entry,) = list(ledger)
    body = entry.leaf.body
    body["estimate"]["upper_ah"] += 0.1
    changed = replace(entry.leaf, body_json=canonical_json(body))
    replay = grader.replay(changed)
    assert (replay.equal, replay.differences) == (False, ("estimate",))


def test_a_replay_with_another_bundle_or_policy_is_refused(grader: Grader, ledger: Ledger, tmp_path: Path) -> None:
    grade(grader, HEALTHY.history())
    (entry,) = list(ledger)
    other_bundle = Grader.open(untrained_bundle(tmp_path / "other"), SHIPPED_POLICY, ledger)
    with pytest.raises(PackGradeError, match=r"ARTIFACT_HASH_MISMATCH .*bundle"):
        other_bundle.replay(entry.leaf)
    changed = tmp_path / "policy.toml"
    changed.write_bytes(SHIPPED_POLICY.read_bytes() + b"# changed\n")
    with pytest.raises(PackGradeError, match=r"ARTIFACT_HASH_MISMATCH .*policy"):
        Grader.open(REFERENCE_BUNDLE, changed, ledger).replay(entry.leaf)


def test_a_policy_whose_cuts_the_bundle_cannot_support_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    text = SHIPPED_POLICY.read_text(encoding="utf-8")
    low = text.replace("= 0.60", "= 0.40")
    assert low != text
    policy = tmp_path / "policy.toml"
    policy.write_text(low, encoding="utf-8")
    with pytest.raises(PackGradeError, match=r"CUT_NOT_SUPPORTED .*0\.40"):
        Grader.open(REFERENCE_BUNDLE, policy, ledger)


STRICTER = ("max_false_accept_share = 0.02", "max_false_accept_share = 0.01")
LENIENT = ('when_not_certifiable = "refuse"', 'when_not_certifiable = "retest"')


def policy_with(folder: Path, *changes: tuple[str, str]) -> Path:
    text = SHIPPED_POLICY.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    policy = folder / "policy.toml"
    policy.write_text(text, encoding="utf-8")
    return policy


def test_a_promise_the_calibration_batteries_cannot_support_is_refused_at_load(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(PackGradeError, match=r"RISK_NOT_CERTIFIABLE .*87 are missing"):
        Grader.open(REFERENCE_BUNDLE, policy_with(tmp_path, STRICTER), ledger)


def test_where_the_policy_puts_up_with_it_the_method_grades_nothing_and_a_capacity_test_does(
    ledger: Ledger, tmp_path: Path
) -> None:
    grader = Grader.open(REFERENCE_BUNDLE, policy_with(tmp_path, STRICTER, LENIENT), ledger)
    decision = grade(grader, HEALTHY.history()).body["decision"]
    assert (decision["outcome"], decision["reasons"][0]["code"]) == ("retest", "METHOD_NOT_CALIBRATED")
    assert "87 are missing" in decision["reasons"][0]["message"]["en"]
    assert decision["next_test"]["method"] == "capacity_test"
    measured = HEALTHY.history(HEALTHY.run(RunKind.CAPACITY_TEST, HEALTHY.capacity_test()))
    assert grade(grader, measured, key="measured", number=2).body["decision"]["grade"] == "A"


def test_the_record_keeps_the_thresholds_in_force_with_their_levels_and_mix(grader: Grader) -> None:
    body = grade(grader, HEALTHY.history()).body
    certificate = body["certificate"]
    assert certificate["method"] == body["estimate"]["method"] == "pulse_test"
    assert certificate["levels"] == {"confidence": 0.95, "max_false_accept_share": 0.02, "max_false_reject_share": 0.05}
    assert sum(certificate["calibration_batteries"].values()) >= 149
    assert [each["cut_fraction"] for each in certificate["cuts"]] == [0.8, 0.7, 0.6]
    (deciding,) = [each for each in body["decision"]["reasons"] if each["code"] == "CLEARS_CUT"]
    assert deciding["evidence"]["accept_at_least_fraction"] == certificate["cuts"][0]["accept_at_least"]


def test_a_direct_measurement_is_graded_without_a_certificate(grader: Grader) -> None:
    measured = HEALTHY.history(HEALTHY.run(RunKind.CAPACITY_TEST, HEALTHY.capacity_test()))
    assert grade(grader, measured).body["certificate"] is None


def test_two_graders_of_one_bundle_and_policy_have_the_same_thresholds(grader: Grader, ledger: Ledger) -> None:
    again = Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)
    bodies = [grade(each, HEALTHY.history(), key=f"g{n}", number=n).body for n, each in enumerate((grader, again))]
    assert canonical_json(bodies[0]["certificate"]) == canonical_json(bodies[1]["certificate"])


def test_a_replay_with_other_thresholds_names_the_certificate(grader: Grader, ledger: Ledger) -> None:
    grade(grader, HEALTHY.history())
    (entry,) = list(ledger)
    body = entry.leaf.body
    body["certificate"]["cuts"][0]["accept_at_least"] += 0.001
    replay = grader.replay(replace(entry.leaf, body_json=canonical_json(body)))
    assert (replay.equal, replay.differences) == (False, ("certificate",))


def test_an_unknown_type_is_never_accepted(grader: Grader) -> None:
    for number, identity in enumerate(
        (
            replace(HEALTHY.identity, rated_capacity_ah=36.0),
            replace(HEALTHY.identity, chemistry=Chemistry.NMC),
            replace(HEALTHY.identity, chemistry=Chemistry.UNKNOWN),
            replace(HEALTHY.identity, level=Level.MODULE),
        )
    ):
        history = BatteryHistory(identity, HEALTHY.history().runs, Inspection(leakage=False))
        decision = grade(grader, history, key=f"u{number}", number=number).body["decision"]
        assert decision["outcome"] == "retest"
        assert "UNKNOWN_TYPE" in {reason["code"] for reason in decision["reasons"]}


def test_a_capacity_test_needs_no_known_type(grader: Grader) -> None:
    strange = SimulatedBattery(50.0, 45.0, Chemistry.LFP, "STRANGE")
    recorded = grade(grader, strange.history(strange.run(RunKind.CAPACITY_TEST, strange.capacity_test())))
    assert (recorded.body["decision"]["outcome"], recorded.body["decision"]["grade"]) == ("cascade", "A")
    assert recorded.body["estimate"]["method"] == "capacity_test"


def test_no_row_of_a_measurement_enters_the_record(grader: Grader) -> None:
    body = grade(grader, HEALTHY.history()).body
    assert "voltage_begin_volt" not in json.dumps(body)
    assert body["runs"][0]["row_count"] == 21
