"""A refused measurement is recorded: why, not what was sent, and once."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from features.errors import InvalidInput, Problem
from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.batch.local import run_batch
from serving.batch.manifest import read_manifest
from serving.events.refusals import record_refusal
from serving.grading import Grader
from serving.record.leaf import Leaf, LeafKind
from serving.record.ledger import Ledger
from serving.record.sqlite import SqliteStore
from serving.record.store import leaves
from serving.record.verify import verify_record
from tests.support.cases import MOMENT
from tests.support.graded import graded, record_of, report
from tests.support.simulated_battery import SimulatedBattery

VEHICLE = "1M8GDM9AXKP042788"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(record_of(tmp_path), "test") as opened:
        yield opened


@pytest.fixture
def grader(ledger: Ledger) -> Grader:
    return Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)


def refusal(*problems: Problem) -> InvalidInput:
    return InvalidInput("The timeseries table breaks its rules.", problems or [Problem("a", "must be b", "c")])


def test_a_refusal_says_why_and_for_which_battery(ledger: Ledger) -> None:
    wrong = Problem("runs[0].table.voltage_volt[3]", "must be between 0 and 1500", "-7.0")
    leaf = record_refusal(ledger, "cell-1", refusal(wrong), report()).leaf
    assert (leaf.kind, leaf.battery_id, leaf.station) == (LeafKind.REFUSAL, "cell-1", "station-1")
    assert leaf.body == {
        "code": "INVALID_INPUT",
        "problems": [{"where": wrong.where, "rule": wrong.rule, "value": wrong.value}],
        "problem_count": 1,
        "input_sha256": "a" * 64,
        "asked_under": "outcome-1",
    }


def test_the_same_refused_measurement_again_records_nothing_new_whatever_its_key(ledger: Ledger) -> None:
    first = record_refusal(ledger, "cell-1", refusal(), report(1))
    again = record_refusal(ledger, "cell-1", refusal(), report(2))
    other = record_refusal(ledger, "cell-1", refusal(), report(2, content="b"))
    assert (again.leaf, again.replayed) == (first.leaf, True)
    assert other.leaf.sequence == 1


def test_the_corrected_measurement_may_come_under_the_same_key(ledger: Ledger) -> None:
    decided = replace(report(), idempotency_key="grade-1", request_sha256="b" * 64)
    record_refusal(ledger, "cell-1", refusal(), decided)
    assert graded(ledger, 1).sequence == 1


def test_values_are_cut_and_escaped_and_vehicle_numbers_masked(ledger: Ledger) -> None:
    nasty = Problem(f"table.{VEHICLE}", "must be a word", "电池\x00\x1b[2J\udc80" + "x" * 200)
    leaf = record_refusal(ledger, "cell-1", refusal(nasty), report()).leaf
    (told,) = leaf.body["problems"]
    assert told["where"] == "table.[vehicle number]"
    assert told["value"].startswith("电池\\x00\\x1b[2J\\udc80xxx")
    assert told["value"].endswith("x…")
    assert len(told["value"]) < 100
    assert VEHICLE.encode() not in leaf.body_json


def test_of_many_problems_the_first_are_kept_and_all_are_counted(ledger: Ledger) -> None:
    many = refusal(*(Problem(f"row {row}", "must be finite", "nan") for row in range(300)))
    body = record_refusal(ledger, "cell-1", many, report()).leaf.body
    assert (len(body["problems"]), body["problem_count"]) == (20, 300)


def fleet(folder: Path, **broken: object) -> Path:
    """A manifest of three cells in one file; `broken` replaces cells of the second one's row."""
    tables = []
    for name in ("CELL-1", "CELL-2", "CELL-3"):
        table = pd.DataFrame(dict(SimulatedBattery(35.0, 31.0, battery_id=name).pulse_train().columns))
        table.insert(0, "battery_id", name)
        tables.append(table)
    pd.concat(tables).to_parquet(folder / "pulses.parquet", index=False)
    row = {
        "level": "cell",
        "chemistry": "LFP",
        "rated_capacity_ah": 35.0,
        "run_kind": "pulse_test",
        "run_format": "step_table",
        "run_path": "pulses.parquet",
    }
    rows = [{"battery_id": f"CELL-{number}", **row} for number in (1, 2, 3)]
    rows[1] |= broken
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def recorded(folder: Path) -> list[Leaf]:
    return list(leaves(SqliteStore(record_of(folder))))


def test_a_batch_records_the_refused_measurement_and_its_row_says_where(grader: Grader, tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_text("test_time_second,voltage_volt\n0,3.3\n", encoding="utf-8")
    orders = read_manifest(fleet(tmp_path, run_path="broken.csv", run_format="timeseries"))
    rows = run_batch(grader, orders, "fleet", MOMENT, operator="f" * 32)
    (told,) = [leaf for leaf in recorded(tmp_path) if leaf.kind is LeafKind.REFUSAL]
    assert (told.battery_id, told.operator, told.body["code"]) == ("CELL-2", "f" * 32, "INVALID_INPUT")
    assert "current_ampere" in str(told.body["problems"])
    assert (rows[1].sequence, rows[1].outcome) == (told.sequence, None)
    assert rows[1].error
    assert [rows[0].error, rows[2].error] == [None, None]
    assert run_batch(grader, orders, "fleet", MOMENT, operator="f" * 32) == rows
    assert len(recorded(tmp_path)) == 3
    assert verify_record(record_of(tmp_path)).is_intact


def test_another_broken_file_in_its_place_is_another_refusal(grader: Grader, tmp_path: Path) -> None:
    for content in ("0,3.3", "1,3.4"):
        (tmp_path / "broken.csv").write_text(f"test_time_second,voltage_volt\n{content}\n", encoding="utf-8")
        orders = read_manifest(fleet(tmp_path, run_path="broken.csv", run_format="timeseries"))
        run_batch(grader, orders, "fleet", MOMENT)
    assert [leaf.kind for leaf in recorded(tmp_path)].count(LeafKind.REFUSAL) == 2


@pytest.mark.parametrize("broken", [{"battery_id": VEHICLE}, {"type_designation": f"of {VEHICLE}"}])
def test_a_batch_refuses_a_battery_named_after_its_vehicle_and_records_nothing_of_it(
    grader: Grader, tmp_path: Path, broken: dict[str, str]
) -> None:
    rows = run_batch(grader, read_manifest(fleet(tmp_path, **broken)), "fleet", MOMENT)
    assert "vehicle number" in rows[1].error
    assert rows[1].sequence is None
    assert len(recorded(tmp_path)) == 2
    assert [file.name for file in tmp_path.iterdir() if VEHICLE.encode() in file.read_bytes()] == ["manifest.csv"]


def test_a_vehicle_number_in_the_name_of_a_file_stays_out_of_the_record(grader: Grader, tmp_path: Path) -> None:
    manifest = fleet(tmp_path, run_path=f"{VEHICLE}.parquet")
    shutil.copyfile(tmp_path / "pulses.parquet", tmp_path / f"{VEHICLE}.parquet")
    run_batch(grader, read_manifest(manifest), "fleet", MOMENT)
    sources = [leaf.body["runs"][0]["source"]["name"] for leaf in recorded(tmp_path)]
    assert sources == ["pulses.parquet", "[vehicle number].parquet", "pulses.parquet"]


def test_a_row_that_names_no_sound_battery_is_only_answered(grader: Grader, tmp_path: Path) -> None:
    rows = run_batch(grader, read_manifest(fleet(tmp_path, rated_capacity_ah=-1.0)), "fleet", MOMENT)
    assert rows[1].error
    assert [leaf.kind for leaf in recorded(tmp_path)] == [LeafKind.DECISION, LeafKind.DECISION]
