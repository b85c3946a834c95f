"""The rules every stored entry must obey, seen one entry after the other; no file, no database.

Everything is recomputed from the stored leaf bytes. After a bad entry the check goes on from what
is found, so that one fault is told once, at its place.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving.record.canonical import MalformedLeaf
from serving.record.leaf import Leaf, parsed_leaf
from serving.record.store import Head


@dataclass(frozen=True, slots=True)
class RecordProblem:
    """One thing that is wrong with a record.

    Attributes
    ----------
    what : str
        What is wrong, in plain words.
    sequence : int or None
        The entry concerned; None for the file as a whole.
    event_id : str
        Its event as stored; empty where unknown.
    expected, found : str
        What should stand there and what does.
    """

    what: str
    sequence: int | None = None
    event_id: str = ""
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        place = "record" if self.sequence is None else f"entry {self.sequence}"
        event = f" (event {self.event_id})" if self.event_id else ""
        sides = [f"{side} {value}" for side, value in (("expected", self.expected), ("found", self.found)) if value]
        return f"{place}{event}: {self.what}" + (f": {', '.join(sides)}" if sides else "")


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One entry as a store holds it, believed in nothing.

    Attributes
    ----------
    sequence : int
        Index under which the store keeps it.
    columns : sequence of (str, object)
        What the store repeats of the leaf's fields, by field name.
    leaf_sha256 : object
        Stored digest.
    leaf : object
        Stored leaf; bytes unless something is wrong.
    """

    sequence: int
    columns: Sequence[tuple[str, object]]
    leaf_sha256: object
    leaf: object


class ChainCheck:
    """A walk over the entries of one record in the order of the log.

    Attributes
    ----------
    entry_count : int
        Entries seen.
    head : Head or None
        Index and recomputed digest of the last one.
    leaf : Leaf or None
        The last entry read; None where it is damaged.
    body : mapping
        Its body.
    """

    def __init__(self) -> None:
        self.entry_count = 0
        self.head: Head | None = None
        self.leaf: Leaf | None = None
        self.body: Mapping[str, Any] = {}
        self._battery_heads: dict[str, Head] = {}
        self._station_heads: dict[str, int] = {}

    def problems_of(self, entry: StoredEntry) -> Iterator[RecordProblem]:
        """Check the next entry, against itself and against those before it."""
        previous, following = self.head, 0 if self.head is None else self.head.sequence + 1
        stored = entry.leaf if isinstance(entry.leaf, bytes) else repr(entry.leaf).encode()
        head = self.head = Head(entry.sequence, hashlib.sha256(stored).hexdigest())
        self.entry_count += 1
        if entry.sequence != following:
            found = f"entry {entry.sequence} next"
            yield RecordProblem("is missing from the record", following, expected=f"entry {following}", found=found)
        yield from self._own_problems(entry, stored, head.leaf_sha256, previous)

    def _own_problems(
        self, entry: StoredEntry, stored: bytes, digest: str, previous: Head | None
    ) -> Iterator[RecordProblem]:
        self.leaf = None
        event_id = next((str(value)[:64] for name, value in entry.columns if name == "event_id"), "")
        if entry.leaf_sha256 != digest:
            what = "column leaf_sha256 is not the digest of the stored leaf"
            yield _differs(what, entry.sequence, event_id, digest, entry.leaf_sha256)
        try:
            leaf, body = parsed_leaf(stored)
        except MalformedLeaf as error:
            details = "; ".join(str(problem) for problem in error.problems)
            yield RecordProblem(
                f"the stored leaf is damaged, {error.rule} {details}".rstrip(), entry.sequence, event_id
            )
            return
        self.leaf, self.body = leaf, body
        for name, value in entry.columns:
            if value != getattr(leaf, name):
                what = f"column {name} differs from the leaf"
                yield _differs(what, entry.sequence, event_id, getattr(leaf, name), value)
        for what, expected, found in self._chain_differences(leaf, digest, previous):
            yield _differs(what, entry.sequence, event_id, expected, found)

    def _chain_differences(
        self, leaf: Leaf, digest: str, previous: Head | None
    ) -> Iterator[tuple[str, object, object]]:
        """Compare what the leaf says of its predecessors with what they are."""
        expected = None if previous is None else previous.leaf_sha256
        if leaf.previous_leaf_sha256 != expected:
            before = "no entry" if previous is None else f"entry {previous.sequence}"
            what = f"does not follow {before}: that one or this one was changed; digest of {before}"
            yield what, expected, leaf.previous_leaf_sha256
        station_following = self._station_heads.get(leaf.station, -1) + 1
        self._station_heads[leaf.station] = leaf.station_sequence
        if leaf.station_sequence != station_following:
            yield f"breaks the count of station {leaf.station}", station_following, leaf.station_sequence
        if leaf.battery_id is None or leaf.battery_sequence is None:
            return
        battery_head = self._battery_heads.get(leaf.battery_id, Head(-1, ""))
        self._battery_heads[leaf.battery_id] = Head(leaf.battery_sequence, digest)
        if leaf.battery_sequence != battery_head.sequence + 1:
            what = f"breaks the count of battery {leaf.battery_id}"
            yield what, battery_head.sequence + 1, leaf.battery_sequence
        if leaf.battery_previous_leaf_sha256 != (battery_head.leaf_sha256 or None):
            what = f"does not follow the previous entry of battery {leaf.battery_id}; digest of that entry"
            yield what, battery_head.leaf_sha256 or None, leaf.battery_previous_leaf_sha256


def _differs(what: str, sequence: int, event_id: str, expected: object, found: object) -> RecordProblem:
    return RecordProblem(what, sequence, event_id, f"{expected!s:.80}", f"{found!s:.80}")
