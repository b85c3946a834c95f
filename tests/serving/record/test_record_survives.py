import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.record.ledger import Ledger
from serving.record.verify import verify_record

REPOSITORY = Path(__file__).parents[3]
WORKERS = 4


def _worker(path: Path, first_number: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.record_writer", str(path), str(first_number)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def _acknowledged_until_killed(path: Path, first_number: int, chance: random.Random) -> list[list[str]]:
    """Let workers send the same keys, kill each at a moment of its own, collect what they were told."""
    workers = [_worker(path, first_number) for _ in range(WORKERS)]
    first_words = [worker.stdout.readline() for worker in workers if worker.stdout]
    for worker in chance.sample(workers, WORKERS):
        time.sleep(chance.uniform(0.0, 0.06))
        worker.kill()
    lines = first_words + [line for worker in workers for line in worker.communicate()[0].splitlines(keepends=True)]
    return [line.split() for line in lines if line.endswith("\n")]


def _survives(path: Path, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged: dict[tuple[str, str], list[str]] = {}
    for _ in range(rounds):
        already = len(acknowledged)
        for station, key, *place in _acknowledged_until_killed(path, already, chance):
            assert acknowledged.setdefault((station, key), place) == place, f"seed {seed}: {key} acknowledged twice"
    with Ledger.open(path, "0.1.0") as ledger:
        recorded = {(each.leaf.station, each.leaf.idempotency_key): each for each in ledger}
        assert len(recorded) == len(list(ledger))
    for asked, (event_id, sequence, digest) in acknowledged.items():
        leaf = recorded[asked].leaf
        assert (leaf.event_id, str(leaf.sequence), recorded[asked].leaf_sha256) == (event_id, sequence, digest)
    report = verify_record(path)
    assert report.is_intact, f"seed {seed}: {report.problems[0]}"
    assert report.entry_count >= len(acknowledged) > rounds


def test_no_acknowledged_entry_is_lost_doubled_or_changed_by_twenty_kills(tmp_path: Path) -> None:
    _survives(tmp_path / "record.sqlite", rounds=20 // WORKERS, seed=20261122)


@pytest.mark.long
def test_no_acknowledged_entry_is_lost_doubled_or_changed_by_two_hundred_kills(tmp_path: Path) -> None:
    _survives(tmp_path / "record.sqlite", rounds=200 // WORKERS, seed=20261123)
