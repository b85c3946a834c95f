"""A record as auditors read it: a file, a database or an exported archive, all in the same few words. Never written."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Protocol

from features.errors import InvalidInput, Problem
from serving.record.archive import ArchiveRefused, OpenedArchive, Unreadable, is_archive
from serving.record.key_history import earlier_changes, key_changes
from serving.record.leaf import Leaf, parse_leaf
from serving.record.location import RecordLocation, opened_store
from serving.record.store import Store, leaves


class RecordSource(Protocol):
    """What is asked of a record, wherever it lies."""

    def entry_count(self) -> int:
        """Return how many entries it says it holds."""

    def leaves(self, first_sequence: int = 0) -> Iterator[Leaf]:
        """Return the entries from an index on, in the order of the log."""

    def by_sequence(self, sequence: int) -> Leaf | None:
        """Return the entry at an index."""

    def by_event_id(self, event_id: str) -> Leaf | None:
        """Return the entry of an event."""

    def by_battery(self, battery_id: str) -> Iterable[Leaf]:
        """Return the entries of one battery, oldest first."""

    def key_changes(self) -> list[Leaf]:
        """Return the entries that change the log's key, oldest first."""


def source_of(location: RecordLocation) -> RecordSource:
    """Return a record or an archive, for reading."""
    return ArchivedSource(Path(location)) if is_archive(location) else StoredSource(opened_store(location))


class StoredSource:
    """A record in a store; see `RecordSource`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def entry_count(self) -> int:
        """Return how many entries there are."""
        with self._store.reading() as reader:
            head = reader.head()
        return 0 if head is None else head.sequence + 1

    def leaves(self, first_sequence: int = 0) -> Iterator[Leaf]:
        """Return the entries from an index on."""
        return leaves(self._store, first_sequence=first_sequence)

    def by_sequence(self, sequence: int) -> Leaf | None:
        """Return the entry at an index."""
        with self._store.reading() as reader:
            return reader.by_sequence(sequence)

    def by_event_id(self, event_id: str) -> Leaf | None:
        """Return the entry of an event."""
        with self._store.reading() as reader:
            return reader.by_event_id(event_id)

    def by_battery(self, battery_id: str) -> list[Leaf]:
        """Return the entries of one battery."""
        with self._store.reading() as reader:
            return reader.by_battery(battery_id)

    def key_changes(self) -> list[Leaf]:
        """Return the entries that change the log's key."""
        with self._store.reading() as reader:
            return earlier_changes(reader)


class ArchivedSource:
    """A record in an exported archive, searched from its beginning; see `RecordSource`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entry_count(self) -> int:
        """Return how many entries the archive says it holds."""
        with self._opened() as archive:
            return archive.said_entry_count()

    def leaves(self, first_sequence: int = 0) -> Iterator[Leaf]:
        """Return the entries from an index on."""
        with self._opened() as archive:
            yield from map(parse_leaf, islice(archive.stored_leaves(), first_sequence, None))

    def by_sequence(self, sequence: int) -> Leaf | None:
        """Return the entry at an index."""
        with self._opened() as archive:
            stored = archive.leaf_at(sequence)
        return None if stored is None else parse_leaf(stored)

    def by_event_id(self, event_id: str) -> Leaf | None:
        """Return the entry of an event."""
        return next(self._naming(event_id, lambda leaf: leaf.event_id == event_id), None)

    def by_battery(self, battery_id: str) -> Iterator[Leaf]:
        """Return the entries of one battery."""
        return self._naming(battery_id, lambda leaf: leaf.battery_id == battery_id)

    def key_changes(self) -> list[Leaf]:
        """Return the entries that change the log's key."""
        with self._opened() as archive:
            return list(key_changes(archive.stored_leaves()))

    def _naming(self, text: str, is_it: Callable[[Leaf], bool]) -> Iterator[Leaf]:
        written = json.dumps(text, ensure_ascii=False).encode()
        with self._opened() as archive:
            yield from filter(is_it, (parse_leaf(each) for each in archive.stored_leaves() if written in each))

    @contextmanager
    def _opened(self) -> Iterator[OpenedArchive]:
        try:
            with OpenedArchive(self._path) as archive:
                yield archive
        except Unreadable as error:
            problem = Problem(self._path.name, "must be an evidence archive that can be read", str(error)[:200])
            raise ArchiveRefused(self._path.name, [problem]) from error


def require_found(found: Iterable[Leaf], entry: str) -> Iterator[Leaf]:
    """Return the entries found.

    Raises
    ------
    InvalidInput
        If there is none.
    """
    any_found = False
    for leaf in found:
        any_found = True
        yield leaf
    if not any_found:
        raise InvalidInput("Nothing to show.", [Problem("entry", "no such entry is in the record", entry[:80])])
