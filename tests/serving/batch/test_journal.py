from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from features.errors import InvalidInput
from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.batch.journal import Journal
from serving.batch.local import run_batch
from serving.batch.manifest import BatteryOrder, read_manifest
from serving.batch.result_row import ResultRow
from serving.batch.slices import GradedSlice, InProcess, Slice
from serving.grading import Grader
from serving.record.ledger import Ledger
from serving.record.store import RecordUnavailable
from tests.support.batch_fleet import simulated_cells, written_fleet
from tests.support.cases import MOMENT

BATCH, OTHER_BATCH = "a" * 64, "b" * 64


@pytest.fixture
def grader(tmp_path: Path) -> Iterator[Grader]:
    with Ledger.open(tmp_path / "record.sqlite", "test") as ledger:
        yield Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)


@pytest.fixture
def orders(tmp_path: Path) -> tuple[BatteryOrder, ...]:
    return read_manifest(written_fleet(tmp_path, simulated_cells(4)))


def noted(out: Path, orders: Sequence[BatteryOrder], rows: Sequence[ResultRow]) -> None:
    with Journal(out, BATCH, resume=False) as journal:
        journal.keep(GradedSlice(Slice((0, 1), tuple(orders[:2])), tuple(rows[:2])))
        journal.keep(GradedSlice(Slice((2, 3), tuple(orders[2:])), tuple(rows[2:])))


def test_what_an_interrupted_batch_did_is_taken_over(
    grader: Grader, orders: tuple[BatteryOrder, ...], tmp_path: Path
) -> None:
    out = tmp_path / "results.csv"
    rows = run_batch(grader, orders, "fleet", MOMENT)
    noted(out, orders, rows)
    (tmp_path / "pulses.parquet").unlink()
    with Journal(out, BATCH, resume=True) as journal:
        assert run_batch(grader, orders, "fleet", MOMENT, journal=journal) == rows
        journal.discard()
    assert not list(tmp_path.glob(".results*"))


def test_a_batch_begun_anew_takes_nothing_over(
    grader: Grader, orders: tuple[BatteryOrder, ...], tmp_path: Path
) -> None:
    out = tmp_path / "results.csv"
    noted(out, orders, run_batch(grader, orders, "fleet", MOMENT))
    with Journal(out, BATCH, resume=False) as journal:
        assert journal.standing(grader) == {}


def test_a_line_that_was_cut_off_is_graded_again(
    grader: Grader, orders: tuple[BatteryOrder, ...], tmp_path: Path
) -> None:
    out, path = tmp_path / "results.csv", tmp_path / ".results.csv.journal"
    rows = run_batch(grader, orders, "fleet", MOMENT)
    noted(out, orders, rows)
    path.write_bytes(path.read_bytes()[:-40])
    for _ in range(2):
        with Journal(out, BATCH, resume=True) as journal:
            assert list(journal.standing(grader)) == [0, 1]
    with Journal(out, BATCH, resume=True) as journal:
        assert run_batch(grader, orders, "fleet", MOMENT, journal=journal) == rows


def test_a_decision_that_is_not_in_this_record_is_not_taken_over(
    grader: Grader, orders: tuple[BatteryOrder, ...], tmp_path: Path
) -> None:
    out = tmp_path / "results.csv"
    noted(out, orders, run_batch(grader, orders, "fleet", MOMENT))
    with Ledger.open(tmp_path / "other.sqlite", "test") as ledger, Journal(out, BATCH, resume=True) as journal:
        assert journal.standing(Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)) == {}


def test_a_battery_with_an_error_is_tried_again(
    grader: Grader, orders: tuple[BatteryOrder, ...], tmp_path: Path
) -> None:
    pulses = tmp_path / "pulses.parquet"
    whole = pulses.read_bytes()
    pulses.write_bytes(whole[:100])
    out = tmp_path / "results.csv"
    noted(out, orders, run_batch(grader, orders, "fleet", MOMENT))
    pulses.write_bytes(whole)
    with Journal(out, BATCH, resume=True) as journal:
        rows = run_batch(grader, orders, "fleet", MOMENT, journal=journal)
    assert [row.error for row in rows] == [None] * 4


def test_another_batchs_progress_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    with Journal(out, BATCH, resume=False):
        pass
    with pytest.raises(InvalidInput, match=r"results\.csv: holds an interrupted batch of another manifest"):
        Journal(out, OTHER_BATCH, resume=True)
    with Journal(out, OTHER_BATCH, resume=False) as journal, pytest.raises(InvalidInput, match="another batch is"):
        Journal(out, OTHER_BATCH, resume=True)
    assert journal


def test_a_batch_stopped_by_its_record_goes_on_once_the_record_is_back(
    grader: Grader, orders: tuple[BatteryOrder, ...], tmp_path: Path
) -> None:
    out, record = tmp_path / "results.csv", tmp_path / "record.sqlite"
    engine = InProcess(grader)
    engine.workers = 2

    def lose_the_record(done: int, outcomes: Counter[str], newly: int) -> None:
        if done == 2:
            record.rename(tmp_path / "away.sqlite")

    with Journal(out, BATCH, resume=False) as journal, pytest.raises(RecordUnavailable):
        run_batch(grader, orders, "fleet", MOMENT, lose_the_record, engine=engine, journal=journal)
    grader.ledger.close()
    (tmp_path / "away.sqlite").rename(record)
    with Ledger.open(record, "test") as ledger, Journal(out, BATCH, resume=True) as journal:
        again = Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)
        assert list(journal.standing(again)) == [0, 1]
        rows = run_batch(again, orders, "fleet", MOMENT, journal=journal)
        assert sorted(row.sequence for row in rows) == [0, 1, 2, 3]
        assert ledger.head().sequence == 3
