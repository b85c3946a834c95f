"""How fast ``packgrade batch`` decides pulse tests, the durable record included.

    python benchmarks/batch_throughput.py --sizes 1000 4000 --workers 1 2 --rounds 3 [--ray] [--naive]

Every case is a whole job: manifest, files, features, estimate, decision, signed record, journal and result
files, on a fresh record. The rounds are interleaved, so that what else the machine does hits every case alike;
the median is printed, CPU time per decision beside it (Ray's processes are not ours to count). Workers are
started within the job; their start is printed apart, as the time until the first slice is back. ``--naive``
times what an analyst would write instead: a pandas groupby, a dozen aggregates and a scikit-learn forest,
without interval, reasons or record.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pandas as pd

from features.vocabulary import Chemistry
from serving.batch.deployment import Deployment
from serving.batch.journal import Journal, batch_sha256
from serving.batch.local import run_batch
from serving.batch.manifest import read_manifest
from serving.batch.outputs import write_outputs
from serving.batch.pool import LocalPool
from serving.batch.ray_engine import RayEngine
from serving.batch.slices import Engine, InProcess
from serving.grading import Grader
from serving.settings import Settings
from serving.single import open_grader
from tests.support.batch_fleet import NAMES
from tests.support.simulated_battery import SimulatedBattery

_DIFFERENT_PULSES = 200


@dataclass(frozen=True)
class Job:
    """What one run of a case took.

    Attributes
    ----------
    wall_second, cpu_second : float
        Whole job. [s]
    start_second : float
        Until the first slice was back. [s]
    start_count : int
        Batteries of that slice.
    """

    wall_second: float
    cpu_second: float
    start_second: float
    start_count: int


def written(folder: Path, count: int) -> Path:
    """Write a fleet of `count` cells whose pulses are those of 200 simulated ones."""
    tables = [
        pd.DataFrame(dict(SimulatedBattery(35.0, 35.0 * health, Chemistry.LFP, "cell").pulse_train().columns))
        for health in np.linspace(0.62, 0.99, _DIFFERENT_PULSES)
    ]
    names = [f"CELL-{number:06d}" for number in range(count)]
    repeated = [tables[number % _DIFFERENT_PULSES].assign(battery_id=name) for number, name in enumerate(names)]
    pd.concat(repeated).to_parquet(folder / "pulses.parquet", index=False, row_group_size=100_000)
    rows = [(name, "cell", "LFP", 35.0, "pulse_test", "step_table", "pulses.parquet") for name in names]
    pd.DataFrame(rows, columns=NAMES).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def graded(manifest: Path, engine_of: Callable[[Grader, Deployment], Engine]) -> Job:
    """Grade a fleet into a fresh record."""
    with tempfile.TemporaryDirectory(dir=manifest.parent) as name:
        folder, begin, cpu = Path(name), time.perf_counter(), _cpu_second()
        first: list[tuple[float, int]] = []
        moment = datetime.now(UTC)
        settings = Settings(record_file=folder / "record.sqlite")
        grader, orders = open_grader(settings, moment), read_manifest(manifest)
        deployment = Deployment.of(settings, grader)
        with Journal(folder / "results.csv", batch_sha256(orders, "bench", deployment), resume=False) as journal:

            def told(done: int, *_: object) -> None:
                if not first:
                    first.append((time.perf_counter() - begin, done))

            engine = engine_of(grader, deployment)
            rows = run_batch(grader, orders, "bench", moment, told, engine=engine, journal=journal)
            write_outputs(folder / "results.csv", orders, rows, grader.policy.cuts)
        grader.ledger.close()
        forkserver._forkserver._stop()  # only then is its and its workers' CPU time ours to read
        if any(row.error for row in rows) or grader.ledger.head().sequence + 1 < len(rows):
            raise SystemExit("Not every battery was decided and recorded.")
        return Job(time.perf_counter() - begin, _cpu_second() - cpu, *first[0])


def naive(manifest: Path) -> Job:
    """Estimate the same fleet as an analyst would: aggregates per battery, a forest trained before."""
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415 - only this case needs it

    random = np.random.default_rng(0)
    forest = RandomForestRegressor(200, random_state=0).fit(random.normal(size=(400, 12)), random.uniform(size=400))
    begin, cpu = time.perf_counter(), _cpu_second()
    table = pd.read_parquet(manifest.parent / "pulses.parquet")
    table["step"] = table["voltage_end_volt"] - table["voltage_begin_volt"]
    grouped = table.groupby("battery_id")[["step", "voltage_end_volt", "current_ampere"]]
    estimates = forest.predict(grouped.agg(["min", "max", "mean", "std"]).fillna(0.0).to_numpy())
    pd.DataFrame({"state_of_health_fraction": estimates}).to_csv(manifest.parent / "naive.csv")
    return Job(time.perf_counter() - begin, _cpu_second() - cpu, 0.0, 0)


def _cpu_second() -> float:
    """CPU time of this process and of the children that have ended, in seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _engine(workers: int) -> Callable[[Grader, Deployment], Engine]:
    return lambda grader, deployment: LocalPool(deployment, workers) if workers > 1 else InProcess(grader)


def main() -> None:
    """Time every case and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray", action="store_true", help="also on Ray, with as many workers as the last of --workers")
    parser.add_argument("--naive", action="store_true")
    asked = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as name:
        manifests = {}
        for size in asked.sizes:
            (folder := Path(name) / str(size)).mkdir()
            manifests[size] = written(folder, size)
        cases: dict[str, Callable[[Path], Job]] = {
            f"{workers} worker(s)": lambda manifest, workers=workers: graded(manifest, _engine(workers))
            for workers in asked.workers
        }
        if asked.ray:
            count = asked.workers[-1]
            cases[f"ray, {count} workers"] = lambda manifest: graded(manifest, lambda _, d: RayEngine(d, count))
        if asked.naive:
            cases["pandas + scikit-learn"] = naive
        jobs: dict[tuple[str, int], list[Job]] = {}
        for _ in range(asked.rounds):
            for size, manifest in manifests.items():
                for case, work in cases.items():
                    jobs.setdefault((case, size), []).append(work(manifest))
    _print(jobs)


def _print(jobs: dict[tuple[str, int], list[Job]]) -> None:
    print(f"{'case':24}{'batteries':>10}{'wall s':>9}{'start s':>9}{'per s':>9}{'after start':>13}{'CPU ms each':>13}")
    for (case, size), runs in jobs.items():
        wall = statistics.median(run.wall_second for run in runs)
        start = statistics.median(run.start_second for run in runs)
        cpu = statistics.median(run.cpu_second for run in runs)
        after = statistics.median(
            (size - run.start_count) / max(run.wall_second - run.start_second, 1e-9) for run in runs
        )
        print(f"{case:24}{size:10d}{wall:9.2f}{start:9.2f}{size / wall:9.0f}{after:13.0f}{1000 * cpu / size:13.3f}")


if __name__ == "__main__":
    main()
