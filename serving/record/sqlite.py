"""The record in one SQLite file, shared by several worker processes of one machine.

Leaves are stored verbatim; the other columns repeat what a search needs and are checked against the
leaf by `verify`. WAL with ``synchronous=FULL``: a commit that returned survives a power cut. A writer
takes an ``flock`` on a file beside the record before it begins, because SQLite's own busy handler
lets a process starve for seconds. The folder must exist: a disk that is not mounted must not start
an empty record in its mount point's place.
"""

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from serving.record.leaf import Leaf, canonical_bytes, parse_leaf
from serving.record.merkle import completed_subtrees, leaf_hash
from serving.record.store import Head, RecordUnavailable

APPLICATION_ID = 0x50474C31
"""Marks the file as a PackGrade record (``PGL1``)."""

SCHEMA_VERSION = 2

INDEX_COLUMNS = (
    "sequence",
    "event_id",
    "battery_id",
    "battery_sequence",
    "station",
    "station_sequence",
    "idempotency_key",
)
"""Columns that repeat a field of the leaf under the same name."""

SCHEMA = """
CREATE TABLE leaf (
    sequence INTEGER PRIMARY KEY CHECK (sequence >= 0),
    event_id TEXT NOT NULL CHECK (length(event_id) = 32),
    battery_id TEXT CHECK (battery_id <> ''),
    battery_sequence INTEGER CHECK (battery_sequence >= 0),
    station TEXT NOT NULL CHECK (station <> ''),
    station_sequence INTEGER NOT NULL CHECK (station_sequence >= 0),
    idempotency_key TEXT NOT NULL CHECK (idempotency_key <> ''),
    leaf_sha256 TEXT NOT NULL CHECK (length(leaf_sha256) = 64),
    leaf BLOB NOT NULL CHECK (length(leaf) > 0),
    CHECK ((battery_id IS NULL) = (battery_sequence IS NULL))
) STRICT;
CREATE UNIQUE INDEX leaf_by_event ON leaf (event_id);
CREATE UNIQUE INDEX leaf_by_battery ON leaf (battery_id, battery_sequence);
CREATE UNIQUE INDEX leaf_by_station ON leaf (station, station_sequence);
CREATE UNIQUE INDEX leaf_by_key ON leaf (station, idempotency_key);
CREATE TRIGGER leaf_is_never_updated BEFORE UPDATE ON leaf
BEGIN SELECT raise(ABORT, 'the record is append-only: a leaf is never updated'); END;
CREATE TRIGGER leaf_is_never_deleted BEFORE DELETE ON leaf
BEGIN SELECT raise(ABORT, 'the record is append-only: a leaf is never deleted'); END;
CREATE TRIGGER leaf_is_only_appended BEFORE INSERT ON leaf
WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence) + 1, 0) FROM leaf)
  OR EXISTS (SELECT 1 FROM leaf WHERE event_id = NEW.event_id)
  OR EXISTS (SELECT 1 FROM leaf WHERE battery_id = NEW.battery_id AND battery_sequence = NEW.battery_sequence)
  OR EXISTS (SELECT 1 FROM leaf WHERE station = NEW.station AND station_sequence = NEW.station_sequence)
  OR EXISTS (SELECT 1 FROM leaf WHERE station = NEW.station AND idempotency_key = NEW.idempotency_key)
BEGIN SELECT raise(ABORT, 'the record is append-only: a leaf follows the last one and replaces none'); END;
CREATE TABLE subtree (
    level INTEGER NOT NULL CHECK (level >= 0),
    place INTEGER NOT NULL CHECK (place >= 0),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, place)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER subtree_is_never_updated BEFORE UPDATE ON subtree
BEGIN SELECT raise(ABORT, 'the record is append-only: a subtree is never updated'); END;
CREATE TRIGGER subtree_is_never_deleted BEFORE DELETE ON subtree
BEGIN SELECT raise(ABORT, 'the record is append-only: a subtree is never deleted'); END;
CREATE TRIGGER subtree_is_only_added BEFORE INSERT ON subtree
WHEN EXISTS (SELECT 1 FROM subtree WHERE level = NEW.level AND place = NEW.place)
BEGIN SELECT raise(ABORT, 'the record is append-only: a subtree replaces none'); END;
CREATE TABLE checkpoint (
    size INTEGER PRIMARY KEY CHECK (size > 0),
    note TEXT NOT NULL CHECK (note <> '')
) STRICT;
CREATE TRIGGER checkpoint_is_never_updated BEFORE UPDATE ON checkpoint
BEGIN SELECT raise(ABORT, 'the record is append-only: a checkpoint is never updated'); END;
CREATE TRIGGER checkpoint_is_never_deleted BEFORE DELETE ON checkpoint
BEGIN SELECT raise(ABORT, 'the record is append-only: a checkpoint is never deleted'); END;
CREATE TRIGGER checkpoint_only_grows BEFORE INSERT ON checkpoint
WHEN NEW.size IS NOT (SELECT max(sequence) + 1 FROM leaf) OR EXISTS (SELECT 1 FROM checkpoint WHERE size >= NEW.size)
BEGIN SELECT raise(ABORT, 'the record is append-only: a checkpoint covers all leaves and more than the last'); END;
"""
"""The insert triggers also stop ``INSERT OR REPLACE``, which deletes without firing the delete trigger."""

_COLUMNS = (*INDEX_COLUMNS, "leaf_sha256", "leaf")
_INSERT = f"INSERT INTO leaf ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


class SqliteReader:
    """Reads of one connection; see `serving.record.store.Reader`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

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

    def page(self, first_sequence: int, at_most: int) -> list[Leaf]:
        """Return consecutive leaves of the log from an index on."""
        return self._all("sequence >= ? ORDER BY sequence LIMIT ?", first_sequence, at_most)

    def digest_at(self, sequence: int) -> str | None:
        """Return the digest stored at an index of the log."""
        row = self._connection.execute("SELECT leaf_sha256 FROM leaf WHERE sequence = ?", (sequence,)).fetchone()
        return None if row is None else str(row[0])

    def subtree(self, level: int, place: int) -> bytes:
        """Return the hash of a full subtree of the Merkle tree."""
        query = "SELECT hash FROM subtree WHERE level = ? AND place = ?"
        row = self._connection.execute(query, (level, place)).fetchone()
        if row is None:
            raise RecordUnavailable(
                f"The record lacks subtree {place} of level {level}.", what_to_do="Keep the file and verify it."
            )
        return bytes(row[0])

    def covering_checkpoint(self, sequence: int) -> str | None:
        """Return the first signed checkpoint whose tree holds the leaf at an index."""
        return self._note("WHERE size > ? ORDER BY size", sequence)

    def last_checkpoint(self) -> str | None:
        """Return the signed checkpoint over the most leaves."""
        return self._note("ORDER BY size DESC")

    def _note(self, which: str, *values: int) -> str | None:
        row = self._connection.execute(f"SELECT note FROM checkpoint {which} LIMIT 1", values).fetchone()
        return None if row is None else str(row[0])

    def _head(self, query: str, *values: str) -> Head | None:
        row = self._connection.execute(query, values).fetchone()
        return None if row is None else Head(*row)

    def _one(self, condition: str, *values: str | int) -> Leaf | None:
        found = self._all(f"{condition} LIMIT 1", *values)
        return found[0] if found else None

    def _all(self, condition: str, *values: str | int) -> list[Leaf]:
        rows = self._connection.execute(f"SELECT leaf FROM leaf WHERE {condition}", values)
        return [parse_leaf(stored) for (stored,) in rows]


class SqliteWriter(SqliteReader):
    """A reader inside the one open write transaction."""

    def append(self, leaf: Leaf) -> Head:
        """Add the next leaf of the log and the subtrees it completes."""
        stored = canonical_bytes(leaf)
        digest = hashlib.sha256(stored).hexdigest()
        indexed = [getattr(leaf, name) for name in INDEX_COLUMNS]
        self._connection.execute(_INSERT, (*indexed, digest, stored))
        completed = list(completed_subtrees(leaf.sequence, leaf_hash(stored), self.subtree))
        self._connection.executemany("INSERT INTO subtree (level, place, hash) VALUES (?, ?, ?)", completed)
        return Head(leaf.sequence, digest)

    def keep_checkpoint(self, size: int, note: str) -> None:
        """Add a signed checkpoint over the first `size` leaves, more than any before it covers."""
        self._connection.execute("INSERT INTO checkpoint (size, note) VALUES (?, ?)", (size, note))


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
                yield SqliteWriter(connection)
                connection.execute("COMMIT")
            except BaseException:
                self.close()
                raise

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
            raise RecordUnavailable(
                f"{self.path} has record schema {version}, this release reads {SCHEMA_VERSION}.",
                what_to_do="Use the release that wrote it or a newer one.",
            )

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


def _is_blank(connection: sqlite3.Connection) -> bool:
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return objects == 0 and stamp(connection) == (0, 0)


def _create_schema(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    stamped = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
    connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {stamped} COMMIT;")


def stamp(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return application id and schema version written in a file's header."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application_id, version


def schema_objects(connection: sqlite3.Connection) -> dict[str, str]:
    """Return every table, index, trigger and view of a file with the statement that made it."""
    rows = connection.execute("SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema")
    return dict(rows.fetchall())


def expected_schema_objects() -> dict[str, str]:
    """Return what `schema_objects` gives for an untouched record of this release."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return schema_objects(connection)
