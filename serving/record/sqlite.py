"""The record in one SQLite file, shared by several worker processes of one machine.

Leaves are stored verbatim; the other columns repeat what a search needs and are checked against the
leaf by `verify`. WAL with ``synchronous=FULL``: a commit that returned survives a power cut. A writer
takes an ``flock`` on a file beside the record before it begins, because SQLite's own busy handler
lets a process starve for seconds. The folder must exist: a disk that is not mounted must not start
an empty record in its mount point's place.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

from serving.record.chain_check import RecordProblem
from serving.record.leaf import Leaf, parse_leaf
from serving.record.migrations import SCHEMA_VERSION, scripts
from serving.record.sql import COLUMNS, Row, SqlReader, SqlWriter
from serving.record.store import Asked, Head, RecordUnavailable, other_schema

APPLICATION_ID = 0x50474C31
"""Marks the file as a PackGrade record (``PGL1``)."""

_LARGEST_LOG_PAGES = 8000
"""Pages of the write-ahead log (32 MB) after which a commit also moves it into the file, which waits for the disk
twice more."""

_INSERT = {
    table: f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    for table, columns in COLUMNS.items()
}
_BY_KEY = """
SELECT station, idempotency_key, leaf FROM leaf
WHERE (station, idempotency_key) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))
"""
_BY_EVENT = "SELECT event_id, leaf FROM leaf WHERE event_id IN (SELECT value FROM json_each(?))"
_BATTERY_HEADS = """
SELECT battery_id, battery_sequence, leaf_sha256 FROM json_each(?) AS asked CROSS JOIN leaf ON battery_id = value
WHERE battery_sequence = (SELECT max(battery_sequence) FROM leaf WHERE battery_id = value)
"""


class SqliteReader(SqlReader):
    """Reads of one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def _rows(self, query: str, *values: object) -> Sequence[Row]:
        return self._connection.execute(query, values).fetchall()


class SqliteWriter(SqliteReader, SqlWriter):
    """Writes of the one open write transaction.

    Attributes
    ----------
    erased : bool
        Whether something was to be erased, so that the write-ahead log must not keep it either.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.erased = False
        self._kept_back: dict[str, list[Row]] = {table: [] for table in COLUMNS}
        self._by_key: dict[tuple[str, str], Leaf | None] = {}
        self._by_event: dict[str, Leaf | None] = {}

    def announce(self, asked: Sequence[Asked]) -> None:
        """Look up at once what the entries about to be appended will ask for."""
        keys = [(each.station, each.idempotency_key) for each in asked]
        events = [each.event_id for each in asked]
        batteries = {each.battery_id: None for each in asked if each.battery_id is not None}
        heads = self._rows(_BATTERY_HEADS, json.dumps(list(batteries)))
        by_key, by_event = self._rows(_BY_KEY, json.dumps(keys)), self._rows(_BY_EVENT, json.dumps(events))
        self._by_key |= dict.fromkeys(keys) | {(row[0], row[1]): parse_leaf(row[2]) for row in by_key}
        self._by_event |= dict.fromkeys(events) | {row[0]: parse_leaf(row[1]) for row in by_event}
        self.know_battery_heads(batteries | {row[0]: Head(*row[1:]) for row in heads})

    def find(self, station: str, idempotency_key: str) -> Leaf | None:
        """Return the leaf a station wrote under a key."""
        place = (station, idempotency_key)
        return self._by_key[place] if place in self._by_key else super().find(*place)

    def by_event_id(self, event_id: str) -> Leaf | None:
        """Return the leaf of an event."""
        return self._by_event[event_id] if event_id in self._by_event else super().by_event_id(event_id)

    def append(self, leaf: Leaf) -> Head:
        """Add the next leaf of the log, the subtrees it completes and the rows that follow from it."""
        head = super().append(leaf)
        self._by_key[leaf.station, leaf.idempotency_key] = self._by_event[leaf.event_id] = leaf
        return head

    def erase(self, pseudonym: str) -> bool:
        """Erase what stands behind a pseudonym; whether something stood there."""
        self.send()
        found = self._connection.execute("DELETE FROM erasable WHERE pseudonym = ?", (pseudonym,)).rowcount > 0
        self.erased = True
        return found

    def send(self) -> None:
        """Hand the rows kept back to the database, which is faster with many at a time."""
        for table, rows in self._kept_back.items():
            if rows:
                self._connection.executemany(_INSERT[table], rows)
                rows.clear()

    def _rows(self, query: str, *values: object) -> Sequence[Row]:
        self.send()
        return super()._rows(query, *values)

    def _add(self, table: str, rows: Sequence[Row]) -> None:
        self._kept_back[table].extend(rows)
        if table in ("outbox", "link"):
            self.send()  # its trigger takes a row only while its leaf is the last one


class SqliteStore:
    """A record in one file; see `serving.record.store.Store`.

    Parameters
    ----------
    path : Path
        The file; ``-wal``, ``-shm`` and ``.lock`` files stand beside it. Its folder must exist.
    lock_patience_second : float, optional
        How long a transaction waits for a program that locks the file without our ``flock``. [s]
    """

    def __init__(self, path: Path, lock_patience_second: float = 5.0) -> None:
        self.path = path
        self._patience_second = lock_patience_second
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def prepare(self) -> None:
        """Create the record if there is none, or see that it is one of ours.

        Raises
        ------
        RecordUnavailable
            If the folder is missing, the file cannot be written, or it is something else.
        """
        with self._faults_named(), self._turn():
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            with closing(self._connect("rw")) as connection:
                if _is_blank(connection):
                    _create_schema(connection)
                self._require_ours(connection)
                connection.execute("BEGIN IMMEDIATE")

    @contextmanager
    def reading(self) -> Iterator[SqliteReader]:
        """Open a consistent view, on a connection that cannot write."""
        with self._faults_named("Nothing was read."), closing(self._connect("ro")) as connection:
            connection.execute("BEGIN")
            self._require_ours(connection)
            yield SqliteReader(connection)

    @contextmanager
    def writing(self) -> Iterator[SqliteWriter]:
        """Wait for the one writer's turn; commit on leaving normally, keep nothing otherwise."""
        with self._faults_named(), self._turn():
            connection = self._writer()
            try:
                connection.execute("BEGIN IMMEDIATE")
                writer = SqliteWriter(connection)
                yield writer
                writer.send()
                connection.execute("COMMIT")
                if writer.erased:
                    _empty_log(connection)
            except BaseException:
                self.close()
                raise

    @contextmanager
    def exclusively(self) -> Iterator[sqlite3.Connection]:
        """Keep every writer out and open the file whatever its schema; for upgrades.

        Raises
        ------
        OSError
            If there is no such file.
        """
        self.path.stat()
        with self._turn():
            yield self._connect("rw")

    def close(self) -> None:
        """Let go of the writer's connection; an open transaction is rolled back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _writer(self) -> sqlite3.Connection:
        """Return the open connection, or a new one; a file that was exchanged meanwhile is refused."""
        standing = self.path.stat()
        if self._connection is not None and self._identity != (standing.st_dev, standing.st_ino):
            raise RecordUnavailable(f"Another file now stands at {self.path}.", what_to_do="Look into it and restart.")
        if self._connection is None:
            connection = self._connect("rw")
            self._require_ours(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LARGEST_LOG_PAGES}")
            self._connection, self._identity = connection, (standing.st_dev, standing.st_ino)
        return self._connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=self._patience_second,
            isolation_level=None,
            check_same_thread=False,
        )

    def _require_ours(self, connection: sqlite3.Connection) -> None:
        application_id, version = stamp(connection)
        if application_id != APPLICATION_ID:
            raise RecordUnavailable(f"{self.path} is not a PackGrade record.", what_to_do="Name another file.")
        if version != SCHEMA_VERSION:
            raise other_schema(str(self.path), version)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        lock = os.open(f"{self.path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    @contextmanager
    def _faults_named(self, consequence: str = "Nothing was recorded.") -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeError) as error:  # UnicodeError: a message quoting damage
            raise RecordUnavailable(f"The record {self.path} cannot be used: {error}.", consequence) from error


def _empty_log(connection: sqlite3.Connection) -> None:
    (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise RecordUnavailable(
            "The row is erased, but the write-ahead log still holds what it said: somebody keeps the record open.",
            "Everything else is done.",
            "Let the reader end, then erase it once more.",
        )


def _is_blank(connection: sqlite3.Connection) -> bool:
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return objects == 0 and stamp(connection) == (0, 0)


def _create_schema(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    stamped = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
    connection.executescript(f"BEGIN IMMEDIATE; {' '.join(scripts('sqlite'))} {stamped} COMMIT;")


def stamp(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return application id and schema version written in a file's header."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application_id, version


def schema_objects(connection: sqlite3.Connection) -> dict[str, str]:
    """Return every table, index, trigger and view of a file with the statement that made it and its table."""
    rows = connection.execute(
        "SELECT type || ' ' || name, coalesce(sql, '') || ' -- of ' || tbl_name FROM sqlite_schema"
    )
    return dict(rows.fetchall())


@cache
def expected_schema_objects() -> dict[str, str]:
    """Return what `schema_objects` gives for an untouched record of this release."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript("".join(scripts("sqlite")))
        return schema_objects(connection)


def header_problems(connection: sqlite3.Connection) -> Iterator[RecordProblem]:
    """What the header of a file, and the version alembic keeps in it, say otherwise than this release."""
    if (stamped := stamp(connection)) != (ours := (APPLICATION_ID, SCHEMA_VERSION)):
        what = "is not a PackGrade record of this release (application id, schema version)"
        if stamped[0] == APPLICATION_ID and stamped[1] < SCHEMA_VERSION:
            what = f"{what}; `packgrade record upgrade` brings it up to date"
        yield RecordProblem(what, expected=str(ours), found=str(stamped))
    if "table alembic_version" in schema_objects(connection):
        yield from version_problems(connection.execute("SELECT version_num FROM alembic_version").fetchall())


def version_problems(rows: Sequence[Row]) -> Iterator[RecordProblem]:
    """Compare the version alembic keeps with that of this release."""
    if [tuple(row) for row in rows] != [(str(SCHEMA_VERSION),)]:
        what = "names another schema version in table alembic_version"
        yield RecordProblem(what, expected=str(SCHEMA_VERSION), found=f"{rows!s:.80}")
