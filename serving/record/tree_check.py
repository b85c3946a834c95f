"""The Merkle tree and the signed checkpoints of a record, recomputed leaf by leaf; no file, no database.

Only the stored leaves are believed. Whatever else stands in the record (subtrees, checkpoints) or was
kept elsewhere (checkpoints of auditors, stations and the platform) is compared with them.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence

from serving.record.chain_check import RecordProblem
from serving.record.checkpoint import Checkpoint, CheckpointRefused, VerifierKey, parsed_checkpoint
from serving.record.key_history import KeysInForce
from serving.record.merkle import completed_subtrees, leaf_hash, root

Subtrees = list[tuple[int, int, bytes]]


class TreeCheck:
    """A walk over the leaves of one record that compares checkpoints as it reaches their size.

    Parameters
    ----------
    held_elsewhere : iterable of Checkpoint
        Opened checkpoints of this log that somebody else kept.
    keys : sequence of VerifierKey
        Keys the auditor holds; from them the key changes of the log are followed (`KeysInForce`).
        Without any, signatures are not checked.

    Attributes
    ----------
    size : int
        Leaves seen.
    """

    def __init__(self, held_elsewhere: Iterable[Checkpoint] = (), keys: Sequence[VerifierKey] = ()) -> None:
        self.size = 0
        self._without_own = 0
        self._left: dict[int, bytes] = {}
        self._before: Checkpoint | None = None
        self._keys = KeysInForce(keys) if keys else None
        self._held = sorted(held_elsewhere, key=lambda each: each.size)

    def completed(self, stored_leaf: bytes) -> Subtrees:
        """Add the next leaf and return the full subtrees it completes: level, place, hash."""
        found = list(completed_subtrees(self.size, leaf_hash(stored_leaf), self._subtree))
        for level, _, hashed in found:
            self._left[level] = hashed
        self.size += 1
        if self._keys is not None:
            self._keys.follow(stored_leaf)
        return found

    def problems_with(self, note: str | None) -> Iterator[RecordProblem]:
        """Compare the record's own checkpoint over the leaves so far, if there is one."""
        if note is None:
            self._without_own = self.size
            return
        try:
            signed = parsed_checkpoint(note)
            if self._keys is not None:
                self._keys.opened(note, signed)
        except CheckpointRefused as refused:
            yield _wrongly_signed(self.size, refused)
            return
        if not self._follows_the_last(signed):
            yield RecordProblem("the checkpoint before this entry's was taken out or exchanged", self.size - 1)
        self._before = signed
        if (signed.size, signed.root) != (self.size, self._root()):
            yield self._differs("is not what the record's own checkpoint covers: it or an earlier entry", signed)

    def problems_elsewhere(self) -> Iterator[RecordProblem]:
        """Compare the checkpoints kept elsewhere that cover the leaves so far."""
        while self._held and self._held[0].size <= self.size:
            held = self._held.pop(0)
            if held.size == self.size and held.root != self._root():
                yield self._differs("does not begin with what a checkpoint kept elsewhere covers", held)
            elif held.size == self.size == self._without_own:
                yield RecordProblem("stands under a checkpoint kept elsewhere that was taken out here", self.size - 1)

    def problems_at_the_end(self) -> Iterator[RecordProblem]:
        """Checkpoints kept elsewhere over more leaves than there are, and a log that no trusted key ever signed."""
        if self._keys is not None and self._keys.not_yet is not None:
            yield _wrongly_signed(*self._keys.not_yet)
        for held in self._held:
            what = "is missing although a checkpoint kept elsewhere covers it: the record was rolled back or cut"
            yield RecordProblem(what, held.size - 1, expected=f"{held.size} entries", found=f"{self.size} entries")

    def _follows_the_last(self, signed: Checkpoint) -> bool:
        """Whether a checkpoint names the one before it; the first, and old ones before any that does, name none."""
        before = self._before
        if signed.follows is None:
            return before is None or before.follows is None
        return before is not None and signed.follows == before.sha256

    def _differs(self, what: str, checkpoint: Checkpoint) -> RecordProblem:
        return RecordProblem(what, self.size - 1, expected=_shown(checkpoint.root), found=_shown(self._root()))

    def _root(self) -> bytes:
        return root(self.size, self._subtree)

    def _subtree(self, level: int, _: int) -> bytes:
        """Return the last full subtree of a level: the only ones a growing log asks for."""
        return self._left[level]


def _wrongly_signed(size: int, refused: CheckpointRefused) -> RecordProblem:
    return RecordProblem(f"the checkpoint over the first {size} entries: {refused.message}", size - 1)


def _shown(root_hash: bytes) -> str:
    return f"root {base64.b64encode(root_hash).decode()}"
