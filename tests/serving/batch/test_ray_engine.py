"""Ray decides as one process does. Skipped where the extra ``[ray]`` is not installed."""

import os
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from features.errors import InvalidInput, PackGradeError
from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.batch.attempts import MOST_TRIES
from serving.batch.deployment import Deployment
from serving.batch.local import run_batch
from serving.batch.manifest import BatteryOrder, read_manifest
from serving.batch.ray_engine import RayEngine
from serving.grading import Grader
from serving.record.ledger import Ledger
from serving.settings import Settings, software_version
from tests.support.batch_fleet import simulated_cells, written_fleet
from tests.support.cases import MOMENT

pytest.importorskip("ray", reason="the extra [ray] is not installed")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(record_file=tmp_path / "record.sqlite", bundle_folder=REFERENCE_BUNDLE, policy_file=SHIPPED_POLICY)


@pytest.fixture
def grader(settings: Settings) -> Iterator[Grader]:
    with Ledger.open(settings.record_file, software_version()) as ledger:
        yield Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)


class DeadlyOrder(BatteryOrder):
    """A battery at whose sight a worker dies."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (9,)


def test_ray_decides_as_one_process_and_a_dead_worker_costs_its_own_battery_alone(
    settings: Settings, grader: Grader, tmp_path: Path
) -> None:
    orders = read_manifest(written_fleet(tmp_path, simulated_cells(16)))
    deadly = DeadlyOrder(**{each.name: getattr(orders[5], each.name) for each in fields(orders[5])})
    engine = RayEngine(Deployment.of(settings, grader), 2)
    rows = run_batch(grader, [*orders[:5], deadly, *orders[6:]], "fleet", MOMENT, engine=engine)
    assert [row.battery_id for row in rows if row.error] == [orders[5].battery_id]
    assert "WORKER_LOST" in rows[5].error
    assert engine.lost_workers == 2 * MOST_TRIES
    assert grader.ledger.head().sequence == len(orders) - 2
    with Ledger.open(tmp_path / "other.sqlite", software_version()) as ledger:
        alone = run_batch(Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger), orders, "fleet", MOMENT)
    for row, expected in zip(rows, alone, strict=True):
        assert row.error or replace(row, sequence=None) == replace(expected, sequence=None)


def test_a_bundle_that_differs_on_a_worker_stops_the_batch(settings: Settings, grader: Grader, tmp_path: Path) -> None:
    orders = read_manifest(written_fleet(tmp_path, simulated_cells(4)))
    other = replace(Deployment.of(settings, grader), bundle_sha256="0" * 64)
    with pytest.raises(PackGradeError, match="DEPLOYMENT_DIFFERS"):
        run_batch(grader, orders, "fleet", MOMENT, engine=RayEngine(other, 2))


def test_a_cluster_is_not_given_a_record_in_a_file(settings: Settings, grader: Grader) -> None:
    with pytest.raises(InvalidInput, match="postgresql://"):
        RayEngine(Deployment.of(settings, grader), 2, "ray://head:10001")
