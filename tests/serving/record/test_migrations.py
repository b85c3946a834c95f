import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from serving.record.ledger import Ledger
from serving.record.log_key import log_key
from serving.record.migrations import SCHEMA_VERSION, VERSION_TABLE
from serving.record.migrations.upgrade import upgraded
from serving.record.postgres import SESSION, PostgresStore
from serving.record.postgres_evidence import expected_schema_objects, schema_objects
from serving.record.sqlite import stamp
from serving.record.store import RecordUnavailable
from serving.record.verify import verify_record
from tests.support.postgres_server import RunningServer
from tests.support.record_entries import new_entry
from tests.support.schema_2_record import write_schema_2_record

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A record of ten leaves as its release left it."""
    path = tmp_path / "record.sqlite"
    write_schema_2_record(path, 10)
    return path


def _content(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        leaves = connection.execute("SELECT sequence, leaf_sha256, leaf FROM leaf ORDER BY sequence").fetchall()
        subtrees = connection.execute("SELECT * FROM subtree ORDER BY level, place").fetchall()
        return [*leaves, *subtrees, *connection.execute("SELECT * FROM checkpoint").fetchall()]


def test_a_record_of_the_release_before_is_refused_by_name_of_the_command_and_left_as_it_is(path: Path) -> None:
    before = _content(path)
    with pytest.raises(RecordUnavailable, match=r"schema 2, this release reads 3.*`packgrade record upgrade`"):
        Ledger.open(path, "0.2.0")
    assert "`packgrade record upgrade` brings it up to date" in str(verify_record(path).problems[0])
    assert _content(path) == before


def test_an_upgraded_record_holds_the_same_bytes_verifies_and_goes_on(path: Path) -> None:
    before = _content(path)
    assert upgraded(path) == (2, SCHEMA_VERSION)
    assert _content(path) == before
    assert verify_record(path, keys=[log_key(path).verifier]).problems == ()
    with Ledger.open(path, "0.2.0") as ledger:
        assert ledger.append(new_entry(9)).replayed
        recorded = ledger.append(new_entry(10))
    assert (recorded.leaf.sequence, recorded.leaf.format_version, recorded.leaf.battery_sequence) == (10, 2, 3)
    report = verify_record(path, keys=[log_key(path).verifier])
    assert (report.problems, report.entry_count) == ((), 11)


def test_an_upgrade_of_an_upgraded_record_changes_nothing(path: Path) -> None:
    upgraded(path)
    before = _content(path)
    assert upgraded(path) == (SCHEMA_VERSION, SCHEMA_VERSION)
    assert _content(path) == before
    assert verify_record(path).is_intact


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE leaf SET leaf = x'00' WHERE sequence = 4",
        "CREATE TABLE outbox (a)",
        "CREATE VIEW shown AS SELECT 1",
        "DROP TRIGGER leaf_is_never_deleted",
        "DROP TRIGGER subtree_is_never_deleted",
    ],
)
def test_a_record_that_cannot_be_upgraded_whole_is_left_as_it_was(path: Path, damage: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if "UPDATE" in damage:
            connection.execute("DROP TRIGGER leaf_is_never_updated")
        connection.execute(damage)
        objects = connection.execute("SELECT name, sql FROM sqlite_schema").fetchall()
    before = _content(path)
    if damage == "DROP TRIGGER leaf_is_never_deleted":  # the new table gets all its triggers anew
        assert upgraded(path) == (2, SCHEMA_VERSION)
        return
    with pytest.raises(RecordUnavailable, match=r"cannot be upgraded.*left as it was"):
        upgraded(path)
    assert _content(path) == before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name, sql FROM sqlite_schema").fetchall() == objects
        assert stamp(connection)[1] == 2


def test_a_record_of_a_newer_release_another_file_and_no_file_are_not_upgraded(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(RecordUnavailable, match="Use the release that wrote it or a newer one"):
        upgraded(path)
    with closing(sqlite3.connect(tmp_path / "other")) as connection:
        connection.execute("CREATE TABLE customers (name)")
    with pytest.raises(RecordUnavailable, match="not a PackGrade record"):
        upgraded(tmp_path / "other")
    with pytest.raises(RecordUnavailable, match="No such file"):
        upgraded(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    "change",
    ["UPDATE alembic_version SET version_num = '2'", "DELETE FROM alembic_version", "DROP TABLE alembic_version"],
)
def test_a_changed_version_is_found_by_verification(path: Path, change: str) -> None:
    upgraded(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(change)
    assert "alembic_version" in str(verify_record(path).problems[0])


def test_opening_an_up_to_date_record_waits_for_no_migration_tool(path: Path) -> None:
    upgraded(path)
    script = f"""
import sys
from pathlib import Path
from serving.record.ledger import Ledger
from serving.record.verify import verify_record
Ledger.open(Path({str(path)!r}), "0.2.0").close()
assert verify_record(Path({str(path)!r})).is_intact
print(sorted({{"alembic", "sqlalchemy", "psycopg"}} & sys.modules.keys()))
"""
    asked = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[]"


def test_migrations_from_nothing_make_the_very_schema_of_a_new_record_in_postgresql(postgres: RunningServer) -> None:
    migrated, made = postgres.new_database(), postgres.new_database()
    with psycopg.connect(migrated, autocommit=True, options=SESSION) as connection:
        connection.execute("CREATE SCHEMA record")
        connection.execute(VERSION_TABLE.encode())
    with pytest.raises(RecordUnavailable, match="schema 0, this release reads 3"):
        PostgresStore(migrated).prepare()
    assert upgraded(migrated) == (0, SCHEMA_VERSION)
    assert upgraded(migrated) == (SCHEMA_VERSION, SCHEMA_VERSION)
    PostgresStore(made).prepare()
    for url in (migrated, made):
        with psycopg.connect(url, options=SESSION) as connection:
            assert schema_objects(connection) == expected_schema_objects()
        assert verify_record(url).problems == ()


def test_a_database_of_somebody_else_is_neither_used_nor_upgraded(postgres: RunningServer) -> None:
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA record")
        connection.execute("CREATE TABLE record.customers (name text)")
    with pytest.raises(RecordUnavailable, match="not a PackGrade record's"):
        PostgresStore(url).prepare()
    with pytest.raises(RecordUnavailable, match="not a PackGrade record"):
        upgraded(url)


def test_a_failed_upgrade_of_a_database_leaves_it_as_it_was(postgres: RunningServer) -> None:
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True, options=SESSION) as connection:
        connection.execute("CREATE SCHEMA record")
        connection.execute(VERSION_TABLE.encode())
        connection.execute("CREATE TABLE checkpoint (size text)")
        before = schema_objects(connection)
        with pytest.raises(RecordUnavailable, match=r"cannot be upgraded: .*already exists.*left as it was"):
            upgraded(url)
        assert schema_objects(connection) == before
