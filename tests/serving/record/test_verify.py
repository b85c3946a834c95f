import json
import random
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from serving.record.canonical import canonical_json
from serving.record.ledger import Ledger
from serving.record.log_key import log_key
from serving.record.sql import INDEX_COLUMNS
from serving.record.store import Head
from serving.record.verify import SHOWN_PROBLEMS, VerificationReport, verify_record
from tests.support.log_forger import reseal
from tests.support.record_entries import append_numbered, new_entry

Tampering = Callable[[sqlite3.Connection], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A record of ten entries, closed: batteries 0 1 2 0 1 2 …, stations 0 1 0 1 …"""
    path = tmp_path / "record.sqlite"
    with Ledger.open(path, "0.1.0") as ledger:
        append_numbered(ledger, 10)
    return path


@pytest.fixture
def receipt(path: Path) -> Head:
    """Index and digest of the last entry, as a station keeps them."""
    with Ledger.open(path, "0.1.0") as ledger:
        head = ledger.head()
    assert head is not None
    return head


def _tampered(path: Path, tamper: Tampering) -> VerificationReport:
    """Tamper as somebody who can write the file: take the triggers away, change, put them back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        tamper(connection)
        for _, statement in triggers:
            connection.execute(statement)
    return verify_record(path)


def _rewritten(connection: sqlite3.Connection, sequence: int, **changes: Any) -> None:
    """Change fields of a leaf and put its digest right."""
    (stored,) = connection.execute("SELECT leaf FROM leaf WHERE sequence = ?", (sequence,)).fetchone()
    leaf = canonical_json(json.loads(stored) | changes)
    update = "UPDATE leaf SET leaf = ?, leaf_sha256 = ? WHERE sequence = ?"
    connection.execute(update, (leaf, sha256(leaf).hexdigest(), sequence))


def test_an_untouched_record_is_intact_and_its_head_is_the_receipts(path: Path, receipt: Head) -> None:
    report = verify_record(path, expected_head=receipt)
    assert report == VerificationReport(entry_count=10, head=receipt, problems=(), problem_count=0)
    assert report.is_intact
    assert report.first_bad_entry is None


def test_a_receipt_of_an_earlier_entry_holds_while_the_record_grows(path: Path, receipt: Head) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(10))
    assert verify_record(path, expected_head=receipt).is_intact


def test_an_empty_record_is_intact_and_has_no_head(tmp_path: Path) -> None:
    Ledger.open(tmp_path / "record.sqlite", "0.1.0").close()
    report = verify_record(tmp_path / "record.sqlite")
    assert (report.is_intact, report.entry_count, report.head) == (True, 0, None)


def test_a_record_is_verified_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    with Ledger.open(path, "0.1.0") as ledger:
        writing = threading.Thread(target=lambda: [ledger.append(new_entry(number)) for number in range(300)])
        writing.start()
        reports = [verify_record(path) for _ in range(10)]
        writing.join()
    assert all(report.is_intact for report in reports)
    assert verify_record(path).entry_count == 300


def test_verifying_changes_nothing_and_leaves_nothing_beside_a_record_at_rest(path: Path) -> None:
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    verify_record(path)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_a_copy_taken_while_the_service_runs_is_verified_together_with_its_write_ahead_log(tmp_path: Path) -> None:
    path, copy = tmp_path / "record.sqlite", tmp_path / "copy.sqlite"
    with Ledger.open(path, "0.1.0") as ledger:
        append_numbered(ledger, 10)
        receipt = ledger.head()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
    assert verify_record(copy, expected_head=receipt).entry_count == 10
    Path(f"{copy}-wal").unlink()
    Path(f"{copy}-shm").unlink(missing_ok=True)
    without_log = verify_record(copy, expected_head=receipt)
    assert not without_log.is_intact


def test_progress_tells_how_many_entries_are_done_of_how_many(path: Path) -> None:
    told: list[tuple[int, int]] = []
    verify_record(path, progress=lambda done, total: told.append((done, total)))
    assert told == [(10, 10)]


MUTATIONS = {
    "sequence": "UPDATE leaf SET sequence = 1000 WHERE sequence = 9",
    "event_id": f"UPDATE leaf SET event_id = '{'0' * 32}' WHERE sequence = 9",
    "kind": "UPDATE leaf SET kind = 'refusal' WHERE sequence = 9",
    "battery_id": "UPDATE leaf SET battery_id = 'ANOTHER' WHERE sequence = 9",
    "battery_sequence": "UPDATE leaf SET battery_sequence = 7 WHERE sequence = 9",
    "station": "UPDATE leaf SET station = 'another' WHERE sequence = 9",
    "station_sequence": "UPDATE leaf SET station_sequence = 77 WHERE sequence = 9",
    "idempotency_key": "UPDATE leaf SET idempotency_key = 'another' WHERE sequence = 9",
    "leaf_sha256": f"UPDATE leaf SET leaf_sha256 = '{'0' * 64}' WHERE sequence = 9",
    "leaf": "UPDATE leaf SET leaf = CAST(replace(leaf, '26.9', '29.9') AS BLOB) WHERE sequence = 9",
}


@pytest.mark.parametrize("column", MUTATIONS)
def test_one_changed_column_is_found_even_in_the_last_entry_naming_it(path: Path, column: str) -> None:
    report = _tampered(path, lambda connection: connection.execute(MUTATIONS[column]))
    assert report.first_bad_entry is not None
    assert report.first_bad_entry.sequence == 9
    if column != "sequence":  # an entry under another index leaves a gap, which is the first thing to be seen
        assert re.search("is damaged|leaf_sha256" if column == "leaf" else column, str(report.first_bad_entry))


def test_every_column_of_the_record_has_its_mutation(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(leaf)")]
    assert columns == list(MUTATIONS) == [*INDEX_COLUMNS, "leaf_sha256", "leaf"]


TREE_MUTATIONS = {
    "subtree.level": "UPDATE subtree SET level = 9 WHERE level = 1 AND place = 2",
    "subtree.place": "UPDATE subtree SET place = 99 WHERE level = 0 AND place = 7",
    "subtree.hash": f"UPDATE subtree SET hash = x'{'00' * 32}' WHERE level = 2 AND place = 1",
    "checkpoint.size": "UPDATE checkpoint SET size = 9 WHERE size = 10",
    "checkpoint.note": "UPDATE checkpoint SET note = replace(note, char(10) || '10', char(10) || '9')",
}


@pytest.mark.parametrize("column", TREE_MUTATIONS)
def test_one_changed_column_of_the_tree_or_of_a_checkpoint_is_found(path: Path, column: str) -> None:
    report = _tampered(path, lambda connection: connection.execute(TREE_MUTATIONS[column]))
    assert not report.is_intact


@pytest.mark.parametrize(
    ("forgery", "told"),
    [
        ("DELETE FROM subtree WHERE level = 1 AND place = 1", "subtree 1 of level 1 is not the hash of its leaves"),
        ("INSERT INTO subtree VALUES (7, 7, zeroblob(32))", "the count of stored subtrees is wrong"),
        ("DELETE FROM checkpoint", "stands under no signed checkpoint"),
        ("INSERT INTO checkpoint VALUES (11, 'x')", "is missing although the record's own checkpoint covers it"),
    ],
)
def test_a_row_added_to_or_taken_from_the_tree_is_found(path: Path, forgery: str, told: str) -> None:
    report = _tampered(path, lambda connection: connection.execute(forgery))
    assert told in str(report.first_bad_entry or report.problems[0])


def test_every_column_of_the_tree_has_its_mutation(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        columns = [
            f"{table}.{name}"
            for table in ("subtree", "checkpoint")
            for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")
        ]
    assert columns == list(TREE_MUTATIONS)


def test_a_changed_body_is_found_with_expected_and_found_digest(path: Path) -> None:
    report = _tampered(path, lambda connection: connection.execute(MUTATIONS["leaf"].replace("= 9", "= 4")))
    first = report.first_bad_entry
    assert first is not None
    assert (first.sequence, first.event_id) == (4, new_entry(4).event_id)
    assert len(first.expected) == len(first.found) == 64
    assert "not the digest of the stored leaf" in first.what


def _forged(path: Path, tamper: Tampering) -> VerificationReport:
    """Tamper as somebody who has the log's key as well."""

    def tamper_and_reseal(connection: sqlite3.Connection) -> None:
        tamper(connection)
        reseal(connection, log_key(path))

    return _tampered(path, tamper_and_reseal)


def test_a_changed_body_with_its_digest_put_right_is_found_in_the_tree(path: Path) -> None:
    report = _tampered(path, lambda connection: _rewritten(connection, 9, body={"number": 9, "grade": "A"}))
    assert "subtree 9 of level 0 is not the hash of its leaves" in str(report.first_bad_entry)
    assert report.problem_count == 1


def test_a_changed_body_with_digest_and_tree_put_right_is_found_at_the_next_entry(path: Path) -> None:
    report = _forged(path, lambda connection: _rewritten(connection, 4, body={"number": 4, "grade": "A"}))
    first = report.first_bad_entry
    assert first is not None
    assert first.sequence == 5
    assert "that one or this one was changed" in first.what


def test_the_last_entry_forged_with_a_stolen_key_is_found_only_with_a_receipt(path: Path, receipt: Head) -> None:
    report = _forged(path, lambda connection: _rewritten(connection, 9, body={"number": 9, "grade": "A"}))
    assert report.is_intact
    with_receipt = verify_record(path, expected_head=receipt)
    assert "is not the entry its receipt names" in str(with_receipt.first_bad_entry)
    assert with_receipt.problem_count == 1


def test_an_end_cut_off_with_a_stolen_key_is_found_only_with_a_receipt(path: Path, receipt: Head) -> None:
    cut_off = _tampered(path, lambda connection: connection.execute("DELETE FROM leaf WHERE sequence >= 7"))
    assert "is missing although the record's own checkpoint covers it" in str(cut_off.first_bad_entry)
    report = _forged(path, lambda connection: connection.execute("DELETE FROM leaf WHERE sequence >= 7"))
    assert report.is_intact
    assert report.entry_count == 7
    with_receipt = verify_record(path, expected_head=receipt)
    assert "entry 9: is missing although a receipt names it: the record was rolled back or cut" in str(
        with_receipt.first_bad_entry
    )


def test_an_older_copy_put_back_and_written_on_is_found_only_with_a_receipt(tmp_path: Path, path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(10))
    shutil.copyfile(path, tmp_path / "older")
    with Ledger.open(path, "0.1.0") as ledger:
        receipt = ledger.append(new_entry(11))
    shutil.copyfile(tmp_path / "older", path)
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(12))
    assert verify_record(path).is_intact
    report = verify_record(path, expected_head=(receipt.leaf.sequence, receipt.leaf_sha256))
    assert report.first_bad_entry is not None
    assert report.first_bad_entry.sequence == 11


def test_a_missing_entry_is_named(path: Path) -> None:
    report = _tampered(path, lambda connection: connection.execute("DELETE FROM leaf WHERE sequence = 4"))
    assert str(report.first_bad_entry) == "entry 4: is missing from the record: expected entry 4, found entry 5 next"


def test_a_missing_first_entry_is_named(path: Path) -> None:
    report = _tampered(path, lambda connection: connection.execute("DELETE FROM leaf WHERE sequence = 0"))
    assert report.first_bad_entry is not None
    assert report.first_bad_entry.sequence == 0


def test_two_entries_exchanged_with_their_digests_are_found(path: Path) -> None:
    def exchange(connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT leaf, leaf_sha256 FROM leaf WHERE sequence IN (3, 6)").fetchall()
        for sequence, row in ((3, rows[1]), (6, rows[0])):
            connection.execute("UPDATE leaf SET leaf = ?, leaf_sha256 = ? WHERE sequence = ?", (*row, sequence))

    report = _tampered(path, exchange)
    assert report.first_bad_entry is not None
    assert report.first_bad_entry.sequence == 3
    assert "column sequence differs from the leaf" in report.first_bad_entry.what


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"battery_sequence": 8}, "breaks the count of battery BATTERY0"),
        ({"battery_previous_leaf_sha256": "ab" * 32}, "does not follow the previous entry of battery BATTERY0"),
        ({"battery_previous_leaf_sha256": None}, "does not follow the previous entry of battery BATTERY0"),
        ({"station_sequence": 8}, "breaks the count of station station-1"),
        ({"previous_leaf_sha256": None}, "that one or this one was changed"),
    ],
)
def test_a_forged_last_entry_that_breaks_a_chain_is_found_without_a_receipt(
    path: Path, changes: dict[str, Any], told: str
) -> None:
    def forge(connection: sqlite3.Connection) -> None:
        _rewritten(connection, 9, **changes)
        for name in changes.keys() & set(INDEX_COLUMNS):
            connection.execute(f"UPDATE leaf SET {name} = ? WHERE sequence = 9", (changes[name],))

    report = _tampered(path, forge)
    assert told in str(report.first_bad_entry)


@pytest.mark.parametrize(
    "stored",
    [b"not json", b"{}", b"[1]", b"\xff\xfe\x00", b'{"a":' * 100_000, b'{"format_version":2}', b"\x00", b"9" * 10_000],
)
def test_a_leaf_that_is_no_leaf_is_named_and_not_a_crash(path: Path, stored: bytes) -> None:
    def replace_leaf(connection: sqlite3.Connection) -> None:
        update = "UPDATE leaf SET leaf = ?, leaf_sha256 = ? WHERE sequence = 9"
        connection.execute(update, (stored, sha256(stored).hexdigest()))

    report = _tampered(path, replace_leaf)
    assert report.first_bad_entry is not None
    assert report.first_bad_entry.sequence == 9
    assert "the stored leaf is damaged" in report.first_bad_entry.what


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DROP TRIGGER leaf_is_never_updated", "trigger leaf_is_never_updated of the schema is missing"),
        ("DROP INDEX leaf_by_key", "index leaf_by_key of the schema is missing"),
        ("CREATE TABLE grades (a)", "table grades does not belong into a record"),
        ("CREATE VIEW shown AS SELECT 1", "view shown does not belong into a record"),
        ("PRAGMA user_version = 9", "schema version"),
        ("PRAGMA application_id = 9", "not a PackGrade record"),
        ("ALTER TABLE leaf ADD COLUMN vin TEXT", "table leaf of the schema was changed"),
        ("DROP TABLE leaf", "table leaf of the schema is missing"),
        ("ALTER TABLE leaf RENAME TO other", "table leaf of the schema is missing"),
    ],
)
def test_a_changed_schema_is_named(path: Path, statement: str, told: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    assert any(told in str(problem) for problem in verify_record(path).problems)


def test_a_key_used_twice_is_found_although_no_index_refuses_it(path: Path) -> None:
    def forge(connection: sqlite3.Connection) -> None:
        connection.execute("DROP INDEX leaf_by_key")
        _rewritten(connection, 9, idempotency_key="key-7")
        connection.execute("UPDATE leaf SET idempotency_key = 'key-7' WHERE sequence = 9")

    problems = [str(problem) for problem in _forged(path, forge).problems]
    assert problems == [
        "record: index leaf_by_key of the schema is missing",
        "entry 9: station, idempotency_key occurs more than once: found station-1 / key-7",
    ]


def test_a_view_in_place_of_the_table_is_not_walked(path: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i FROM n) SELECT i FROM n"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"DROP TABLE leaf; CREATE VIEW leaf AS {endless};")
    report = verify_record(path)
    assert report.entry_count == 0
    assert not report.is_intact


@pytest.mark.parametrize("content", [b"", b"battery_id,grade\n" * 1000, b"SQLite format 3\x00" + b"\xff" * 8192])
def test_a_file_that_is_no_record_is_reported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "garbage").write_bytes(content)
    report = verify_record(tmp_path / "garbage")
    assert not report.is_intact
    assert report.head is None


def test_a_file_that_is_not_there_is_reported_and_not_created(tmp_path: Path) -> None:
    assert "cannot be read" in str(verify_record(tmp_path / "absent").problems[0])
    assert not (tmp_path / "absent").exists()
    assert not verify_record(tmp_path).is_intact


@pytest.mark.parametrize("damage", [b"\xcf", b"\x00", b'"', b")"])
def test_a_damaged_schema_statement_is_reported_and_not_a_crash(path: Path, damage: bytes) -> None:
    content = path.read_bytes()
    place = content.index(b"CREATE UNIQUE INDEX leaf_by_key") + len("CREATE UNIQUE INDEX leaf")
    path.write_bytes(content[:place] + damage + content[place + 1 :])
    assert not verify_record(path).is_intact


def test_a_report_counts_every_problem_and_shows_the_first_ones(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    with Ledger.open(path, "0.1.0") as ledger:
        append_numbered(ledger, 80)
    report = _tampered(path, lambda connection: connection.execute("UPDATE leaf SET battery_id = 'X' || sequence"))
    assert (report.problem_count, len(report.problems)) == (80, SHOWN_PROBLEMS)
    assert [problem.sequence for problem in report.problems] == list(range(SHOWN_PROBLEMS))


def test_a_flipped_bit_is_reported_or_changes_no_leaf(path: Path, receipt: Head) -> None:
    chance = random.Random(20261122)
    original = path.read_bytes()
    leaves = _leaves(path)
    for _ in range(150):
        position, bit = chance.randrange(len(original)), 1 << chance.randrange(8)
        path.write_bytes(original[:position] + bytes([original[position] ^ bit]) + original[position + 1 :])
        if verify_record(path, expected_head=receipt).is_intact:
            assert _leaves(path) == leaves


def _leaves(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM leaf ORDER BY sequence").fetchall()
