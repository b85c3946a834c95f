import json
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from features.vocabulary import Chemistry, RunKind
from serving.cli import main
from serving.record.leaf import LeafKind
from serving.record.source import source_of
from tests.support.simulated_battery import SimulatedBattery

CODE = "04QCB76836300JBC40000903"
CELL = SimulatedBattery(35.0, 33.0, Chemistry.LFP, CODE)


@pytest.fixture
def station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one battery, its pulses and its capacity test."""
    monkeypatch.chdir(tmp_path)
    described = {"battery": {"battery_id": CODE.lower(), "level": "cell", "chemistry": "LFP", "rated_capacity_ah": 35}}
    Path("battery.json").write_text(json.dumps(described), encoding="utf-8")
    pd.DataFrame(dict(CELL.pulse_train().columns)).to_csv("pulses.csv", index=False)
    pd.DataFrame(dict(CELL.capacity_test().columns)).to_csv("capacity.csv", index=False)
    return tmp_path


def grade(*more: str) -> int:
    return main(["grade", "--battery", "battery.json", *more])


def decisions_in(record: Path) -> list[int]:
    """Where decisions stand in the log, between what else is recorded."""
    return [leaf.sequence for leaf in source_of(record).leaves() if leaf.kind is LeafKind.DECISION]


PULSES = "kind=pulse_test,format=step_table,path=pulses.csv"


def test_a_battery_is_graded_from_files_and_printed_with_its_record_number(station, capsys) -> None:
    assert grade("--run", PULSES) == 0
    printed = capsys.readouterr().out
    assert "CASCADE  grade A" in printed
    assert CODE in printed
    assert "record 2" in printed  # behind the activations of bundle and policy


def test_the_same_files_give_the_same_decision(station, capsys) -> None:
    grade("--run", PULSES, "--json")
    first = json.loads(capsys.readouterr().out)
    grade("--run", PULSES, "--json")
    assert json.loads(capsys.readouterr().out) == first | {"repeated": True}
    grade("--run", PULSES)
    assert "was graded before" in capsys.readouterr().out


def test_a_capacity_test_outranks_the_pulse_test_given_beside_it(station, capsys) -> None:
    grade("--run", PULSES, "--run", "kind=capacity_test,format=step_table,path=capacity.csv", "--json")
    assert json.loads(capsys.readouterr().out)["capacity"]["method"] == RunKind.CAPACITY_TEST


@pytest.mark.parametrize(
    ("run", "complaint"),
    [
        ("kind=pulse_test,format=step_table", "needs path=…"),
        ("kind=guess,format=step_table,path=pulses.csv", "kind must be one of"),
        (PULSES + ",train=0", "train counts from 1"),
        (PULSES + ",train=9", "the test holds 1 pulse train"),
        (PULSES + ",colour=red", "is none of kind"),
        (PULSES + ",kind=pulse_test", "names a key twice"),
        (PULSES + ",started_at=yesterday", "date and time with a zone"),
        ("kind=pulse_test,format=step_table,path=gone.csv", "gone.csv: there is no such file"),
    ],
)
def test_a_wrong_run_is_refused_with_exit_code_2_and_nothing_is_recorded(station, capsys, run, complaint) -> None:
    assert grade("--run", run) == 2
    assert complaint in capsys.readouterr().err.replace("\n", " ")
    record = Path("packgrade-record.sqlite")
    assert not record.exists() or decisions_in(record) == []


@pytest.mark.parametrize("text", ["", "{", '{"battery": {}}', '{"battery": 3}', '{"colour": "red"}'])
def test_a_wrong_battery_description_is_refused(station, text) -> None:
    Path("battery.json").write_text(text, encoding="utf-8")
    assert grade("--run", PULSES) == 2


def test_a_bundle_that_was_changed_is_refused_with_exit_code_3(station, capsys) -> None:
    (station / "bundle").mkdir()
    assert grade("--run", PULSES, "--bundle", "bundle") == 3
    assert "BUNDLE_UNREADABLE" in capsys.readouterr().err


def test_a_batch_prints_its_counts_and_writes_its_results(station, capsys) -> None:
    names = ["battery_id", "level", "chemistry", "rated_capacity_ah", "run_kind", "run_format", "run_path"]
    rows = [(CODE, "cell", "LFP", 35.0, "pulse_test", "step_table", "pulses.csv")]
    pd.DataFrame(rows, columns=names).to_csv("manifest.csv", index=False)
    assert main(["batch", "manifest.csv", "--out", "results.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "batteries": 1,
        "outcomes": {"cascade": 1},
        "errors": 0,
        "refused": 0,
        "needed_tests": {},
        "bench_hours": 0.0,
        "lost_workers": 0,
    }
    assert pd.read_csv("results.csv").loc[0, "grade"] == "A"
    rows.append(("cell-2", "cell", "LFP", 35.0, "pulse_test", "step_table", "gone.csv"))
    pd.DataFrame(rows, columns=names).to_csv("manifest.csv", index=False)
    assert main(["batch", "manifest.csv", "--out", "results.csv", "--quiet"]) == 1


def test_the_record_is_verified_shown_and_replayed(station, capsys) -> None:
    grade("--run", PULSES)
    assert main(["record", "verify"]) == 0
    assert "whole, 3 entries" in capsys.readouterr().out
    assert main(["record", "show", CODE.lower()]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["body"]["battery"]["battery_id"] == CODE
    for entry in (shown["event_id"], "2", CODE, "all"):
        assert main(["record", "replay", entry]) == 0
        assert "equal bit for bit" in capsys.readouterr().out


def test_a_decision_of_a_policy_that_is_not_at_hand_is_not_replayed_until_it_is_given(station, capsys) -> None:
    shipped = Path(__file__).parents[2] / "models" / "policies" / "example-2026-11.toml"
    Path("policy.toml").write_bytes(shipped.read_bytes() + b"# changed\n")
    grade("--run", PULSES, "--policy", "policy.toml")
    assert main(["record", "replay", "2"]) == 3
    assert "NOT REPLAYED, policy" in capsys.readouterr().out
    assert main(["record", "replay", "2", "--policy", "policy.toml"]) == 0


def test_a_record_that_is_not_there_is_no_tampered_one(station, capsys) -> None:
    assert main(["record", "verify", "gone.sqlite"]) == 3
    assert "There is no record at gone.sqlite" in capsys.readouterr().err


def test_without_a_public_key_nothing_counts_as_verified_unless_that_is_asked_for(station, capsys) -> None:
    grade("--run", PULSES)
    Path("packgrade-record.sqlite.pub").unlink()
    assert main(["record", "verify"]) == 2
    assert "--key" in capsys.readouterr().err
    assert main(["record", "verify", "--without-key"]) == 0
    assert "signatures were not checked" in capsys.readouterr().out


def test_a_record_edited_by_hand_fails_and_the_first_bad_entry_is_named(station, capsys) -> None:
    for number in range(3):
        described = json.loads(Path("battery.json").read_text())
        described["battery"]["battery_id"] = f"cell-{number}"
        Path("battery.json").write_text(json.dumps(described))
        grade("--run", PULSES)
    with sqlite3.connect("packgrade-record.sqlite") as by_hand:
        for (name,) in by_hand.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            by_hand.execute(f"DROP TRIGGER {name}")
        by_hand.execute("""UPDATE leaf SET leaf = CAST(replace(leaf, '"A"', '"B"') AS BLOB) WHERE sequence = 3""")
    capsys.readouterr()
    assert main(["record", "verify"]) == 1
    assert "entry 3" in capsys.readouterr().out


@pytest.mark.parametrize("entry", ["7", "0" * 32, "no-such-battery"])
def test_an_entry_that_is_not_there_is_an_error(station, entry) -> None:
    grade("--run", PULSES)
    assert main(["record", "show", entry]) == 2
    assert main(["record", "replay", entry]) == 2


def test_a_receipt_that_does_not_read_is_refused(station) -> None:
    grade("--run", PULSES)
    assert main(["record", "verify", "--head", "17"]) == 2


def test_a_record_is_held_against_a_checkpoint_and_the_receipts_a_station_kept(station, capsys) -> None:
    Path("receipts").mkdir()
    grade("--run", PULSES, "--json")
    Path("receipts/1.json").write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["record", "checkpoint", "--out", "kept.txt"]) == 0
    capsys.readouterr()
    assert main(["record", "verify", "--checkpoint", "kept.txt", "--receipts", "receipts"]) == 0
    assert "Held against 2 checkpoint(s), 1 of them in receipts" in capsys.readouterr().out
    Path("packgrade-record.sqlite").rename("first.sqlite")
    grade("--run", "kind=capacity_test,format=step_table,path=capacity.csv")
    capsys.readouterr()
    assert main(["record", "verify", "--checkpoint", "kept.txt", "--receipts", "receipts"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "does not begin with what a checkpoint kept elsewhere covers" in told
    assert "is not the entry 1.json is the receipt of" in told


def test_what_is_no_receipt_is_named(station, capsys) -> None:
    grade("--run", PULSES)
    Path("receipts").mkdir()
    assert main(["record", "verify", "--receipts", "receipts"]) == 2
    Path("receipts/odd.json").write_text("[]", encoding="utf-8")
    assert main(["record", "verify", "--receipts", "receipts"]) == 2
    assert "odd.json" in capsys.readouterr().err


def test_a_kept_reply_whose_verdict_was_changed_does_not_pass_for_the_record(station, capsys) -> None:
    Path("receipts").mkdir()
    grade("--run", PULSES, "--json")
    reply = json.loads(capsys.readouterr().out)
    Path("receipts/1.json").write_text(json.dumps(reply | {"grade": "B"}), encoding="utf-8")
    assert main(["record", "verify", "--receipts", "receipts"]) == 1
    assert "says another grade than the reply 1.json" in " ".join(capsys.readouterr().out.split())


def test_a_kept_checkpoint_is_replaced_only_by_one_of_a_log_that_begins_with_it(station, capsys) -> None:
    keep = ["record", "checkpoint", "--out", "kept.txt"]
    grade("--run", PULSES)
    assert main(keep) == 0
    grade("--run", "kind=capacity_test,format=step_table,path=capacity.csv")
    assert main(keep) == 0
    kept = Path("kept.txt").read_text(encoding="utf-8")
    assert kept.split("\n")[1] == "4"
    Path("packgrade-record.sqlite").rename("away.sqlite")
    grade("--run", PULSES)
    assert main(keep) == 2
    assert "must begin with the 4 entries" in capsys.readouterr().err
    assert Path("kept.txt").read_text(encoding="utf-8") == kept
