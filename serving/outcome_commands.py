"""``packgrade record outcomes`` on a terminal: what was taken in, or how much was written."""

from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from serving.outcome_reports import add_outcomes
from serving.outcome_table import write_outcomes
from serving.settings import Settings


def print_outcomes(console: Console, settings: Settings, add: Path | None, out: Path | None, moment: datetime) -> None:
    """Take a file of measured capacities in, or write the table of all outcomes.

    Raises
    ------
    InvalidInput
        If the file breaks a rule or cannot be written.
    PackGradeError
        If the record cannot be used.
    """
    if add is not None:
        recorded = add_outcomes(settings, add, moment)
        repeated = sum(each.replayed for each in recorded)
        console.print(Text(f"{len(recorded) - repeated} outcome(s) recorded, {repeated} were recorded before"))
    if out is not None:
        console.print(Text(f"{write_outcomes(settings.record_file, out)} outcome(s) written to {out.name}"))
