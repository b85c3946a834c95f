"""How many decisions per second become durable, and how many leaves per second are verified.

``python benchmarks/record_throughput.py [--folder FOLDER] [--seconds 3]`` prints appends per second
from one thread, from 32 threads and from 4 processes of 8 threads, each also as a ratio to the bare
``fdatasync`` rate of the same disk measured in the same run, and the verification rate. The entry is
as large as a decision on a pulse test (about 4 kB).
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from serving.record.canonical import canonical_json
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger, NewEntry
from serving.record.verify import verify_record


def decision_body() -> dict[str, Any]:
    """A body of the size and shape of a pulse-test decision; the numbers mean nothing."""
    chance = random.Random(1)
    message = {"en": "The lower bound 0.76 of the state of health clears cut 0.70.", "zh": "健康状态下限0.76达到0.70。"}
    return {
        "battery": {"battery_id": "04QCB76836300JBC40000903", "level": "cell", "rated_capacity_ah": 35.0},
        "vector": {"values": {f"polarisation_{n}_ohm_ah": chance.lognormvariate(-3.0, 2.0) for n in range(60)}},
        "estimate": {"lower_ah": 26.91, "upper_ah": 29.87, "probability_below_cut": {"0.80": 0.27, "0.70": 0.001}},
        "decision": {"reasons": [{"code": f"grade.{n}", "message": message} for n in range(4)]},
        "digests": [f"{n:064x}" for n in range(6)],
    }


def new_decision(body: dict[str, Any]) -> NewEntry:
    """A decision nobody asked for before."""
    event_id = uuid.uuid4().hex
    return NewEntry(
        kind=LeafKind.DECISION,
        battery_id=f"BATTERY{event_id[:2]}",
        station="station",
        idempotency_key=event_id,
        request_sha256=event_id * 2,
        event_id=event_id,
        recorded_at=datetime.now(UTC),
        body=body,
    )


def fdatasyncs_per_second(folder: Path, seconds: float) -> float:
    """Rate of appending 4 kB and waiting for the disk."""
    count, until = 0, time.perf_counter() + seconds
    with (folder / "bare").open("wb", buffering=0) as file:
        while time.perf_counter() < until:
            file.write(os.urandom(4096))
            os.fdatasync(file.fileno())
            count += 1
    return count / seconds


def appends_per_second(ledger: Ledger, threads: int, seconds: float) -> tuple[float, float]:
    """Rate of durable appends and the 99th percentile of one append in milliseconds."""
    body, latencies = decision_body(), list[float]()
    until = time.perf_counter() + seconds

    def append() -> None:
        while (begun := time.perf_counter()) < until:
            ledger.append(new_decision(body))
            latencies.append(time.perf_counter() - begun)

    _together([append] * threads)
    return len(latencies) / seconds, 1000 * sorted(latencies)[int(0.99 * len(latencies))]


def appends_per_second_of_processes(path: Path, processes: int, threads: int, seconds: float) -> float:
    """Rate of durable appends of several processes on one record, all measuring at the same time."""
    command = [sys.executable, __file__, "--worker", str(path), "--threads", str(threads), "--seconds", str(seconds)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    return sum(float(rate) for rate in _answers(workers))


def _answers(workers: list[subprocess.Popen[str]]) -> list[str]:
    answers: list[str] = []
    _together([lambda worker=worker: answers.append(worker.communicate("go\n")[0]) for worker in workers])
    return answers


def _together(tasks: list[Callable[[], None]]) -> None:
    running = [threading.Thread(target=task) for task in tasks]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def _work(path: Path, threads: int, seconds: float) -> None:
    with Ledger.open(path, "benchmark") as ledger:
        print("ready", flush=True)
        sys.stdin.readline()
        print(appends_per_second(ledger, threads, seconds)[0])


def _measure(folder: Path, seconds: float) -> None:
    path = folder / "record.sqlite"
    bare = fdatasyncs_per_second(folder, seconds)
    print(f"bare fdatasync                {bare:8.0f} /s")
    print(f"body of a decision            {len(canonical_json(decision_body())):8d} byte")
    with Ledger.open(path, "benchmark") as ledger:
        for threads in (1, 32):
            rate, slowest = appends_per_second(ledger, threads, seconds)
            print(
                f"appends, {threads:2d} thread(s)         {rate:8.0f} /s  = {rate / bare:4.2f} x, p99 {slowest:5.1f} ms"
            )
    rate = appends_per_second_of_processes(path, 4, 8, seconds)
    print(f"appends, 4 processes          {rate:8.0f} /s  = {rate / bare:4.2f} x")
    begun = time.perf_counter()
    report = verify_record(path)
    rate = report.entry_count / (time.perf_counter() - begun)
    print(
        f"verified                      {rate:8.0f} leaves/s, {report.entry_count} entries, intact: {report.is_intact}"
    )


def main() -> None:
    """Measure, or work as one of the measured processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where to write; its disk is measured")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        _work(options.worker, options.threads, options.seconds)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        _measure(Path(folder), options.seconds)


if __name__ == "__main__":
    main()
