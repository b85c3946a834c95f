"""Somebody who may do anything to a record's database: statements past its triggers, taken back afterwards."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from serving.record.location import RecordLocation
from serving.record.postgres import SESSION

_TABLES = ("leaf", "subtree", "checkpoint", "outbox", "link", "erasable")
_TRIGGERS = """
SELECT tgrelid::regclass, tgname FROM pg_trigger JOIN pg_class ON tgrelid = pg_class.oid
WHERE relnamespace = 'record'::regnamespace AND NOT tgisinternal
"""


def executed(location: RecordLocation, statement: str) -> None:
    """Run one statement as anybody who may write."""
    if isinstance(location, Path):
        with closing(sqlite3.connect(location, isolation_level=None)) as connection:
            connection.execute(statement)
    else:
        with psycopg.connect(location, autocommit=True, options=SESSION) as server:
            server.execute(statement.encode())


@contextmanager
def executed_without_triggers(location: RecordLocation, *statements: str) -> Iterator[None]:
    """Run statements with the triggers taken away and put back; at the end the record is as it was."""
    undo = _on_file(location, statements) if isinstance(location, Path) else _on_server(location, statements)
    with undo:
        yield


@contextmanager
def _on_file(path: Path, statements: tuple[str, ...]) -> Iterator[None]:
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
        closing(sqlite3.connect(":memory:")) as kept,
    ):
        connection.backup(kept)
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for statement in (
            *(f"DROP TRIGGER {name}" for name, _ in triggers),
            *statements,
            *(sql for _, sql in triggers),
        ):
            connection.execute(statement)
        yield
        kept.backup(connection)


@contextmanager
def _on_server(url: str, statements: tuple[str, ...]) -> Iterator[None]:
    with psycopg.connect(url, autocommit=True, options=SESSION) as server:
        kept = {table: server.execute(f"SELECT * FROM {table}".encode()).fetchall() for table in _TABLES}
        with _triggers_off(server):
            for statement in statements:
                server.execute(statement.encode())
        yield
        with _triggers_off(server):
            for table, rows in kept.items():
                server.execute(f"DELETE FROM {table}".encode())
                places = ", ".join(["%s"] * len(rows[0])) if rows else ""
                server.cursor().executemany(f"INSERT INTO {table} VALUES ({places})".encode(), rows)
            server.execute("UPDATE alembic_version SET version_num = '3'")


@contextmanager
def _triggers_off(server: psycopg.Connection[Any]) -> Iterator[None]:
    """Take the triggers off for one transaction, which only the owner of the tables may do."""
    with server.transaction():
        for table in _TABLES:
            server.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        yield
        for table, name in server.execute(_TRIGGERS.encode()).fetchall():
            server.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}".encode())
