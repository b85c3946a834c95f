"""A record opened to be looked at: nothing it says is changed, and hostile content is kept on a leash.

A file at rest is opened as immutable, without a lock and without a file appearing beside it. A file
with a write-ahead log is read in place together with it; where the folder refuses that (read-only
media), a private copy of both is read instead. A database is read in one snapshot.
"""

import shutil
import sqlite3
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import ClassVar

from serving.record.chain_check import RecordProblem
from serving.record.location import RecordLocation, is_database, require_driver
from serving.record.sql import Row
from serving.record.sqlite import expected_schema_objects, header_problems, schema_objects

LARGEST_VALUE_BYTE = 64 * 2**20
"""A stored value beyond this is an error, not an allocation. [byte]"""

MOST_MESSAGES = 50
"""Messages of SQLite about damage that are asked for."""


class Evidence(ABC):
    """One consistent view of a record that is believed in nothing.

    Attributes
    ----------
    scan : str
        What follows a table's name so that no index is believed.
    """

    scan: ClassVar[str] = ""

    @abstractmethod
    def rows(self, query: str, *values: object) -> Sequence[Row]:
        """Return the rows of a query written with ``?`` for a value."""

    @abstractmethod
    def schema_problems(self) -> Iterator[RecordProblem]:
        """What of the schema is missing, changed or too much."""

    @abstractmethod
    def has_our_tables(self) -> bool:
        """Whether the tables are those of a record, so that they can be walked."""

    @abstractmethod
    def structure_problems(self) -> Iterator[RecordProblem]:
        """What the database itself finds wrong with its storage."""


class SqliteEvidence(Evidence):
    """A view of one file."""

    scan = " NOT INDEXED"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, query: str, *values: object) -> Sequence[Row]:
        """Return the rows of a query."""
        return self._connection.execute(query, values).fetchall()

    def schema_problems(self) -> Iterator[RecordProblem]:
        """What of the schema is missing, changed or too much."""
        yield from header_problems(self._connection)
        yield from object_problems(expected_schema_objects(), schema_objects(self._connection))

    def has_our_tables(self) -> bool:
        """Whether the tables are those of a record, so that they can be walked."""
        found, expected = schema_objects(self._connection), expected_schema_objects()
        return all(found.get(name) == sql for name, sql in expected.items() if name.startswith("table "))

    def structure_problems(self) -> Iterator[RecordProblem]:
        """What SQLite finds wrong with the file."""
        for (message,) in self._connection.execute(f"PRAGMA integrity_check({MOST_MESSAGES})"):
            if message != "ok":
                yield RecordProblem(f"SQLite finds the file damaged: {message!s:.300}")


def object_problems(expected: dict[str, str], found: dict[str, str]) -> Iterator[RecordProblem]:
    """Compare the objects of a schema, by kind and name, with those of an untouched record."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield RecordProblem(f"{name} of the schema is missing")
        elif name not in expected:
            yield RecordProblem(f"{name:.80} does not belong into a record")
        elif expected[name] != found[name]:
            yield RecordProblem(f"{name} of the schema was changed", found=f"{found[name]:.200}")


def is_at_rest(location: RecordLocation) -> bool:
    """Whether nobody writes a file: it has no write-ahead log and no index of one beside it. A database never rests."""
    if is_database(location):
        return False
    return not any(Path(f"{location}{suffix}").exists() for suffix in ("-wal", "-shm"))


def opened_as_evidence(location: RecordLocation) -> AbstractContextManager[Evidence]:
    """Open a record for reading, inside one consistent view.

    Raises
    ------
    sqlite3.Error, OSError
        If there is no file, or it is not a database.
    RecordUnavailable
        If a database cannot be read.
    """
    if is_database(location):
        require_driver()
        from serving.record.postgres_evidence import opened_database  # noqa: PLC0415 - only a URL needs the driver

        return opened_database(str(location))
    return _opened_file(Path(location))


@contextmanager
def _opened_file(path: Path) -> Iterator[Evidence]:
    if is_at_rest(path):
        with closing(_looking_at(path, "mode=ro&immutable=1")) as connection:
            yield SqliteEvidence(connection)
        return
    try:
        connection = _looking_at(path, "mode=ro")
    except sqlite3.OperationalError:
        with (
            tempfile.TemporaryDirectory(prefix="packgrade-evidence-") as folder,
            closing(_looking_at(_copied(path, Path(folder)), "mode=rw")) as connection,
        ):
            yield SqliteEvidence(connection)
        return
    with closing(connection):
        yield SqliteEvidence(connection)


def _looking_at(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE_BYTE)
        connection.text_factory = _text
        for leash in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
            connection.execute(f"PRAGMA {leash}")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _copied(path: Path, folder: Path) -> Path:
    for suffix in ("", "-wal"):
        original = Path(f"{path}{suffix}")
        if original.exists():
            shutil.copyfile(original, folder / f"record{suffix}")
    return folder / "record"


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "backslashreplace")
