from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serving.record.canonical import UnrecordableEntry
from serving.record.derived import Link, OutboxRow, Relation, pseudonym
from serving.record.entry import BatteryMoved
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger
from tests.support.record_entries import append_numbered, new_entry

SALT = bytes(range(16))
OPERATOR = ("operator", "station-1", "Li Wei")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "record.sqlite", "0.1.0") as opened:
        yield opened


def _association(number: int, action: str = "ADD", **changes: Any) -> Any:
    body = {"parent": "PACK", "children": ["MODULE-1", "MODULE-2"], "action": action, **changes}
    return new_entry(number, kind=LeafKind.ASSOCIATION, battery_id="PACK", body=body)


def test_an_entry_with_a_due_date_stands_in_the_outbox_and_one_without_does_not(ledger: Ledger) -> None:
    ledger.append(new_entry(0))
    ledger.append(new_entry(1, body={"upload_due_on": "2026-12-11"}))
    ledger.append(new_entry(2, body={"note": '"upload_due_on":"2026-12-11"', "deep": {"upload_due_on": "2026-12-11"}}))
    ledger.append(new_entry(4, body={"upload_due_on": "2027-01-04"}))
    rows = [OutboxRow(1, "BATTERY1", "2026-12-11"), OutboxRow(3, "BATTERY1", "2027-01-04")]
    assert ledger.outbox_page(0, 10) == rows
    assert ledger.outbox_page(2, 10) == rows[1:]
    assert ledger.outbox_page(0, 1) == rows[:1]


@pytest.mark.parametrize("due_on", ["2026-02-30", "11.12.2026", "", None, 20261211, "2026-12-11T00:00:00Z"])
def test_a_due_date_that_is_no_day_is_refused_and_takes_no_place(ledger: Ledger, due_on: object) -> None:
    with pytest.raises(UnrecordableEntry, match="upload_due_on: must be a day"):
        ledger.append(new_entry(0, body={"upload_due_on": due_on}))
    assert ledger.append(new_entry(1)).leaf.sequence == 0


def test_an_entry_about_no_battery_has_no_due_date(ledger: Ledger) -> None:
    with pytest.raises(UnrecordableEntry, match="of an entry about a battery"):
        ledger.append(new_entry(0, battery_id=None, body={"upload_due_on": "2026-12-11"}))


def test_an_association_links_every_child_to_its_parent_and_a_later_one_parts_them(ledger: Ledger) -> None:
    ledger.append(_association(0))
    ledger.append(_association(1, action="DELETE", children=["MODULE-2"]))
    joined = [Link(0, Relation.PART_OF, child, "PACK", True) for child in ("MODULE-1", "MODULE-2")]
    parted = Link(1, Relation.PART_OF, "MODULE-2", "PACK", False)
    assert ledger.links_of_parent("PACK", Relation.PART_OF) == [*joined, parted]
    assert ledger.links_of_child("MODULE-2", Relation.PART_OF) == [joined[1], parted]
    assert ledger.links_of_child("MODULE-2", Relation.BECAME) == []


def test_a_recoding_links_every_old_code_to_the_new_one(ledger: Ledger) -> None:
    body = {"old_codes": ["OLD-1", "OLD-2"], "new_code": "NEW"}
    ledger.append(new_entry(0, kind=LeafKind.RECODING, battery_id="NEW", body=body))
    links = [Link(0, Relation.BECAME, code, "NEW", True) for code in ("OLD-1", "OLD-2")]
    assert ledger.links_of_parent("NEW", Relation.BECAME) == links
    assert ledger.links_of_child("OLD-1", Relation.BECAME) == links[:1]


@pytest.mark.parametrize(
    "changes", [{"parent": None}, {"children": []}, {"children": "MODULE-1"}, {"children": [7]}, {"action": "MOVE"}]
)
def test_an_association_the_record_cannot_read_is_refused(ledger: Ledger, changes: dict[str, Any]) -> None:
    with pytest.raises(UnrecordableEntry, match="parent, children and action"):
        ledger.append(_association(0, **changes))
    assert ledger.head() is None


def test_the_last_entry_of_a_kind_is_found(ledger: Ledger) -> None:
    append_numbered(ledger, 2)
    activated = ledger.append(new_entry(2, kind=LeafKind.POLICY_ACTIVATED, battery_id=None))
    ledger.append(new_entry(3))
    assert ledger.last_of_kind(LeafKind.POLICY_ACTIVATED) == activated.leaf
    assert ledger.last_of_kind(LeafKind.REFUSAL) is None


def test_an_entry_that_expects_the_battery_as_it_is_is_recorded(ledger: Ledger) -> None:
    first = ledger.append(new_entry(0, expected_battery_head=None))
    second = ledger.append(new_entry(3, expected_battery_head=first.leaf_sha256))
    assert second.leaf.battery_previous_leaf_sha256 == first.leaf_sha256


def test_an_entry_whose_battery_has_moved_on_is_refused_and_nothing_is_recorded(ledger: Ledger) -> None:
    first = ledger.append(new_entry(0))
    second = ledger.append(new_entry(3))
    for stale in (None, first.leaf_sha256):
        with pytest.raises(BatteryMoved, match=r"BATTERY_MOVED.*got another entry meanwhile") as moved:
            ledger.append(new_entry(6, expected_battery_head=stale))
        assert second.leaf_sha256 in moved.value.problems[0].rule
    assert ledger.append(new_entry(6, expected_battery_head=second.leaf_sha256)).leaf.sequence == 2


def test_the_same_request_again_gets_the_earlier_entry_although_its_battery_moved_on(ledger: Ledger) -> None:
    first = ledger.append(new_entry(0, expected_battery_head=None))
    ledger.append(new_entry(3))
    assert ledger.append(new_entry(0, expected_battery_head=None)).leaf == first.leaf


def test_operator_and_station_clock_stand_in_the_leaf(ledger: Ledger) -> None:
    clock = datetime(2026, 11, 22, 8, 31, 7, tzinfo=UTC)
    leaf = ledger.append(new_entry(0, operator="0a" * 16, station_clock=clock)).leaf
    assert (leaf.operator, leaf.station_clock) == ("0a" * 16, "2026-11-22T08:31:07.000000Z")
    with pytest.raises(UnrecordableEntry, match="station_clock: must be a UTC moment"):
        new_entry(1, station_clock=clock.replace(tzinfo=None))
    with pytest.raises(UnrecordableEntry, match="operator: must be a pseudonym"):
        new_entry(1, operator="Li Wei")


def test_personal_data_is_found_by_pseudonym_until_it_is_erased(ledger: Ledger) -> None:
    named = pseudonym(SALT, *OPERATOR)
    assert ledger.keep_erasable(named, SALT, *OPERATOR) == named
    assert (ledger.pseudonym_of(*OPERATOR), ledger.erasable_value(named)) == (named, "Li Wei")
    assert ledger.pseudonym_of("operator", "station-0", "Li Wei") is None
    assert ledger.erase(named) is True
    assert ledger.erase(named) is False
    assert (ledger.pseudonym_of(*OPERATOR), ledger.erasable_value(named)) == (None, None)


def test_a_value_keeps_its_first_pseudonym_and_gets_another_after_it_was_erased(ledger: Ledger) -> None:
    first, second = pseudonym(SALT, *OPERATOR), pseudonym(bytes(16), *OPERATOR)
    assert ledger.keep_erasable(first, SALT, *OPERATOR) == first
    assert ledger.keep_erasable(second, bytes(16), *OPERATOR) == first
    ledger.erase(first)
    assert ledger.keep_erasable(second, bytes(16), *OPERATOR) == second


@pytest.mark.parametrize(
    ("named", "salt", "value", "told"),
    [
        ("00" * 16, SALT, "Li Wei", "pseudonym: must be"),
        (pseudonym(SALT, *OPERATOR), b"short", "Li Wei", "salt: must have 16 bytes"),
        (pseudonym(SALT, *OPERATOR), SALT, "Li\x00Wei", "value: must be 1 to 200 printable"),
    ],
)
def test_personal_data_under_a_pseudonym_that_is_not_its_own_is_refused(
    ledger: Ledger, named: str, salt: bytes, value: str, told: str
) -> None:
    with pytest.raises(UnrecordableEntry, match=told):
        ledger.keep_erasable(named, salt, "operator", "station-1", value)


def test_an_erased_value_stands_nowhere_in_the_files_of_the_record(tmp_path: Path, ledger: Ledger) -> None:
    row = ("operator", "station-1", "Ouyang Xiaoming")
    named = ledger.keep_erasable(pseudonym(SALT, *row), SALT, *row)
    files = [tmp_path / f"record.sqlite{suffix}" for suffix in ("", "-wal")]
    assert any(b"Ouyang Xiaoming" in file.read_bytes() for file in files)
    ledger.erase(named)
    assert not any(b"Ouyang Xiaoming" in file.read_bytes() for file in files)
