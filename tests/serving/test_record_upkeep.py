"""``packgrade record erase`` and ``rotate-key``, and ``--operator``, as an operator types them."""

import json
from pathlib import Path

import pytest

from serving.cli import EXIT_BAD_INPUT, EXIT_DONE, main
from serving.record.checkpoint import VerifierKey
from serving.record.leaf import Leaf, LeafKind
from serving.record.log_key import key_file
from serving.record.sqlite import SqliteStore
from serving.record.store import leaves

NAME = "Wang Fang 王芳"


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PACKGRADE_RECORD", str(tmp_path / "record" / "record.sqlite"))
    (tmp_path / "record").mkdir()
    return tmp_path / "record" / "record.sqlite"


@pytest.fixture
def battery(tmp_path: Path) -> Path:
    plate = {"battery_id": "c-1", "level": "cell", "chemistry": "LFP", "rated_capacity_ah": 35.0}
    file = tmp_path / "battery.json"
    file.write_text(json.dumps({"battery": plate, "inspection": {"leakage": True}}), encoding="utf-8")
    return file


def recorded(record: Path) -> list[Leaf]:
    return list(leaves(SqliteStore(record)))


def graded(battery: Path, *options: str) -> int:
    return main(["grade", "--battery", str(battery), "--json", *options])


def test_an_operator_named_on_the_command_line_is_a_pseudonym_in_the_record_until_erased(
    record: Path, battery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert graded(battery, "--operator", NAME) == EXIT_DONE
    decision = recorded(record)[-1]
    assert decision.operator is not None
    with SqliteStore(record).reading() as reader:
        assert reader.erasable_value(decision.operator) == NAME
    assert main(["record", "erase", decision.operator]) == EXIT_DONE
    assert not [file.name for file in record.parent.iterdir() if NAME.encode() in file.read_bytes()]
    assert main(["record", "verify"]) == EXIT_DONE
    capsys.readouterr()
    assert main(["record", "erase", decision.operator]) == EXIT_BAD_INPUT
    assert "must be a pseudonym in use" in capsys.readouterr().err


def test_a_name_is_erased_by_name_at_its_station_only(record: Path, battery: Path) -> None:
    assert graded(battery, "--operator", NAME, "--station", "north") == EXIT_DONE
    assert main(["record", "erase", "--operator", NAME, "--station", "south"]) == EXIT_BAD_INPUT
    assert main(["record", "erase", "--operator", NAME, "--station", "north"]) == EXIT_DONE
    with SqliteStore(record).reading() as reader:
        assert reader.pseudonym_of("operator", "north", NAME) is None


@pytest.mark.parametrize("options", [[], ["a" * 32, "--operator", NAME]])
def test_erasing_needs_a_pseudonym_or_a_name_and_not_both(record: Path, battery: Path, options: list[str]) -> None:
    graded(battery)
    assert main(["record", "erase", *options]) == EXIT_BAD_INPUT


def test_the_key_is_changed_by_one_command_and_the_first_key_still_verifies(
    record: Path, battery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graded(battery)
    before = key_file(record).read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["record", "rotate-key"]) == EXIT_DONE
    printed = capsys.readouterr().out.splitlines()[-1]
    change = recorded(record)[-1]
    assert (change.kind, change.body["new"]) == (LeafKind.KEY_CHANGE, printed)
    assert VerifierKey.parsed(printed).name in before
    assert key_file(record).read_text(encoding="utf-8") != before
    assert main(["record", "verify"]) == EXIT_DONE


def test_an_archive_of_a_log_that_changed_its_key_verifies(record: Path, battery: Path, tmp_path: Path) -> None:
    graded(battery)
    main(["record", "checkpoint", "--out", str(tmp_path / "before.txt")])
    main(["record", "rotate-key"])
    main(["record", "checkpoint", "--out", str(tmp_path / "after.txt")])
    archive = tmp_path / "evidence.zip"
    assert main(["record", "export", "--out", str(archive)]) == EXIT_DONE
    kept = ["--checkpoint", str(tmp_path / "before.txt"), "--checkpoint", str(tmp_path / "after.txt")]
    assert main(["record", "verify", str(archive), *kept]) == EXIT_DONE
    assert main(["record", "verify", str(record), *kept]) == EXIT_DONE


def test_a_refused_file_of_a_sound_battery_is_recorded_once(record: Path, battery: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_text("test_time_second,voltage_volt\n0,3.3\n", encoding="utf-8")
    run = f"kind=pulse_test,format=timeseries,path={tmp_path / 'broken.csv'}"
    for _ in range(2):
        assert graded(battery, "--run", run) == EXIT_BAD_INPUT
    assert [leaf.kind for leaf in recorded(record)].count(LeafKind.REFUSAL) == 1
    assert recorded(record)[-1].battery_id == "C-1"
