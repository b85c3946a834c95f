"""``packgrade record correct`` as a command."""

from pathlib import Path

import pytest

from serving.cli import main
from serving.record.ledger import Ledger
from tests.support.graded import graded, held_without_measurement


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "record.sqlite"
    with Ledger.open(path, "test") as ledger:
        held_without_measurement(ledger)
    return path


def correct(record: Path, decision_id: str = "9" * 32, **changes: str) -> int:
    options = {"action": "override", "reason": "cooling water", "person": "Li Wei", "record": str(record)} | changes
    named = [word for name, value in options.items() for word in (f"--{name}", value)]
    return main(["record", "correct", decision_id, *named])


def test_a_hold_is_overridden_and_the_same_command_again_records_nothing_new(
    record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert correct(record) == 0
    assert f"Entry 1: decision {'9' * 32} no longer binds" in capsys.readouterr().out.replace("\n", " ")
    assert correct(record) == 0
    assert "(recorded before)" in capsys.readouterr().out
    with Ledger.open(record, "test") as ledger:
        assert ledger.head().sequence == 1
        assert graded(ledger, battery_id="cell-9").body["decision"]["grade"] == "A"


def test_a_decision_is_withdrawn(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert correct(record, action="withdraw") == 0
    assert "counts for nothing" in capsys.readouterr().out


def test_an_unknown_decision_is_told_and_nothing_recorded(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert correct(record, "e" * 32) == 3
    assert "holds no decision" in capsys.readouterr().err


@pytest.mark.parametrize("changes", [{"person": " "}, {"reason": ""}])
def test_a_correction_without_person_or_reason_is_refused(record: Path, changes: dict[str, str]) -> None:
    assert correct(record, **changes) == 2


def test_a_refused_name_is_not_printed(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert correct(record, person="x" * 65) == 2
    assert "xxx" not in capsys.readouterr().err
