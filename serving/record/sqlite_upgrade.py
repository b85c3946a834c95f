"""The upgrade of a record in a SQLite file; see `serving.record.migrations.upgrade`."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from serving.record.chain_check import RecordProblem
from serving.record.evidence import object_problems
from serving.record.migrations import FIRST_VERSION, SCHEMA_VERSION, VERSION_TABLE
from serving.record.migrations.upgrade import migration_transaction, require_expected, run_missing, unusable
from serving.record.sqlite import APPLICATION_ID, SqliteStore, expected_schema_objects, schema_objects, stamp


def upgraded_file(path: Path) -> tuple[int, int]:
    """Upgrade the record in a file; returns its schema version before and after.

    Raises
    ------
    RecordUnavailable
        If it cannot be upgraded; it is left as it was.
    """
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - only an upgrade waits for it

    try:
        with SqliteStore(path).exclusively() as driver, closing(driver):
            return _upgraded(path, driver)
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise unusable(path, error) from error


def _upgraded(path: Path, driver: sqlite3.Connection) -> tuple[int, int]:
    application_id, version = stamp(driver)
    if application_id != APPLICATION_ID or version < FIRST_VERSION["sqlite"]:
        raise unusable(path, "it is not a PackGrade record")
    with migration_transaction(driver, "sqlite://", "BEGIN IMMEDIATE") as connection:
        if "table alembic_version" not in schema_objects(driver):
            connection.exec_driver_sql(VERSION_TABLE)
            connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{version}')")
        run_missing(connection, path, version)
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
        require_expected(path, _problems(driver))
    return version, SCHEMA_VERSION


def _problems(driver: sqlite3.Connection) -> Iterator[RecordProblem]:
    yield from object_problems(expected_schema_objects(), schema_objects(driver))
