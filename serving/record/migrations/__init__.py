"""The schema of a record through its releases: one script per version and database, run in order.

A new record runs them all; `upgrade` runs the missing ones through alembic, in one transaction. A
script that was released is never changed again. ``alembic_version`` names the version in both
databases; a SQLite file says it in its header as well.
"""

import sqlite3
from pathlib import Path

SCHEMA_VERSION = 3
"""Version this release reads and writes."""

FIRST_VERSION = {"sqlite": 2, "postgresql": 3}
"""Oldest version there are records of, by database."""

VERSION_TABLE = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
"""Where alembic keeps the version; made here so that every record has the very same statement."""


def script(database: str, version: int) -> str:
    """Return the statements that lead from the version before to this one; none before the first."""
    if version < FIRST_VERSION[database]:
        return ""
    return Path(__file__).with_name(database).joinpath(f"{version}.sql").read_text(encoding="utf-8")


def scripts(database: str) -> list[str]:
    """Return the statements that make a new record, version table included."""
    versions = range(FIRST_VERSION[database], SCHEMA_VERSION + 1)
    stamped = f"{VERSION_TABLE}; INSERT INTO alembic_version VALUES ('{SCHEMA_VERSION}');"
    return [*(script(database, version) for version in versions), stamped]


def statements(database: str, version: int) -> list[str]:
    """Return the statements of a script one by one; PostgreSQL takes a script whole."""
    text = script(database, version)
    if database != "sqlite":
        return [text] if text else []
    found, begun = list[str](), ""
    for line in text.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            found.append(begun)
            begun = ""
    return found
