"""The record in a PostgreSQL database, shared by worker processes of several machines.

The tables of the SQLite record under the same names in the schema ``record``, one logical writer at
a time through an advisory lock held until the commit, and three round trips for a whole group. A
commit that returned survives a power cut of the server: a server that does not wait for its disk is
refused. Lost connections are opened again when the next one asks.
"""

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from serving.record.migrations import SCHEMA_VERSION, scripts
from serving.record.postgres_writer import LOCK, PostgresReader, PostgresWriter
from serving.record.store import RecordUnavailable, other_schema

_IDLE_CONNECTIONS = 8
SESSION = "-c search_path=record -c statement_timeout=60s -c TimeZone=UTC -c client_encoding=UTF8"
_KEEPALIVE: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "tcp_user_timeout": 20_000,
}
_VERSION = "SELECT version_num FROM alembic_version"
_DURABILITY = "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')"


class PostgresStore:
    """A record in one database; see `serving.record.store.Store`.

    Parameters
    ----------
    url : str
        ``postgresql://`` location as libpq reads it; the password may stand in ``PGPASSWORD`` or a password file.
    lock_patience_second : float, optional
        How long a transaction waits for its turn. [s]
    """

    def __init__(self, url: str, lock_patience_second: float = 5.0) -> None:
        self.url = url
        self._patience_second = lock_patience_second
        self._writing: Connection[Any] | None = None
        self._idle: list[Connection[Any]] = []
        self._idle_lock = Lock()
        self._process_id = os.getpid()

    def prepare(self) -> None:
        """Create the record if there is none, or see that it is one of ours.

        Raises
        ------
        RecordUnavailable
            If the database cannot be reached or written, holds something else, or does not wait for its disk.
        """
        with self._faults_named(), closing_quietly(self._connect()) as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            if _is_blank(connection):
                _create_schema(connection)
            self._require_ours(connection)

    @contextmanager
    def reading(self) -> Iterator[PostgresReader]:
        """Open a consistent view that cannot write."""
        with self._faults_named("Nothing was read."):
            connection = self._reader()
            try:
                yield PostgresReader(connection)
                connection.execute("COMMIT")
            except BaseException:
                close_quietly(connection)
                raise
            self._give_back(connection)

    @contextmanager
    def writing(self) -> Iterator[PostgresWriter]:
        """Wait for the one writer's turn; commit on leaving normally, keep nothing otherwise."""
        consequence = ["Nothing was recorded."]
        with self._faults_named(consequence):
            try:
                connection = self._writer()
                with connection.pipeline():
                    writer = PostgresWriter(connection)
                    yield writer
                    consequence[0] = "Whether it was recorded is not known."
                    writer.commit()
            except BaseException:
                self._close_writer()
                raise

    def close(self) -> None:
        """Let go of all connections; an open transaction is rolled back."""
        self._close_writer()
        with self._idle_lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            close_quietly(connection)

    def _close_writer(self) -> None:
        if self._writing is not None:
            close_quietly(self._writing)
            self._writing = None

    def _writer(self) -> Connection[Any]:
        """Return the open connection if its server has not gone away, or a new one."""
        if self._writing is not None and not _is_quiet(self._writing):
            self._close_writer()
        if self._writing is None:
            self._writing = self._connect()
            self._require_ours(self._writing)
        return self._writing

    def _reader(self) -> Connection[Any]:
        """Return a connection inside a view: an idle one if the server still knows it, or a new one."""
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        while (connection := self._taken()) is not None:
            try:
                connection.execute(begin)
            except psycopg.OperationalError:
                close_quietly(connection)
            else:
                return connection
        connection = self._connect()
        self._require_ours(connection)
        connection.execute(begin)
        return connection

    def _taken(self) -> Connection[Any] | None:
        with self._idle_lock:
            if self._process_id != os.getpid():  # connections of the process we were forked from
                self._idle, self._process_id = [], os.getpid()
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Connection[Any]) -> None:
        with self._idle_lock:
            if len(self._idle) < _IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        close_quietly(connection)

    def _connect(self) -> Connection[Any]:
        patience = f"-c lock_timeout={1000 * self._patience_second:.0f}ms"
        named = "packgrade record"
        connection = psycopg.connect(
            self.url, autocommit=True, options=f"{SESSION} {patience}", application_name=named, **_KEEPALIVE
        )
        connection.prepare_threshold = 2
        return connection

    def _require_ours(self, connection: Connection[Any]) -> None:
        version = schema_version(connection)
        if version is None:
            what = f"{shown(self.url)} has a schema `record` that is not a PackGrade record's."
            raise RecordUnavailable(what, what_to_do="Name another database.")
        if version != SCHEMA_VERSION:
            raise other_schema(shown(self.url), version)
        settings = dict(connection.execute(_DURABILITY).fetchall())
        if "off" in (settings["fsync"], settings["full_page_writes"]):
            what = f"{shown(self.url)} runs with {settings}: a commit may be lost."
            raise RecordUnavailable(what, what_to_do="Set fsync and full_page_writes to on.")
        if settings["synchronous_commit"] == "off":
            connection.execute("SET synchronous_commit = on")

    @contextmanager
    def _faults_named(self, consequence: list[str] | str = "Nothing was recorded.") -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, OSError, UnicodeError) as error:
            told = " ".join(str(error).split()) or type(error).__name__
            what = f"The record {shown(self.url)} cannot be used: {told}."
            raise RecordUnavailable(what, consequence if isinstance(consequence, str) else consequence[0]) from error


def shown(url: str) -> str:
    """Return a location as it may be told: without user, password and options."""
    try:
        given = conninfo_to_dict(url)
        return f"postgresql://{given.get('host', '')}/{given.get('dbname', '')}"
    except psycopg.Error:
        return f"{urlsplit(url).scheme}://…"


def schema_version(connection: Connection[Any]) -> int | None:
    """Return the schema version a database's record names, 0 before the first; None where it is no record."""
    if connection.execute("SELECT to_regclass('record.alembic_version')").fetchone() == (None,):
        return None
    rows = connection.execute(_VERSION).fetchall() or [("0",)]
    return int(rows[0][0]) if len(rows) == 1 and str(rows[0][0]).isdecimal() else None


def close_quietly(connection: Connection[Any]) -> None:
    """Close a connection whose server may be gone."""
    with suppress(psycopg.Error, OSError):
        connection.close()


@contextmanager
def closing_quietly(connection: Connection[Any]) -> Iterator[Connection[Any]]:
    """Close a connection at the end, whatever became of its server."""
    try:
        yield connection
    finally:
        close_quietly(connection)


def _is_quiet(connection: Connection[Any]) -> bool:
    """Whether a connection between transactions is as it was left: a server that went away says so unasked."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def _is_blank(connection: Connection[Any]) -> bool:
    """Whether the database has no schema `record`, or one in which nothing stands."""
    query = "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('record')"
    return connection.execute(query).fetchone() == (0,)


def _create_schema(connection: Connection[Any]) -> None:
    connection.execute("CREATE SCHEMA IF NOT EXISTS record")
    for script in scripts("postgresql"):
        connection.execute(script.encode())
