import asyncio
import fcntl
import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serving.record.canonical import UnrecordableEntry
from serving.record.leaf import LeafKind, leaf_sha256
from serving.record.ledger import EventExists, IdempotencyConflict, Ledger, Recorded
from serving.record.store import Head, RecordUnavailable
from serving.record.verify import verify_record
from tests.support.record_entries import append_numbered, new_entry


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "record.sqlite", "0.1.0") as opened:
        yield opened


def test_an_entry_is_recorded_with_its_place_in_the_log_its_battery_and_its_station(ledger: Ledger) -> None:
    recorded = [ledger.append(new_entry(number)) for number in range(5)]
    leaves = [each.leaf for each in recorded]
    assert [leaf.sequence for leaf in leaves] == [0, 1, 2, 3, 4]
    assert [leaf.battery_sequence for leaf in leaves] == [0, 0, 0, 1, 1]
    assert [leaf.station_sequence for leaf in leaves] == [0, 0, 1, 1, 2]
    assert leaves[0].previous_leaf_sha256 is leaves[0].battery_previous_leaf_sha256 is None
    assert leaves[4].previous_leaf_sha256 == recorded[3].leaf_sha256 == leaf_sha256(leaves[3])
    assert leaves[4].battery_previous_leaf_sha256 == recorded[1].leaf_sha256
    assert leaves[4].software_version == "0.1.0"
    assert ledger.head() == Head(4, recorded[4].leaf_sha256)


def test_an_entry_without_a_battery_has_no_place_among_batteries(ledger: Ledger) -> None:
    leaf = ledger.append(new_entry(0, kind=LeafKind.BUNDLE_ACTIVATED, battery_id=None)).leaf
    assert (leaf.battery_id, leaf.battery_sequence, leaf.battery_previous_leaf_sha256) == (None, None, None)


def test_what_was_recorded_is_found_by_key_event_index_and_battery(ledger: Ledger) -> None:
    append_numbered(ledger, 7)
    fourth = ledger.by_sequence(4)
    assert fourth is not None
    assert fourth.leaf.body == new_entry(4).body
    assert ledger.find("station-0", "key-4") == ledger.by_event_id(new_entry(4).event_id) == fourth
    assert [each.leaf.sequence for each in ledger.by_battery("BATTERY1")] == [1, 4]
    assert [each.leaf.sequence for each in ledger] == list(range(7))
    assert ledger.find("station-1", "key-4") is ledger.by_event_id("0" * 32) is ledger.by_sequence(7) is None
    assert ledger.by_battery("BATTERY9") == []


def test_an_empty_record_has_no_head_and_no_entries(ledger: Ledger) -> None:
    assert ledger.head() is None
    assert list(ledger) == []


def test_the_same_request_again_gets_the_earlier_entry_and_writes_nothing(ledger: Ledger) -> None:
    first = ledger.append(new_entry(1))
    again = ledger.append(new_entry(1, event_id="ee" * 16, body={"number": "computed anew"}))
    assert (first.replayed, again.replayed) == (False, True)
    assert (again.leaf, again.leaf_sha256) == (first.leaf, first.leaf_sha256)
    assert ledger.head() == Head(0, first.leaf_sha256)


def test_the_same_key_at_another_station_is_another_request(ledger: Ledger) -> None:
    ledger.append(new_entry(1))
    assert not ledger.append(new_entry(1, station="elsewhere", event_id="ee" * 16)).replayed


def test_the_same_key_with_another_request_is_a_conflict_naming_the_earlier_event(ledger: Ledger) -> None:
    first = ledger.append(new_entry(1))
    with pytest.raises(IdempotencyConflict, match=r"station-1 already used idempotency key key-1") as conflict:
        ledger.append(new_entry(1, request_sha256="00" * 32, event_id="ee" * 16))
    assert conflict.value.code == "IDEMPOTENCY_CONFLICT"
    assert conflict.value.earlier == first.leaf
    assert ledger.head() == Head(0, first.leaf_sha256)


def test_an_event_identifier_given_twice_is_refused(ledger: Ledger) -> None:
    ledger.append(new_entry(1))
    with pytest.raises(EventExists, match="already entry 0"):
        ledger.append(new_entry(2, event_id=new_entry(1).event_id))


def test_a_group_is_recorded_in_order_and_a_conflict_concerns_its_own_entry_alone(ledger: Ledger) -> None:
    ledger.append(new_entry(1))
    asked = [new_entry(0), new_entry(1, request_sha256="00" * 32, event_id="ee" * 16), new_entry(2), new_entry(0)]
    first, conflict, second, repeated = ledger.append_many(asked)
    assert isinstance(conflict, IdempotencyConflict)
    assert isinstance(first, Recorded)
    assert isinstance(second, Recorded)
    assert isinstance(repeated, Recorded)
    assert (first.leaf.sequence, second.leaf.sequence) == (1, 2)
    assert repeated.leaf == first.leaf
    assert repeated.replayed


def test_a_body_json_cannot_hold_is_refused_and_takes_no_place(ledger: Ledger) -> None:
    with pytest.raises(UnrecordableEntry, match=r"body\.lower_ah"):
        ledger.append(new_entry(0, body={"lower_ah": math.nan}))
    with pytest.raises(UnrecordableEntry):
        ledger.append_many([new_entry(0), new_entry(1, body={"count": 2**53})])
    assert ledger.head() is None


def test_a_moment_is_recorded_in_utc_and_one_without_a_zone_is_refused(ledger: Ledger) -> None:
    moment = datetime.fromisoformat("2026-11-22T16:30:00+08:00")
    assert ledger.append(new_entry(0, recorded_at=moment)).leaf.recorded_at == "2026-11-22T08:30:00.000000Z"
    with pytest.raises(UnrecordableEntry, match="recorded_at: must be a UTC moment"):
        new_entry(1, recorded_at=moment.replace(tzinfo=None))


def test_a_clock_that_jumps_years_changes_no_order(ledger: Ledger) -> None:
    moments = [datetime(year, 1, 1, tzinfo=UTC) for year in (2026, 1970, 2099)]
    leaves = [ledger.append(new_entry(number, recorded_at=moment)).leaf for number, moment in enumerate(moments)]
    assert [leaf.sequence for leaf in leaves] == [0, 1, 2]


def test_many_threads_append_at_once_and_every_entry_has_one_place(ledger: Ledger, tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        recorded = list(threads.map(lambda number: ledger.append(new_entry(number)), range(400)))
    assert sorted(each.leaf.sequence for each in recorded) == list(range(400))
    assert verify_record(tmp_path / "record.sqlite").is_intact


def test_one_key_sent_by_many_threads_at_once_is_recorded_once_and_all_get_it(ledger: Ledger) -> None:
    together = threading.Barrier(16)

    def send(number: int) -> Recorded:
        together.wait()
        return ledger.append(new_entry(1, event_id=f"{number:032x}"))

    with ThreadPoolExecutor(16) as threads:
        recorded = list(threads.map(send, range(16)))
    assert len({each.leaf_sha256 for each in recorded}) == 1
    assert sum(not each.replayed for each in recorded) == 1
    assert ledger.head() == Head(0, recorded[0].leaf_sha256)


def test_what_waits_for_the_writers_turn_is_committed_together(ledger: Ledger, tmp_path: Path) -> None:
    with (tmp_path / "record.sqlite.lock").open("w") as other_process:
        fcntl.flock(other_process, fcntl.LOCK_EX)
        answers = [ledger.submit(new_entry(number)) for number in range(50)]
        assert not any(answer.done() for answer in answers)
    assert [answer.result(5).leaf.sequence for answer in answers] == list(range(50))


def test_an_answer_can_be_awaited_and_a_cancelled_entry_is_left_out(ledger: Ledger, tmp_path: Path) -> None:
    async def send() -> Recorded:
        with (tmp_path / "record.sqlite.lock").open("w") as other_process:
            fcntl.flock(other_process, fcntl.LOCK_EX)
            given_up = asyncio.wrap_future(ledger.submit(new_entry(0)))
            kept = asyncio.wrap_future(ledger.submit(new_entry(1)))
            given_up.cancel()
            await asyncio.sleep(0)
        return await kept

    recorded = asyncio.run(send())
    assert recorded.leaf.idempotency_key == "key-1"
    assert ledger.head() == Head(0, recorded.leaf_sha256)


def test_a_turn_that_never_comes_is_unavailable_and_nothing_is_recorded_later(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    with Ledger.open(path, "0.1.0", patience_second=0.2) as impatient:
        with Path(f"{path}.lock").open("w") as other_process:
            fcntl.flock(other_process, fcntl.LOCK_EX)
            with pytest.raises(RecordUnavailable, match=r"turn did not come within 0\.2 s\. Nothing was recorded"):
                impatient.append(new_entry(0))
        assert impatient.append(new_entry(1)).leaf.sequence == 0


def test_a_closed_ledger_has_written_what_waited_and_takes_nothing_more(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "record.sqlite", "0.1.0")
    answers = [ledger.submit(new_entry(number)) for number in range(100)]
    ledger.close()
    assert [answer.result(0).leaf.sequence for answer in answers] == list(range(100))
    with pytest.raises(RecordUnavailable, match="closed"):
        ledger.append(new_entry(100))


def test_a_ledger_opened_before_a_fork_refuses_in_the_child_instead_of_waiting_for_ever(ledger: Ledger) -> None:
    ledger.append(new_entry(0))
    child = os.fork()
    if child == 0:
        try:
            ledger.append(new_entry(1))
        except RecordUnavailable:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert ledger.append(new_entry(2)).leaf.sequence == 1
