"""Subtrees and checkpoints as a SQLite record stores them, held against the leaves; believes neither."""

import sqlite3
from collections.abc import Iterator

from serving.record.chain_check import RecordProblem, StoredEntry
from serving.record.tree_check import Subtrees, TreeCheck

_SUBTREE = "SELECT hash FROM subtree WHERE level = ? AND place = ?"
_CHECKPOINTS = "SELECT size, note FROM checkpoint NOT INDEXED ORDER BY size"


class StoredTree:
    """What one record stores beside its leaves, read in step with them.

    Parameters
    ----------
    connection : sqlite3.Connection
        Open on the record.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._checkpoints = connection.execute(_CHECKPOINTS)
        self._next = self._checkpoints.fetchone()
        self._known = 0
        self._differs = False

    def problems_of(self, entry: StoredEntry, tree: TreeCheck) -> Iterator[RecordProblem]:
        """Add an entry to the tree and compare what is stored of it; after the first difference nothing can agree."""
        self._differs |= entry.sequence != tree.size
        stored = entry.leaf if isinstance(entry.leaf, bytes) else repr(entry.leaf).encode()
        completed = tree.completed(stored)
        self._known += len(completed)
        if not self._differs:
            problems = [*self._subtree_problems(entry, completed), *tree.problems_with(self._note(tree.size))]
            self._differs = bool(problems)
            yield from problems[:1]
        yield from tree.problems_elsewhere()

    def _note(self, size: int) -> str | None:
        if self._next is None or self._next[0] != size:
            return None
        note, self._next = str(self._next[1]), self._checkpoints.fetchone()
        return note

    def _subtree_problems(self, entry: StoredEntry, completed: Subtrees) -> Iterator[RecordProblem]:
        for level, place, hashed in completed:
            row = self._connection.execute(_SUBTREE, (level, place)).fetchone()
            if row is None or row[0] != hashed:
                found = "nothing" if row is None else f"{row[0]!r:.80}"
                what = f"subtree {place} of level {level} is not the hash of its leaves"
                yield RecordProblem(what, entry.sequence, expected=hashed.hex(), found=found)

    def problems_at_the_end(self, tree: TreeCheck) -> Iterator[RecordProblem]:
        """Subtrees and checkpoints of leaves that are not there, and entries no checkpoint covers."""
        if not self._differs:
            yield from self._end_problems(tree)
        yield from tree.problems_at_the_end()

    def _end_problems(self, tree: TreeCheck) -> Iterator[RecordProblem]:
        (stored,) = self._connection.execute("SELECT count(*) FROM subtree").fetchone()
        if stored != self._known:
            yield RecordProblem("the count of stored subtrees is wrong", expected=str(self._known), found=str(stored))
        if self._next is not None:
            what = "is missing although the record's own checkpoint covers it"
            yield RecordProblem(what, self._next[0] - 1, found=f"{tree.size} entries")
        (covered,) = self._connection.execute("SELECT coalesce(max(size), 0) FROM checkpoint").fetchone()
        if covered < tree.size:
            yield RecordProblem("stands under no signed checkpoint", tree.size - 1, found=f"{covered} entries signed")
