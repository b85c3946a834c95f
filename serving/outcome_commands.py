"""``packgrade record outcomes`` on a terminal: what was taken in, or how much was written."""

import argparse
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from models.bundle import read_manifest
from serving.outcome_reports import add_outcomes
from serving.outcome_table import write_outcomes
from serving.record.source import source_of
from serving.settings import Settings


def print_outcomes(console: Console, settings: Settings, options: argparse.Namespace, moment: datetime) -> None:
    """Take a file of measured capacities in, or write the table of outcomes.

    Parameters
    ----------
    console : Console
        Where to print.
    settings : Settings
        Deployment; its bundle is the one the table is to recalibrate.
    options : Namespace
        ``add`` or ``out``, a file; ``all``, whether everything is written.
    moment : datetime
        Moment of the report, aware.

    Raises
    ------
    InvalidInput
        If the file breaks a rule or cannot be written.
    PackGradeError
        If record or bundle cannot be used.
    """
    if options.add is not None:
        recorded = add_outcomes(settings, options.add, moment)
        repeated = sum(each.replayed for each in recorded)
        console.print(Text(f"{len(recorded) - repeated} outcome(s) recorded, {repeated} were recorded before"))
    else:
        _print_written(console, settings, options.out, everything=options.all)


def _print_written(console: Console, settings: Settings, out: Path, *, everything: bool) -> None:
    bundle = None if everything else read_manifest(settings.bundle_folder)
    written = write_outcomes(source_of(settings.record_file), out, bundle)
    told = "" if bundle is None else f" that can recalibrate {bundle.name} {bundle.version}"
    console.print(Text(f"{written.count} outcome(s){told} written to {out.name}"), soft_wrap=True)
    for reason, count in written.left_out.most_common():
        console.print(Text(f"  left out, {reason}: {count}"))
    if written.left_out:
        console.print("--all writes every outcome.")
