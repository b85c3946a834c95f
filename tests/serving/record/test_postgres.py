import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from serving.record.ledger import Ledger
from serving.record.location import opened_store, record_location, shown_location
from serving.record.postgres import SESSION, PostgresStore
from serving.record.store import RecordUnavailable
from serving.record.verify import verify_record
from tests.support.postgres_server import RunningServer, running_server
from tests.support.record_entries import append_numbered, new_entry

REPOSITORY = Path(__file__).parents[3]
GRANTS = REPOSITORY / "docs" / "postgresql-roles.sql"


@pytest.fixture
def url(postgres: RunningServer) -> str:
    return postgres.new_database()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "log.key"


@pytest.fixture
def ledger(url: str, key: Path) -> Iterator[Ledger]:
    with Ledger.open(url, "0.1.0", key=key) as opened:
        append_numbered(opened, 3)
        yield opened


def _as(role: str, url: str) -> str:
    return url.replace("postgresql://postgres:@", f"postgresql://{role}@")


def test_a_database_record_needs_its_keys_place_named_and_keeps_its_key(url: str, key: Path) -> None:
    with pytest.raises(RecordUnavailable, match="PACKGRADE_LOG_KEY"):
        Ledger.open(url, "0.1.0")
    with Ledger.open(url, "0.1.0", key=key) as ledger:
        ledger.append(new_entry(0))
    key.unlink()
    with pytest.raises(RecordUnavailable, match="is gone, although it signed this record before"):
        Ledger.open(url, "0.1.0", key=key)
    key.with_suffix(".pub").unlink()
    with pytest.raises(RecordUnavailable, match="is gone, although it signed this record before"):
        Ledger.open(url, "0.1.0", key=key)


def test_a_location_is_told_without_user_and_password() -> None:
    url = record_location("postgresql://packgrade:secret@db.example:5432/record?sslmode=require")
    assert shown_location(url) == "postgresql://db.example/record"
    assert shown_location(Path("record.sqlite")) == "record.sqlite"
    with pytest.raises(RecordUnavailable) as refused:
        opened_store("postgresql://packgrade:secret@127.0.0.1:1/record").prepare()
    assert "secret" not in str(refused.value)
    assert "secret" not in str(verify_record("postgresql://packgrade:secret@127.0.0.1:1/record").problems)


def test_without_its_driver_a_database_is_refused_and_a_file_is_served(tmp_path: Path) -> None:
    script = f"""
import sys
sys.modules["psycopg"] = None
from pathlib import Path
from serving.record.ledger import Ledger
from serving.record.store import RecordUnavailable
Ledger.open(Path({str(tmp_path / "record.sqlite")!r}), "0.1.0").close()
try:
    Ledger.open("postgresql:///record", "0.1.0", key=Path({str(tmp_path / "log.key")!r}))
except RecordUnavailable as refused:
    print(refused)
"""
    asked = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "pip install 'packgrade[postgres]'" in asked.stdout


def test_a_server_that_does_not_wait_for_its_disk_is_refused(postgres: RunningServer, url: str) -> None:
    store = PostgresStore(url)
    store.prepare()
    with psycopg.connect(postgres.url, autocommit=True) as server:
        for setting in ("fsync", "full_page_writes"):
            server.execute(f"ALTER SYSTEM SET {setting} = off".encode())
            server.execute("SELECT pg_reload_conf()")
            try:
                _until_refused(store, f"'{setting}': 'off'.*a commit may be lost")
            finally:
                server.execute(f"ALTER SYSTEM RESET {setting}".encode())
                server.execute("SELECT pg_reload_conf()")


def _until_refused(store: PostgresStore, told: str) -> None:
    """A setting reaches new sessions a moment after the reload."""
    for _ in range(100):
        try:
            store.prepare()
        except RecordUnavailable:
            break
        time.sleep(0.02)
    with pytest.raises(RecordUnavailable, match=told):
        store.prepare()


def test_a_database_that_commits_without_waiting_is_made_to_wait(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"ALTER DATABASE {server.info.dbname} SET synchronous_commit = off".encode())
    store = PostgresStore(url)
    store.prepare()
    with store.writing() as writer:
        assert writer._rows("SHOW synchronous_commit") == [("on",)]
    store.close()


def test_a_turn_another_program_holds_is_waited_for_and_then_unavailable(url: str) -> None:
    store = PostgresStore(url, lock_patience_second=0.2)
    store.prepare()
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [0x50474C31])
        with pytest.raises(RecordUnavailable, match=r"lock timeout.*Nothing was recorded"), store.writing():
            pass
    with store.writing() as writer:
        assert writer.head() is None
    store.close()


def test_a_role_that_may_only_append_writes_the_record_and_can_change_nothing(
    postgres: RunningServer, url: str, key: Path
) -> None:
    PostgresStore(url).prepare()
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS packgrade_writer")
        owner.execute("DROP ROLE IF EXISTS packgrade_auditor")
        owner.execute(GRANTS.read_text(encoding="utf-8").encode())
    with Ledger.open(_as("packgrade_writer", url), "0.1.0", key=key) as ledger:
        append_numbered(ledger, 5)
        assert ledger.require_writable() is None
    forbidden = (
        "UPDATE leaf SET kind = 'x'", "DELETE FROM leaf", "TRUNCATE subtree", "DROP TABLE outbox",
        "ALTER TABLE leaf DISABLE TRIGGER ALL", "DROP TRIGGER leaf_is_never_changed ON leaf",
        "SET session_replication_role = replica", "UPDATE alembic_version SET version_num = '9'",
        "UPDATE erasable SET value = 'x'", "CREATE TABLE grades (a integer)",
    )  # fmt: skip
    with psycopg.connect(_as("packgrade_writer", url), autocommit=True, options=SESSION) as writer:
        for statement in forbidden:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                writer.execute(statement.encode())
    assert verify_record(_as("packgrade_auditor", url)).problems == ()
    with psycopg.connect(_as("packgrade_auditor", url), autocommit=True, options=SESSION) as auditor:
        for statement in ("INSERT INTO subtree VALUES (9, 9, decode(repeat('00', 32), 'hex'))", "DELETE FROM erasable"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                auditor.execute(statement.encode())
    with psycopg.connect(url, autocommit=True) as owner:
        for role in ("packgrade_writer", "packgrade_auditor"):
            owner.execute(f"DROP OWNED BY {role}".encode())
            owner.execute(f"DROP ROLE {role}".encode())


def test_a_replica_session_does_not_slip_past_the_triggers(url: str, ledger: Ledger) -> None:
    with psycopg.connect(url, autocommit=True, options=SESSION) as superuser:
        superuser.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            superuser.execute("DELETE FROM leaf")


def test_a_row_that_follows_from_a_leaf_is_refused_after_the_leafs_own_transaction(url: str, ledger: Ledger) -> None:
    with psycopg.connect(url, autocommit=True, options=SESSION) as other:
        for late in ("INSERT INTO outbox VALUES (1, 'B', '2026-12-11')",
                     "INSERT INTO link VALUES (1, 0, 'part_of', 'M', 'P', 1)"):  # fmt: skip
            with pytest.raises(psycopg.errors.RaiseException, match="comes with its leaf"):
                other.execute(late.encode())


def test_a_database_that_is_down_at_the_start_is_unavailable_and_works_when_it_is_up(key: Path) -> None:
    with running_server() as server:
        url = server.new_database()
        server.kill()
        with pytest.raises(RecordUnavailable, match="cannot be used"):
            Ledger.open(url, "0.1.0", key=key)
        assert "cannot be read" in str(verify_record(url).problems[0])
        server.start()
        with Ledger.open(url, "0.1.0", key=key) as ledger:
            assert ledger.append(new_entry(0)).leaf.sequence == 0
            server.kill()
            with pytest.raises(RecordUnavailable):
                ledger.append(new_entry(1))
            with pytest.raises(RecordUnavailable):
                ledger.find("station-0", "key-0")
            server.start()
            assert ledger.append(new_entry(1)).leaf.sequence == 1
            assert ledger.find("station-0", "key-0") is not None


def _survives(folder: Path, cycles: int, seed: int) -> None:
    """Kill the server in the middle of traffic, again and again, while every client repeats what was not answered."""
    chance, acknowledged, stop = random.Random(seed), dict[str, tuple[str, int, str]](), threading.Event()
    numbers, giving = iter(range(10**9)), threading.Lock()
    with running_server() as server:
        url = server.new_database()
        ledgers = [Ledger.open(url, "0.1.0", patience_second=20.0, key=folder / "log.key") for _ in range(2)]

        def send(client: int) -> None:
            while not stop.is_set():
                with giving:
                    number = next(numbers)
                told = [_repeated(ledgers[(client + turn) % 2], number, stop) for turn in range(2)]
                assert told[0] == told[1] or None in told, f"seed {seed}: key {number} answered differently"
                acknowledged.update({f"key-{number}": each for each in told if each is not None})

        with ThreadPoolExecutor(6) as clients:
            sending = [clients.submit(send, client) for client in range(6)]
            try:
                for _ in range(cycles):
                    already = len(acknowledged)
                    while len(acknowledged) < already + 5:
                        time.sleep(0.01)
                    time.sleep(chance.uniform(0.0, 0.3))
                    server.kill()
                    server.start()
            finally:
                stop.set()
            for each in sending:
                each.result()
        for ledger in ledgers:
            ledger.close()
        with Ledger.open(url, "0.1.0", key=folder / "log.key") as ledger:
            recorded = {each.leaf.idempotency_key: each for each in ledger}
            entries = ledger.head()
        assert entries is not None
        assert entries.sequence + 1 == len(recorded) >= len(acknowledged) > 5 * cycles
        for name, told in acknowledged.items():
            assert (recorded[name].leaf.event_id, recorded[name].leaf.sequence, recorded[name].leaf_sha256) == told
        report = verify_record(url)
        assert report.is_intact, f"seed {seed}: {report.problems[0]}"


def _repeated(ledger: Ledger, number: int, stop: threading.Event) -> tuple[str, int, str] | None:
    while not stop.is_set():
        try:
            recorded = ledger.append(new_entry(number, event_id=uuid.uuid4().hex))
        except RecordUnavailable:
            time.sleep(0.05)
        else:
            return recorded.leaf.event_id, recorded.leaf.sequence, recorded.leaf_sha256
    return None


def test_no_acknowledged_entry_is_lost_doubled_or_changed_when_the_server_is_killed_twice(tmp_path: Path) -> None:
    _survives(tmp_path, cycles=2, seed=20261122)


@pytest.mark.long
def test_no_acknowledged_entry_is_lost_doubled_or_changed_when_the_server_is_killed_twelve_times(
    tmp_path: Path,
) -> None:
    _survives(tmp_path, cycles=12, seed=20261123)
