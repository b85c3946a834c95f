import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from features.errors import PackGradeError
from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.batch.attempts import MOST_TRIES
from serving.batch.deployment import Deployment
from serving.batch.local import run_batch
from serving.batch.manifest import BatteryOrder, read_manifest
from serving.batch.pool import LocalPool
from serving.batch.result_row import ResultRow
from serving.grading import Grader
from serving.record.ledger import Ledger
from serving.settings import Settings, software_version
from tests.support.batch_fleet import simulated_cells, written_fleet
from tests.support.cases import MOMENT

if TYPE_CHECKING:
    from tests.support.postgres_server import RunningServer

CELLS = simulated_cells(24)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(record_file=tmp_path / "record.sqlite", bundle_folder=REFERENCE_BUNDLE, policy_file=SHIPPED_POLICY)


@pytest.fixture
def grader(settings: Settings) -> Iterator[Grader]:
    with Ledger.open(settings.record_file, software_version()) as ledger:
        yield Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)


@pytest.fixture
def orders(tmp_path: Path) -> tuple[BatteryOrder, ...]:
    return read_manifest(written_fleet(tmp_path, CELLS))


def without_places(rows: list[ResultRow]) -> list[ResultRow]:
    return [replace(row, sequence=None) for row in rows]


def test_two_workers_decide_as_one_process_and_a_killed_worker_costs_no_result(
    settings: Settings, grader: Grader, orders: tuple[BatteryOrder, ...], tmp_path: Path
) -> None:
    pool = LocalPool(Deployment.of(settings, grader), 2)
    killed = list[int]()

    def kill_one(done: int, outcomes: Counter[str], newly: int) -> None:
        if not killed:
            killed.append(multiprocessing.active_children()[0].pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    rows = run_batch(grader, orders, "fleet", MOMENT, kill_one, engine=pool)
    assert [row.battery_id for row in rows] == [cell.battery_id for cell in CELLS]
    assert sorted(row.sequence for row in rows) == list(range(len(CELLS)))
    assert killed
    with Ledger.open(tmp_path / "other.sqlite", software_version()) as ledger:
        alone = run_batch(Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger), orders, "fleet", MOMENT)
    assert without_places(rows) == without_places(alone)


def test_a_worker_that_finds_another_bundle_stops_the_batch_and_says_so(
    settings: Settings, grader: Grader, orders: tuple[BatteryOrder, ...]
) -> None:
    other = replace(Deployment.of(settings, grader), bundle_sha256="0" * 64)
    with pytest.raises(PackGradeError, match=r"DEPLOYMENT_DIFFERS .*--resume"):
        run_batch(grader, orders, "fleet", MOMENT, engine=LocalPool(other, 2))
    assert grader.ledger.head() is None
    assert not multiprocessing.active_children()


def test_a_record_that_vanished_stops_the_pool(
    settings: Settings, grader: Grader, orders: tuple[BatteryOrder, ...], tmp_path: Path
) -> None:
    nowhere = Deployment.of(replace(settings, record_file=tmp_path / "gone" / "record.sqlite"), grader)
    with pytest.raises(PackGradeError, match="RECORD_UNAVAILABLE"):
        run_batch(grader, orders, "fleet", MOMENT, engine=LocalPool(nowhere, 2))


def test_two_workers_share_a_record_in_a_database(
    postgres: "RunningServer", orders: tuple[BatteryOrder, ...], tmp_path: Path
) -> None:
    settings = Settings(record_file=postgres.new_database(), log_key_file=tmp_path / "log.key")
    with Ledger.open(settings.record_file, software_version(), key=settings.log_key_file) as ledger:
        shared = Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)
        pool = LocalPool(Deployment.of(settings, shared), 2)
        rows = run_batch(shared, orders, "fleet", MOMENT, engine=pool)
        assert sorted(row.sequence for row in rows) == list(range(len(CELLS)))
        assert run_batch(shared, orders, "fleet", MOMENT) == rows


class DeadlyOrder(BatteryOrder):
    """A battery at whose sight a worker dies."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (9,)


def test_a_battery_that_kills_its_workers_becomes_an_error_row_and_stops_nobody(
    settings: Settings, grader: Grader, orders: tuple[BatteryOrder, ...]
) -> None:
    deadly = DeadlyOrder(**{each.name: getattr(orders[5], each.name) for each in fields(orders[5])})
    pool = LocalPool(Deployment.of(settings, grader), 2)
    rows = run_batch(grader, [*orders[:5], deadly, *orders[6:]], "fleet", MOMENT, engine=pool)
    assert "WORKER_LOST  2 workers in a row died over this battery alone" in rows[5].error
    assert [row.battery_id for row in rows if row.error] == [orders[5].battery_id]
    assert pool.lost_workers == 2 * MOST_TRIES
    assert grader.ledger.head().sequence == len(orders) - 2
