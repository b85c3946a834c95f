"""Does the record still say what was written? Checked offline, without the service and without writing.

The schema, every entry by the rules of `chain_check`, the tree and its checkpoints by those of
`tree_check`, the rows that follow from entries, keys used twice and the database's own structure.
Whatever is found there, the answer is a report and never a crash. What a log cannot show about
itself, a forged or missing *end*, shows only against a receipt or a checkpoint that somebody else kept.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from serving.record.chain_check import ChainCheck, RecordProblem, StoredEntry
from serving.record.checkpoint import Checkpoint, VerifierKey
from serving.record.derived_check import DerivedCheck
from serving.record.evidence import Evidence, is_at_rest, opened_as_evidence
from serving.record.location import RecordLocation
from serving.record.sql import COLUMNS, INDEX_COLUMNS
from serving.record.store import Head, RecordUnavailable
from serving.record.stored_tree import StoredTree
from serving.record.tree_check import TreeCheck

SHOWN_PROBLEMS = 50
"""Problems kept in a report; the others are only counted."""

PROGRESS_STEP = 512
"""Entries read at a time; after each such block `progress` is called."""

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
    location: RecordLocation,
    progress: Progress | None = None,
    expected_head: tuple[int, str] | None = None,
    checkpoints: Sequence[Checkpoint] = (),
    keys: Sequence[VerifierKey] = (),
) -> VerificationReport:
    """Check a record, or a copy of one, against itself and against a receipt.

    Parameters
    ----------
    location : Path or str
        The record's file, a ``-wal`` file beside it belongs to it; or the URL of a database.
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
    at_rest = is_at_rest(location)
    report = _report(location, progress, expected_head, TreeCheck(checkpoints, keys))
    if at_rest and not is_at_rest(location):  # somebody began to write under the lock-free view
        report = _report(location, progress, expected_head, TreeCheck(checkpoints, keys))
    return report


def _report(
    location: RecordLocation, progress: Progress | None, receipt: tuple[int, str] | None, tree: TreeCheck
) -> VerificationReport:
    check, count, shown = ChainCheck(), 0, list[RecordProblem]()
    for problem in _problems(location, check, tree, progress, receipt):
        count += 1
        if len(shown) < SHOWN_PROBLEMS:
            shown.append(problem)
    return VerificationReport(check.entry_count, check.head, tuple(shown), count)


def _problems(
    location: RecordLocation,
    check: ChainCheck,
    tree: TreeCheck,
    progress: Progress | None,
    receipt: tuple[int, str] | None,
) -> Iterator[RecordProblem]:
    try:
        with opened_as_evidence(location) as evidence:
            yield from evidence.schema_problems()
            if evidence.has_our_tables():
                yield from _content_problems(evidence, check, tree, progress, receipt)
            yield from evidence.structure_problems()
    except (sqlite3.Error, OSError, UnicodeError) as error:  # UnicodeError: a message quoting a damaged schema
        yield RecordProblem(f"cannot be read beyond {check.entry_count} entries ({error})")
    except RecordUnavailable as error:
        yield RecordProblem(f"cannot be read beyond {check.entry_count} entries ({error.message})")
    if receipt is not None and (check.head is None or check.head.sequence < receipt[0]):
        what = "is missing although a receipt names it: the record was rolled back or cut"
        yield RecordProblem(what, receipt[0], expected=receipt[1], found=f"{check.entry_count} entries")


def _content_problems(
    evidence: Evidence, check: ChainCheck, tree: TreeCheck, progress: Progress | None, receipt: tuple[int, str] | None
) -> Iterator[RecordProblem]:
    stored_tree, derived = StoredTree(evidence), DerivedCheck(evidence)
    (total,) = evidence.rows(f"SELECT count(*) FROM leaf{evidence.scan}")[0]
    for block in _blocks(evidence):
        stored_tree.fetch(tree.size, len(block))
        derived.fetch(block[0].sequence, block[-1].sequence)
        for entry in block:
            yield from check.problems_of(entry)
            yield from stored_tree.problems_of(entry, tree)
            if check.leaf is not None:
                yield from derived.problems_of(check.leaf, check.body)
            if receipt is not None and entry.sequence == receipt[0]:
                yield from _receipt_problems(receipt, check.head)
        if progress is not None:
            progress(check.entry_count, total)
    if check.entry_count != total:
        yield RecordProblem("the count of entries is wrong", expected=str(check.entry_count), found=str(total))
    yield from _doubled(evidence)
    yield from stored_tree.problems_at_the_end(tree)
    yield from derived.problems_at_the_end()


def _blocks(evidence: Evidence) -> Iterator[list[StoredEntry]]:
    columns, following = ", ".join(COLUMNS["leaf"]), 0
    query = f"SELECT {columns} FROM leaf{evidence.scan} WHERE sequence >= ? ORDER BY sequence LIMIT {PROGRESS_STEP}"
    while rows := evidence.rows(query, following):
        yield [StoredEntry(row[0], tuple(zip(INDEX_COLUMNS, row, strict=False)), row[-2], row[-1]) for row in rows]
        following = rows[-1][0] + 1


def _receipt_problems(receipt: tuple[int, str], head: Head | None) -> Iterable[RecordProblem]:
    found = "" if head is None else head.leaf_sha256
    if found != receipt[1]:
        yield RecordProblem("is not the entry its receipt names", receipt[0], expected=receipt[1], found=found)


def _doubled(evidence: Evidence) -> Iterator[RecordProblem]:
    """Look for what may occur once only, without believing the indexes that should have refused it."""
    for columns in ("event_id", "station, idempotency_key"):
        query = f"SELECT {columns}, max(sequence) FROM leaf{evidence.scan} GROUP BY {columns} HAVING count(*) > 1"
        for *values, sequence in evidence.rows(query):
            shown = " / ".join(str(value)[:80] for value in values)
            yield RecordProblem(f"{columns} occurs more than once", sequence, found=shown)
