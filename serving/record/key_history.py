"""Which key has to have signed which checkpoint of one log: a walk along its key changes.

A log begins under one key. An entry of kind ``key_change`` names the old key and the new one; the
checkpoint over it is signed by both, everything after it by the new one alone. So whoever trusts the
first key can follow to the last, and an old key that signs after its change is found out. Nothing
here opens a file; entries and checkpoints are given in the order of the log.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from serving.record.canonical import MalformedLeaf
from serving.record.checkpoint import (
    Checkpoint,
    CheckpointRefused,
    VerifierKey,
    opened_checkpoint,
    parsed_checkpoint,
    signers,
)
from serving.record.leaf import Leaf, LeafKind, parse_leaf
from serving.record.store import Reader

_MARK = f'"kind":"{LeafKind.KEY_CHANGE}"'.encode()


def earlier_changes(reader: Reader) -> list[Leaf]:
    """Return the key changes of a log, oldest first; each names the one before it."""
    found, leaf = list[Leaf](), reader.last_of_kind(LeafKind.KEY_CHANGE)
    while leaf is not None:
        found.append(leaf)
        before = leaf.body.get("change_before")
        leaf = reader.by_sequence(before) if isinstance(before, int) and before < leaf.sequence else None
    return found[::-1]


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One change of a log's key.

    Attributes
    ----------
    sequence : int
        Index of the entry that tells it.
    old, new : VerifierKey
        The key before and the key after; both bear the log's name.
    """

    sequence: int
    old: VerifierKey
    new: VerifierKey

    @classmethod
    def told_by(cls, leaf: Leaf) -> Self:
        """Read the change an entry tells.

        Raises
        ------
        CheckpointRefused
            If it names no two different keys of one name.
        """
        body = leaf.body
        old, new = (VerifierKey.parsed(str(body.get(name))) for name in ("old", "new"))
        if old.name != new.name or str(old) == str(new):
            raise CheckpointRefused(f"Entry {leaf.sequence} does not change the key of one log into another.")
        return cls(leaf.sequence, old, new)


def key_changes(stored_leaves: Iterable[bytes]) -> Iterator[Leaf]:
    """Return the entries among stored leaves that change the key; damaged ones are passed over."""
    for stored in stored_leaves:
        if _MARK in stored:
            try:
                leaf = parse_leaf(stored)
            except MalformedLeaf:
                continue
            if leaf.kind is LeafKind.KEY_CHANGE:
                yield leaf


class KeysInForce:
    """The keys of one log in the order they come into force, followed entry by entry.

    Parameters
    ----------
    trusted : sequence of VerifierKey
        Keys the auditor holds. Checkpoints from before the first of them came into force are compared
        with the entries, but their signatures prove nothing to this auditor and are not checked.
    """

    def __init__(self, trusted: Sequence[VerifierKey]) -> None:
        self._trusted = tuple(trusted)
        self._current: VerifierKey | None = None
        self._retired: set[tuple[str, bytes]] = set()
        self._change: KeyChange | None = None
        self._broken: CheckpointRefused | None = None
        self.not_yet: tuple[int, CheckpointRefused] | None = None
        """Size and fault of the first checkpoint before any trusted key signed; a fault if none ever does."""

    def follow(self, stored_leaf: bytes) -> None:
        """Take in the next entry; what is wrong with a key change is told by the checkpoint over it."""
        for leaf in key_changes([stored_leaf]):
            try:
                change = KeyChange.told_by(leaf)
                self._require_next(change)
            except CheckpointRefused as refused:
                self._broken = refused
            else:
                self._change = change

    def opened(self, note: str, checkpoint: Checkpoint) -> None:
        """Check the signatures of the next checkpoint, `checkpoint` being what its note says.

        Raises
        ------
        CheckpointRefused
            If a key that should have signed did not, or a replaced one did.
        """
        if self._broken is not None:
            raise self._broken
        if self._change is not None:
            self._changed(note, self._change)
            return
        if late := next((each for each in signers(note) if each in self._retired), None):
            raise CheckpointRefused(f"It is signed by key {late[1].hex()}, which was replaced before.")
        if self._current is not None:
            opened_checkpoint(note, [self._current])
        else:
            self._current = self._first_in_force(note, checkpoint.size)

    def _require_next(self, change: KeyChange) -> None:
        if self._change is not None:
            raise CheckpointRefused(f"Entry {change.sequence} changes the key again before a checkpoint did.")
        if self._current is not None and str(change.old) != str(self._current):
            raise CheckpointRefused(f"Entry {change.sequence} replaces a key that was not in force.")
        if (change.new.name, change.new.key_hash) in self._retired:
            raise CheckpointRefused(f"Entry {change.sequence} brings a replaced key back.")

    def _changed(self, note: str, change: KeyChange) -> None:
        """Check the one checkpoint both keys sign, and go on with the new key."""
        for key in (change.old, change.new):
            opened_checkpoint(note, [key])
        self._retired.add((change.old.name, change.old.key_hash))
        self._change = None
        if self._current is None and self._is_trusted(change.new) and not self._is_trusted(change.old):
            self.not_yet = None
        if self._current is not None or self._is_trusted(change.new) or self._is_trusted(change.old):
            self._current = change.new

    def _first_in_force(self, note: str, size: int) -> VerifierKey | None:
        """Trusted key that signed a checkpoint before any was seen to; None, remembering the fault, if none did."""
        signed = signers(note)
        key = next((key for key in self._trusted if (key.name, key.key_hash) in signed), None)
        try:
            opened_checkpoint(note, self._trusted)
        except CheckpointRefused as refused:
            if key is not None:
                raise
            self.not_yet = self.not_yet or (size, refused)
        return key

    def _is_trusted(self, key: VerifierKey) -> bool:
        return str(key) in map(str, self._trusted)


class KeyHistory:
    """Every key of one log, for opening checkpoints kept elsewhere in any order.

    Parameters
    ----------
    trusted : sequence of VerifierKey
        Keys the auditor holds.
    changes : iterable of Leaf
        The log's key changes, oldest first (`key_changes`); whether they are sound is found by the walk
        over the log (`KeysInForce`), so unsound ones are left out here and only the trusted keys count.
    """

    def __init__(self, trusted: Sequence[VerifierKey], changes: Iterable[Leaf] = ()) -> None:
        self.trusted = tuple(trusted)
        try:
            told = [KeyChange.told_by(leaf) for leaf in changes]
        except CheckpointRefused:
            told = []
        linked = all(str(one.new) == str(following.old) for one, following in pairwise(told))
        known = {str(key) for change in told for key in (change.old, change.new)}
        self._changes = told if linked and known & set(map(str, self.trusted)) else []

    def opened(self, note: str) -> Checkpoint:
        """Checkpoint of a note, if the key that was in force at its size signed it.

        Raises
        ------
        CheckpointRefused
            Saying what is wrong.
        """
        return opened_checkpoint(note, self.keys_at(note))

    def keys_at(self, note: str) -> tuple[VerifierKey, ...]:
        """Keys of which one must have signed a checkpoint of the size a note states.

        Raises
        ------
        CheckpointRefused
            If the note states none.
        """
        size = parsed_checkpoint(note).size
        if not self._changes:
            return self.trusted
        gone = [change for change in self._changes if change.sequence < size]
        return (gone[-1].new,) if gone else (self._changes[0].old,)
