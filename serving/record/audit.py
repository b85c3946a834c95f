"""What an auditor asks of a record on the command line: is it whole, and what does it say."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from features.battery_code import parse_battery_code
from features.errors import InvalidInput, Problem
from features.vocabulary import Scheme
from serving.record.checkpoint import Checkpoint, VerifierKey, opened_checkpoint, parsed_checkpoint
from serving.record.kept_receipts import kept_receipts, receipt_problems
from serving.record.leaf import Leaf, canonical_bytes
from serving.record.log_key import public_key
from serving.record.merkle import root
from serving.record.sqlite import SqliteStore
from serving.record.store import leaves
from serving.record.verify import verify_record

_MOST_DIGITS = 15
_EVENT_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class KeptElsewhere:
    """What an auditor brings along to hold against a record.

    Attributes
    ----------
    head : str or None
        ``SEQUENCE:SHA256`` of an entry.
    checkpoints : tuple of Path
        Files with signed checkpoints.
    receipts : Path or None
        Folder of replies or receipts as JSON.
    keys : tuple of Path
        Files with public keys; without any, the one beside the record is used.
    """

    head: str | None = None
    checkpoints: tuple[Path, ...] = ()
    receipts: Path | None = None
    keys: tuple[Path, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether the record can only be held against itself."""
        return self.head is None and not self.checkpoints and self.receipts is None


def print_verification(console: Console, path: Path, kept: KeptElsewhere) -> bool:
    """Verify a record and print what was found.

    Parameters
    ----------
    console : Console
        Where to print.
    path : Path
        The record's file.
    kept : KeptElsewhere
        What else there is to hold against it.

    Returns
    -------
    bool
        Whether the record is whole and says what was kept.

    Raises
    ------
    PackGradeError
        If what was brought along cannot be read, or is of another log.
    """
    keys = _keys(path, kept.keys)
    receipts = kept_receipts(kept.receipts, keys) if kept.receipts else []
    checkpoints = [_opened(file, keys) for file in kept.checkpoints] + [each.signed for each in receipts]
    with _bar(console) as told:
        report = verify_record(path, told, _receipt(kept.head), checkpoints, keys)
    problems = [*report.problems, *receipt_problems(path, receipts)]
    if problems:
        count = report.problem_count + len(problems) - len(report.problems)
        console.print(Text(f"{path.name}: NOT WHOLE, {count} problem(s); the first:", style="bold red"))
        for problem in problems:
            console.print(Text(f"  {problem}"), highlight=False)
        return False
    last = f"head {report.head.sequence}:{report.head.leaf_sha256}" if report.head else "empty"
    console.print(Text(f"{path.name}: whole, {report.entry_count} entries, {last}", style="green"), soft_wrap=True)
    console.print(Text(_what_was_held_against_it(kept, keys, len(checkpoints), len(receipts))), soft_wrap=True)
    return True


def last_checkpoint(path: Path, kept: Path | None = None) -> str:
    """Signed checkpoint over a whole record.

    Parameters
    ----------
    path : Path
        The record's file.
    kept : Path or None
        File that is to hold it; what it holds already must be the beginning of this record.

    Raises
    ------
    InvalidInput
        If the record is empty, or does not begin with the checkpoint that would be replaced.
    """
    with SqliteStore(path).reading() as reader:
        note = reader.last_checkpoint()
        if note is None:
            raise InvalidInput("Nothing to show.", [Problem(path.name, "must hold an entry to have a checkpoint")])
        if kept is not None and kept.exists():
            held = parsed_checkpoint(_text(kept))
            size = parsed_checkpoint(note).size
            if held.size > size or root(held.size, reader.subtree) != held.root:
                rule = f"must begin with the {held.size} entries the checkpoint in {kept.name} covers"
                raise InvalidInput("Nothing was replaced; look into it.", [Problem(path.name, rule, f"{size} entries")])
    return note


def _what_was_held_against_it(kept: KeptElsewhere, keys: Sequence[VerifierKey], checkpoints: int, receipts: int) -> str:
    names = ", ".join(key.name for key in keys)
    signed = f"Signatures checked with {names}." if keys else "No public key was given: signatures were not checked."
    if kept.nothing:
        return f"{signed} Keep that head, or `record checkpoint`, elsewhere: only that shows a record rolled back."
    own_head = "" if kept.head is None else ", 1 head"
    return f"{signed} Held against {checkpoints} checkpoint(s), {receipts} of them in receipts{own_head}."


def _keys(path: Path, files: Sequence[Path]) -> list[VerifierKey]:
    if files:
        return [VerifierKey.parsed(_text(file)) for file in files]
    beside = public_key(path)
    return [] if beside is None else [beside]


def _opened(file: Path, keys: Sequence[VerifierKey]) -> Checkpoint:
    if not keys:
        raise InvalidInput("Nothing was verified.", [Problem("--key", "is needed to read a checkpoint", file.name)])
    return opened_checkpoint(_text(file), keys)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("Nothing was verified.", [Problem(str(file), "must be a readable text file")]) from error


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[int, int], None] | None]:
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("verifying", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


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
