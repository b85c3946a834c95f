"""A fault at one file-system call of one decision, put there by ``strace``; then a restart and the same request again.

``python -m tests.support.fault_injection FOLDER [SHARE SEED]`` loads everything once, lists the calls a
decision makes on the record's files (on a record that stands, and on one that is made by it), and
repeats the decision with KILL, EIO and ENOSPC at each of them, or at a seeded share of them. A line
is printed for each; the process ends at the first one that broke a promise.
"""

import os
import random
import re
import select
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from features.errors import PackGradeError
from features.vocabulary import Chemistry
from models.bundle import REFERENCE_BUNDLE, load_bundle
from models.policy_file import SHIPPED_POLICY, load_policy
from serving.grading import Grader, GradingRequest, RecordedDecision, history_sha256
from serving.record.checkpoint import opened_checkpoint
from serving.record.ledger import Ledger
from serving.record.log_key import public_key
from serving.record.verify import verify_record
from tests.support.cases import MOMENT
from tests.support.record_entries import append_numbered
from tests.support.simulated_battery import SimulatedBattery

FAULTS = {"KILL": "signal=KILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}
SCENES = ("standing", "absent")
_SUFFIXES = ("", "-wal", "-shm", "-journal", ".lock", ".key", ".pub")
_CALL = re.compile(r"^(\d+) +(\w+)\(")
_PATIENCE_SECOND = 20.0
_REPOSITORY = Path(__file__).parents[2]

Decide = Callable[[Ledger], RecordedDecision]


@dataclass(frozen=True, order=True)
class Fault:
    """What happens at the n-th call of a name, counted within each thread."""

    scene: str
    call: str
    nth: int
    kind: str

    def __str__(self) -> str:
        return f"{self.scene} {self.kind} at {self.call} {self.nth}"


def strace_is_usable() -> bool:
    """Whether ``strace`` is installed and may attach here."""
    program = shutil.which("strace")
    if program is None:
        return False
    return subprocess.run([program, "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


def injected(folder: Path, share: float = 1.0, seed: int = 0) -> Counter[str]:
    """Inject the faults in a process of its own; returns how often the decision was told, refused or cut off.

    Raises
    ------
    AssertionError
        With the fault after which the log did not verify or the retry did not give the decision.
    """
    command = [sys.executable, "-m", "tests.support.fault_injection", str(folder), str(share), str(seed)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    told = subprocess.run(command, cwd=_REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, f"seed {seed}\n{told.stdout[-300:]}\n{told.stderr[-3000:]}"
    return Counter(line.rpartition(": ")[2] for line in told.stdout.splitlines())


class FaultyDecision:
    """One decision in a child process that waits until ``strace`` has attached."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        bundle, policy = load_bundle(REFERENCE_BUNDLE), load_policy(SHIPPED_POLICY)
        history = SimulatedBattery(35.0, 33.0, Chemistry.LFP, "cell-1").history()
        asked = history_sha256(history)

        def decide(ledger: Ledger) -> RecordedDecision:
            request = GradingRequest("station-1", "grade-1", asked, uuid.uuid4().hex, MOMENT)
            return Grader(bundle, policy, ledger).grade(history, request)

        self._decide = decide
        for scene in SCENES:
            (folder / scene).mkdir(parents=True)
        with Ledger.open(folder / "standing" / "record.sqlite", "0.1.0") as ledger:
            append_numbered(ledger, 5)
        with Ledger.open(folder / "warm.sqlite", "0.1.0") as ledger:
            decide(ledger)

    def calls(self) -> list[Fault]:
        """Every fault at every call that a decision without one makes."""
        found = list[Fault]()
        for scene in SCENES:
            _, traced = self._traced(scene, [])
            counts = Counter(match.groups() for match in map(_CALL.match, traced.splitlines()) if match)
            most = Counter[str]()
            for (_, call), count in counts.items():
                most[call] = max(most[call], count)
            each = ((call, nth) for call, count in sorted(most.items()) for nth in range(1, count + 1))
            found += [Fault(scene, call, nth, kind) for (call, nth), kind in product(each, FAULTS)]
        return found

    def survived(self, fault: Fault) -> str:
        """Let the fault happen, restart, look and ask again; returns what the first asking was told."""
        inject = f"inject={fault.call}:{FAULTS[fault.kind]}:when={fault.nth}"
        told, _ = self._traced(fault.scene, ["-e", inject])
        path = self._folder / "run" / "record.sqlite"
        if fault.scene == "standing":
            _require_whole(path, fault)
        with Ledger.open(path, "0.1.0") as ledger:
            _require_whole(path, fault)
            again = self._decide(ledger)
            assert not told.startswith("told") or told == _told(again), f"{fault}: {told!r}, then {_told(again)!r}"
            assert self._decide(ledger).leaf_sha256 == again.leaf_sha256, f"{fault}: decided twice"
        key = public_key(path)
        assert key is not None
        assert again.receipt is not None
        held = opened_checkpoint(again.receipt.checkpoint, [key])
        after = verify_record(path, checkpoints=[held], keys=[key])
        assert after.is_intact, f"{fault}: {after.problems[0]}"
        assert after.entry_count == (6 if fault.scene == "standing" else 1), f"{fault}: {after.entry_count} entries"
        return told.split()[0] if told else "cut-off"

    def _traced(self, scene: str, injection: list[str]) -> tuple[str, str]:
        """Run the decision on a fresh copy under ``strace``; returns what it was told, and the calls."""
        run = self._folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(self._folder / scene, run)
        path, log = run / "record.sqlite", self._folder / "calls"
        (go, start), (answer, told) = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            _decide_when_told(path, self._decide, go, told)
        os.close(told)
        paths = [f"{path}{suffix}" for suffix in _SUFFIXES] + [f"{path}{kind}.{child}.0" for kind in (".key", ".pub")]
        filters = [word for each in (*paths, str(run)) for word in ("-P", each)]
        strace = ["strace", "-f", "-p", str(child), "-o", str(log), "-e", "trace=%file,%desc", *filters, *injection]
        with subprocess.Popen(strace, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            while "attached" not in (line := tracer.stderr.readline()):
                assert line, "strace did not attach"
            os.write(start, b"!")
            ready, _, _ = select.select([answer], [], [], _PATIENCE_SECOND)
            assert ready, f"{injection}: the decision hangs"
            said = os.read(answer, 4096).decode()
            os.waitpid(child, 0)
        for descriptor in (go, start, answer):
            os.close(descriptor)
        return said, log.read_text(encoding="utf-8", errors="replace")


def _require_whole(path: Path, fault: Fault) -> None:
    report = verify_record(path)
    assert report.is_intact, f"{fault}: {report.problems[0]}"


def _decide_when_told(path: Path, decide: Decide, go: int, told: int) -> None:
    os.read(go, 1)
    try:
        with Ledger.open(path, "0.1.0", patience_second=5.0) as ledger:
            said = _told(decide(ledger))
    except PackGradeError as refused:
        said = f"refused {refused.code}"
    os.write(told, said.encode())
    os._exit(0)


def _told(decided: RecordedDecision) -> str:
    return f"told {decided.decision_id} {decided.sequence} {decided.leaf_sha256}"


def _chosen(faults: list[Fault], share: float, seed: int) -> Iterator[Fault]:
    chance = random.Random(seed)
    return (fault for fault in faults if chance.random() < share)


def main(folder: Path, share: float, seed: int) -> None:
    """Inject, and print what each fault led to."""
    decision = FaultyDecision(folder)
    for fault in _chosen(decision.calls(), share, seed):
        print(f"{fault}: {decision.survived(fault)}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
