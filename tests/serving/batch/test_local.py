from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import InvalidInput
from features.vocabulary import Chemistry
from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.batch.local import run_batch
from serving.batch.manifest import read_manifest
from serving.batch.outputs import require_result_path, summary, write_results
from serving.batch.work import content_request
from serving.grading import Grader
from serving.record.ledger import Ledger
from serving.record.store import RecordUnavailable
from tests.support.cases import MOMENT
from tests.support.simulated_battery import SimulatedBattery

FLEET = [
    SimulatedBattery(35.0, 35.0 * health, Chemistry.LFP, f"CELL-{number:03d}")
    for number, health in enumerate(np.linspace(0.74, 0.96, 12))
]
RESULT_COLUMNS = [
    *("battery_id", "decision_id", "sequence", "outcome", "grade", "method", "remaining_capacity_ah"),
    *("remaining_capacity_lower_ah", "remaining_capacity_upper_ah", "state_of_health_fraction", "coverage_fraction"),
    *(
        "p_below_0.80",
        "p_below_0.70",
        "p_below_0.60",
        "reasons",
        "next_test",
        "bundle_digest",
        "policy_version",
        "error",
    ),
]


@pytest.fixture
def grader(tmp_path: Path) -> Iterator[Grader]:
    with Ledger.open(tmp_path / "record.sqlite", "test") as ledger:
        yield Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    tables = []
    for battery in FLEET:
        table = pd.DataFrame(dict(battery.pulse_train().columns))
        table.insert(0, "battery_id", battery.battery_id)
        tables.append(table)
    pd.concat(tables).to_parquet(tmp_path / "pulses.parquet", index=False)
    rows = [(each.battery_id, "cell", "LFP", 35.0, "pulse_test", "step_table", "pulses.parquet") for each in FLEET]
    names = ["battery_id", "level", "chemistry", "rated_capacity_ah", "run_kind", "run_format", "run_path"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path / "manifest.csv"


def test_a_batch_decides_every_battery_as_the_grader_does_alone(grader: Grader, manifest: Path) -> None:
    rows = run_batch(grader, read_manifest(manifest), "fleet", MOMENT)
    assert [row.battery_id for row in rows] == [battery.battery_id for battery in FLEET]
    for row, battery in zip(rows, FLEET, strict=True):
        history = battery.history()
        alone = grader.grade(history, content_request(grader, history, "alone", MOMENT))
        assert (row.outcome, row.grade) == (alone.body["decision"]["outcome"], alone.body["decision"]["grade"])
        assert row.remaining_capacity_ah == alone.body["estimate"]["remaining_capacity_ah"]


def test_yesterdays_file_fed_again_gives_yesterdays_decisions(grader: Grader, manifest: Path) -> None:
    orders = read_manifest(manifest)
    first = run_batch(grader, orders, "fleet", MOMENT)
    assert run_batch(grader, orders, "fleet", MOMENT) == first
    assert grader.ledger.head().sequence == len(FLEET) - 1


def test_a_battery_whose_file_is_missing_is_an_error_row_and_stops_nobody(grader: Grader, manifest: Path) -> None:
    table = pd.read_csv(manifest)
    table.loc[3, "run_path"] = "gone.parquet"
    table.to_csv(manifest, index=False)
    rows = run_batch(grader, read_manifest(manifest), "fleet", MOMENT)
    assert "gone.parquet" in rows[3].error
    assert rows[3].outcome is None
    counts = summary(rows)
    assert sum(counts.outcomes.values()) + counts.error_count == counts.battery_count == len(FLEET)
    assert counts.error_count == 1


def test_a_battery_that_is_not_in_its_file_is_an_error_row(grader: Grader, manifest: Path) -> None:
    manifest.write_text(manifest.read_text().replace("CELL-003", "CELL-999"))
    assert "CELL-999" in run_batch(grader, read_manifest(manifest), "fleet", MOMENT)[3].error


def test_a_record_that_cannot_be_written_stops_the_batch(grader: Grader, manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "record.sqlite").rename(tmp_path / "gone.sqlite")
    with pytest.raises(RecordUnavailable):
        run_batch(grader, read_manifest(manifest), "fleet", MOMENT)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_result_file_has_the_contracts_columns(grader: Grader, manifest: Path, tmp_path: Path, suffix: str) -> None:
    rows = run_batch(grader, read_manifest(manifest), "fleet", MOMENT)
    out = tmp_path / f"results.{suffix}"
    write_results(out, rows, grader.policy.cuts)
    table = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    assert list(table.columns) == RESULT_COLUMNS
    assert table["sequence"].tolist() == list(range(len(FLEET)))
    assert table["remaining_capacity_ah"].tolist() == [row.remaining_capacity_ah for row in rows]


def test_an_unwritable_result_is_refused_before_anything_is_graded(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"\.parquet or \.csv"):
        require_result_path(tmp_path / "results.xlsx")
    with pytest.raises(InvalidInput, match="folder must exist"):
        require_result_path(tmp_path / "nowhere" / "results.csv")
    require_result_path(tmp_path / "results.csv")
