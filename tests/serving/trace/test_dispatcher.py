import asyncio
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from features.errors import PackGradeError
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger, NewEntry
from serving.record.location import RecordLocation, opened_store
from serving.record.sqlite import SqliteStore
from serving.trace.book_location import opened_book
from serving.trace.delivery import Platform
from serving.trace.delivery_book import AlreadyDelivering, BookOfAnotherRecord, State
from serving.trace.dispatcher import Dispatcher, Pace
from serving.trace.outgoing import outgoing
from serving.trace.standing import Standing, overdue, standing
from serving.trace.working_days import calendar_named, due_on
from tests.support.cases import MOMENT
from tests.support.delivering_process import IMPATIENT_SECOND, deliver
from tests.support.graded import graded
from tests.support.outbox_entries import DUE_ON, fill_outbox, told_entry
from tests.support.running_platform import REPOSITORY, RunningPlatform, running_platform

FLAKY = {"fault": 0.12, "busy": 0.05, "hang": 0.01, "cut": 0.1, "lost": 0.12}


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory):
    with running_platform(tmp_path_factory.mktemp("platform"), seed=7) as platform:
        yield platform


@pytest.fixture
def platform(receiving: RunningPlatform) -> RunningPlatform:
    """The receiver, sound and empty."""
    receiving.trouble()
    with closing(sqlite3.connect(receiving.file)) as connection, connection:
        connection.execute("DELETE FROM event")
    return receiving


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "record.sqlite"


def carry(record: RecordLocation, platform: RunningPlatform, seed: int = 1, timeout_second: float = 10.0) -> None:
    asyncio.run(deliver(record, platform.url, seed, timeout_second))


def carry_at_once(record: Path, platform: RunningPlatform) -> None:
    """Without waiting for the next attempt of what was put off."""
    with closing(opened_book(record)) as book:
        book.try_again(datetime.now(UTC))
    carry(record, platform)


def found(record: RecordLocation) -> Standing:
    with closing(opened_book(record)) as book, closing(opened_store(record)) as store:
        return standing(store, book)


def told_sequences(record: RecordLocation) -> list[int]:
    with closing(opened_store(record)) as store, store.reading() as reader:
        return [row.sequence for row in reader.outbox_page(0, 1_000_000)]


def indices(platform: RunningPlatform, battery: str = "") -> list[int]:
    """Log indices in the order of their arrival, of one battery or of all."""
    events = platform.received()
    return [e["packgrade:log_index"] for e in events if e.get("epcList", [""])[0].endswith(battery)]


def append(record: Path, *entries: NewEntry) -> None:
    with Ledger.open(record, "0.1.0") as ledger:
        [ledger.append(entry) for entry in entries]


def association(number: int, parent: str, *children: str) -> NewEntry:
    """Parts put into a whole, due at the platform."""
    body = {"action": "ADD", "parent": parent, "children": list(children), "upload_due_on": DUE_ON}
    return told_entry(number, kind=LeafKind.ASSOCIATION, battery_id=parent, body=body)


def recoding(number: int, new_code: str, *old_codes: str) -> NewEntry:
    """Batteries given a new code, due at the platform."""
    body = {
        "old_codes": list(old_codes),
        "new_code": new_code,
        "rated_capacity_ah": 28.0,
        "decision_id": "d" * 32,
        "upload_due_on": DUE_ON,
    }
    return told_entry(number, kind=LeafKind.RECODING, battery_id=new_code, body=body)


def assert_everything_arrived_in_order(record: RecordLocation, platform: RunningPlatform, batteries: int) -> None:
    arrived = indices(platform)
    assert sorted(arrived) == told_sequences(record)
    assert max(Counter(event["eventID"] for event in platform.received()).values()) == 1
    for number in range(batteries):
        of_battery = indices(platform, f"/BATTERY{number}")
        assert of_battery == sorted(of_battery)


def test_everything_in_the_outbox_arrives_once_and_in_order_per_battery(record, platform) -> None:
    fill_outbox(record, 60, batteries=5)
    carry(record, platform)
    assert_everything_arrived_in_order(record, platform, 5)
    assert platform.copies() == 60
    assert found(record).counts == {"new": 0, "waiting": 0, "ready": 0, "refused": 0, "delivered": 60}


def test_a_record_in_postgresql_is_delivered_alike(postgres, platform, tmp_path) -> None:
    record = postgres.new_database()
    fill_outbox(record, 60, batteries=5, key=tmp_path / "log.key")
    platform.trouble(**FLAKY)
    carry(record, platform, timeout_second=IMPATIENT_SECOND)
    assert_everything_arrived_in_order(record, platform, 5)
    assert found(record).counts["delivered"] == 60


def test_a_database_that_drops_its_connections_stops_a_run_and_the_next_one_goes_on(
    postgres, platform, tmp_path
) -> None:
    record = postgres.new_database()
    fill_outbox(record, 400, batteries=5, key=tmp_path / "log.key")
    with pytest.raises(PackGradeError, match="UNAVAILABLE"):
        asyncio.run(_dropped(record, platform))
    assert 0 < len(platform.received()) < 400
    carry(record, platform)
    assert_everything_arrived_in_order(record, platform, 5)


def test_a_graded_battery_is_told_with_its_decision_and_its_due_date(record, platform) -> None:
    with Ledger.open(record, "0.1.0") as ledger:
        decision = graded(ledger)
    carry(record, platform)
    (event,) = platform.received()
    assert event["eventID"].replace("-", "") == f"urn:uuid:{decision.decision_id}"
    assert event["disposition"] == "packgrade:cascade"
    assert event["packgrade:upload_due_on"] == due_on(MOMENT, 15, calendar_named("china")).isoformat()


def test_what_is_recorded_later_is_sent_later_and_nothing_is_sent_again(record, platform) -> None:
    fill_outbox(record, 10)
    carry(record, platform)
    fill_outbox(record, 10, first=10)
    assert found(record).counts["new"] == 10
    carry(record, platform)
    assert_everything_arrived_in_order(record, platform, 3)
    assert platform.copies() == 20


def test_a_platform_that_fails_in_every_way_gets_everything_once_and_in_order(record, platform) -> None:
    fill_outbox(record, 120, batteries=12)
    platform.trouble(**FLAKY)
    carry(record, platform, timeout_second=IMPATIENT_SECOND)
    assert_everything_arrived_in_order(record, platform, 12)
    assert platform.copies() > 120  # answers were lost, so some came twice


def _killed_again_and_again(record: Path, platform: RunningPlatform, kills: int, seed: int) -> int:
    """How many of the runs were still under way when they were killed."""
    chance, killed = random.Random(seed), 0
    command = [sys.executable, "-m", "tests.support.delivering_process", str(record), platform.url]
    for number in range(kills):
        process = subprocess.Popen([*command, str(seed + number)], cwd=REPOSITORY, stderr=subprocess.PIPE)
        before, deadline = platform.copies(), time.monotonic() + 30.0
        while platform.copies() == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, 0.1))
        process.kill()
        _, said = process.communicate()
        assert process.returncode in (-9, 0), f"seed {seed}, run {number}: {said.decode()}"
        killed += process.returncode == -9
    return killed


def _survives_kills(record: Path, platform: RunningPlatform, events: int, kills: int, seed: int) -> None:
    batteries = 20
    fill_outbox(record, events, batteries)
    platform.trouble(**FLAKY)
    assert _killed_again_and_again(record, platform, kills, seed) >= 0.75 * kills
    carry(record, platform, seed, IMPATIENT_SECOND)
    assert_everything_arrived_in_order(record, platform, batteries)
    assert found(record).undelivered_count == 0


def test_a_dispatcher_killed_at_random_moments_loses_doubles_and_disorders_nothing(record, platform) -> None:
    _survives_kills(record, platform, events=400, kills=4, seed=20261122)


@pytest.mark.long
def test_a_dispatcher_killed_a_hundred_times_loses_doubles_and_disorders_nothing(record, platform) -> None:
    _survives_kills(record, platform, events=6000, kills=100, seed=20261123)


def test_a_refused_event_holds_back_its_own_battery_and_no_other(record, platform) -> None:
    fill_outbox(record, 30)
    platform.trouble(refused=["/BATTERY1"])
    carry(record, platform)
    assert indices(platform, "/BATTERY1") == []
    assert len(indices(platform)) == 20
    now = found(record)
    assert now.counts == {"new": 0, "waiting": 9, "ready": 0, "refused": 1, "delivered": 20}
    assert (now.refused[0].battery_id, now.refused[0].attempts) == ("BATTERY1", 1)
    assert "HTTP 422" in str(now.refused[0].last_error)
    assert now.oldest == now.refused[0]


def test_a_refused_event_goes_out_with_all_behind_it_once_somebody_asks_for_it_again(record, platform) -> None:
    fill_outbox(record, 30)
    platform.trouble(refused=["/BATTERY1", "/BATTERY2"])
    carry(record, platform)
    platform.trouble()
    carry(record, platform)
    assert len(indices(platform)) == 10  # nobody asked yet
    with closing(opened_book(record)) as book:
        assert book.try_again(datetime.now(UTC), battery_id="BATTERY1") == 1
    carry(record, platform)
    assert len(indices(platform, "/BATTERY1")) == 10
    assert indices(platform, "/BATTERY2") == []
    with closing(opened_book(record)) as book:
        assert book.try_again(datetime.now(UTC)) == 1
    carry(record, platform)
    assert_everything_arrived_in_order(record, platform, 3)


def test_a_recoding_is_told_after_what_was_decided_on_the_old_codes(record, platform) -> None:
    fill_outbox(record, 6)
    append(record, recoding(6, "NEW", "BATTERY1", "BATTERY2"), told_entry(7, battery_id="NEW"), told_entry(9))
    platform.trouble(refused=["/BATTERY2"])
    carry(record, platform)
    arrived = [event["packgrade:log_index"] for event in platform.received()]
    assert sorted(arrived) == [
        0,
        1,
        4,
        5,
        9,
    ]  # 6 waits behind 2, the recoding 7 behind 6, and 8 of the new code behind 7
    assert found(record).counts == {"new": 0, "waiting": 3, "ready": 0, "refused": 1, "delivered": 5}
    platform.trouble()
    carry_at_once(record, platform)
    assert [event["packgrade:log_index"] for event in platform.received()][5:] == [2, 6, 7, 8]


def test_an_association_waits_for_its_parts_and_their_later_events_wait_for_it(record, platform) -> None:
    parts = told_entry(0), told_entry(1), association(2, "PACK", "BATTERY0", "BATTERY1")
    append(record, *parts, told_entry(3), told_entry(4), told_entry(5))
    platform.trouble(refused=["/BATTERY1"])
    carry(record, platform)
    assert indices(platform) == [0, 5]
    platform.trouble(refused=["/PACK"])
    carry_at_once(record, platform)
    assert indices(platform) == [0, 5, 1]
    (refused,) = found(record).refused
    assert (refused.battery_id, refused.sequence) == ("PACK", 2)
    platform.trouble()
    carry_at_once(record, platform)
    arrived = [event["packgrade:log_index"] for event in platform.received()]
    assert (arrived[:4], sorted(arrived[4:])) == ([0, 5, 1, 2], [3, 4])


def test_a_failing_platform_gets_joined_and_recoded_batteries_in_order_for_each_of_them(record, platform) -> None:
    chance = random.Random(20261122)
    entries = [told_entry(number, batteries=8) for number in range(120)]
    for number in range(5, 120, 5):
        one, other = chance.sample(range(8), 2)
        make = association if number % 2 else recoding
        entries[number] = make(number, f"WHOLE{number}", f"BATTERY{one}", f"BATTERY{other}")
    append(record, *entries)
    platform.trouble(**FLAKY)
    carry(record, platform, timeout_second=IMPATIENT_SECOND)
    told = [(event["packgrade:log_index"], json.dumps(event)) for event in platform.received()]
    assert sorted(index for index, _ in told) == list(range(120))
    for battery in [f"/BATTERY{number}" for number in range(8)]:
        of_battery = [index for index, event in told if f'{battery}"' in event]
        assert of_battery == sorted(of_battery)


def test_a_lost_book_means_everything_is_sent_again_and_the_platform_keeps_it_once(record, platform) -> None:
    fill_outbox(record, 40)
    carry(record, platform)
    for file in record.parent.glob("record.sqlite.delivery*"):
        file.unlink()
    assert found(record).counts["new"] == 40
    carry(record, platform)
    assert_everything_arrived_in_order(record, platform, 3)
    assert platform.copies() == 80


def test_a_book_of_another_record_is_refused_and_nothing_is_sent(record, platform, tmp_path) -> None:
    fill_outbox(record, 10)
    carry(record, platform)
    other = tmp_path / "other.sqlite"
    with Ledger.open(other, "0.1.0") as ledger:
        [ledger.append(told_entry(number, station="elsewhere")) for number in range(20)]
    for suffix in ("", "-wal", "-shm"):
        if (part := Path(f"{record}.delivery{suffix}")).exists():
            part.rename(f"{other}.delivery{suffix}")
    with pytest.raises(BookOfAnotherRecord, match="move the book away"):
        carry(other, platform)
    assert len(indices(platform)) == 10


def test_an_entry_that_makes_no_document_is_refused_alone_and_never_sent(record, platform) -> None:
    with Ledger.open(record, "0.1.0") as ledger:
        body = {"upload_due_on": DUE_ON}  # a refusal without its code
        for entry in (told_entry(0), told_entry(1, body=body), told_entry(2), told_entry(4)):
            ledger.append(entry)
    carry(record, platform)
    assert indices(platform) == [0, 2]
    (refused,) = found(record).refused
    assert (refused.battery_id, refused.attempts) == ("BATTERY1", 1)
    assert "NOT_SENDABLE" in str(refused.last_error)


def test_a_withdrawal_is_told_with_the_event_it_withdraws(record, platform) -> None:
    with Ledger.open(record, "0.1.0") as ledger:
        first = ledger.append(told_entry(0))
        body = {"action": "withdraw", "decision_id": first.leaf.event_id, "upload_due_on": DUE_ON}
        ledger.append(told_entry(3, kind=LeafKind.CORRECTION, body=body))
    carry(record, platform)
    told, again, correction = platform.received()
    assert again["eventID"] == told["eventID"] != correction["eventID"]
    assert again["errorDeclaration"]["correctiveEventIDs"] == [correction["eventID"]]
    assert platform.copies() == 3


def test_a_wrong_token_refuses_no_event_and_holds_everything_back(record, platform) -> None:
    fill_outbox(record, 12)
    platform.trouble(status=401)
    lines = asyncio.run(_once_with(record, platform, patience_second=0.0))
    now = found(record)
    assert (now.counts["refused"], now.counts["delivered"]) == (0, 0)
    assert any("address or token refused" in line for line in lines)
    assert all("address or token refused" in str(each.last_error) for each in now.next_attempts)
    platform.trouble()
    carry_at_once(record, platform)
    assert found(record).counts["delivered"] == 12


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 307])
def test_a_platform_that_cannot_now_is_asked_again_later(record, platform, status) -> None:
    fill_outbox(record, 2, batteries=2)
    platform.trouble(status=status)
    asyncio.run(_once_with(record, platform, patience_second=0.0))
    assert found(record).counts["ready"] == 2
    platform.trouble()
    carry_at_once(record, platform)
    assert found(record).counts["delivered"] == 2


@pytest.mark.parametrize("status", [400, 409, 410, 413, 415, 422])
def test_an_event_the_platform_does_not_want_is_not_sent_again(record, platform, status) -> None:
    fill_outbox(record, 1)
    platform.trouble(status=status)
    carry(record, platform)
    carry(record, platform)
    (refused,) = found(record).refused
    assert refused.attempts == 1


def test_an_event_the_platform_says_it_has_is_delivered(record, platform) -> None:
    fill_outbox(record, 3)
    platform.trouble(status=409, kind="epcisException:ResourceAlreadyExistsException")
    carry(record, platform)
    assert found(record).counts["delivered"] == 3


def test_an_accepted_event_whose_capture_fails_afterwards_is_refused(record, platform) -> None:
    fill_outbox(record, 1)
    platform.trouble(failing_job=True)
    carry(record, platform)
    (refused,) = found(record).refused
    assert "unknown battery" in str(refused.last_error)


def test_two_dispatchers_of_one_record_are_one_too_many(record, platform) -> None:
    fill_outbox(record, 3)
    with closing(opened_book(record)) as book, book.turn(), pytest.raises(AlreadyDelivering):
        carry(record, platform)
    carry(record, platform)
    assert len(indices(platform)) == 3


def test_a_stop_waits_for_what_is_under_way_and_leaves_the_rest(record, platform) -> None:
    fill_outbox(record, 200)
    asyncio.run(_stopped_early(record, platform))
    now = found(record)
    assert now.counts["delivered"] == len(indices(platform)) == platform.copies() < 200


def test_what_is_not_delivered_on_the_day_after_its_due_date_is_overdue(record, platform) -> None:
    fill_outbox(record, 9)
    due = date.fromisoformat(DUE_ON)
    with Ledger.open(record, "0.1.0") as ledger:
        ledger.append(told_entry(9, body={"code": "X", "upload_due_on": "2026-12-01"}))
    platform.trouble(refused=["/BATTERY0"])
    with closing(opened_book(record)) as book:
        store = SqliteStore(record)
        assert overdue(store, book, date(2026, 12, 1)) == []
        assert [each.due_on for each in overdue(store, book, date(2026, 12, 2))] == ["2026-12-01"]
        assert overdue(store, book, due) == overdue(store, book, date(2026, 12, 2))
        assert len(overdue(store, book, due + timedelta(days=1))) == 10
    carry(record, platform)
    with closing(opened_book(record)) as book:
        late = overdue(SqliteStore(record), book, due + timedelta(days=1))
    assert [(each.battery_id, each.state) for each in late] == [
        ("BATTERY0", State.WAITING),  # due first, behind a refused one
        ("BATTERY0", State.REFUSED),
        ("BATTERY0", State.WAITING),
        ("BATTERY0", State.WAITING),
    ]


async def _dropped(record: str, platform: RunningPlatform) -> None:
    """A run during which the server ends every connection to the record's database."""
    run = asyncio.create_task(_run(record, platform, Pace(at_a_time=4), asyncio.Event(), []))
    while not platform.copies() and not run.done():
        await asyncio.sleep(0.005)
    with psycopg.connect(record, autocommit=True) as connection:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    await run


async def _once_with(record: Path, platform: RunningPlatform, patience_second: float) -> list[str]:
    """One run with long waits; returns what the operator was told."""
    lines: list[str] = []
    await _run(record, platform, Pace(patience_second=patience_second), asyncio.Event(), lines)
    return lines


async def _stopped_early(record: Path, platform: RunningPlatform) -> None:
    stop = asyncio.Event()
    run = asyncio.create_task(_run(record, platform, Pace(at_a_time=2), stop, []))
    while not platform.copies():
        await asyncio.sleep(0.005)
    stop.set()
    await run


async def _run(
    record: RecordLocation, platform: RunningPlatform, pace: Pace, stop: asyncio.Event, lines: list[str]
) -> None:
    with closing(opened_book(record)) as book:
        async with Platform(platform.url, timeout_second=2.0) as open_platform:
            dispatcher = Dispatcher(
                opened_store(record),
                book,
                open_platform,
                outgoing,
                clock=lambda: datetime.now(UTC),
                chance=random.Random(1),
                pace=pace,
                told=lines.append,
            )
            await dispatcher.run(stop)
