"""Measured capacities come in as CSV, and everything retraining needs goes out as CSV."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from features.feature_set import FEATURE_SETS, Method
from models.bundle import load_bundle
from serving.cli import main
from serving.record.ledger import Ledger
from serving.settings import SHIPPED_BUNDLE
from tests.serving.test_replay import another_bundle
from tests.support.graded import DEFINITION, graded, held_without_measurement, record_of
from training.outcomes import read_outcomes
from training.usable_outcomes import unusable


@pytest.fixture
def decisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two decisions in a record of the working folder; the second battery has a code made to run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACKGRADE_RECORD", str(record_of(tmp_path)))
    with Ledger.open(record_of(tmp_path), "test") as ledger:
        codes = enumerate(("cell-1", "=HYPERLINK(A1)"), start=1)
        return [graded(ledger, number, code).decision_id for number, code in codes]


def write(rows: list[dict[str, object]], name: str = "measured.csv") -> None:
    pd.DataFrame(rows).to_csv(name, index=False)


def row(decision_id: str, /, **changes: object) -> dict[str, object]:
    sound = {
        "decision_id": decision_id,
        "remaining_capacity_ah": 32.5,
        "capacity_definition": DEFINITION,
        "measured_at": "2026-11-21T08:00:00Z",
        "station": "bench-2",
        "chosen_at_random": "true",
    }
    return sound | changes


def exported(*more: str, name: str = "outcomes.csv") -> list[dict[str, str]]:
    Path(name).unlink(missing_ok=True)
    assert main(["record", "outcomes", "--out", name, *more]) == 0
    with Path(name).open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_a_file_of_capacities_is_recorded_once_however_often_it_is_sent(decisions, capsys) -> None:
    write([row(each) for each in decisions])
    assert main(["record", "outcomes", "--add", "measured.csv"]) == 0
    assert "2 outcome(s) recorded, 0 were recorded before" in capsys.readouterr().out
    assert main(["record", "outcomes", "--add", "measured.csv"]) == 0
    assert "0 outcome(s) recorded, 2 were recorded before" in capsys.readouterr().out
    assert len(exported()) == 2


def test_the_exported_row_holds_everything_retraining_needs(decisions) -> None:
    write([row(decisions[0])])
    main(["record", "outcomes", "--add", "measured.csv"])
    (told,) = exported()
    bundle = load_bundle(SHIPPED_BUNDLE)
    assert told["decision_id"] == decisions[0]
    assert (told["level"], told["chemistry"], float(told["rated_capacity_ah"])) == ("cell", "LFP", 35.0)
    assert (told["method"], told["bundle_sha256"]) == ("pulse_test", bundle.sha256)
    assert float(told["lower_fraction"]) < float(told["estimated_fraction"]) < float(told["upper_fraction"])
    assert (told["remaining_capacity_ah"], told["capacity_definition"]) == ("32.5", DEFINITION)
    assert told["estimated_definition"] == DEFINITION
    assert (told["measured_by"], told["chosen_at_random"]) == ("bench-2", "true")
    assert told["policy_sha256"]
    values = json.loads(told["features"])
    feature_set = FEATURE_SETS[Method.PULSE_TEST]
    assert set(values) == set(feature_set.names)
    assert told["feature_set_digest"] == feature_set.digest
    matrix = pd.Series(values, dtype=float)[list(feature_set.names)].to_numpy()[None, :]
    said = bundle.estimators[Method.PULSE_TEST].predict(matrix, feature_set.names, "LFP35", (0.8,))
    assert float(said.point[0]) == pytest.approx(float(told["estimated_fraction"]), abs=1e-12)


def test_a_code_that_a_spreadsheet_would_run_is_written_as_text(decisions) -> None:
    write([row(decisions[1])])
    main(["record", "outcomes", "--add", "measured.csv"])
    (told,) = exported()
    assert told["battery_id"] == "'=HYPERLINK(A1)"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"decision_id": "e" * 32}, "measured.csv row 3.decision_id: must be a decision of this record"),
        ({"decision_id": "17"}, "measured.csv row 3 decision_id"),
        ({"remaining_capacity_ah": "32,5"}, "measured.csv row 3 remaining_capacity_ah"),
        ({"remaining_capacity_ah": "nan"}, "finite number"),
        ({"remaining_capacity_ah": ""}, "measured.csv row 3 remaining_capacity_ah"),
        ({"remaining_capacity_ah": 32_500.0}, "is the unit Ah?"),
        ({"measured_at": "2026-11-21"}, "must be a moment with its time zone"),
        ({"measured_at": "2126-11-21T08:00:00Z"}, "cannot be later than the report"),
        ({"chosen_at_random": "perhaps"}, "measured.csv row 3 chosen_at_random"),
        ({"capacity_definition": ""}, "measured.csv row 3 capacity_definition"),
    ],
)
def test_one_wrong_row_is_named_and_nothing_of_the_file_is_recorded(decisions, capsys, change, told) -> None:
    write([row(decisions[0]), row(decisions[1], **change)])
    assert main(["record", "outcomes", "--add", "measured.csv"]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert exported() == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("decision_id,measured_at\n", "needs the column (got remaining_capacity_ah)"),
        (f"decision_id,remaining_capacity_ah,capacity_definition,measured_at,soc\n{'1,' * 4}5\n", "is none of"),
        ("decision_id,remaining_capacity_ah,capacity_definition,measured_at\n", "at least one row"),
        ("decision_id,remaining_capacity_ah,capacity_definition,measured_at\n1,2,3,4,5\n", "beyond the last column"),
        ("\xff", "needs the column"),
    ],
)
def test_a_file_of_another_shape_is_refused(decisions, capsys, content, told) -> None:
    Path("measured.csv").write_text(content, encoding="utf-8")
    assert main(["record", "outcomes", "--add", "measured.csv"]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_file_that_is_not_text_or_not_there_is_refused(decisions, capsys) -> None:
    Path("measured.csv").write_bytes(b"\xff\xfe\x00PK")
    assert main(["record", "outcomes", "--add", "measured.csv"]) == 2
    assert main(["record", "outcomes", "--add", "missing.csv"]) == 2
    assert capsys.readouterr().err.count("must be a readable CSV file in UTF-8") == 2


def test_an_existing_file_is_not_overwritten(decisions) -> None:
    Path("outcomes.csv").write_text("mine", encoding="utf-8")
    assert main(["record", "outcomes", "--out", "outcomes.csv"]) == 2
    assert Path("outcomes.csv").read_text(encoding="utf-8") == "mine"


def test_a_battery_held_without_a_measurement_is_exported_without_an_estimate(decisions, tmp_path: Path) -> None:
    with Ledger.open(record_of(tmp_path), "test") as ledger:
        held = held_without_measurement(ledger).decision_id
    write([row(held)])
    main(["record", "outcomes", "--add", "measured.csv"])
    (told,) = exported("--all")
    assert (told["outcome"], told["method"], told["estimated_fraction"], told["features"]) == ("hold", "", "", "{}")


def test_by_default_the_table_holds_what_recalibrates_the_bundle_in_force_and_says_what_it_leaves_out(
    decisions, tmp_path: Path, capsys
) -> None:
    with Ledger.open(record_of(tmp_path), "test") as ledger:
        held = held_without_measurement(ledger).decision_id
    write(
        [
            row(decisions[0], remaining_capacity_ah=32.0),
            row(decisions[0], capacity_definition="I5 discharge, 25 °C"),
            row(decisions[1], remaining_capacity_ah=31.0),
            row(held),
            row(decisions[0], remaining_capacity_ah=32.4),
        ]
    )
    assert main(["record", "outcomes", "--add", "measured.csv"]) == 0
    capsys.readouterr()
    told = exported()
    assert [(each["decision_id"], each["remaining_capacity_ah"]) for each in told] == [
        (decisions[1], "31"),
        (decisions[0], "32.4"),
    ]
    printed = capsys.readouterr().out
    assert "2 outcome(s) that can recalibrate reference" in printed
    for reason in ("measured again later", "of another capacity definition", "not estimated by a trained method"):
        assert f"left out, {reason}: 1" in printed
    assert "--all writes every outcome" in printed
    assert unusable(read_outcomes(Path("outcomes.csv")), load_bundle(SHIPPED_BUNDLE)) == []
    assert len(exported("--all")) == 5
    assert unusable(read_outcomes(Path("outcomes.csv")), load_bundle(SHIPPED_BUNDLE)) != []


def test_outcomes_of_another_bundle_are_left_out_unless_that_bundle_is_named(decisions, tmp_path: Path, capsys) -> None:
    write([row(decisions[0])])
    main(["record", "outcomes", "--add", "measured.csv"])
    other = another_bundle(tmp_path)
    assert exported("--bundle", str(other)) == []
    assert "left out, estimated by another bundle: 1" in capsys.readouterr().out
    assert len(exported()) == 1


def test_a_battery_graded_twice_is_in_the_table_once(decisions, tmp_path: Path) -> None:
    with Ledger.open(record_of(tmp_path), "test") as ledger:
        again = graded(ledger, 3, "cell-1", 32.0).decision_id
    write([row(decisions[0]), row(again)])
    main(["record", "outcomes", "--add", "measured.csv"])
    assert [each["decision_id"] for each in exported()] == [again]


def test_an_outcome_of_a_withdrawn_decision_teaches_nothing(decisions, capsys) -> None:
    write([row(each) for each in decisions])
    main(["record", "outcomes", "--add", "measured.csv"])
    correct = ["record", "correct", decisions[0], "--action", "withdraw", "--reason", "wrong cell", "--person", "Li"]
    assert main(correct) == 0
    assert [each["decision_id"] for each in exported()] == [decisions[1]]
    assert "left out, of a withdrawn decision: 1" in capsys.readouterr().out
