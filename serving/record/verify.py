"""Does the record still say what was written? Checked offline, without the service and without writing.

The file's schema, every entry by the rules of `chain_check`, the tree and its checkpoints by those of
`tree_check`, keys used twice and SQLite's own structure. Whatever the file holds, the answer is a
report and never a crash. What a log cannot show about itself, a forged or missing *end*, shows only
against a receipt or a checkpoint that somebody else kept.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.record.chain_check import ChainCheck, RecordProblem, StoredEntry
from serving.record.checkpoint import Checkpoint, VerifierKey
from serving.record.evidence import is_at_rest, opened_as_evidence
from serving.record.sqlite import (
    APPLICATION_ID,
    INDEX_COLUMNS,
    SCHEMA_VERSION,
    expected_schema_objects,
    schema_objects,
    stamp,
)
from serving.record.store import Head
from serving.record.stored_tree import StoredTree
from serving.record.tree_check import TreeCheck

SHOWN_PROBLEMS = 50
"""Problems kept in a report; the others are only counted."""

PROGRESS_STEP = 256
"""Entries between two calls of `progress`."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What a verification found.

    Attributes
    ----------
    entry_count : int
        Entries read.
    head : Head or None
        Index and recomputed digest of the last entry; None where there is none.
    problems : tuple of RecordProblem
        At most `SHOWN_PROBLEMS`: of the schema, of the entries in the order of the log, of the file.
    problem_count : int
        How many there are in all.
    """

    entry_count: int
    head: Head | None
    problems: tuple[RecordProblem, ...]
    problem_count: int

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem_count == 0

    @property
    def first_bad_entry(self) -> RecordProblem | None:
        """The first problem that concerns a single entry."""
        return next((problem for problem in self.problems if problem.sequence is not None), None)


def verify_record(
    path: Path,
    progress: Progress | None = None,
    expected_head: tuple[int, str] | None = None,
    checkpoints: Sequence[Checkpoint] = (),
    keys: Sequence[VerifierKey] = (),
) -> VerificationReport:
    """Check a record, or a copy of one, against itself and against a receipt.

    Parameters
    ----------
    path : Path
        The record's file. A ``-wal`` file beside it belongs to it.
    progress : callable, optional
        Called with the entries done and the entries there are.
    expected_head : tuple of int and str, optional
        Index and digest of an entry from a receipt kept elsewhere; the entry must be there unchanged.
    checkpoints : sequence of Checkpoint
        Opened checkpoints kept elsewhere; the record must begin with what each covers.
    keys : sequence of VerifierKey
        Keys that may have signed the record's own checkpoints; without any, their signatures are not checked.

    Returns
    -------
    VerificationReport
        Always; a file that cannot be read is a problem in it.

    Notes
    -----
    Not every forgery shows without a receipt: whoever can write the file can change the last entry
    and its digest, rewrite everything from some entry on, or cut the end off.
    """
    at_rest = is_at_rest(path)
    report = _report(path, progress, expected_head, TreeCheck(checkpoints, keys))
    if at_rest and not is_at_rest(path):  # somebody began to write under the lock-free view
        report = _report(path, progress, expected_head, TreeCheck(checkpoints, keys))
    return report


def _report(
    path: Path, progress: Progress | None, receipt: tuple[int, str] | None, tree: TreeCheck
) -> VerificationReport:
    check, count, shown = ChainCheck(), 0, list[RecordProblem]()
    for problem in _problems(path, check, tree, progress, receipt):
        count += 1
        if len(shown) < SHOWN_PROBLEMS:
            shown.append(problem)
    return VerificationReport(check.entry_count, check.head, tuple(shown), count)


def _problems(
    path: Path, check: ChainCheck, tree: TreeCheck, progress: Progress | None, receipt: tuple[int, str] | None
) -> Iterator[RecordProblem]:
    receipt_met = receipt is None
    try:
        with opened_as_evidence(path) as connection:
            yield from _schema_problems(connection)
            if _has_our_tables(connection):
                stored_tree = StoredTree(connection)
                for entry in _entries(connection, progress):
                    yield from check.problems_of(entry)
                    yield from stored_tree.problems_of(entry, tree)
                    if receipt is not None and entry.sequence == receipt[0]:
                        receipt_met = True
                        yield from _receipt_problems(receipt, check.head)
                yield from _doubled(connection)
                yield from stored_tree.problems_at_the_end(tree)
            yield from _structure_problems(connection)
    except (sqlite3.Error, OSError, UnicodeError) as error:  # UnicodeError: a message quoting a damaged schema
        yield RecordProblem(f"cannot be read beyond {check.entry_count} entries ({error})")
    if receipt is not None and not receipt_met:
        what = "is missing although a receipt names it: the record was rolled back or cut"
        yield RecordProblem(what, receipt[0], expected=receipt[1], found=f"{check.entry_count} entries")


def _schema_problems(connection: sqlite3.Connection) -> Iterator[RecordProblem]:
    if (stamped := stamp(connection)) != (ours := (APPLICATION_ID, SCHEMA_VERSION)):
        what = "is not a PackGrade record of this release (application id, schema version)"
        yield RecordProblem(what, expected=str(ours), found=str(stamped))
    expected, found = expected_schema_objects(), schema_objects(connection)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield RecordProblem(f"{name} of the schema is missing")
        elif name not in expected:
            yield RecordProblem(f"{name:.80} does not belong into a record")
        elif expected[name] != found[name]:
            yield RecordProblem(f"{name} of the schema was changed", found=f"{found[name]:.200}")


def _has_our_tables(connection: sqlite3.Connection) -> bool:
    found, expected = schema_objects(connection), expected_schema_objects()
    return all(found.get(name) == expected[name] for name in ("table leaf", "table subtree", "table checkpoint"))


def _entries(connection: sqlite3.Connection, progress: Progress | None) -> Iterator[StoredEntry]:
    (total,) = connection.execute("SELECT count(*) FROM leaf NOT INDEXED").fetchone()
    columns = ", ".join((*INDEX_COLUMNS, "leaf_sha256", "leaf"))
    rows = connection.execute(f"SELECT {columns} FROM leaf NOT INDEXED ORDER BY sequence")
    for count, row in enumerate(rows, start=1):
        yield StoredEntry(row[0], tuple(zip(INDEX_COLUMNS, row, strict=False)), row[-2], row[-1])
        if progress is not None and (count % PROGRESS_STEP == 0 or count == total):
            progress(count, total)


def _receipt_problems(receipt: tuple[int, str], head: Head | None) -> Iterable[RecordProblem]:
    found = "" if head is None else head.leaf_sha256
    if found != receipt[1]:
        yield RecordProblem("is not the entry its receipt names", receipt[0], expected=receipt[1], found=found)


def _doubled(connection: sqlite3.Connection) -> Iterator[RecordProblem]:
    """Look for what may occur once only, without believing the indexes that should have refused it."""
    for columns in ("event_id", "station, idempotency_key"):
        query = f"SELECT {columns}, max(sequence) FROM leaf NOT INDEXED GROUP BY {columns} HAVING count(*) > 1"
        for *values, sequence in connection.execute(query):
            shown = " / ".join(str(value)[:80] for value in values)
            yield RecordProblem(f"{columns} occurs more than once", sequence, found=shown)


def _structure_problems(connection: sqlite3.Connection) -> Iterator[RecordProblem]:
    for (message,) in connection.execute(f"PRAGMA integrity_check({SHOWN_PROBLEMS})"):
        if message != "ok":
            yield RecordProblem(f"SQLite finds the file damaged: {message!s:.300}")
