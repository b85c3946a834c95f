"""The upgrade of a record in a PostgreSQL database; see `serving.record.migrations.upgrade`."""

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import Connection

from serving.record.chain_check import RecordProblem
from serving.record.evidence import object_problems
from serving.record.migrations import SCHEMA_VERSION
from serving.record.migrations.upgrade import migration_transaction, require_expected, run_missing, unusable
from serving.record.postgres import SESSION, closing_quietly, schema_version
from serving.record.postgres_evidence import expected_schema_objects, schema_objects
from serving.record.postgres_writer import LOCK


def upgraded_database(url: str) -> tuple[int, int]:
    """Upgrade the record in a database; returns its schema version before and after.

    Raises
    ------
    RecordUnavailable
        If it cannot be upgraded; it is left as it was.
    """
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - only an upgrade waits for it

    try:
        with closing_quietly(psycopg.connect(url, options=SESSION, connect_timeout=5)) as driver:
            return _upgraded(url, driver)
    except (SQLAlchemyError, psycopg.Error, OSError) as error:
        raise unusable(url, error) from error


def _upgraded(url: str, driver: Connection[Any]) -> tuple[int, int]:
    turn = f"SELECT pg_advisory_xact_lock({LOCK})"
    with migration_transaction(driver, "postgresql+psycopg://", turn) as connection:
        version = schema_version(driver)
        if version is None:
            raise unusable(url, "it is not a PackGrade record")
        run_missing(connection, url, version)
        require_expected(url, _problems(driver))
    return version, SCHEMA_VERSION


def _problems(driver: Connection[Any]) -> Iterator[RecordProblem]:
    yield from object_problems(expected_schema_objects(), schema_objects(driver))
