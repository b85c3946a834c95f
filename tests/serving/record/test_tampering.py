"""Everything somebody who can write the record's file may do to it, and what shows it.

``ALONE``: `verify` finds it in the file, with the log's public key. ``KEPT``: only against one checkpoint
kept elsewhere, because the file is then a sound record of something else.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serving.record.checkpoint import parsed_checkpoint
from serving.record.derived import pseudonym
from serving.record.ledger import Ledger
from serving.record.sql import COLUMNS
from serving.record.verify import verify_record
from tests.support.log_forger import forge_history
from tests.support.record_entries import new_entry
from tests.support.tampered_record import SALT, WHO, WrittenRecord, flipped_bits


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> WrittenRecord:
    return WrittenRecord.into(tmp_path_factory.mktemp("written"))


@pytest.fixture
def path(written: WrittenRecord, tmp_path: Path) -> Path:
    return written.copied_to(tmp_path / "copy")


def _tamper(path: Path, change: Callable[[sqlite3.Connection], object]) -> None:
    """Take the triggers and rules away, change, put the triggers back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        change(connection)
        for _, statement in triggers:
            connection.execute(statement)


def _other(value: Any, column: str = "") -> Any:
    if isinstance(value, int):
        return 1 - value if column == "joined" else value + 1000
    if isinstance(value, bytes):
        return value[:-2] + bytes([value[-2] ^ 1]) + value[-1:]
    return "0" if value is None else value[:-1] + ("~" if value[-1] != "~" else "0")


EVERY_COLUMN = [f"{table}.{column}" for table, columns in COLUMNS.items() for column in columns]


@pytest.mark.parametrize("column", [*EVERY_COLUMN, "alembic_version.version_num"])
def test_one_changed_value_of_any_column_in_any_row_is_found_without_a_checkpoint(
    written: WrittenRecord, tmp_path: Path, column: str
) -> None:
    table, name = column.split(".")
    with closing(sqlite3.connect(written.folder / "record.sqlite")) as connection:
        rows = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    assert rows
    for row in sorted({0, rows // 2, rows - 1}):
        path = written.copied_to(tmp_path / f"row-{row}")
        _tamper(path, lambda connection, row=row: _change(connection, table, name, row))
        assert written.shown_alone(path), f"{column} of row {row}"


def _change(connection: sqlite3.Connection, table: str, column: str, row: int) -> None:
    columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
    found = connection.execute(f"SELECT * FROM {table} LIMIT 1 OFFSET ?", (row,)).fetchone()
    condition = " AND ".join(f"{name} IS ?" for name in columns)
    value = _other(found[columns.index(column)], column)
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {condition}", (value, *found))
    assert connection.execute("SELECT changes()").fetchone() == (1,)


@pytest.mark.parametrize("pragma", ["user_version", "application_id"])
def test_a_changed_mark_in_the_header_of_the_file_is_found(written: WrittenRecord, path: Path, pragma: str) -> None:
    _tamper(path, lambda connection: connection.execute(f"PRAGMA {pragma} = 7"))
    assert written.shown_alone(path)


def test_every_column_of_every_table_is_mutated(written: WrittenRecord) -> None:
    with closing(sqlite3.connect(written.folder / "record.sqlite")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = [
            f"{table}.{name}" for table in tables for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")
        ]
    assert sorted(found) == sorted([*EVERY_COLUMN, "alembic_version.version_num"])


@pytest.mark.parametrize("table", [table for table in COLUMNS if table != "erasable"])
def test_a_row_taken_from_any_table_is_found(written: WrittenRecord, tmp_path: Path, table: str) -> None:
    for order in ("ASC", "DESC"):
        path = written.copied_to(tmp_path / order)
        first = f"SELECT {COLUMNS[table][0]} FROM {table} ORDER BY 1 {order} LIMIT 1"
        delete = f"DELETE FROM {table} WHERE {COLUMNS[table][0]} = ({first})"
        _tamper(path, lambda connection, delete=delete: connection.execute(delete))
        assert written.shown_alone(path) or (table == "checkpoint" and order == "ASC")


@pytest.mark.parametrize("table", COLUMNS)
def test_a_row_added_to_any_table_is_found(written: WrittenRecord, path: Path, table: str) -> None:
    def add(connection: sqlite3.Connection) -> None:
        row = connection.execute(f"SELECT * FROM {table} ORDER BY 1 DESC LIMIT 1").fetchone()
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", [_other(each) for each in row])

    _tamper(path, add)
    assert written.shown_alone(path)


def test_erasing_personal_data_leaves_the_record_whole(written: WrittenRecord, path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        assert ledger.erase(pseudonym(SALT, *WHO))
    assert not written.shown_with_checkpoint(path)


@pytest.mark.parametrize("which", ["the first", "one in the middle", "the last but one"])
def test_a_checkpoint_taken_out_is_named_by_the_one_after_it(written: WrittenRecord, path: Path, which: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        sizes = [size for (size,) in connection.execute("SELECT size FROM checkpoint ORDER BY size")]
    size = {"the first": sizes[0], "one in the middle": sizes[len(sizes) // 2], "the last but one": sizes[-2]}[which]
    _tamper(path, lambda connection: connection.execute("DELETE FROM checkpoint WHERE size = ?", (size,)))
    report = verify_record(path, keys=written.keys)
    assert [problem.sequence for problem in report.problems] == [sizes[sizes.index(size) + 1] - 1]
    assert "taken out" in str(report.problems[0])


def test_a_checkpoint_taken_out_is_named_by_whoever_keeps_it_too(written: WrittenRecord, path: Path) -> None:
    size = written.kept_before.size
    _tamper(path, lambda connection: connection.execute("DELETE FROM checkpoint WHERE size = ?", (size,)))
    report = verify_record(path, checkpoints=[written.kept_before], keys=written.keys)
    assert report.problems[0].sequence == size - 1


ALONE, KEPT = "alone", "kept elsewhere"


def _exchanged(connection: sqlite3.Connection) -> None:
    rows = connection.execute("SELECT leaf, leaf_sha256 FROM leaf WHERE sequence IN (6, 9)").fetchall()
    for sequence, row in ((6, rows[1]), (9, rows[0])):
        connection.execute("UPDATE leaf SET leaf = ?, leaf_sha256 = ? WHERE sequence = ?", (*row, sequence))


def _older_head(connection: sqlite3.Connection) -> None:
    """Everything after an older signed head is taken out, to the last row."""
    (size,) = connection.execute("SELECT size FROM checkpoint ORDER BY size DESC LIMIT 1 OFFSET 1").fetchone()
    connection.execute("DELETE FROM checkpoint WHERE size > ?", (size,))
    for table in ("leaf", "outbox", "link"):
        connection.execute(f"DELETE FROM {table} WHERE sequence >= ?", (size,))
    connection.execute("DELETE FROM subtree WHERE (place + 1) << level > ?", (size,))


WITHOUT_THE_KEY: dict[str, tuple[Callable[[sqlite3.Connection], object], str]] = {
    "the first entry deleted": (lambda db: db.execute("DELETE FROM leaf WHERE sequence = 0"), ALONE),
    "an entry in the middle deleted": (lambda db: db.execute("DELETE FROM leaf WHERE sequence = 5"), ALONE),
    "the last entry deleted": (lambda db: db.execute("DELETE FROM leaf WHERE sequence = 10"), ALONE),
    "two entries exchanged with their digests": (_exchanged, ALONE),
    "the tree taken out": (lambda db: db.execute("DELETE FROM subtree"), ALONE),
    "all checkpoints taken out": (lambda db: db.execute("DELETE FROM checkpoint"), ALONE),
    "everything taken out": (
        lambda db: [db.execute(f"DELETE FROM {table}") for table in COLUMNS],
        KEPT,
    ),
    "rolled back to an older signed head": (_older_head, KEPT),
}


@pytest.mark.parametrize("attack", WITHOUT_THE_KEY)
def test_an_attack_without_the_key_is_found(written: WrittenRecord, path: Path, attack: str) -> None:
    change, needs = WITHOUT_THE_KEY[attack]
    _tamper(path, change)
    assert written.shown_alone(path) == (needs == ALONE)
    assert written.shown_with_checkpoint(path)


WITH_THE_KEY: dict[str, Callable[[list[Any]], list[Any]]] = {
    "the last entry says something else": lambda entries: [*entries[:-1], replace(entries[-1], body={"grade": "A"})],
    "an entry in the middle says something else": lambda entries: [
        *entries[:5],
        replace(entries[5], body=entries[5].body | {"note": "nothing to see"}),
        *entries[6:],
    ],
    "an entry is left out": lambda entries: [*entries[:6], *entries[7:]],
    "an entry is slipped in": lambda entries: [*entries[:6], new_entry(99), *entries[6:]],
    "two entries change places": lambda entries: [*entries[:6], entries[7], entries[6], *entries[8:]],
    "the end is cut off": lambda entries: entries[:-2],
    "a due date is moved": lambda entries: [
        *entries[:-1],
        replace(entries[-1], body=entries[-1].body | {"upload_due_on": "2027-12-12"}),
    ],
    "everything is left out": lambda _: [],
}


@pytest.mark.parametrize("attack", WITH_THE_KEY)
def test_a_history_rewritten_and_signed_with_the_stolen_key_is_found_against_a_checkpoint_kept_elsewhere(
    written: WrittenRecord, path: Path, attack: str
) -> None:
    forge_history(path, WITH_THE_KEY[attack])
    assert not written.shown_alone(path)
    assert written.shown_with_checkpoint(path)


def test_an_older_copy_put_back_is_found_against_a_checkpoint_kept_elsewhere(
    written: WrittenRecord, path: Path
) -> None:
    path.write_bytes(written.older)
    assert not written.shown_alone(path)
    assert written.shown_with_checkpoint(path)


def test_an_older_copy_written_on_is_found_against_a_checkpoint_kept_elsewhere(
    written: WrittenRecord, path: Path
) -> None:
    path.write_bytes(written.older)
    with Ledger.open(path, "0.1.0") as ledger:
        for number in range(20, 40):
            ledger.append(new_entry(number))
    assert not written.shown_alone(path)
    assert written.shown_with_checkpoint(path)


def test_a_write_ahead_log_cut_anywhere_is_found_against_a_checkpoint_kept_elsewhere(
    written: WrittenRecord, tmp_path: Path
) -> None:
    path = written.copied_to(tmp_path / "live")
    with Ledger.open(path, "0.1.0") as ledger:
        for number in range(11, 16):
            ledger.append(new_entry(number))
        note = ledger.last_checkpoint()
        content, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    assert note is not None
    copy = tmp_path / "cut.sqlite"
    for length in range(0, len(log), 997):
        copy.write_bytes(content)
        Path(f"{copy}-wal").write_bytes(log[:length])
        Path(f"{copy}-shm").unlink(missing_ok=True)
        assert not verify_record(copy, checkpoints=[parsed_checkpoint(note)], keys=written.keys).is_intact


def test_a_flipped_bit_is_found_or_stands_where_no_reader_can_see_it(tmp_path: Path) -> None:
    flipped = flipped_bits(tmp_path, 300, 20261122)
    print(flipped)
    assert flipped.found > 50


@pytest.mark.long
def test_two_thousand_flipped_bits_are_found_or_stand_where_no_reader_can_see_them(tmp_path: Path) -> None:
    flipped = flipped_bits(tmp_path, 2000, 20261123)
    print(flipped)
    assert flipped.found > 300
