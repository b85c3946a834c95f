import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from serving.record.ledger import Ledger
from serving.record.log_key import key_file
from serving.record.store import RecordUnavailable
from serving.record.verify import verify_record
from tests.support.fault_injection import injected, strace_is_usable
from tests.support.record_entries import append_numbered, new_entry

REPOSITORY = Path(__file__).parents[3]

needs_strace = pytest.mark.skipif(not strace_is_usable(), reason="strace is absent or may not attach here")


@needs_strace
def test_after_a_fault_at_a_file_system_call_of_a_decision_the_log_verifies_and_the_retry_succeeds(
    tmp_path: Path,
) -> None:
    outcomes = injected(tmp_path / "faults", share=0.08, seed=20261122)
    print(dict(outcomes))
    assert min(outcomes["told"], outcomes["refused"], outcomes["cut-off"]) > 5


@needs_strace
@pytest.mark.long
def test_after_every_fault_at_every_file_system_call_of_a_decision_the_log_verifies_and_the_retry_succeeds(
    tmp_path: Path,
) -> None:
    outcomes = injected(tmp_path / "faults")
    print(dict(outcomes))
    assert outcomes.total() > 1000


def _filled(path: Path) -> list[str]:
    command = [sys.executable, "-m", "tests.support.fault_full_disk", str(path)]
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return told.stdout.splitlines()


def test_a_full_disk_refuses_without_recording_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    *told, refused, while_full, again, with_room = _filled(path)
    assert len(told) > 5
    assert refused == f"refused RECORD_UNAVAILABLE {len(told)}"
    assert while_full in ("writable", "not writable: RECORD_UNAVAILABLE")
    assert again.startswith(f"told key-{len(told)} {len(told)} ")
    assert with_room == "writable"
    assert verify_record(path).is_intact
    with Ledger.open(path, "0.1.0") as ledger:
        recorded = [f"told {each.leaf.idempotency_key} {each.leaf.sequence} {each.leaf_sha256}" for each in ledger]
    assert recorded == [*told, again]


_LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_database_locked_by_another_process_refuses_and_records_the_retry_once(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    with Ledger.open(path, "0.1.0", patience_second=0.3) as ledger:
        append_numbered(ledger, 3)
        command = [sys.executable, "-c", _LOCKER, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as locker:
            assert locker.stdout is not None
            assert locker.stdout.readline() == "locked\n"
            with pytest.raises(RecordUnavailable):
                ledger.append(new_entry(3))
            assert [each.leaf.sequence for each in ledger] == [0, 1, 2]
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(3))
        assert [each.leaf.idempotency_key for each in ledger] == [f"key-{number}" for number in range(4)]
    assert verify_record(path).is_intact


def test_a_start_without_the_database_says_so_and_creates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "not-mounted" / "record.sqlite"
    with pytest.raises(RecordUnavailable, match="cannot be used"):
        Ledger.open(path, "0.1.0")
    assert not path.parent.exists()


def test_a_key_half_made_by_a_killed_process_of_the_same_number_stops_no_start(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    Path(f"{key_file(path)}.{os.getpid()}.0").write_text("PRIVATE+KE", encoding="utf-8")
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(0))
    assert verify_record(path).is_intact


def test_a_log_cut_at_any_place_before_it_was_moved_into_the_file_leaves_a_whole_record(tmp_path: Path) -> None:
    path, copy = tmp_path / "record.sqlite", tmp_path / "copy.sqlite"
    with Ledger.open(path, "0.1.0") as ledger:
        append_numbered(ledger, 3)
        for number in range(3, 8):
            ledger.append(new_entry(number))
        content, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    for cut in range(0, len(log), 1777):
        copy.write_bytes(content)
        Path(f"{copy}-wal").write_bytes(log[:cut])
        Path(f"{copy}-shm").unlink(missing_ok=True)
        with closing(sqlite3.connect(copy)) as connection:
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
                continue
        assert verify_record(copy).is_intact, f"cut at {cut} of {len(log)}"
