"""What both databases are asked in the same words: the reads and the rows of a record.

Queries are written with ``?`` for a value; a database that says it otherwise translates. Nothing here
opens, locks or commits anything.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from features.errors import Problem
from serving.record.canonical import UnrecordableEntry
from serving.record.derived import ErasableRow, Link, OutboxRow, Relation, derived_rows, pseudonym_problems
from serving.record.leaf import Leaf, LeafKind, canonical_bytes, parse_leaf
from serving.record.merkle import completed_subtrees, leaf_hash
from serving.record.store import Head, RecordUnavailable

INDEX_COLUMNS = (
    "sequence",
    "event_id",
    "kind",
    "battery_id",
    "battery_sequence",
    "station",
    "station_sequence",
    "idempotency_key",
)
"""Columns that repeat a field of the leaf under the same name."""

COLUMNS = {
    "leaf": (*INDEX_COLUMNS, "leaf_sha256", "leaf"),
    "subtree": ("level", "place", "hash"),
    "checkpoint": ("size", "note"),
    "outbox": ("sequence", "battery_id", "due_on"),
    "link": ("sequence", "place", "relation", "child_id", "parent_id", "joined"),
    "erasable": ("pseudonym", "salt", "kind", "station", "value"),
}
"""Every table of a record with its columns."""

_LINK = "SELECT sequence, relation, child_id, parent_id, joined FROM link"

Row = Sequence[Any]


class SqlReader(ABC):
    """One consistent view of a record in a database; see `serving.record.store.Reader`."""

    @abstractmethod
    def _rows(self, query: str, *values: object) -> Sequence[Row]:
        """Return the rows of a query."""

    def head(self) -> Head | None:
        """Return the last leaf of the log."""
        return self._head("SELECT sequence, leaf_sha256 FROM leaf ORDER BY sequence DESC LIMIT 1")

    def battery_head(self, battery_id: str) -> Head | None:
        """Return the last leaf of one battery, counted within the battery."""
        columns, order = "battery_sequence, leaf_sha256", "battery_sequence DESC LIMIT 1"
        return self._head(f"SELECT {columns} FROM leaf WHERE battery_id = ? ORDER BY {order}", battery_id)

    def station_head(self, station: str) -> Head | None:
        """Return the last leaf of one station, counted within the station."""
        columns, order = "station_sequence, leaf_sha256", "station_sequence DESC LIMIT 1"
        return self._head(f"SELECT {columns} FROM leaf WHERE station = ? ORDER BY {order}", station)

    def find(self, station: str, idempotency_key: str) -> Leaf | None:
        """Return the leaf a station wrote under a key."""
        return self._one("station = ? AND idempotency_key = ?", station, idempotency_key)

    def by_event_id(self, event_id: str) -> Leaf | None:
        """Return the leaf of an event."""
        return self._one("event_id = ?", event_id)

    def by_sequence(self, sequence: int) -> Leaf | None:
        """Return the leaf at an index of the log."""
        return self._one("sequence = ?", sequence)

    def by_battery(self, battery_id: str) -> list[Leaf]:
        """Return the leaves of one battery, oldest first."""
        return self._all("battery_id = ? ORDER BY battery_sequence", battery_id)

    def last_of_battery(self, battery_id: str) -> Leaf | None:
        """Return the last leaf of one battery."""
        return self._one("battery_id = ? ORDER BY battery_sequence DESC", battery_id)

    def page(self, first_sequence: int, at_most: int) -> list[Leaf]:
        """Return consecutive leaves of the log from an index on."""
        return self._all("sequence >= ? ORDER BY sequence LIMIT ?", first_sequence, at_most)

    def digest_at(self, sequence: int) -> str | None:
        """Return the digest stored at an index of the log."""
        return self._text("SELECT leaf_sha256 FROM leaf WHERE sequence = ?", sequence)

    def subtree(self, level: int, place: int) -> bytes:
        """Return the hash of a full subtree of the Merkle tree."""
        rows = self._rows("SELECT hash FROM subtree WHERE level = ? AND place = ?", level, place)
        if not rows:
            raise RecordUnavailable(
                f"The record lacks subtree {place} of level {level}.", what_to_do="Keep the record and verify it."
            )
        return bytes(rows[0][0])

    def covering_checkpoint(self, sequence: int) -> str | None:
        """Return the first signed checkpoint whose tree holds the leaf at an index."""
        return self._text("SELECT note FROM checkpoint WHERE size > ? ORDER BY size LIMIT 1", sequence)

    def last_checkpoint(self) -> str | None:
        """Return the signed checkpoint over the most leaves."""
        return self._text("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1")

    def last_of_kind(self, kind: LeafKind) -> Leaf | None:
        """Return the last leaf of a kind."""
        return self._one("kind = ? ORDER BY sequence DESC", kind.value)

    def outbox_page(self, first_sequence: int, at_most: int) -> list[OutboxRow]:
        """Return what the platform is to be told, oldest first, from an index of the log on."""
        query = "SELECT sequence, battery_id, due_on FROM outbox WHERE sequence >= ? ORDER BY sequence LIMIT ?"
        return [OutboxRow(*row) for row in self._rows(query, first_sequence, at_most)]

    def links_of_child(self, child_id: str, relation: Relation) -> list[Link]:
        """Return what was said of a battery as the part or the old code, oldest first."""
        return self._links("child_id = ? AND relation = ?", child_id, relation)

    def links_of_parent(self, parent_id: str, relation: Relation) -> list[Link]:
        """Return what was said of a battery as the whole or the new code, oldest first."""
        return self._links("parent_id = ? AND relation = ?", parent_id, relation)

    def pseudonym_of(self, kind: str, station: str, value: str) -> str | None:
        """Return the pseudonym personal data is kept under."""
        query = "SELECT pseudonym FROM erasable WHERE kind = ? AND station = ? AND value = ?"
        return self._text(query, kind, station, value)

    def erasable_value(self, pseudonym: str) -> str | None:
        """Return what stands behind a pseudonym, None once it was erased."""
        return self._text("SELECT value FROM erasable WHERE pseudonym = ?", pseudonym)

    def _links(self, condition: str, battery_id: str, relation: Relation) -> list[Link]:
        rows = self._rows(f"{_LINK} WHERE {condition} ORDER BY sequence, place", battery_id, relation.value)
        return [
            Link(sequence, Relation(said), child, parent, bool(joined))
            for sequence, said, child, parent, joined in rows
        ]

    def _text(self, query: str, *values: object) -> str | None:
        rows = self._rows(query, *values)
        return str(rows[0][0]) if rows else None

    def _head(self, query: str, *values: str) -> Head | None:
        rows = self._rows(query, *values)
        return Head(*rows[0]) if rows else None

    def _one(self, condition: str, *values: str | int) -> Leaf | None:
        found = self._all(f"{condition} LIMIT 1", *values)
        return found[0] if found else None

    def _all(self, condition: str, *values: str | int) -> list[Leaf]:
        rows = self._rows(f"SELECT leaf FROM leaf WHERE {condition}", *values)
        return [parse_leaf(stored) for (stored,) in rows]


class SqlWriter(SqlReader):
    """A reader inside the one open write transaction; see `serving.record.store.Writer`.

    Nobody else writes meanwhile, so it does not ask the database twice for a head, a hash of the tree or
    the checkpoint it has just kept.
    """

    _first_own: int | None = None
    _own_note: str | None = None

    @cached_property
    def _known_heads(self) -> dict[tuple[str, str], Head | None]:
        return {}

    @cached_property
    def _known_subtrees(self) -> dict[tuple[int, int], bytes]:
        return {}

    def head(self) -> Head | None:
        """Return the last leaf of the log."""
        return self._known_head(("log", ""), super().head)

    def battery_head(self, battery_id: str) -> Head | None:
        """Return the last leaf of one battery, counted within the battery."""
        return self._known_head(("battery", battery_id), lambda: SqlReader.battery_head(self, battery_id))

    def station_head(self, station: str) -> Head | None:
        """Return the last leaf of one station, counted within the station."""
        return self._known_head(("station", station), lambda: SqlReader.station_head(self, station))

    def subtree(self, level: int, place: int) -> bytes:
        """Return the hash of a full subtree of the Merkle tree."""
        known = self._known_subtrees.get((level, place))
        if known is None:
            known = self._known_subtrees[level, place] = super().subtree(level, place)
        return known

    def covering_checkpoint(self, sequence: int) -> str | None:
        """Return the first signed checkpoint whose tree holds the leaf at an index."""
        if self._own_note is not None and self._first_own is not None and sequence >= self._first_own:
            return self._own_note
        return super().covering_checkpoint(sequence)

    def know_battery_heads(self, heads: Mapping[str, Head | None]) -> None:
        """Take the last leaves of batteries as they were looked up."""
        for battery_id, head in heads.items():
            self._known_heads.setdefault(("battery", battery_id), head)

    def _known_head(self, chain: tuple[str, str], asked: Callable[[], Head | None]) -> Head | None:
        if chain not in self._known_heads:
            self._known_heads[chain] = asked()
        return self._known_heads[chain]

    @abstractmethod
    def _add(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows with all columns of a table."""

    @abstractmethod
    def erase(self, pseudonym: str) -> bool:
        """Erase what stands behind a pseudonym; whether something stood there."""

    def append(self, leaf: Leaf) -> Head:
        """Add the next leaf of the log, the subtrees it completes and the rows that follow from it."""
        outbox, links = derived_rows(leaf)
        stored = canonical_bytes(leaf)
        digest = hashlib.sha256(stored).hexdigest()
        completed = list(completed_subtrees(leaf.sequence, leaf_hash(stored), self.subtree))
        self._add("leaf", [(*(getattr(leaf, name) for name in INDEX_COLUMNS), digest, stored)])
        self._add("subtree", completed)
        if outbox:
            self._add("outbox", outbox)
        if links:
            self._add("link", link_rows(links))
        self._remember(leaf, digest)
        self._known_subtrees.update({(level, place): hashed for level, place, hashed in completed})
        return Head(leaf.sequence, digest)

    def _remember(self, leaf: Leaf, digest: str) -> None:
        self._first_own = leaf.sequence if self._first_own is None else self._first_own
        self._known_heads["log", ""] = Head(leaf.sequence, digest)
        self._known_heads["station", leaf.station] = Head(leaf.station_sequence, digest)
        if leaf.battery_id is not None and leaf.battery_sequence is not None:
            self._known_heads["battery", leaf.battery_id] = Head(leaf.battery_sequence, digest)

    def keep_checkpoint(self, size: int, note: str) -> None:
        """Add a signed checkpoint over the first `size` leaves, more than any before it covers."""
        self._add("checkpoint", [(size, note)])
        self._own_note = note

    def keep_erasable(self, pseudonym: str, salt: bytes, kind: str, station: str, value: str) -> str:
        """Keep personal data apart from the leaves; returns the pseudonym it is kept under, an earlier one first."""
        row = ErasableRow(pseudonym, salt, kind, station, value)
        if problems := pseudonym_problems(row):
            raise UnrecordableEntry(problems)
        earlier = self.pseudonym_of(kind, station, value)
        if earlier is not None:
            return earlier
        if self.erasable_value(pseudonym) is not None:
            raise UnrecordableEntry([Problem("pseudonym", "must be of no other value", pseudonym)])
        self._add("erasable", [row])
        return pseudonym


def link_rows(links: Sequence[Link]) -> list[Row]:
    """Return links as rows of the table: their place among those of their leaf is a column."""
    return [
        (link.sequence, place, link.relation.value, link.child_id, link.parent_id, int(link.joined))
        for place, link in enumerate(links)
    ]
