"""The delivery book in the schema ``delivery`` of the record's PostgreSQL database."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from serving.trace.delivery_book import AlreadyDelivering, BookUnavailable, Values

_DISPATCHER_LOCK = 0x50474431
"""Advisory lock of the one dispatcher of a database (``PGD1``)."""

_SESSION = "-c search_path=delivery -c statement_timeout=60s -c client_encoding=UTF8 -c client_min_messages=warning"
_PATIENCE: dict[str, Any] = {"connect_timeout": 10, "keepalives_idle": 10, "tcp_user_timeout": 20_000}
_NAME = re.compile(r":(\w+)")


class PostgresBookConnection:
    """See `serving.trace.delivery_book.BookConnection`.

    Parameters
    ----------
    location : str
        ``postgresql://…`` address of the record.

    Raises
    ------
    BookUnavailable
        If the database does not answer or forbids it.
    """

    def __init__(self, location: str) -> None:
        with self._faults_named():
            self._connection = psycopg.connect(location, autocommit=True, options=_SESSION, **_PATIENCE)
            if self.rows("SELECT to_regnamespace('delivery')", {}) == [(None,)]:
                self._connection.execute("CREATE SCHEMA delivery")

    def rows(self, statement: str, values: Values) -> list[tuple[Any, ...]]:
        """Run a query."""
        with self._faults_named():
            return self._connection.execute(_spelled(statement), dict(values)).fetchall()

    def run(self, statement: str, values: Values) -> int:
        """Run a statement; returns how many rows it changed."""
        with self._faults_named():
            return self._connection.execute(_spelled(statement), dict(values)).rowcount

    def run_each(self, statement: str, values: Iterable[Values]) -> None:
        """Run a statement once per set of values."""
        with self._faults_named(), self._connection.cursor() as cursor:
            cursor.executemany(_spelled(statement), [dict(each) for each in values])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep everything run inside, or nothing."""
        with self._faults_named(), self._connection.transaction():
            yield

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only dispatcher; the lock ends with the connection, however that ends."""
        ((taken,),) = self.rows("SELECT pg_try_advisory_lock(:lock)", {"lock": _DISPATCHER_LOCK})
        if not taken:
            raise AlreadyDelivering("this database")
        try:
            yield
        finally:
            if not self._connection.closed:
                self.rows("SELECT pg_advisory_unlock(:lock)", {"lock": _DISPATCHER_LOCK})

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise BookUnavailable(f"The delivery book in PostgreSQL cannot be used: {error}.") from error


def _spelled(statement: str) -> bytes:
    return _NAME.sub(r"%(\1)s", statement).encode()
