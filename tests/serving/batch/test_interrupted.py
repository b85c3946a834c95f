"""A batch that is killed again and again ends as one that was left alone."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.batch.local import run_batch
from serving.batch.manifest import read_manifest
from serving.batch.outputs import write_results
from serving.grading import Grader
from serving.record.leaf import Leaf, LeafKind
from serving.record.ledger import Ledger
from serving.record.source import source_of
from serving.record.store import RecordUnavailable
from serving.settings import software_version
from tests.support.batch_fleet import simulated_cells, written_fleet

CELLS = simulated_cells(300)
PATIENCE_SECOND = 120.0


@contextmanager
def running_batch(manifest: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    folder = manifest.parent
    files = ["--out", str(folder / "results.csv"), "--record", str(folder / "record.sqlite")]
    command = [sys.executable, "-m", "serving.cli", "batch", str(manifest), *files, "--station", "fleet", *more]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3], stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_entries(record: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    begin = time.monotonic()
    while process.poll() is None and not (record.is_file() and entry_count(record) >= count):
        assert time.monotonic() - begin < PATIENCE_SECOND
        time.sleep(0.005)


def entry_count(record: Path) -> int:
    try:
        return source_of(record).entry_count()
    except RecordUnavailable:  # it is being made
        return 0


def settled_entry_count(record: Path) -> int:
    """Entries once the workers of a killed batch have written what they had begun."""
    counted, again = -1, entry_count(record) if record.is_file() else 0
    while counted != again:
        counted = again
        time.sleep(0.7)
        again = entry_count(record) if record.is_file() else 0
    return counted


def decisions(record: Path) -> list[Leaf]:
    return [leaf for leaf in source_of(record).leaves() if leaf.kind is LeafKind.DECISION]


def test_a_batch_killed_at_random_moments_ends_as_one_left_alone(tmp_path: Path) -> None:
    manifest, record = written_fleet(tmp_path, CELLS), tmp_path / "record.sqlite"
    chance = random.Random(6)
    endings = []
    for ending, more in ((signal.SIGKILL, ()), (signal.SIGINT, ("--resume",))):
        before = settled_entry_count(record)
        with running_batch(manifest, "--workers", "2", *more) as process:
            wait_for_entries(record, before + chance.randint(1, 60), process)
            process.send_signal(ending)
            endings.append(process.wait(PATIENCE_SECOND))
        assert not (tmp_path / "results.csv").exists()
    assert endings == [-signal.SIGKILL, 130]
    assert 0 < len(decisions(record)) < len(CELLS)
    with running_batch(manifest, "--workers", "2", "--resume") as process:
        assert process.wait(PATIENCE_SECOND) == 0
    left = decisions(record)
    assert sorted(leaf.battery_id for leaf in left) == [cell.battery_id for cell in CELLS]
    assert_same_results(tmp_path, manifest)
    assert not list(tmp_path.glob(".results*"))


def assert_same_results(folder: Path, manifest: Path) -> None:
    """What was written is, but for places in the record, what an undisturbed batch writes."""
    with Ledger.open(folder / "undisturbed.sqlite", software_version()) as ledger:
        grader = Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)
        rows = run_batch(grader, read_manifest(manifest), "fleet", datetime.now(UTC))
        write_results(folder / "undisturbed.csv", rows, grader.policy.cuts)
    tables = [pd.read_csv(folder / name) for name in ("results.csv", "undisturbed.csv")]
    assert sorted(leaf.sequence for leaf in decisions(folder / "record.sqlite")) == sorted(tables[0].pop("sequence"))
    del tables[1]["sequence"]
    pd.testing.assert_frame_equal(*tables)
