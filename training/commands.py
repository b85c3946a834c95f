"""What each command of `packgrade-train` does, from parsed arguments to printed figures."""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from models.bundle import load_bundle
from training.export import export_bundle
from training.fetch import fetch
from training.fleet.fleet_command import fleet
from training.onboard import onboard
from training.outcome_report import report
from training.plan import load_joint_plan, load_plan
from training.plan_tables import DEFAULT_TRACKING_URI
from training.plan_writing import plan_text, require_absent, searched_plan_file
from training.promote import compare
from training.promote import promote as promote_challenger
from training.recalibrate import recalibrate
from training.report import print_comparison, print_evaluations
from training.report_page import report_page
from training.run import judge_bundle, register, track, train_bundle
from training.search import searched_in
from training.search_report import print_search, trial_progress, verdict
from training.search_run import tracked_search
from training.tracking import TrackingStore

__all__ = [
    "evaluate",
    "export",
    "fetch",
    "fleet",
    "onboard",
    "promote",
    "recalibrate",
    "report",
    "rollback",
    "run",
    "search",
]


def run(asked: argparse.Namespace, console: Console) -> None:
    """Train, judge, log and register the bundle of a plan."""
    plan = load_joint_plan(asked.plan)
    store = TrackingStore(asked.tracking_uri or plan.tracking.uri)
    with _progress(console) as progress, tempfile.TemporaryDirectory() as scratch:
        judged = judge_bundle(plan, asked.data_dir, asked.policy, progress)
        folder = asked.out or Path(scratch) / "bundle"
        manifest = train_bundle(judged, folder, datetime.now(UTC).date(), progress)
        page = report_page(judged, asked.policy)
        progress("tracking")
        registered = register(store, plan, track(store, judged, folder, page), manifest)
    print_evaluations(console, judged.evaluations)
    _keep_page(asked, page, console)
    _say_where(console, registered.run_id, store)
    if asked.out:
        console.print(f"Bundle written to {asked.out}")
    console.print(f"Registered {registered} as challenger; `packgrade-train promote` makes it the champion.")


def evaluate(asked: argparse.Namespace, console: Console) -> None:
    """Judge a plan's recipe on held-out cells, without a bundle."""
    plan = load_joint_plan(asked.plan)
    with _progress(console) as progress:
        judged = judge_bundle(plan, asked.data_dir, asked.policy, progress)
        page = report_page(judged, asked.policy)
    print_evaluations(console, judged.evaluations)
    _keep_page(asked, page, console)
    if not asked.no_tracking:
        store = TrackingStore(asked.tracking_uri or plan.tracking.uri)
        _say_where(console, track(store, judged, None, page), store)


def search(asked: argparse.Namespace, console: Console) -> None:
    """Search better numbers for a plan, and write and print the plan that has them."""
    plan, target = load_plan(asked.plan), asked.out or searched_plan_file(asked.plan)
    require_absent(target)
    store = TrackingStore(asked.tracking_uri or plan.tracking.uri)
    with trial_progress(console, asked.trials) as show:
        outcome, run_id = tracked_search(store, plan, asked.data_dir, asked.trials, asked.seed, on_trial=show)
    origin = (
        f"Found by `packgrade-train search {asked.plan.name} --trials {asked.trials} --seed {asked.seed}`.",
        verdict(outcome),
        "Before training it, say in [bundle] what it is called and is made again by.",
    )
    text = plan_text(asked.plan, target, searched_in(plan), outcome.best.numbers, origin)
    target.write_text(text, encoding="utf-8")
    console.print(text, markup=False, soft_wrap=True)
    print_search(console, outcome)
    console.print(f"Plan written to {target}", soft_wrap=True)
    _say_where(console, run_id, store)


def promote(asked: argparse.Namespace, console: Console) -> None:
    """Make the challenger the champion, unless it is worse somewhere."""
    store = TrackingStore(asked.tracking_uri or DEFAULT_TRACKING_URI)
    with tempfile.TemporaryDirectory() as scratch:
        comparison = compare(store, asked.name, Path(scratch))
    print_comparison(console, comparison)
    console.print(f"Champion is now {promote_challenger(store, comparison)}.")


def rollback(asked: argparse.Namespace, console: Console) -> None:
    """Make the previous champion the champion again."""
    store = TrackingStore(asked.tracking_uri or DEFAULT_TRACKING_URI)
    console.print(f"Champion is again {store.dethrone(asked.name)}.")


def export(asked: argparse.Namespace, console: Console) -> None:
    """Write a registered bundle to a folder."""
    store = TrackingStore(asked.tracking_uri or DEFAULT_TRACKING_URI)
    registered = export_bundle(store, asked.name, asked.version, asked.out)
    stamp = load_bundle(asked.out).stamp
    console.print(f"Exported {registered} to {asked.out}: {stamp['name']} {stamp['version']} {stamp['sha256']}")


def _keep_page(asked: argparse.Namespace, page: str, console: Console) -> None:
    if asked.report is not None:
        asked.report.write_text(page, encoding="utf-8")
        console.print(f"Report written to {asked.report}")


def _say_where(console: Console, run_id: str, store: TrackingStore) -> None:
    console.print(f"Run {run_id} in {store.uri}")
    console.print(f"Look at it with: mlflow ui --backend-store-uri {store.uri}", soft_wrap=True)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str], None]]:
    with console.status("starting") as status:

        def say(step: str) -> None:
            status.update(step)
            if not console.is_terminal:
                console.print(step)

        yield say
