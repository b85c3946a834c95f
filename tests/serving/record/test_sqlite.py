import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from serving.record.leaf import canonical_bytes, leaf_sha256
from serving.record.ledger import Ledger
from serving.record.log_key import log_key
from serving.record.migrations import SCHEMA_VERSION
from serving.record.seal import Sealing
from serving.record.sqlite import APPLICATION_ID, SqliteStore
from serving.record.store import RecordUnavailable
from serving.record.verify import verify_record
from tests.support.record_entries import append_numbered, new_entry

REPOSITORY = Path(__file__).parents[3]
FRESH = "lower(hex(randomblob(16)))"
COPIED = "leaf_sha256, leaf FROM leaf LIMIT 1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(path, "0.1.0") as opened:
        append_numbered(opened, 3)
        yield opened


def test_a_fresh_folder_gets_a_record_that_only_its_owner_can_read(path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(0))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(
        [f"{path.name}{suffix}" for suffix in ("", "-wal", "-shm", ".lock", ".key")], 0o600
    ) | {f"{path.name}.pub": 0o644}


def test_leaves_are_stored_verbatim_beside_columns_that_repeat_them(path: Path, ledger: Ledger) -> None:
    recorded = ledger.by_sequence(2)
    assert recorded is not None
    with closing(sqlite3.connect(path)) as connection:
        stored, digest, event = connection.execute(
            "SELECT leaf, leaf_sha256, event_id FROM leaf LIMIT 1 OFFSET 2"
        ).fetchone()
        durability = connection.execute("PRAGMA journal_mode").fetchone()
        stamped = (
            connection.execute("PRAGMA application_id").fetchone()
            + connection.execute("PRAGMA user_version").fetchone()
        )
    assert stored == canonical_bytes(recorded.leaf)
    assert (digest, event) == (leaf_sha256(recorded.leaf), new_entry(2).event_id)
    assert (durability, stamped) == (("wal",), (APPLICATION_ID, SCHEMA_VERSION))


def test_every_transaction_waits_for_the_disk(path: Path, ledger: Ledger) -> None:
    store = SqliteStore(path)
    with store.writing() as writer:
        assert writer._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("UPDATE leaf SET battery_id = 'OTHER' WHERE sequence = 1", "never updated"),
        ("UPDATE leaf SET leaf = leaf", "never updated"),
        ("DELETE FROM leaf WHERE sequence = 2", "never deleted"),
        ("DELETE FROM leaf", "never deleted"),
        ("INSERT OR REPLACE INTO leaf SELECT * FROM leaf WHERE sequence = 2", "replaces none"),
        (f"REPLACE INTO leaf SELECT 3, event_id, kind, 'B', 0, 'S', 0, 'K', {COPIED}", "replaces none"),
        (f"REPLACE INTO leaf SELECT 3, {FRESH}, kind, 'B', 0, station, 7, idempotency_key, {COPIED}", "replaces none"),
        (f"REPLACE INTO leaf SELECT 3, {FRESH}, kind, 'B', 0, station, station_sequence, 'K', {COPIED}", "replaces"),
        (f"REPLACE INTO leaf SELECT 3, {FRESH}, kind, battery_id, 0, 'S', 0, 'K', {COPIED}", "replaces none"),
        (f"INSERT INTO leaf SELECT 4, {FRESH}, kind, 'B', 0, 'S', 0, 'K', {COPIED}", "follows the last"),
        (f"INSERT INTO leaf SELECT 3, {FRESH}, kind, 'B', NULL, 'S', 0, 'K', {COPIED}", "CHECK"),
    ],
)  # fmt: skip
def test_sqlite_itself_refuses_to_change_delete_replace_or_skip(
    path: Path, ledger: Ledger, statement: str, refusal: str
) -> None:
    before = list(ledger)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match=refusal):
        connection.execute(statement)
    assert list(ledger) == before


def test_a_view_for_reading_cannot_write(path: Path, ledger: Ledger) -> None:
    with pytest.raises(RecordUnavailable, match="readonly"), SqliteStore(path).reading() as reader:
        reader._connection.execute("DROP TABLE leaf")


def test_a_transaction_that_fails_leaves_nothing_and_the_next_one_succeeds(path: Path, ledger: Ledger) -> None:
    store = SqliteStore(path)
    leaf = ledger.append(new_entry(3)).leaf
    with pytest.raises(RecordUnavailable, match="replaces none"), store.writing() as writer:  # noqa: PT012 - the exit too
        writer._connection.execute("CREATE TABLE stray (a)")
        writer.append(leaf)
    with store.writing() as writer:
        assert writer._connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'stray'").fetchone() == (0,)
    store.close()
    assert ledger.append(new_entry(4)).leaf.sequence == 4


def test_a_missing_folder_is_an_error_and_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(RecordUnavailable, match="cannot be used"):
        Ledger.open(tmp_path / "not-mounted" / "record.sqlite", "0.1.0")
    assert not (tmp_path / "not-mounted").exists()


def test_reading_a_record_that_is_not_there_is_an_error_and_creates_none(path: Path) -> None:
    with pytest.raises(RecordUnavailable, match="Nothing was read"), SqliteStore(path).reading():
        pass
    assert not path.exists()


def test_a_file_that_is_no_database_is_refused_untouched(path: Path) -> None:
    path.write_bytes(b"battery_id,grade\n" * 100)
    with pytest.raises(RecordUnavailable, match="not a database"):
        Ledger.open(path, "0.1.0")
    assert path.read_bytes() == b"battery_id,grade\n" * 100


def test_a_database_of_somebody_else_is_refused_untouched(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (name)")
    before = path.read_bytes()
    with pytest.raises(RecordUnavailable, match="not a PackGrade record"):
        Ledger.open(path, "0.1.0")
    assert path.read_bytes() == before


def test_a_record_of_a_newer_release_is_refused_naming_both_versions(path: Path, ledger: Ledger) -> None:
    ledger.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(RecordUnavailable, match=f"schema {SCHEMA_VERSION + 1}, this release reads {SCHEMA_VERSION}"):
        Ledger.open(path, "0.1.0")


def test_a_folder_in_which_nobody_may_write_is_an_error_at_opening(open_folder: Path) -> None:
    path = open_folder / "record.sqlite"
    Ledger.open(path, "0.1.0").close()
    with _read_only(open_folder):
        told = _told_without_rights(lambda: Ledger.open(path, "0.1.0"))
    assert told.startswith("RECORD_UNAVAILABLE")
    assert "Nothing was recorded" in told


def test_a_record_verifies_where_nothing_may_be_written_with_and_without_its_write_ahead_log(open_folder: Path) -> None:
    path = open_folder / "record.sqlite"
    with Ledger.open(path, "0.1.0") as ledger:
        append_numbered(ledger, 3)
        while_running = {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("", "-wal")}
    with _read_only(open_folder):
        at_rest = _told_without_rights(lambda: verify_record(path))
    for suffix, content in while_running.items():
        Path(f"{path}{suffix}").write_bytes(content)
    with _read_only(open_folder):
        with_log = _told_without_rights(lambda: verify_record(path))
    assert len(while_running["-wal"]) > 0
    assert at_rest == with_log == str(verify_record(path))
    assert verify_record(path).entry_count == 3


def test_a_database_locked_by_another_program_is_unavailable_and_works_when_released(path: Path) -> None:
    store = SqliteStore(path, lock_patience_second=0.1)
    store.prepare()
    with (
        Ledger(store, Sealing(log_key(path)), "0.1.0") as ledger,
        closing(sqlite3.connect(path, isolation_level=None)) as other_program,
    ):
        other_program.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RecordUnavailable, match=r"locked\. Nothing was recorded"):
            ledger.append(new_entry(0))
        with pytest.raises(RecordUnavailable):
            ledger.require_writable()
        other_program.execute("ROLLBACK")
        ledger.require_writable()
        assert ledger.append(new_entry(0)).leaf.sequence == 0


def test_a_record_that_vanished_is_unavailable_and_not_begun_anew_until_it_is_back(path: Path, ledger: Ledger) -> None:
    away = path.parent / "away"
    path.rename(away)
    for _ in range(2):
        with pytest.raises(RecordUnavailable, match="No such file"):
            ledger.append(new_entry(3))
    assert not path.exists()
    away.rename(path)
    assert ledger.append(new_entry(3)).leaf.sequence == 3


def test_a_record_exchanged_for_an_older_copy_under_a_running_service_is_refused(path: Path, ledger: Ledger) -> None:
    ledger.close()
    older = path.read_bytes()
    with Ledger.open(path, "0.1.0") as running:
        running.append(new_entry(3))
        path.unlink()
        path.write_bytes(older)
        with pytest.raises(RecordUnavailable, match="Another file now stands at"):
            running.append(new_entry(4))


def test_a_committed_entry_that_is_gone_at_the_next_commit_is_noticed(path: Path, ledger: Ledger) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER leaf_is_never_deleted")
        connection.execute("DELETE FROM leaf WHERE sequence = 2")
    with pytest.raises(RecordUnavailable, match="no longer holds entry 2"):
        ledger.append(new_entry(3))


def test_a_full_disk_is_unavailable_loses_nothing_and_works_when_there_is_room(path: Path) -> None:
    script = f"""
import resource
from pathlib import Path
from serving.record.ledger import Ledger
from serving.record.store import RecordUnavailable
from tests.support.record_entries import new_entry
with Ledger.open(Path({str(path)!r}), "0.1.0") as ledger:
    ledger.append(new_entry(0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    number, refused = 0, 0
    while refused < 3:
        try:
            ledger.append(new_entry(number := number + 1, body={{"filler": "x" * 5000}}))
        except RecordUnavailable:
            refused, number = refused + 1, number - 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(number, ledger.append(new_entry(number + 1)).leaf.sequence)
"""
    written = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    acknowledged, following = map(int, written.stdout.split() or (written.stderr and [-1, -1]))
    assert (acknowledged > 0, following) == (True, acknowledged + 1), written.stderr
    assert verify_record(path).is_intact


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder everybody may enter; pytest's own is closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    yield
    folder.chmod(0o755)


def _told_without_rights(ask: Callable[[], object]) -> str:
    """Ask in a child process of a user without rights: the superuser may write everywhere."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            told = str(ask())
        except BaseException as error:
            told = str(error)
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answer:
        return answer.read()
