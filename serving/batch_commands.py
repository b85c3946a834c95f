"""``packgrade batch`` on a terminal: grades, tells its progress, writes the files and prints the counts."""

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from features.errors import InvalidInput, Problem
from serving.batch.deployment import Deployment
from serving.batch.fleet_report import Fleet, fleet_page
from serving.batch.folder import is_folder_batch, read_folder
from serving.batch.journal import Journal, batch_sha256
from serving.batch.local import run_batch
from serving.batch.manifest import BatteryOrder, read_manifest
from serving.batch.outputs import (
    BatchSummary,
    abstentions_path,
    errors_path,
    require_report_path,
    require_result_path,
    summary,
    write_outputs,
    write_whole,
)
from serving.batch.pool import LocalPool, begin_loading
from serving.batch.ray_engine import RayEngine
from serving.batch.result_row import ResultRow
from serving.batch.slices import Engine, InProcess
from serving.batch_progress import BatchProgress
from serving.grading import Grader
from serving.printing import batch_table
from serving.settings import Settings
from serving.single import named_operator, open_grader

EXIT_DONE, EXIT_ERRORS = 0, 1


def graded_batch(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Grade a manifest and write its files.

    Parameters
    ----------
    options : Namespace
        As `serving.batch_options` names them.
    settings : Settings
        Deployment to grade in.
    console : Console
        Where to print.

    Returns
    -------
    int
        Exit code: 0, or 1 where some batteries were not decided.

    Raises
    ------
    InvalidInput
        If the manifest or the result path cannot be used.
    PackGradeError
        If bundle, policy or record cannot be used; what is recorded stays.
    """
    require_result_path(options.out)
    if options.report is not None:
        require_report_path(options.report)
    if options.engine == "local" and options.batch_workers > 1:
        begin_loading()
    orders, moment = _orders(options), datetime.now(UTC)
    grader = open_grader(settings, moment)
    with closing(grader.ledger):
        operator = named_operator(grader, settings.station, options.operator)
        deployment = Deployment.of(settings, grader)
        engine = _engine(options, grader, deployment)
        sha256 = batch_sha256(orders, settings.station, deployment)
        told = BatchProgress(console, len(orders), engine, quiet=options.quiet or options.json)
        with Journal(options.out, sha256, resume=options.resume) as journal, told:
            asked = grader, orders, settings.station, moment, told.tell
            rows = run_batch(*asked, operator=operator, engine=engine, journal=journal)
            if options.report is not None:
                write_whole(options.report, fleet_page(_fleet(grader, orders, rows, moment)))
            write_outputs(options.out, orders, rows, grader.policy.cuts)
            journal.discard()
    done = summary(rows)
    _print(options, console, done, engine)
    return EXIT_ERRORS if done.error_count else EXIT_DONE


def _orders(options: argparse.Namespace) -> tuple[BatteryOrder, ...]:
    if is_folder_batch(options.manifest):
        return read_folder(options.manifest, options.batteries)
    if options.batteries is not None:
        problem = Problem("--batteries", "goes with a folder or a pattern, a manifest names its batteries itself")
        raise InvalidInput("The command line cannot be used. Nothing was graded.", [problem])
    return read_manifest(options.manifest.absolute())


def _fleet(grader: Grader, orders: Sequence[BatteryOrder], rows: Sequence[ResultRow], moment: datetime) -> Fleet:
    policy = grader.policy
    named = f"policy {policy.stamp.policy_id} {policy.stamp.version}"
    grades = tuple(band.name for band in policy.bands)
    return Fleet(tuple(orders), tuple(rows), grader.bundle, grades, policy.cuts, named, moment)


def _engine(options: argparse.Namespace, grader: Grader, deployment: Deployment) -> Engine:
    if options.engine == "ray":
        return RayEngine(deployment, options.batch_workers, options.address)
    if options.address is not None:
        problem = Problem("--address", "goes with --engine ray", options.address)
        raise InvalidInput("The command line cannot be used. Nothing was graded.", [problem])
    return LocalPool(deployment, options.batch_workers) if options.batch_workers > 1 else InProcess(grader)


def _print(options: argparse.Namespace, console: Console, done: BatchSummary, engine: Engine) -> None:
    if options.json:
        print(json.dumps({**_counts(done), "lost_workers": engine.lost_workers}))
    elif not options.quiet:
        console.print(batch_table(done.outcomes, done.error_count))
        for test, needed in done.needed_tests.items():
            line = f"retest: {needed.battery_count} by {test}, {needed.bench_hours:.1f} h on the bench"
            console.print(Text(line))
        if engine.lost_workers:
            console.print(Text(f"{engine.lost_workers} worker(s) died; their slices were graded again"))
        names = (options.out, errors_path(options.out), abstentions_path(options.out))
        console.print(Text("results: " + ", ".join(path.name for path in names)), soft_wrap=True)


def _counts(done: BatchSummary) -> dict[str, object]:
    return {
        "batteries": done.battery_count,
        "outcomes": done.outcomes,
        "errors": done.error_count,
        "refused": done.refused_count,
        "needed_tests": {test: asdict(needed) for test, needed in done.needed_tests.items()},
        "bench_hours": done.bench_hours,
    }
