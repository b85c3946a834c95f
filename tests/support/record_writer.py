"""Workers that append the same numbered entries to one record and are killed, each at a moment of its own.

``python -m tests.support.record_writer RECORD KILLS SEED`` loads everything once and forks light workers
from there, so that a kill costs milliseconds. It prints a line per acknowledged entry: station, key,
event, index, digest. Every fifth entry is a whole decision through `Grader`.
"""

import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from features.measurement import BatteryHistory
from features.vocabulary import Chemistry
from models.bundle import REFERENCE_BUNDLE, load_bundle
from models.policy_file import SHIPPED_POLICY, load_policy
from serving.grading import Grader, GradingRequest, history_sha256
from serving.record.checkpoint import parsed_checkpoint
from serving.record.ledger import Ledger
from serving.record.log_key import public_key
from serving.record.verify import verify_record
from tests.support.cases import MOMENT
from tests.support.record_entries import new_entry
from tests.support.simulated_battery import SimulatedBattery

WORKERS = 4
THREADS = 4
LONGEST_WAIT_SECOND = 0.03
SENT_AGAIN = 8
_REPOSITORY = Path(__file__).parents[2]
_COUNT = struct.Struct("q")

Send = Callable[[Ledger, int], str]


@dataclass(frozen=True)
class Survival:
    """What was found after the last kill; building it has compared everything acknowledged with the record."""

    seed: int
    kills: int
    acknowledged: int
    entries: int

    def __str__(self) -> str:
        lost = "0 acknowledged lost, doubled or changed"
        return f"seed {self.seed}: {self.kills} kills, {self.acknowledged} acknowledged, {self.entries} entries, {lost}"


def survived(path: Path, kills: int, seed: int) -> Survival:
    """Kill workers on a record that need not exist, then hold what they were told against it."""
    command = [sys.executable, "-m", "tests.support.record_writer", str(path), str(kills), str(seed)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    told = subprocess.run(command, cwd=_REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    acknowledged: dict[tuple[str, str], list[str]] = {}
    for station, key, *place in map(str.split, told.stdout.splitlines()):
        assert acknowledged.setdefault((station, key), place) == place, f"seed {seed}: {key} acknowledged twice"
    with Ledger.open(path, "0.1.0") as ledger:
        recorded = {(each.leaf.station, each.leaf.idempotency_key): each for each in ledger}
        note = ledger.last_checkpoint()
    for asked, place in acknowledged.items():
        found = recorded[asked]
        assert [found.leaf.event_id, str(found.leaf.sequence), found.leaf_sha256] == place, f"seed {seed}: {asked}"
    key = public_key(path)
    assert note is not None
    assert key is not None
    report = verify_record(path, checkpoints=[parsed_checkpoint(note)], keys=[key])
    assert report.is_intact, f"seed {seed}: {report.problems[0]}"
    assert report.entry_count == len(recorded) >= len(acknowledged), f"seed {seed}: an entry stands there twice"
    return Survival(seed, kills, len(acknowledged), report.entry_count)


def kill_workers(path: Path, kills: int, seed: int) -> None:
    """Keep workers writing and kill one after the other, at moments that follow from the seed."""
    chance = random.Random(seed)
    frontier = mmap.mmap(-1, _COUNT.size)
    send = _sender()
    alive: list[int] = []
    for _ in range(kills):
        while len(alive) < WORKERS:
            alive.append(_forked(path, frontier, send))
        time.sleep(chance.uniform(0.0, LONGEST_WAIT_SECOND))
        _kill(alive.pop(chance.randrange(WORKERS)))
    for worker in alive:
        _kill(worker)


def _sender() -> Send:
    """Load what a worker needs; a fork then has it already."""
    bundle, policy = load_bundle(REFERENCE_BUNDLE), load_policy(SHIPPED_POLICY)
    batteries = [SimulatedBattery(35.0, 26.0 + n, Chemistry.LFP, f"cell-{n}").history() for n in range(8)]

    def send(ledger: Ledger, number: int) -> str:
        if number % 5:
            recorded = ledger.append(new_entry(number, event_id=uuid.uuid4().hex))
            leaf = recorded.leaf
            return _line(leaf.station, leaf.idempotency_key, leaf.event_id, leaf.sequence, recorded.leaf_sha256)
        history = batteries[number % len(batteries)]
        decided = Grader(bundle, policy, ledger).grade(history, request := _request(history, number))
        place = (decided.decision_id, decided.sequence, decided.leaf_sha256)
        return _line(request.station, request.idempotency_key, *place)

    return send


def _request(history: BatteryHistory, number: int) -> GradingRequest:
    return GradingRequest("grading", f"grade-{number}", history_sha256(history), uuid.uuid4().hex, MOMENT)


def _line(*words: object) -> str:
    return " ".join(map(str, words)) + "\n"


def _forked(path: Path, frontier: mmap.mmap, send: Send) -> int:
    worker = os.fork()
    if worker == 0:
        try:
            _work(path, frontier, send)
        finally:
            os._exit(1)
    return worker


def _work(path: Path, frontier: mmap.mmap, send: Send) -> None:
    """Append without end from a few threads at once, beginning with what may have been sent before."""
    ledger = Ledger.open(path, "0.1.0")

    def acknowledge(number: int) -> None:
        os.write(1, send(ledger, number).encode())

    (reached,) = _COUNT.unpack_from(frontier)
    number = max(0, reached - SENT_AGAIN)
    with ThreadPoolExecutor(THREADS) as threads:
        while True:
            list(threads.map(acknowledge, range(number, number + THREADS)))
            number += THREADS
            (reached,) = _COUNT.unpack_from(frontier)
            _COUNT.pack_into(frontier, 0, max(reached, number))


def _kill(worker: int) -> None:
    os.kill(worker, signal.SIGKILL)
    _, status = os.waitpid(worker, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError(f"A worker ended by itself with status {os.WEXITSTATUS(status)}.")


if __name__ == "__main__":
    kill_workers(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
