"""Who worked at the station stands in the log as a pseudonym; the name can be erased, for ever and everywhere."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from features.errors import InvalidInput
from serving.events.operators import attributed, erase_operator, operator_name, operator_pseudonym, pseudonym_at
from serving.events.outcomes import record_outcome
from serving.record.ledger import Ledger
from serving.record.store import RecordUnavailable
from serving.record.verify import verify_record
from tests.support.graded import DUE_DATES, an_outcome, graded, record_of, report

SALT, OTHER_SALT = bytes(range(16)), bytes(range(16, 32))
NAME = "Li Wei 李伟"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(record_of(tmp_path), "test") as opened:
        yield opened


def files_holding(folder: Path, text: str) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if text.encode() in file.read_bytes())


def test_the_leaf_gets_a_pseudonym_and_never_the_name(ledger: Ledger) -> None:
    asked = attributed(ledger, report(), NAME, SALT)
    leaf = record_outcome(ledger, an_outcome(graded(ledger).decision_id), asked, DUE_DATES).leaf
    assert leaf.operator == pseudonym_at(ledger, "station-1", NAME)
    assert ledger.erasable_value(leaf.operator) == NAME
    assert NAME.encode() not in leaf.body_json


def test_the_same_name_at_the_same_station_is_the_same_pseudonym_however_it_is_typed(ledger: Ledger) -> None:
    first = operator_pseudonym(ledger, "station-1", "Jose\u0301 ", SALT)
    assert operator_pseudonym(ledger, "station-1", "José", OTHER_SALT) == first
    assert operator_pseudonym(ledger, "station-2", "José", OTHER_SALT) != first
    assert operator_pseudonym(ledger, "station-1", "Josefa", OTHER_SALT) != first


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "Li\nWei", "Li\u202eWei"])
def test_what_is_no_name_is_refused_without_repeating_it(name: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 64 printable characters") as refused:
        operator_name(name)
    assert refused.value.problems[0].value == ""


def test_a_request_without_an_operator_stays_as_it_is(ledger: Ledger) -> None:
    assert attributed(ledger, report(), None, SALT) == report()


def test_an_erased_name_stands_in_no_file_of_the_record_and_the_log_still_verifies(
    ledger: Ledger, tmp_path: Path
) -> None:
    asked = attributed(ledger, report(), NAME, SALT)
    record_outcome(ledger, an_outcome(graded(ledger).decision_id), asked, DUE_DATES)
    assert files_holding(tmp_path, NAME)
    assert erase_operator(ledger, asked.operator)
    assert files_holding(tmp_path, NAME) == []
    assert [file.name for file in tmp_path.iterdir() if SALT in file.read_bytes()] == []
    assert ledger.erasable_value(asked.operator) is None
    assert verify_record(record_of(tmp_path)).is_intact


def test_a_name_among_hundreds_leaves_no_copy_where_pages_were_split_and_moved(ledger: Ledger, tmp_path: Path) -> None:
    names = [f"operator {number:04d} of the night shift" for number in range(600)]
    for number, name in enumerate(names):
        operator_pseudonym(ledger, f"station-{number % 7}", name, number.to_bytes(16))
    gone = names[5::50]
    for name in gone:
        station = f"station-{names.index(name) % 7}"
        assert erase_operator(ledger, pseudonym_at(ledger, station, name))
    assert [name for name in gone if files_holding(tmp_path, name)] == []
    assert files_holding(tmp_path, names[6])


def test_erasing_says_so_while_a_reader_keeps_the_name_in_the_log_and_does_it_when_asked_again(
    tmp_path: Path,
) -> None:
    with Ledger.open(record_of(tmp_path), "test", patience_second=30.0) as ledger:
        graded(ledger)
        kept = operator_pseudonym(ledger, "station-1", NAME, SALT)
        with closing(sqlite3.connect(record_of(tmp_path), isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM leaf").fetchone()
            with pytest.raises(RecordUnavailable, match="somebody keeps the record open"):
                erase_operator(ledger, kept)
        assert ledger.erasable_value(kept) is None
        assert not erase_operator(ledger, kept)
        assert files_holding(tmp_path, NAME) == []


def test_after_erasing_the_same_name_gets_another_pseudonym(ledger: Ledger) -> None:
    first = operator_pseudonym(ledger, "station-1", NAME, SALT)
    erase_operator(ledger, first)
    assert operator_pseudonym(ledger, "station-1", NAME, OTHER_SALT) != first


def test_repeating_an_earlier_request_does_not_bring_an_erased_name_back(ledger: Ledger, tmp_path: Path) -> None:
    outcome = an_outcome(graded(ledger).decision_id)
    first = record_outcome(ledger, outcome, attributed(ledger, report(), NAME, SALT), DUE_DATES)
    erase_operator(ledger, first.leaf.operator)
    again = record_outcome(ledger, outcome, attributed(ledger, report(), NAME, OTHER_SALT), DUE_DATES)
    assert (again.leaf, again.replayed) == (first.leaf, True)
    assert files_holding(tmp_path, NAME) == []


def test_a_clock_far_from_ours_is_noted_and_orders_nothing(ledger: Ledger) -> None:
    outcome = an_outcome(graded(ledger).decision_id)
    late = report(1).moment.replace(year=2001)
    first = record_outcome(ledger, outcome, replace(report(1), station_clock=late), DUE_DATES).leaf
    near = report(2, content="b").moment
    second = record_outcome(ledger, outcome, replace(report(2, content="b"), station_clock=near), DUE_DATES).leaf
    assert first.body["station_clock_note"]["tolerance_second"] == 300.0
    assert first.body["station_clock_note"]["ahead_second"] < -7e8
    assert first.station_clock.startswith("2001-")
    assert "station_clock_note" not in second.body
    assert (first.sequence, second.sequence) == (1, 2)
