"""The demo grades over HTTP, keeps its promises, and says so when something is not as promised."""

import io
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from features.errors import PackGradeError
from serving.demo import BATTERIES, SAMPLES, DemoBattery, record_problems, repetition_problems, run_demo
from serving.local_service import LocalService, local_service
from tests.support.sample_requests import sample_batteries


@pytest.fixture(scope="module")
def shown() -> tuple[int, str]:
    screen = io.StringIO()
    code = run_demo(Console(file=screen, width=160), once=True)
    return code, screen.getvalue()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    with local_service(tmp_path_factory.mktemp("demo")) as running:
        yield running


def test_the_demo_ends_with_zero_and_everything_as_promised(shown: tuple[int, str]) -> None:
    code, text = shown
    assert code == 0, text
    assert "NOT AS PROMISED" not in text


@pytest.mark.parametrize(
    "words",
    [
        "CASCADE  grade A",
        "CASCADE  grade B",
        "RECYCLE",
        "next: pulse_test, 18 min",
        "next: capacity_test, 360 min",
        "next: two_pulse_trains, 35 min",
        "HOLD",
        "insulation.too_low",
        "UNKNOWN_TYPE",
        "UNDECIDED_AT_CUT",
        "90% interval",
        "probability below 80 %",
        "record 6",
        "consistency.weak_cell",
        "The record verifies: 10 entries",
        "curl http",
        "packgrade record show",
        "packgrade record replay",
    ],
)
def test_the_demo_shows_what_a_person_wants_to_see(shown: tuple[int, str], words: str) -> None:
    assert words in shown[1]


def test_a_demo_that_ran_once_leaves_no_service_and_no_folder(shown: tuple[int, str]) -> None:
    url = next(word for word in shown[1].split() if word.startswith("http://127.0.0.1:"))
    gone = LocalService(url, Path("none"), Path("none"), None)  # type: ignore[arg-type]  # only asks, never stops
    assert not gone.is_ready()
    assert "/packgrade-demo-" not in shown[1]


def test_a_decision_other_than_promised_is_said(service: LocalService) -> None:
    wrong = DemoBattery("spent_lmo10_cell", "a spent cell", 5.0, "cascade", grade="A")
    reply = service.grade(wrong.body(), "other-than-promised")
    assert list(wrong.broken_promises(reply)) == [
        "spent_lmo10_cell: outcome cascade was promised, recycle came.",
        "spent_lmo10_cell: grade A was promised, None came.",
    ]


def test_a_repeated_request_is_the_same_decision_and_another_one_is_said(service: LocalService) -> None:
    body = BATTERIES[0].body()
    first, again, other = (service.grade(body, key) for key in ("one", "one", "two"))
    assert repetition_problems(first, again, service.decision(first["decision_id"])) == []
    assert len(repetition_problems(first, other, other)) == 2


def test_a_record_edited_by_hand_is_said(service: LocalService, tmp_path: Path) -> None:
    last = service.grade(BATTERIES[0].body(), "last")["recorded"]
    receipt, count = (last["sequence"], last["leaf_sha256"]), last["sequence"] + 1
    assert record_problems(service.record_file, receipt, count) == []
    copy = tmp_path / "copy.sqlite"
    with sqlite3.connect(service.record_file) as record, sqlite3.connect(copy) as edited:
        record.backup(edited)
        for (trigger,) in edited.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            edited.execute(f"DROP TRIGGER {trigger}")
        edited.execute("UPDATE leaf SET battery_id = 'SOMEBODY-ELSE' WHERE sequence = ?", (last["sequence"],))
    assert any("does not verify" in problem for problem in record_problems(copy, receipt, count))


def test_a_record_with_an_entry_too_many_is_said(service: LocalService) -> None:
    last = service.grade(BATTERIES[0].body(), "too-many")["recorded"]
    receipt = (last["sequence"], last["leaf_sha256"])
    told = record_problems(service.record_file, receipt, last["sequence"])
    assert told == [f"the record holds {last['sequence'] + 1} entries, not {last['sequence']}."]


def test_a_refused_request_is_told_in_the_words_of_the_service(service: LocalService) -> None:
    with pytest.raises(PackGradeError, match="INVALID_INPUT") as refused:
        service.grade(b'{"battery": {}, "runs": []}', "refused")
    assert refused.value.code == "REQUEST_REFUSED"


def test_a_service_that_does_not_come_up_is_stopped_and_its_log_is_shown(tmp_path: Path) -> None:
    with pytest.raises(PackGradeError, match="The end of its log") as failed, local_service(tmp_path, 0.2):
        pytest.fail("it cannot be up yet")
    assert failed.value.code == "SERVICE_NOT_READY"


def test_the_demo_shows_every_sample_with_the_truth_of_the_simulator() -> None:
    told = {each.sample: each.true_capacity_ah for each in BATTERIES}
    assert told == {name: battery.remaining_capacity_ah for name, battery in sample_batteries().items()}
    assert {path.stem for path in SAMPLES.glob("*.json")} == set(told)
