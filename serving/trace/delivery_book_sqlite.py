"""The delivery book in an SQLite file beside the record (``RECORD.delivery``).

Not synced on every commit: what a power cut takes is sent again.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving.trace.delivery_book import AlreadyDelivering, BookUnavailable, Values

APPLICATION_ID = 0x50474431
"""Marks the file as a delivery book (``PGD1``)."""

_PATIENCE_SECOND = 5.0


class SqliteBookConnection:
    """See `serving.trace.delivery_book.BookConnection`.

    Parameters
    ----------
    path : Path
        The file; made, for its owner alone, if there is none. ``-wal``, ``-shm`` and ``.lock`` stand beside it.

    Raises
    ------
    BookUnavailable
        If it cannot be written or is another kind of file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._faults_named():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(path, timeout=_PATIENCE_SECOND, isolation_level=None)
            self._require_ours()
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")

    def rows(self, statement: str, values: Values) -> list[tuple[Any, ...]]:
        """Run a query."""
        with self._faults_named():
            return self._connection.execute(statement, dict(values)).fetchall()

    def run(self, statement: str, values: Values) -> int:
        """Run a statement; returns how many rows it changed."""
        with self._faults_named():
            return self._connection.execute(statement, dict(values)).rowcount

    def run_each(self, statement: str, values: Iterable[Values]) -> None:
        """Run a statement once per set of values."""
        with self._faults_named():
            self._connection.executemany(statement, [dict(each) for each in values])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep everything run inside, or nothing."""
        with self._faults_named():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only dispatcher; the lock ends with the process, however that ends."""
        with self._faults_named():
            lock = os.open(f"{self._path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            if not _locked(lock):
                raise AlreadyDelivering(self._path.name)
            yield
        finally:
            os.close(lock)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _require_ours(self) -> None:
        (application_id,) = self._connection.execute("PRAGMA application_id").fetchone()
        (objects,) = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application_id != APPLICATION_ID and (application_id or objects):
            raise BookUnavailable(f"{self._path} is not a delivery book.", "Move that file away.")
        self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise BookUnavailable(f"The delivery book {self._path} cannot be used: {error}.") from error


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
