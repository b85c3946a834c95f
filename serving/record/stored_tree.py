"""Subtrees and checkpoints as a record stores them, held against the leaves; believes neither."""

from collections.abc import Iterator

from serving.record.chain_check import RecordProblem, StoredEntry
from serving.record.evidence import Evidence
from serving.record.tree_check import Subtrees, TreeCheck

_SUBTREES = "SELECT place, hash FROM subtree WHERE level = ? AND place >= ? AND place < ?"
_CHECKPOINTS = "SELECT size, note FROM checkpoint WHERE size > ? AND size <= ? ORDER BY size"


class StoredTree:
    """What one record stores beside its leaves, read in step with them.

    Parameters
    ----------
    evidence : Evidence
        The record.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._subtrees: dict[tuple[int, int], object] = {}
        self._notes: dict[int, str] = {}
        self._known = 0
        self._signed = 0
        self._differs = False

    def fetch(self, size: int, count: int) -> None:
        """Fetch what the next `count` leaves after the first `size` complete."""
        self._subtrees = {}
        for level in range((size + count).bit_length()):
            bounds = (size >> level, (size + count) >> level)
            rows = self._evidence.rows(_SUBTREES, level, *bounds) if bounds[0] < bounds[1] else ()
            self._subtrees |= {(level, place): hashed for place, hashed in rows}
        self._notes = {int(at): str(note) for at, note in self._evidence.rows(_CHECKPOINTS, size, size + count)}
        self._signed += len(self._notes)

    def problems_of(self, entry: StoredEntry, tree: TreeCheck) -> Iterator[RecordProblem]:
        """Add an entry to the tree and compare what is stored of it; after the first difference nothing can agree."""
        self._differs |= entry.sequence != tree.size
        stored = entry.leaf if isinstance(entry.leaf, bytes) else repr(entry.leaf).encode()
        completed = tree.completed(stored)
        self._known += len(completed)
        if not self._differs:
            note = self._notes.get(tree.size)
            problems = [*self._subtree_problems(entry, completed), *tree.problems_with(note)]
            self._differs = bool(problems)
            yield from problems[:1]
        yield from tree.problems_elsewhere()

    def _subtree_problems(self, entry: StoredEntry, completed: Subtrees) -> Iterator[RecordProblem]:
        for level, place, hashed in completed:
            found = self._subtrees.get((level, place))
            if found != hashed:
                shown = "nothing" if found is None else f"{found!r:.80}"
                what = f"subtree {place} of level {level} is not the hash of its leaves"
                yield RecordProblem(what, entry.sequence, expected=hashed.hex(), found=shown)

    def problems_at_the_end(self, tree: TreeCheck) -> Iterator[RecordProblem]:
        """Subtrees and checkpoints of leaves that are not there, and entries no checkpoint covers."""
        if not self._differs:
            yield from self._end_problems(tree)
        yield from tree.problems_at_the_end()

    def _end_problems(self, tree: TreeCheck) -> Iterator[RecordProblem]:
        stored = self._evidence.rows(f"SELECT count(*) FROM subtree{self._evidence.scan}")[0][0]
        if stored != self._known:
            yield RecordProblem("the count of stored subtrees is wrong", expected=str(self._known), found=str(stored))
        query = f"SELECT count(*), coalesce(max(size), 0) FROM checkpoint{self._evidence.scan}"
        signed, covered = self._evidence.rows(query)[0]
        if covered > tree.size:
            what = "is missing although the record's own checkpoint covers it"
            yield RecordProblem(what, covered - 1, found=f"{tree.size} entries")
        elif signed != self._signed:
            yield RecordProblem("a checkpoint covers no entries", expected=str(self._signed), found=str(signed))
        if covered < tree.size:
            yield RecordProblem("stands under no signed checkpoint", tree.size - 1, found=f"{covered} entries signed")
