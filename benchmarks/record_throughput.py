"""How many decisions per second become durable, what one costs, and how fast a record is verified.

``python -m benchmarks.record_throughput [--folder FOLDER] [--seconds 2] [--rounds 3]`` prints, measured in
turns so that another load of the machine meets all of them: the bare ``fdatasync`` rate of the disk,
durable decisions per second of one client, of 32 clients in one process and of 4 processes of 8, each
also as a multiple of the bare rate; the 99th percentile of an append at 100 decisions per second; the
CPU of hashing, proof and signature; and leaves verified per second. The entry is a real decision.

A disk without a power-safe cache takes milliseconds for an ``fdatasync``, many virtual ones take less
than a decision costs to compute; no group commit can be four times as fast as those. Where ``strace`` is
installed everything is therefore measured twice, the second time with every ``fdatasync`` of both sides
3 ms longer (``--delayed-ms``), and labelled so.
"""

import argparse
import json
import os
import shutil
import statistics
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
from serving.record.checkpoint import Checkpoint, SignerKey
from serving.record.leaf import Leaf, LeafKind, canonical_bytes
from serving.record.ledger import Ledger, NewEntry
from serving.record.log_key import public_key
from serving.record.merkle import completed_subtrees, inclusion_proof, leaf_hash, root
from serving.record.verify import verify_record
from tests.support.graded import graded

CLIENTS, PROCESSES, CLIENTS_EACH = 32, 4, 8
PACED_PER_SECOND = 100
SEALED = 2000


def decision() -> Leaf:
    """A decision of the shipped bundle on a pulse test, as it stands in a record."""
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "record.sqlite", "benchmark") as ledger:
        found = ledger.by_event_id(graded(ledger).decision_id)
        assert found is not None
        return found.leaf


def new_decision(body: dict[str, Any]) -> NewEntry:
    """A decision nobody asked for before."""
    event_id = uuid.uuid4().hex
    return NewEntry(
        kind=LeafKind.DECISION,
        battery_id=f"BATTERY{event_id[:4]}",
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


def appends_per_second(ledger: Ledger, body: dict[str, Any], clients: int, seconds: float) -> float:
    """Rate of durable appends of several clients, each waiting for its answer."""
    counts = list[int]()
    until = time.perf_counter() + seconds

    def append() -> None:
        count = 0
        while time.perf_counter() < until:
            ledger.append(new_decision(body))
            count += 1
        counts.append(count)

    _together([append] * clients)
    return sum(counts) / seconds


def paced_p99_ms(ledger: Ledger, body: dict[str, Any], seconds: float) -> float:
    """99th percentile of an append while decisions come at a fixed rate. [ms]."""
    latencies, moments = list[float](), iter(range(int(PACED_PER_SECOND * seconds)))
    begun, lock = time.perf_counter(), threading.Lock()

    def append() -> None:
        while True:
            with lock:
                number = next(moments, None)
            if number is None:
                return
            due = begun + number / PACED_PER_SECOND
            time.sleep(max(0.0, due - time.perf_counter()))
            ledger.append(new_decision(body))
            latencies.append(time.perf_counter() - due)

    _together([append] * CLIENTS_EACH)
    return 1000 * sorted(latencies)[int(0.99 * len(latencies))]


def sealing_ms(leaf: Leaf) -> float:
    """CPU of hashing, proof and signature of one decision, each under a checkpoint of its own. [ms]."""
    key, kept = SignerKey.made("packgrade/benchmark"), dict[tuple[int, int], bytes]()
    begun = time.thread_time()
    for index in range(SEALED):
        for level, place, hashed in completed_subtrees(index, leaf_hash(canonical_bytes(leaf)), lambda *at: kept[at]):
            kept[level, place] = hashed
        key.sign(Checkpoint(key.name, index + 1, root(index + 1, lambda *at: kept[at])))
        inclusion_proof(index, index + 1, lambda *at: kept[at])
    return 1000 * (time.thread_time() - begun) / SEALED


def appends_per_second_of_processes(path: Path, seconds: float) -> float:
    """Rate of durable appends of several processes on one record, all measuring at the same time."""
    command = [sys.executable, "-m", "benchmarks.record_throughput", "--worker", str(path), "--seconds", str(seconds)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    answers = list[str]()
    _together([lambda worker=worker: answers.append(worker.communicate("go\n")[0]) for worker in workers])  # type: ignore[misc]
    return sum(float(rate) for rate in answers)


def _together(tasks: list[Callable[[], None]]) -> None:
    running = [threading.Thread(target=task) for task in tasks]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def _work(path: Path, seconds: float) -> None:
    body = json.loads(path.with_suffix(".json").read_bytes())
    with Ledger.open(path, "benchmark") as ledger:
        print("ready", flush=True)
        sys.stdin.readline()
        print(appends_per_second(ledger, body, CLIENTS_EACH, seconds))


def _measure(folder: Path, seconds: float, rounds: int) -> None:
    path, leaf = folder / "record.sqlite", decision()
    path.with_suffix(".json").write_bytes(leaf.body_json)
    bare, rates, cpu_ms = list[float](), dict[str, list[float]](), list[float]()
    for _ in range(rounds):
        bare.append(fdatasyncs_per_second(folder, seconds))
        with Ledger.open(path, "benchmark") as ledger:
            for clients in (1, CLIENTS):
                cpu = time.process_time()
                rate = appends_per_second(ledger, leaf.body, clients, seconds)
                rates.setdefault(f"{clients} client(s), 1 process", []).append(rate)
                cpu_ms.append(1000 * (time.process_time() - cpu) / (rate * seconds))
        rate = appends_per_second_of_processes(path, seconds)
        rates.setdefault(f"{CLIENTS_EACH} clients, {PROCESSES} processes", []).append(rate)
    print(f"body of the decision      {len(canonical_json(leaf.body)):8d} byte")
    print(f"bare fdatasync            {statistics.median(bare):8.0f} /s")
    for name, found in rates.items():
        ratio = statistics.median(rate / each for rate, each in zip(found, bare, strict=True))
        print(f"{name:26s}{statistics.median(found):8.0f} /s = {ratio:5.2f} x bare (median of {rounds} rounds)")
    print(f"CPU of a durable decision {cpu_ms[-1]:8.2f} ms with {CLIENTS} clients, {cpu_ms[0]:.2f} ms with one")
    with Ledger.open(path, "benchmark") as ledger:
        print(f"p99 of an append at {PACED_PER_SECOND}/s {paced_p99_ms(ledger, leaf.body, 5 * seconds):8.1f} ms")
    print(f"hash, proof, signature    {sealing_ms(leaf):8.3f} ms CPU")
    key = public_key(path)
    assert key is not None
    begun, cpu = time.perf_counter(), time.process_time()
    report = verify_record(path, keys=[key])
    rate, per_cpu = (report.entry_count / spent for spent in (time.perf_counter() - begun, time.process_time() - cpu))
    print(f"verified with tree        {rate:8.0f} leaves/s ({per_cpu:.0f} per CPU second)", end=", ")
    print(f"{report.entry_count} entries, intact: {report.is_intact}", flush=True)


def _measure_delayed(delay_ms: float, options: argparse.Namespace) -> None:
    """Measure the same once more under strace."""
    if shutil.which("strace") is None:
        print("\nstrace is absent: no figures for a slower disk")
        return
    print(f"\nthe same with every fdatasync of both sides {delay_ms:g} ms longer (strace)", flush=True)
    tracer = ["strace", "-f", "--seccomp-bpf", "-o", os.devnull, "-e", "trace=fdatasync"]
    tracer += ["-e", f"inject=fdatasync:delay_exit={int(1000 * delay_ms)}"]
    again = ["-m", "benchmarks.record_throughput", "--seconds", str(options.seconds), "--rounds", str(options.rounds)]
    folder = [] if options.folder is None else ["--folder", str(options.folder)]
    subprocess.run([*tracer, sys.executable, *again, *folder, "--delayed-ms", "0"], check=True)


def main() -> None:
    """Measure, or work as one of the measured processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to write; its disk is measured")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turns")
    parser.add_argument("--delayed-ms", type=float, default=3.0, help="longer fdatasync of the second run; 0: none")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        _work(options.worker, options.seconds)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        _measure(Path(folder), options.seconds, options.rounds)
    if options.delayed_ms:
        _measure_delayed(options.delayed_ms, options)


if __name__ == "__main__":
    main()
