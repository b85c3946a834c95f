"""The options of ``packgrade batch``; what it does is loaded only when it is asked for."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from serving.settings import Settings

MOST_WORKERS = 256


def add_batch(commands: Any, add_artifacts: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add ``batch`` to the command line.

    Parameters
    ----------
    commands : argparse subparsers
        Where commands are added.
    add_artifacts : callable
        Adds ``--bundle``, ``--policy`` and ``--record``.
    """
    batch = commands.add_parser(
        "batch",
        help="grade every battery of a manifest",
        epilog="Exit codes: 0 all decided; 1 some batteries have errors; 2 manifest or command line wrong; "
        "3 bundle, policy or record cannot be used (--resume goes on); 130 interrupted (--resume goes on).",
    )
    add_artifacts(batch)
    batch.add_argument(
        "manifest", type=Path, help="CSV or Parquet, one row per run; or a folder or pattern of telemetry"
    )
    batch.add_argument("--batteries", type=Path, metavar="FILE", help="packs of a folder (its batteries.csv)")
    batch.add_argument("--out", type=Path, required=True, metavar="RESULTS", help="result file, .parquet or .csv")
    batch.add_argument("--report", type=Path, metavar="FILE.html", help="also write a page about the fleet")
    batch.add_argument(
        "--workers",
        dest="batch_workers",
        type=_workers,
        default=1,
        metavar="N",
        help="processes, or slices at a time on Ray (1)",
    )
    batch.add_argument("--engine", choices=("local", "ray"), default="local", help="where slices are graded (local)")
    batch.add_argument("--address", metavar="ADDRESS", help="Ray cluster; without it Ray runs on this machine")
    batch.add_argument("--resume", action="store_true", help="go on where an interrupted batch stopped")
    batch.add_argument("--station", help="station the decisions belong to")
    batch.add_argument("--operator", metavar="NAME", help="name or badge of who grades; the record gets a pseudonym")
    batch.add_argument("--quiet", action="store_true", help="print nothing but errors")
    batch.add_argument("--json", action="store_true", help="print the counts as JSON")
    batch.set_defaults(command=_batch)


def _workers(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MOST_WORKERS):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MOST_WORKERS}, got {text!r:.40}")
    return int(text)


def _batch(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.batch_commands import graded_batch  # noqa: PLC0415 - loads pandas

    return graded_batch(options, settings, console)
