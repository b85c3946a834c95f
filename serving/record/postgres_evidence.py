"""A record in PostgreSQL opened to be looked at: one snapshot, in which nothing can be written."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

import serving.record.migrations
from serving.record.chain_check import RecordProblem
from serving.record.evidence import Evidence, object_problems
from serving.record.migrations import SCHEMA_VERSION
from serving.record.postgres import SESSION, close_quietly, shown
from serving.record.sql import COLUMNS, Row
from serving.record.sqlite import version_problems
from serving.record.store import RecordUnavailable

_COLUMNS = """
SELECT 'table ' || relname, string_agg(
    attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
    || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), ''), ', ' ORDER BY attnum)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = 'record'::regnamespace AND relkind = 'r' GROUP BY relname
"""
_OTHER_RELATIONS = """
SELECT 'relation ' || relname, relkind::text FROM pg_class
WHERE relnamespace = 'record'::regnamespace AND relkind NOT IN ('r', 'i', 't')
"""
_CONSTRAINTS = """
SELECT 'constraint ' || conname || ' on ' || relname, pg_get_constraintdef(pg_constraint.oid)
    || CASE WHEN convalidated THEN '' ELSE ' NOT VALID' END
FROM pg_constraint JOIN pg_class ON conrelid = pg_class.oid
WHERE relnamespace = 'record'::regnamespace AND contype <> 'n'
"""
_INDEXES = """
SELECT 'index ' || indexrelid::regclass, pg_get_indexdef(indexrelid) || CASE WHEN indisvalid THEN '' ELSE ' INVALID' END
FROM pg_index JOIN pg_class ON indrelid = pg_class.oid
WHERE relnamespace = 'record'::regnamespace
"""
_TRIGGERS = """
SELECT 'trigger ' || tgname, pg_get_triggerdef(pg_trigger.oid) || ' ' || tgenabled::text
FROM pg_trigger JOIN pg_class ON tgrelid = pg_class.oid
WHERE relnamespace = 'record'::regnamespace AND NOT tgisinternal
"""
_RULES = """
SELECT 'rule ' || rulename, pg_get_ruledef(pg_rewrite.oid) FROM pg_rewrite JOIN pg_class ON ev_class = pg_class.oid
WHERE relnamespace = 'record'::regnamespace
"""
_POLICIES = "SELECT 'policy ' || policyname, tablename::text FROM pg_policies WHERE schemaname = 'record'"
_FUNCTIONS = """
SELECT 'function ' || proname, prosrc || CASE WHEN prosecdef THEN ' SECURITY DEFINER' ELSE '' END
    || coalesce(array_to_string(proconfig, ','), '')
FROM pg_proc WHERE pronamespace = 'record'::regnamespace
"""
_OBJECTS = (_COLUMNS, _OTHER_RELATIONS, _CONSTRAINTS, _INDEXES, _TRIGGERS, _RULES, _POLICIES, _FUNCTIONS)


class PostgresEvidence(Evidence):
    """A view of one database."""

    def __init__(self, connection: Connection[Any], location: str) -> None:
        self._connection = connection
        self._location = location

    def rows(self, query: str, *values: object) -> Sequence[Row]:
        """Return the rows of a query."""
        try:
            return self._connection.execute(query.replace("?", "%s").encode(), values, binary=True).fetchall()
        except psycopg.Error as error:
            raise _unreadable(self._location, error) from error

    def schema_problems(self) -> Iterator[RecordProblem]:
        """What of the schema is missing, changed or too much."""
        found = schema_objects(self._connection)
        if "table alembic_version" in found:
            yield from version_problems(self.rows("SELECT version_num FROM alembic_version"))
        yield from object_problems(expected_schema_objects(), found)

    def has_our_tables(self) -> bool:
        """Whether the tables are those of a record, so that they can be walked."""
        found, expected = schema_objects(self._connection), expected_schema_objects()
        return all(found.get(f"table {name}") == expected[f"table {name}"] for name in COLUMNS)

    def structure_problems(self) -> Iterator[RecordProblem]:
        """Nothing: the pages of a server are its administrator's to check (``pg_amcheck``, data checksums)."""
        yield from ()


@contextmanager
def opened_database(url: str) -> Iterator[Evidence]:
    """Open one snapshot of a database for reading.

    Raises
    ------
    RecordUnavailable
        If it cannot be reached or has no record.
    """
    try:
        connection = psycopg.connect(url, autocommit=True, options=SESSION, connect_timeout=5)
    except (psycopg.Error, OSError) as error:
        raise _unreadable(url, error) from error
    try:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if connection.execute("SELECT to_regnamespace('record')").fetchone() == (None,):
            raise _unreadable(url, "it has no schema `record`")
        yield PostgresEvidence(connection, url)
    except psycopg.Error as error:
        raise _unreadable(url, error) from error
    finally:
        close_quietly(connection)


def schema_objects(connection: Connection[Any]) -> dict[str, str]:
    """Return every object of the schema ``record`` with what defines it."""
    return {str(name): str(told) for query in _OBJECTS for name, told in connection.execute(query.encode()).fetchall()}


@cache
def expected_schema_objects() -> dict[str, str]:
    """Return what `schema_objects` gives for an untouched record of this release."""
    folder = Path(serving.record.migrations.__file__).parent / "postgresql"
    objects: dict[str, str] = json.loads((folder / f"{SCHEMA_VERSION}.objects.json").read_text(encoding="utf-8"))
    return objects


def _unreadable(url: str, error: object) -> RecordUnavailable:
    told = " ".join(str(error).split())
    return RecordUnavailable(
        f"The record {shown(url)} cannot be read: {told}.", "Nothing was verified.", "Look into it."
    )
