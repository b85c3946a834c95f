"""Where a batch's files may lie: a folder of packs, a pattern, an address."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from features.errors import InvalidInput
from features.vocabulary import RunKind
from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.batch.folder import is_folder_batch, read_folder
from serving.batch.local import run_batch
from serving.batch.manifest import read_manifest
from serving.batch.slices import LARGEST_SLICE, LARGEST_SLICE_BYTES, slices_of
from serving.grading import Grader
from serving.record.ledger import Ledger
from tests.support.batch_fleet import simulated_cells, written_fleet
from tests.support.cases import MOMENT

fsspec = pytest.importorskip("fsspec")
DECLARED = ["battery_id", "level", "chemistry", "rated_capacity_ah", "district"]


@pytest.fixture
def grader(tmp_path: Path) -> Iterator[Grader]:
    with Ledger.open(tmp_path / "record.sqlite", "test") as ledger:
        yield Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fleet = tmp_path / "fleet"
    fleet.mkdir()
    table = dict(simulated_cells(1)[0].telemetry().columns)
    for name in ("PACK-1", "PACK-3"):
        pd.DataFrame(table).to_parquet(fleet / f"{name}.parquet", index=False)
    (fleet / "battery_id=PACK-2").mkdir()
    for part in (0, 1):
        pd.DataFrame(table).to_parquet(fleet / "battery_id=PACK-2" / f"part-{part}.parquet", index=False)
    rows = [(f"PACK-{number}", "pack", "LFP", 35.0, "Yubei") for number in (1, 2, 4)]
    pd.DataFrame(rows, columns=DECLARED).to_csv(fleet / "batteries.csv", index=False)
    return fleet


def test_a_folder_has_one_order_per_declared_pack_and_one_per_file_nobody_declared(folder: Path) -> None:
    one, two, four, stranger = read_folder(folder)
    assert (one.battery_id, one.district, one.runs[0].kind) == ("PACK-1", "Yubei", RunKind.FIELD_TELEMETRY)
    assert [run.path.name for run in two.runs] == ["part-0.parquet", "part-1.parquet"]
    assert str(four.problems[0]) == "row 4: no telemetry file is named after this battery (got PACK-4)"
    assert "PACK-3.parquet: belongs to a battery that batteries.csv does not declare" in str(stranger.problems[0])


def test_a_pattern_takes_the_files_it_names(folder: Path) -> None:
    orders = read_folder(folder / "PACK-*.parquet")
    assert [(order.battery_id, bool(order.problems)) for order in orders] == [
        *(("PACK-1", False), ("PACK-2", True), ("PACK-4", True), ("PACK-3", True))
    ]
    assert is_folder_batch(folder)
    assert is_folder_batch(Path("fleet/PACK-*.parquet"))
    assert not is_folder_batch(folder / "batteries.csv")


def test_every_pack_of_a_folder_gets_a_row(folder: Path, grader: Grader) -> None:
    rows = run_batch(grader, read_folder(folder), "fleet", MOMENT)
    assert [(row.battery_id, row.error is None) for row in rows] == [
        *(("PACK-1", True), ("PACK-2", True), ("PACK-4", False), ("PACK-3", False))
    ]


def test_a_folder_without_telemetry_or_table_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="must hold telemetry files"):
        read_folder(tmp_path / "empty")
    (folder / "batteries.csv").unlink()
    with pytest.raises(InvalidInput, match=r"batteries\.csv"):
        read_folder(folder)


def test_a_file_behind_an_address_is_decided_as_its_local_copy(grader: Grader, tmp_path: Path) -> None:
    manifest = written_fleet(tmp_path, simulated_cells(3))
    local = run_batch(grader, read_manifest(manifest), "fleet", MOMENT)
    with fsspec.open("memory://returns/pulses.parquet", "wb") as target:
        target.write((tmp_path / "pulses.parquet").read_bytes())
    manifest.write_text(manifest.read_text().replace("pulses.parquet", "memory://returns/pulses.parquet"))
    orders = read_manifest(manifest)
    assert {order.runs[0].url for order in orders} == {"memory://returns/pulses.parquet"}
    assert run_batch(grader, orders, "fleet", MOMENT) == local


@pytest.mark.parametrize("address", ["memory://returns/gone.parquet", "nosuch://returns/pulses.parquet"])
def test_a_file_that_cannot_be_fetched_is_an_error_row_and_not_in_the_record(
    grader: Grader, tmp_path: Path, address: str
) -> None:
    manifest = written_fleet(tmp_path, simulated_cells(2))
    table = pd.read_csv(manifest)
    table.loc[1, "run_path"] = address
    table.to_csv(manifest, index=False)
    good, bad = run_batch(grader, read_manifest(manifest), "fleet", MOMENT)
    assert good.error is None
    assert bad.error.startswith("FILE_NOT_FETCHED")
    assert bad.sequence is None
    assert grader.ledger.head().sequence == 0


def test_slices_are_small_for_heavy_files_and_shared_between_workers(tmp_path: Path) -> None:
    orders = read_manifest(written_fleet(tmp_path, simulated_cells(20)))
    assert [len(each.orders) for each in slices_of(list(enumerate(orders)), 1)] == [20]
    assert [len(each.orders) for each in slices_of(list(enumerate(orders)), 2)] == [3, 3, 3, 3, 3, 3, 2]
    with (tmp_path / "pulses.parquet").open("r+b") as file:
        file.truncate(10 * LARGEST_SLICE_BYTES)
    assert [len(each.orders) for each in slices_of(list(enumerate(orders)), 1)] == [2] * 10
    assert sum(len(each.orders) for each in slices_of(list(enumerate(orders)) * 30, 1)) == 600
    assert max(len(each.orders) for each in slices_of(list(enumerate(orders)) * 30, 1)) <= LARGEST_SLICE
