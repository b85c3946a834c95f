"""What an auditor asks of a record on the command line: is it whole, and what does it say."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from features.battery_code import parse_battery_code
from features.errors import InvalidInput, Problem
from features.vocabulary import Scheme
from serving.record.leaf import Leaf, canonical_bytes
from serving.record.sqlite import SqliteStore
from serving.record.store import leaves
from serving.record.verify import verify_record

_MOST_DIGITS = 15
_EVENT_ID = re.compile(r"[0-9a-f]{32}")


def print_verification(console: Console, path: Path, head: str | None) -> bool:
    """Verify a record and print what was found.

    Parameters
    ----------
    console : Console
        Where to print.
    path : Path
        The record's file.
    head : str or None
        ``SEQUENCE:SHA256`` of a receipt kept elsewhere.

    Returns
    -------
    bool
        Whether the record is whole.
    """
    report = verify_record(path, expected_head=_receipt(head))
    if report.problems:
        console.print(Text(f"{path.name}: NOT WHOLE, {report.problem_count} problem(s); the first:", style="bold red"))
        for problem in report.problems:
            console.print(Text(f"  {problem}"), highlight=False)
        return False
    last = f"head {report.head.sequence}:{report.head.leaf_sha256}" if report.head else "empty"
    console.print(Text(f"{path.name}: whole, {report.entry_count} entries, {last}", style="green"), soft_wrap=True)
    if head is None:
        console.print(Text("Keep that head elsewhere: only a receipt shows a record that was rolled back."))
    return True


def chosen_leaves(path: Path, entry: str) -> Iterator[Leaf]:
    """Entries of a record by decision id, sequence number, battery code, or ``all``; oldest first."""
    store = SqliteStore(path)
    if entry == "all":
        yield from leaves(store)
        return
    with store.reading() as reader:
        found = [reader.by_event_id(entry)] if _EVENT_ID.fullmatch(entry) else []
        if not any(found) and entry.isdecimal() and len(entry) <= _MOST_DIGITS:
            found = [reader.by_sequence(int(entry))]
        if not any(found):
            found = [*reader.by_battery(_code(entry))]
        yield from (leaf for leaf in found if leaf is not None)


def shown_entries(path: Path, entry: str) -> list[dict[str, Any]]:
    """Entries as plain JSON.

    Raises
    ------
    InvalidInput
        If there is none.
    """
    shown = [json.loads(canonical_bytes(leaf)) for leaf in chosen_leaves(path, entry)]
    if not shown:
        raise InvalidInput("Nothing to show.", [Problem("entry", "no such entry is in the record", entry[:80])])
    return shown


def _code(entry: str) -> str:
    parsed = parse_battery_code(entry)
    return parsed.code if parsed.valid and parsed.scheme is not Scheme.LOCAL else entry.strip()


def _receipt(head: str | None) -> tuple[int, str] | None:
    if head is None:
        return None
    sequence, _, sha256 = head.partition(":")
    if not (sequence.isdecimal() and re.fullmatch(r"[0-9a-f]{64}", sha256)):
        raise InvalidInput("Nothing was verified.", [Problem("--head", "is written SEQUENCE:SHA256", head[:90])])
    return int(sequence), sha256
