"""The contract of a store, held against a real file and a real server alike."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from serving.record.canonical import UnrecordableEntry
from serving.record.derived import Link, OutboxRow, Relation, pseudonym
from serving.record.entry import BatteryMoved, EventExists, IdempotencyConflict, Recorded
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger
from serving.record.location import RecordLocation, opened_store
from serving.record.log_key import log_key_in
from serving.record.sql import COLUMNS
from serving.record.store import Head, RecordUnavailable
from serving.record.verify import VerificationReport, verify_record
from tests.support.record_entries import append_numbered, new_entry
from tests.support.store_intruder import executed, executed_without_triggers

SALT = bytes(range(16))
OPERATOR = ("operator", "station-1", "Li Wei")


@dataclass(frozen=True)
class Place:
    """Where a record of either store lies, with its key."""

    location: RecordLocation
    key: Path

    def opened(self) -> Ledger:
        return Ledger.open(self.location, "0.1.0", key=self.key)

    def verified(self, **held: Any) -> VerificationReport:
        return verify_record(self.location, keys=[log_key_in(self.key).verifier], **held)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    key = tmp_path / "log.key"
    if request.param == "sqlite":
        return Place(tmp_path / "record.sqlite", key)
    return Place(request.getfixturevalue("postgres").new_database(), key)


@pytest.fixture
def ledger(place: Place) -> Iterator[Ledger]:
    with place.opened() as opened:
        yield opened


def _full(ledger: Ledger) -> None:
    """Nine decisions and a row in every table that follows from leaves."""
    append_numbered(ledger, 9)
    body = {"parent": "PACK", "children": ["MODULE-1", "MODULE-2"], "action": "ADD", "upload_due_on": "2026-12-11"}
    ledger.append(new_entry(9, kind=LeafKind.ASSOCIATION, battery_id="PACK", body=body))
    ledger.append(new_entry(10))
    ledger.keep_erasable(pseudonym(SALT, *OPERATOR), SALT, *OPERATOR)


def test_entries_stand_in_their_places_and_are_found_again(place: Place, ledger: Ledger) -> None:
    append_numbered(ledger, 7)
    recorded = ledger.append(new_entry(7))
    assert ledger.find("station-1", "key-7") == ledger.by_event_id(new_entry(7).event_id) == ledger.by_sequence(7)
    assert [each.leaf.sequence for each in ledger.by_battery("BATTERY1")] == [1, 4, 7]
    assert [each.leaf.sequence for each in ledger] == list(range(8))
    assert (recorded.leaf.battery_sequence, recorded.leaf.station_sequence) == (2, 3)
    assert ledger.head() == Head(7, recorded.leaf_sha256)
    assert place.verified(expected_head=ledger.head()).problems == ()


def test_a_record_closed_and_opened_again_goes_on_with_the_same_chain_and_key(place: Place) -> None:
    for number in range(4):
        with place.opened() as ledger:
            assert ledger.append(new_entry(number)).leaf.sequence == number
    assert place.verified().problems == ()


def test_the_same_request_again_gets_the_same_entry_and_receipt_for_ever(place: Place, ledger: Ledger) -> None:
    append_numbered(ledger, 3)
    first = ledger.append(new_entry(3))
    append_numbered(ledger, 20)
    again = ledger.append(new_entry(3, event_id="ee" * 16, body={"number": "computed anew"}))
    assert again.replayed
    assert (again.leaf, again.leaf_sha256, again.receipt) == (first.leaf, first.leaf_sha256, first.receipt)
    assert ledger.find("station-1", "key-3") == again


def test_a_key_with_another_request_and_an_event_given_twice_are_refused(ledger: Ledger) -> None:
    ledger.append(new_entry(1))
    with pytest.raises(IdempotencyConflict):
        ledger.append(new_entry(1, request_sha256="00" * 32, event_id="ee" * 16))
    with pytest.raises(EventExists):
        ledger.append(new_entry(2, event_id=new_entry(1).event_id))
    head = ledger.head()
    assert head is not None
    assert head.sequence == 0


def test_a_group_answers_each_entry_alone_and_sees_what_it_has_itself_appended(ledger: Ledger) -> None:
    asked = [new_entry(1), new_entry(1, request_sha256="00" * 32), new_entry(4), new_entry(1), new_entry(7)]
    first, conflict, second, repeated, third = ledger.append_many(asked)
    assert isinstance(conflict, IdempotencyConflict)
    assert isinstance(first, Recorded)
    assert isinstance(second, Recorded)
    assert isinstance(third, Recorded)
    assert isinstance(repeated, Recorded)
    assert (repeated.replayed, repeated.leaf) == (True, first.leaf)
    assert third.leaf.battery_previous_leaf_sha256 == second.leaf_sha256
    assert [each.leaf.battery_sequence for each in (first, second, third)] == [0, 1, 2]


def test_one_key_sent_by_many_threads_through_two_writers_is_recorded_once_and_all_get_it(place: Place) -> None:
    together = threading.Barrier(12)
    with place.opened() as one, place.opened() as other, ThreadPoolExecutor(12) as threads:

        def send(number: int) -> Recorded:
            together.wait()
            return (one, other)[number % 2].append(new_entry(1, event_id=f"{number:032x}"))

        recorded = list(threads.map(send, range(12)))
    assert len({each.leaf_sha256 for each in recorded}) == 1
    assert sum(not each.replayed for each in recorded) == 1


def test_two_writers_take_turns_and_every_entry_has_one_place(place: Place) -> None:
    with place.opened() as one, place.opened() as other, ThreadPoolExecutor(8) as threads:
        recorded = list(threads.map(lambda number: (one, other)[number % 2].append(new_entry(number)), range(120)))
    assert sorted(each.leaf.sequence for each in recorded) == list(range(120))
    assert place.verified().problems == ()


def test_an_entry_whose_battery_moved_on_is_refused_and_one_that_read_it_last_is_not(ledger: Ledger) -> None:
    first = ledger.append(new_entry(0, expected_battery_head=None))
    with pytest.raises(BatteryMoved):
        ledger.append(new_entry(3, expected_battery_head=None))
    assert ledger.append(new_entry(3, expected_battery_head=first.leaf_sha256)).leaf.sequence == 1


def test_of_two_entries_that_read_the_same_battery_one_is_recorded_and_one_told_to_read_again(ledger: Ledger) -> None:
    first, second = ledger.append_many([new_entry(number, expected_battery_head=None) for number in (0, 3)])
    assert isinstance(first, Recorded)
    assert isinstance(second, BatteryMoved)


def test_rows_that_follow_from_entries_are_found_and_verified(place: Place, ledger: Ledger) -> None:
    _full(ledger)
    links = [Link(9, Relation.PART_OF, child, "PACK", True) for child in ("MODULE-1", "MODULE-2")]
    assert ledger.outbox_page(0, 10) == [OutboxRow(9, "PACK", "2026-12-11")]
    assert ledger.links_of_parent("PACK", Relation.PART_OF) == links
    assert ledger.links_of_child("MODULE-2", Relation.PART_OF) == links[1:]
    last = ledger.last_of_kind(LeafKind.ASSOCIATION)
    assert last is not None
    assert last.sequence == 9
    assert place.verified().problems == ()


def test_an_entry_that_announces_unreadable_rows_fails_alone(ledger: Ledger) -> None:
    refused, recorded = ledger.append_many([new_entry(0, body={"upload_due_on": "soon"}), new_entry(1)])
    assert isinstance(refused, UnrecordableEntry)
    assert isinstance(recorded, Recorded)
    assert recorded.leaf.sequence == 0


def test_personal_data_is_kept_found_and_erased_while_the_log_stays_whole(place: Place, ledger: Ledger) -> None:
    named = pseudonym(SALT, *OPERATOR)
    assert ledger.keep_erasable(named, SALT, *OPERATOR) == named
    assert ledger.keep_erasable(pseudonym(bytes(16), *OPERATOR), bytes(16), *OPERATOR) == named
    recorded = ledger.append(new_entry(0, operator=named))
    assert (ledger.pseudonym_of(*OPERATOR), ledger.erasable_value(named)) == (named, "Li Wei")
    assert place.verified().problems == ()
    assert (ledger.erase(named), ledger.erase(named)) == (True, False)
    assert (ledger.pseudonym_of(*OPERATOR), ledger.erasable_value(named)) == (None, None)
    assert recorded.leaf.operator == named
    assert place.verified(expected_head=ledger.head()).problems == ()


KEY_OF = {"leaf": "sequence = 9", "subtree": "level = 0 AND place = 9", "checkpoint": "size = 9",
          "outbox": "sequence = 9", "link": "place = 0", "erasable": "1 = 1"}  # fmt: skip


@pytest.mark.parametrize("table", COLUMNS)
def test_the_database_itself_refuses_to_change_or_delete_any_row(place: Place, ledger: Ledger, table: str) -> None:
    _full(ledger)
    statements = [f"UPDATE {table} SET {column} = {column} WHERE {KEY_OF[table]}" for column in COLUMNS[table]]
    deleted = [f"DELETE FROM {table} WHERE {KEY_OF[table]}"] if table != "erasable" else []
    for statement in statements + deleted:
        with pytest.raises(Exception, match=r"append-only|never updated"):
            executed(place.location, statement)
    assert place.verified().problems == ()


CHANGES = {
    "leaf.sequence": "UPDATE leaf SET sequence = 1000 WHERE sequence = 10",
    "leaf.event_id": f"UPDATE leaf SET event_id = '{'0' * 32}' WHERE sequence = 9",
    "leaf.kind": "UPDATE leaf SET kind = 'refusal' WHERE sequence = 9",
    "leaf.battery_id": "UPDATE leaf SET battery_id = 'ANOTHER' WHERE sequence = 9",
    "leaf.battery_sequence": "UPDATE leaf SET battery_sequence = 7 WHERE sequence = 9",
    "leaf.station": "UPDATE leaf SET station = 'another' WHERE sequence = 9",
    "leaf.station_sequence": "UPDATE leaf SET station_sequence = 77 WHERE sequence = 9",
    "leaf.idempotency_key": "UPDATE leaf SET idempotency_key = 'another' WHERE sequence = 9",
    "leaf.leaf_sha256": f"UPDATE leaf SET leaf_sha256 = '{'0' * 64}' WHERE sequence = 9",
    "leaf.leaf": "UPDATE leaf SET leaf = (SELECT leaf FROM leaf WHERE sequence = 8) WHERE sequence = 9",
    "subtree.level": "UPDATE subtree SET level = 9 WHERE level = 1 AND place = 2",
    "subtree.place": "UPDATE subtree SET place = 99 WHERE level = 0 AND place = 7",
    "subtree.hash": "UPDATE subtree SET hash = (SELECT hash FROM subtree WHERE level = 0 AND place = 1) WHERE level = 2 AND place = 1",  # noqa: E501 - a statement reads on one line
    "checkpoint.size": "UPDATE checkpoint SET size = 8 WHERE size = 9",
    "checkpoint.note": "UPDATE checkpoint SET note = replace(note, 'packgrade', 'packgradf') WHERE size = 9",
    "outbox.sequence": "UPDATE outbox SET sequence = 8",
    "outbox.battery_id": "UPDATE outbox SET battery_id = 'ANOTHER'",
    "outbox.due_on": "UPDATE outbox SET due_on = '2026-12-12'",
    "link.sequence": "UPDATE link SET sequence = 8 WHERE place = 1",
    "link.place": "UPDATE link SET place = 2 WHERE place = 1",
    "link.relation": "UPDATE link SET relation = 'became' WHERE place = 1",
    "link.child_id": "UPDATE link SET child_id = 'MODULE-3' WHERE place = 1",
    "link.parent_id": "UPDATE link SET parent_id = 'PACK-2' WHERE place = 1",
    "link.joined": "UPDATE link SET joined = 0 WHERE place = 1",
    "erasable.pseudonym": f"UPDATE erasable SET pseudonym = '{'0' * 32}'",
    "erasable.salt": "UPDATE erasable SET salt = (SELECT salt_of.salt FROM (SELECT {zeros} AS salt) AS salt_of)",
    "erasable.kind": "UPDATE erasable SET kind = 'owner'",
    "erasable.station": "UPDATE erasable SET station = 'station-2'",
    "erasable.value": "UPDATE erasable SET value = 'Li Na'",
    "outbox added": "INSERT INTO outbox VALUES (1, 'BATTERY1', '2026-12-11')",
    "outbox deleted": "DELETE FROM outbox",
    "link added": "INSERT INTO link VALUES (9, 2, 'part_of', 'MODULE-9', 'PACK', 1)",
    "link deleted": "DELETE FROM link WHERE place = 1",
    "link elsewhere": "INSERT INTO link VALUES (99, 0, 'part_of', 'MODULE-9', 'PACK', 1)",
    "leaf deleted": "DELETE FROM leaf WHERE sequence = 10",
    "subtree deleted": "DELETE FROM subtree WHERE level = 1 AND place = 1",
    "version": "UPDATE alembic_version SET version_num = '2'",
}


def test_every_column_has_its_change() -> None:
    columns = {f"{table}.{column}" for table, names in COLUMNS.items() for column in names}
    assert columns <= CHANGES.keys()


def test_every_changed_column_of_every_table_is_found(place: Place) -> None:
    zeros = "zeroblob(16)" if isinstance(place.location, Path) else "decode(repeat('00', 16), 'hex')"
    with place.opened() as ledger:
        _full(ledger)
    assert place.verified().problems == ()
    unnoticed = []
    for named, statement in CHANGES.items():
        with executed_without_triggers(place.location, statement.replace("{zeros}", zeros)):
            if place.verified().is_intact:
                unnoticed.append(named)
    assert unnoticed == []
    assert place.verified().problems == ()


def test_a_record_rolled_back_under_a_running_writer_is_refused(place: Place, ledger: Ledger) -> None:
    append_numbered(ledger, 3)
    cut = [
        "DELETE FROM checkpoint",
        "DELETE FROM subtree WHERE level > 0 OR place = 2",
        "DELETE FROM leaf WHERE sequence = 2",
    ]
    with (
        executed_without_triggers(place.location, *cut),
        pytest.raises(RecordUnavailable, match="no longer holds entry 2"),
    ):
        ledger.append(new_entry(3))


def test_a_view_sees_one_moment_and_cannot_write(place: Place, ledger: Ledger) -> None:
    append_numbered(ledger, 3)
    store = opened_store(place.location)
    with store.reading() as reader:
        before = reader.head()
        ledger.append(new_entry(3))
        assert reader.head() == before
        assert reader.by_sequence(3) is None
    with pytest.raises(RecordUnavailable, match=r"[Rr]ead.?only"), store.reading() as reader:
        reader._rows("DELETE FROM erasable RETURNING 1")  # type: ignore[attr-defined]
    store.close()


def test_a_transaction_left_by_an_error_keeps_nothing(place: Place, ledger: Ledger) -> None:
    append_numbered(ledger, 3)
    store = opened_store(place.location)
    with pytest.raises(KeyError), store.writing() as writer:  # noqa: PT012 - the exit too
        writer.keep_erasable(pseudonym(SALT, *OPERATOR), SALT, *OPERATOR)
        raise KeyError
    store.close()
    assert ledger.pseudonym_of(*OPERATOR) is None
    assert ledger.append(new_entry(3)).leaf.sequence == 3


def test_progress_is_told_up_to_the_last_entry(place: Place, ledger: Ledger) -> None:
    append_numbered(ledger, 5)
    told: list[tuple[int, int]] = []
    place.verified(progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (5, 5)


def test_a_changed_schema_is_named(place: Place) -> None:
    place.opened().close()
    drop = "DROP INDEX leaf_by_kind" if isinstance(place.location, Path) else "DROP INDEX record.leaf_by_kind"
    executed(place.location, drop)
    executed(place.location, "CREATE TABLE grades (a integer)")
    told = [str(problem) for problem in place.verified().problems]
    assert told == [
        "record: index leaf_by_kind of the schema is missing",
        "record: table grades does not belong into a record",
    ]
