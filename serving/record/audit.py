"""What an auditor asks of a record on the command line: is it whole, and what does it say."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from features.battery_code import known_battery_id
from features.errors import InvalidInput, PackGradeError, Problem
from serving.record.archive import is_archive
from serving.record.archive_check import archived_keys, verify_archive
from serving.record.checkpoint import (
    Checkpoint,
    CheckpointRefused,
    VerifierKey,
    note_kept,
    opened_checkpoint,
    parsed_checkpoint,
)
from serving.record.evidence import opened_as_evidence
from serving.record.kept_receipts import kept_receipts, receipt_problems
from serving.record.key_history import KeyHistory
from serving.record.leaf import Leaf, canonical_bytes
from serving.record.location import RecordLocation, is_database, opened_store, shown_location
from serving.record.log_key import public_key
from serving.record.merkle import root
from serving.record.source import RecordSource, require_found, source_of
from serving.record.store import RecordUnavailable
from serving.record.verify import verify_record

_MOST_DIGITS = 15
_EVENT_ID = re.compile(r"[0-9a-f]{32}")
Told = Callable[[int, int], None]


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
        Files with public keys; without any, the one beside the record or inside the archive is used.
    log_key : Path or None
        Where the record's private key stands if not beside it; its public half stands there too.
    without_key : bool
        Whether to verify although there is no public key, which leaves every signature unchecked.
    """

    head: str | None = None
    checkpoints: tuple[Path, ...] = ()
    receipts: Path | None = None
    keys: tuple[Path, ...] = ()
    log_key: Path | None = None
    without_key: bool = False

    @property
    def nothing(self) -> bool:
        """Whether the record can only be held against itself."""
        return self.head is None and not self.checkpoints and self.receipts is None


def print_verification(console: Console, location: RecordLocation, kept: KeptElsewhere) -> bool:
    """Verify a record or an archive and print what was found.

    Parameters
    ----------
    console : Console
        Where to print.
    location : Path or str
        The record's file, its database's URL, or an exported archive.
    kept : KeptElsewhere
        What else there is to hold against it.

    Returns
    -------
    bool
        Whether it is whole and says what was kept.

    Raises
    ------
    PackGradeError
        If there is nothing to verify at the location, or no public key; if what was brought along cannot be read, or
        is of another log; or if an archive is dangerous to read.
    """
    _require_there(location)
    name, record = _shown_name(location), source_of(location)
    keys = public_keys(location, kept.keys, kept.log_key)
    if not keys and not kept.without_key and not is_archive(location):
        rule = "is needed, for none stands beside the record; --without-key checks everything but the signatures"
        raise InvalidInput("Nothing was verified.", [Problem("--key", rule, name)])
    history = KeyHistory(keys, _key_changes(record))
    receipts = kept_receipts(kept.receipts, history) if kept.receipts else []
    checkpoints = [_opened(file, history) for file in kept.checkpoints] + [each.signed for each in receipts]
    verify = verify_archive if is_archive(location) else verify_record
    with progress_bar(console, "verifying") as told:
        report = verify(location, told, _receipt(kept.head), checkpoints, keys)
    problems = [*report.problems, *receipt_problems(record, receipts)]
    if problems:
        count = report.problem_count + len(problems) - len(report.problems)
        console.print(Text(f"{name}: NOT WHOLE, {count} problem(s); the first:", style="bold red"))
        for problem in problems:
            console.print(Text(f"  {problem}"), highlight=False)
        return False
    last = f"head {report.head.sequence}:{report.head.leaf_sha256}" if report.head else "empty"
    console.print(Text(f"{name}: whole, {report.entry_count} entries, {last}", style="green"), soft_wrap=True)
    for line in _what_was_held_against_it(location, kept, keys, (len(checkpoints), len(receipts))):
        console.print(Text(line), soft_wrap=True)
    return True


def last_checkpoint(location: RecordLocation, kept: Path | None = None) -> str:
    """Signed checkpoint over a whole record.

    Parameters
    ----------
    location : Path or str
        The record's file or its database's URL.
    kept : Path or None
        File that is to hold it; what it holds already must be the beginning of this record.

    Raises
    ------
    InvalidInput
        If the record is empty, or does not begin with the checkpoint that would be replaced.
    """
    name = _shown_name(location)
    with opened_store(location).reading() as reader:
        note = reader.last_checkpoint()
        if note is None:
            raise InvalidInput("Nothing to show.", [Problem(name, "must hold an entry to have a checkpoint")])
        if kept is not None and kept.exists():
            held = parsed_checkpoint(note_kept(_text(kept)))
            size = parsed_checkpoint(note).size
            if held.size > size or root(held.size, reader.subtree) != held.root:
                rule = f"must begin with the {held.size} entries the checkpoint in {kept.name} covers"
                raise InvalidInput("Nothing was replaced; look into it.", [Problem(name, rule, f"{size} entries")])
    return note


def public_keys(location: RecordLocation, files: Sequence[Path], log_key: Path | None = None) -> list[VerifierKey]:
    """Public keys to verify with: those of the files, else what stands beside the record or in the archive.

    Raises
    ------
    InvalidInput, CheckpointRefused
        If a file cannot be read or holds no key.
    """
    if files:
        return [VerifierKey.parsed(_text(file)) for file in files]
    if is_archive(location):
        return archived_keys(Path(location))
    if is_database(location) and log_key is None:
        return []
    beside = public_key(Path(location), log_key)
    return [] if beside is None else [beside]


def chosen_leaves(record: RecordSource, entry: str, first_sequence: int = 0) -> Iterator[Leaf]:
    """Entries of a record by decision id, sequence number, battery code, or ``all``; oldest first."""
    if entry == "all":
        return record.leaves(first_sequence)
    found = [record.by_event_id(entry)] if _EVENT_ID.fullmatch(entry) else []
    if not any(found) and entry.isdecimal() and len(entry) <= _MOST_DIGITS:
        found = [record.by_sequence(int(entry))]
    leaves = [leaf for leaf in found if leaf is not None] or _of_battery(record, entry)
    return (leaf for leaf in leaves if leaf.sequence >= first_sequence)


def shown_entries(record: RecordSource, entry: str, first_sequence: int = 0) -> Iterator[dict[str, Any]]:
    """Entries as plain JSON, one after the other.

    Raises
    ------
    InvalidInput
        If there is none.
    """
    found = require_found(chosen_leaves(record, entry, first_sequence), entry)
    return (json.loads(canonical_bytes(leaf)) for leaf in found)


@contextmanager
def progress_bar(console: Console, doing: str) -> Iterator[Told | None]:
    """Progress bar on a terminal; nothing elsewhere."""
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(doing, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def told_leaves(record: RecordSource, leaves: Iterator[Leaf], told: Told | None) -> Iterator[Leaf]:
    """Leaves as they pass by, the bar moving with them."""
    if told is None:
        yield from leaves
        return
    total = record.entry_count()
    for leaf in leaves:
        yield leaf
        told(leaf.sequence + 1, total)


def _what_was_held_against_it(
    location: RecordLocation, kept: KeptElsewhere, keys: Sequence[VerifierKey], counts: tuple[int, int]
) -> Iterator[str]:
    names = ", ".join(f"{key.name} ({key.key_hash.hex()})" for key in keys)
    signed = f"Signatures checked with {names}." if keys else "No public key was given: signatures were not checked."
    if kept.nothing:
        yield f"{signed} Keep that head, or `record checkpoint`, elsewhere: only that shows a record rolled back."
    else:
        own_head = "" if kept.head is None else ", 1 head"
        yield f"{signed} Held against {counts[0]} checkpoint(s), {counts[1]} of them in receipts{own_head}."
    if is_archive(location) and not kept.keys:
        yield "The key is the archive's own: whoever can forge an archive can exchange it. Give yours with --key."


def _key_changes(record: RecordSource) -> list[Leaf]:
    """Key changes of the log; none where it cannot be read, which the verification itself tells."""
    with suppress(PackGradeError):
        return record.key_changes()
    return []


def _require_there(location: RecordLocation) -> None:
    """Tell a record that is not there, or a database that does not answer, from one that was tampered with."""
    if is_database(location):
        with opened_as_evidence(location):
            return
    if not Path(location).is_file():
        raise RecordUnavailable(
            f"There is no record at {location}.", "Nothing was verified.", "Look whether the name is right."
        )


def _opened(file: Path, keys: KeyHistory) -> Checkpoint:
    """Checkpoint of a file; a key the auditor trusts opens it even where the record claims to have replaced it."""
    if not keys.trusted:
        raise InvalidInput("Nothing was verified.", [Problem("--key", "is needed to read a checkpoint", file.name)])
    note = note_kept(_text(file))
    try:
        return keys.opened(note)
    except CheckpointRefused:
        return opened_checkpoint(note, keys.trusted)


def _shown_name(location: RecordLocation) -> str:
    return shown_location(location) if is_database(location) else Path(location).name


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("Nothing was verified.", [Problem(str(file), "must be a readable text file")]) from error


def _of_battery(record: RecordSource, entry: str) -> Sequence[Leaf]:
    """Entries of a battery under the identifier it is known by, else under the one that was written before."""
    return [*record.by_battery(known_battery_id(entry))] or [*record.by_battery(entry.strip())]


def _receipt(head: str | None) -> tuple[int, str] | None:
    if head is None:
        return None
    sequence, _, sha256 = head.partition(":")
    if not (sequence.isdecimal() and re.fullmatch(r"[0-9a-f]{64}", sha256)):
        raise InvalidInput("Nothing was verified.", [Problem("--head", "is written SEQUENCE:SHA256", head[:90])])
    return int(sequence), sha256
