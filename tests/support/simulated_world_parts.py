"""Disk, network and platform of the simulated world: sound in themselves, and failing when they are told to."""

import math
import random
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from serving.record.leaf import Leaf, canonical_bytes, parse_leaf
from serving.record.migrations import SCHEMA_VERSION, scripts
from serving.record.sqlite import APPLICATION_ID, SqliteReader, SqliteWriter
from serving.record.store import Reader, RecordUnavailable
from serving.trace.answer import Answer, Fate

DISK_FAULTS = ("before the transaction", "before the commit", "after the commit")


class SimulatedDisk:
    """A `Store` in memory that keeps what was committed and fails once at the moment it is told.

    Attributes
    ----------
    fault : str
        One of `DISK_FAULTS`, or empty.
    """

    def __init__(self) -> None:
        self.fault = ""
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
        self._connection.executescript(f"{''.join(scripts('sqlite'))} {marks}")

    def prepare(self) -> None:
        """Do nothing: it is there from the beginning."""

    def close(self) -> None:
        """Do nothing: what a worker lets go of stays for the others."""

    @contextmanager
    def reading(self) -> Iterator[SqliteReader]:
        yield SqliteReader(self._connection)

    @contextmanager
    def writing(self) -> Iterator[SqliteWriter]:
        self._fail_at("before the transaction")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            writer = SqliteWriter(self._connection)
            yield writer
            writer.send()
            self._fail_at("before the commit")
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._fail_at("after the commit")

    def places(self) -> dict[tuple[str, str], tuple[str, int, str]]:
        """Event, index and digest of every entry by station and key."""
        rows = self._connection.execute("SELECT station, idempotency_key, event_id, sequence, leaf_sha256 FROM leaf")
        return {(row[0], row[1]): row[2:] for row in rows}

    def count(self) -> int:
        """Entries in the log."""
        return int(self._connection.execute("SELECT count(*) FROM leaf").fetchone()[0])

    def save(self, path: Path) -> None:
        """Write everything into a file, as a record that can be verified."""
        with closing(sqlite3.connect(path)) as file:
            self._connection.backup(file)

    def _fail_at(self, moment: str) -> None:
        if self.fault == moment:
            self.fault = ""
            raise RecordUnavailable(f"The disk failed {moment}.")


class DispatcherCrashed(RuntimeError):  # noqa: N818 - reads as what happened
    """The dispatching process ended before the book was written, whatever was sent."""


class SimulatedPlatform:
    """Takes each event once, and loses requests and answers as often as it is told.

    Attributes
    ----------
    trouble_fraction : float
        Share of requests of which the request or the answer is lost.
    taken : list of Leaf
        What arrived for the first time, in that order.
    """

    def __init__(self, chance: random.Random) -> None:
        self.trouble_fraction = 0.0
        self.taken: list[Leaf] = []
        self._known: set[str] = set()
        self._chance = chance

    async def send(self, event_id: str, document: bytes, now: datetime) -> Answer:
        """See `serving.trace.delivery.Platform.send`."""
        trouble = self._chance.choice(("request", "answer")) if self._troubled() else ""
        if trouble == "request":
            return Answer(Fate.LATER, "request lost")
        if event_id not in self._known:
            self._known.add(event_id)
            self.taken.append(parse_leaf(document))
        if trouble == "answer":
            return Answer(Fate.LATER, "answer lost")
        return Answer(Fate.DELIVERED, answer_id=event_id)

    def _troubled(self) -> bool:
        return self._chance.random() < self.trouble_fraction


def as_stored(leaf: Leaf, _: Reader) -> bytes:
    """The document of an entry, here its stored bytes."""
    return canonical_bytes(leaf)


class BookInMemory:
    """A `BookConnection` that lives as long as the object.

    Attributes
    ----------
    crash_after : float
        Transactions until the dispatching process ends at the next one.
    """

    def __init__(self) -> None:
        self.crash_after = math.inf
        self._connection = sqlite3.connect(":memory:", isolation_level=None)

    def rows(self, statement: str, values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, dict(values)).fetchall()

    def run(self, statement: str, values: Any) -> int:
        return self._connection.execute(statement, dict(values)).rowcount

    def run_each(self, statement: str, values: Iterable[Any]) -> None:
        self._connection.executemany(statement, [dict(each) for each in values])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.crash_after -= 1
        if self.crash_after < 0:
            raise DispatcherCrashed
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def turn(self) -> Iterator[None]:
        yield

    def close(self) -> None:
        self._connection.close()
