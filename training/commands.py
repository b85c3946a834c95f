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
from training.plan import DEFAULT_TRACKING_URI, load_plan
from training.promote import compare
from training.promote import promote as promote_challenger
from training.report import print_comparison, print_evaluation
from training.run import judge, register, track, train_bundle
from training.tracking import TrackingStore


def run(asked: argparse.Namespace, console: Console) -> None:
    """Train, judge, log and register the bundle of a plan."""
    plan = load_plan(asked.plan)
    store = TrackingStore(asked.tracking_uri or plan.tracking.uri)
    with _progress(console) as progress, tempfile.TemporaryDirectory() as scratch:
        judged = judge(plan, asked.data_dir, asked.policy, progress)
        folder = asked.out or Path(scratch) / "bundle"
        manifest = train_bundle(judged, folder, datetime.now(UTC).date(), progress)
        progress("tracking")
        registered = register(store, plan, track(store, judged, folder), manifest)
    print_evaluation(console, judged.evaluation)
    _say_where(console, registered.run_id, store)
    if asked.out:
        console.print(f"Bundle written to {asked.out}")
    console.print(f"Registered {registered} as challenger; `packgrade-train promote` makes it the champion.")


def evaluate(asked: argparse.Namespace, console: Console) -> None:
    """Judge a plan's recipe on held-out cells, without a bundle."""
    plan = load_plan(asked.plan)
    with _progress(console) as progress:
        judged = judge(plan, asked.data_dir, asked.policy, progress)
    print_evaluation(console, judged.evaluation)
    if not asked.no_tracking:
        store = TrackingStore(asked.tracking_uri or plan.tracking.uri)
        _say_where(console, track(store, judged, None), store)


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
