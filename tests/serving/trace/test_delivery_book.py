import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.trace.book_location import opened_book
from serving.trace.delivery_book import AlreadyDelivering, BookUnavailable, DeliveryBook, NewRow, Settlement, State

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
ALL = "9999-12-31"


@pytest.fixture(params=["file", "database"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | Path]:
    """Where a record would be; every rule holds for both."""
    if request.param == "file":
        yield tmp_path / "record.sqlite"
    else:
        yield request.getfixturevalue("postgres").new_database()


@pytest.fixture
def book(location: str | Path) -> Iterator[DeliveryBook]:
    with closing(opened_book(location)) as opened:
        yield opened


def rows(*batteries: str, first: int = 0) -> list[NewRow]:
    """Outbox rows in order, one per battery named; every second index of the log."""
    return [NewRow(2 * n, battery, "2026-12-11", f"{n:064x}") for n, battery in enumerate(batteries, first)]


def due(book: DeliveryBook, moment: datetime = NOW) -> list[int]:
    return [row.sequence for row in book.due(moment, 100)]


def delivered(book: DeliveryBook, sequence: int, moment: datetime = NOW) -> None:
    (row,) = [row for row in book.due(moment, 100) if row.sequence == sequence]
    book.settle([Settlement(row, answer_id="17")], moment)


def test_the_first_event_of_each_battery_is_due_and_the_others_wait(book) -> None:
    book.take_up(rows("A", "B", "A", "A", "B"), NOW)
    assert due(book) == [0, 2]
    assert book.counts() == {State.WAITING: 3, State.READY: 2, State.REFUSED: 0, State.DELIVERED: 0}
    assert book.last_taken_up() == (8, f"{4:064x}")


def test_a_delivered_event_gives_the_next_of_its_battery_its_turn(book) -> None:
    book.take_up(rows("A", "B", "A", "A"), NOW)
    delivered(book, 0)
    assert due(book) == [2, 4]
    delivered(book, 4)
    assert due(book) == [2, 6]


def test_an_event_taken_up_after_all_before_it_were_delivered_is_due(book) -> None:
    book.take_up(rows("A"), NOW)
    delivered(book, 0)
    book.take_up(rows("A", first=1), NOW)
    assert due(book) == [2]


def test_rows_taken_up_again_stay_as_they_are(book) -> None:
    book.take_up(rows("A", "B"), NOW)
    delivered(book, 0)
    book.take_up(rows("A", "B", "A"), NOW)
    assert due(book) == [2, 4]
    assert book.counts()[State.DELIVERED] == 1


def test_an_event_not_served_is_due_at_its_next_attempt_and_its_battery_waits_with_it(book) -> None:
    book.take_up(rows("A", "A"), NOW)
    (row,) = book.due(NOW, 100)
    book.settle([Settlement(row, next_attempt_at=LATER, last_error="HTTP 503")], NOW)
    assert due(book) == []
    assert book.next_attempt_at() == LATER
    (again,) = book.due(LATER, 100)
    assert (again.sequence, again.attempts, again.last_error) == (0, 1, "HTTP 503")


def test_a_refused_event_is_not_due_until_it_is_tried_again(book) -> None:
    book.take_up(rows("A", "A", "B"), NOW)
    book.settle([Settlement(book.due(NOW, 1)[0], last_error="HTTP 422")], NOW)
    assert due(book, LATER) == [4]
    assert [row.last_error for row in book.undelivered(ALL, 10, State.REFUSED)] == ["HTTP 422"]
    assert book.try_again(LATER, battery_id="B") == 1
    assert due(book, LATER) == [4]
    assert book.try_again(LATER, sequence=2) == 0
    assert book.try_again(LATER, sequence=0) == 1
    assert due(book, LATER) == [0, 4]


def joined(first: int, battery: str, *others: str) -> NewRow:
    """The outbox row of an event filed under a battery that names others."""
    return NewRow(first, battery, "2026-12-11", f"{first:064x}", frozenset(others))


def test_an_event_waits_for_the_earlier_ones_of_every_battery_it_names(book) -> None:
    book.take_up([*rows("A", "B", "C"), joined(6, "NEW", "A", "B")], NOW)
    assert due(book) == [0, 2, 4]
    delivered(book, 0)
    assert due(book) == [2, 4]
    delivered(book, 2)
    assert due(book) == [4, 6]


def test_later_events_of_a_battery_wait_for_the_earlier_one_that_names_it(book) -> None:
    book.take_up([joined(0, "PACK", "A", "B"), *rows("A", "PACK", "C", "B", first=1)], NOW)
    assert due(book) == [0, 6]
    delivered(book, 0)
    assert due(book) == [2, 4, 6, 8]


def test_a_refused_event_holds_back_what_it_names_and_what_waits_for_that_and_nothing_else(book) -> None:
    book.take_up([*rows("A"), joined(2, "PACK", "A", "B"), *rows("PACK", "B", "C", first=2)], NOW)
    book.settle([Settlement(book.due(NOW, 1)[0], last_error="HTTP 422")], NOW)
    assert due(book) == [8]
    assert book.try_again(NOW, battery_id="A") == 1
    delivered(book, 0)
    book.settle([Settlement(row, last_error="HTTP 422") for row in book.due(NOW, 100) if row.sequence == 2], NOW)
    assert due(book) == [8]
    assert book.try_again(NOW, battery_id="B") == 1
    delivered(book, 2)
    assert due(book) == [4, 6, 8]


def test_what_was_delivered_holds_nothing_back_if_it_is_taken_up_again(book) -> None:
    book.take_up([joined(0, "PACK", "A")], NOW)
    delivered(book, 0)
    book.take_up([joined(0, "PACK", "A"), *rows("A", "PACK", first=1)], NOW)
    assert due(book) == [2, 4]


def test_a_battery_with_a_long_queue_costs_no_more_per_event_than_a_short_one(book) -> None:
    book.take_up([joined(n, f"CELL{n}", "PACK") for n in range(2000)], NOW)
    began = time.monotonic()
    for number in range(200):
        delivered(book, number)
    assert time.monotonic() - began < 10.0
    assert due(book) == [200]


def test_several_settlements_are_written_down_all_or_none(book) -> None:
    book.take_up(rows("A", "B"), NOW)
    first, second = book.due(NOW, 100)
    with pytest.raises(BookUnavailable):
        book.settle([Settlement(first, answer_id="1"), Settlement(second, answer_id=object())], NOW)  # type: ignore[arg-type]
    assert due(book) == [0, 2]


def test_an_attempt_a_wrong_clock_put_off_for_years_is_brought_forward(book) -> None:
    book.take_up(rows("A", "B"), NOW)
    first, second = book.due(NOW, 100)
    put_off = [
        Settlement(first, next_attempt_at=NOW + timedelta(days=4000), last_error="no answer"),
        Settlement(second, next_attempt_at=LATER, last_error="no answer"),
    ]
    book.settle(put_off, NOW)
    assert book.pull_in(NOW, NOW + timedelta(days=1)) == 1
    assert due(book) == [0]
    assert due(book, LATER) == [0, 2]


def test_undelivered_events_are_listed_by_due_date_and_delivered_ones_not(book) -> None:
    book.take_up([NewRow(0, "A", "2026-12-11", "0" * 64), NewRow(1, "B", "2026-12-01", "1" * 64)], NOW)
    assert [row.sequence for row in book.undelivered(ALL, 10)] == [1, 0]
    assert [row.sequence for row in book.undelivered(ALL, 1)] == [1]
    assert [row.sequence for row in book.undelivered("2026-12-11", 10)] == [1]
    delivered(book, 1)
    assert [row.sequence for row in book.undelivered(ALL, 10)] == [0]


def test_what_a_book_knows_is_there_when_it_is_opened_again(location) -> None:
    with closing(opened_book(location)) as book:
        book.take_up(rows("A", "B"), NOW)
        delivered(book, 2)
    with closing(opened_book(location)) as book:
        assert due(book) == [0]


def test_only_one_dispatcher_has_its_turn_and_the_next_gets_it_when_the_first_is_done(location) -> None:
    with closing(opened_book(location)) as one, closing(opened_book(location)) as other:
        with one.turn(), pytest.raises(AlreadyDelivering), other.turn():
            pass
        with other.turn():
            pass


def test_a_file_that_is_something_else_is_refused_and_stays_as_it_is(tmp_path) -> None:
    with closing(sqlite3.connect(tmp_path / "r.sqlite.delivery")) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = (tmp_path / "r.sqlite.delivery").read_bytes()
    with pytest.raises(BookUnavailable, match="not a delivery book"):
        opened_book(tmp_path / "r.sqlite")
    assert (tmp_path / "r.sqlite.delivery").read_bytes() == before
    (tmp_path / "t.sqlite.delivery").write_text("a letter " * 1000)
    with pytest.raises(BookUnavailable, match="cannot be used"):
        opened_book(tmp_path / "t.sqlite")


def test_a_book_of_version_1_goes_on_where_it_was(location) -> None:
    with closing(opened_book(location)) as book:
        book.take_up(rows("A", "A", "A", "B"), NOW)
        delivered(book, 0)
    _change(location, "DROP TABLE concern", "UPDATE book SET version = 1")
    with closing(opened_book(location)) as book:
        assert due(book) == [2, 6]
        book.take_up([joined(8, "PACK", "A", "B")], NOW)
        for sequence in (2, 6, 4):
            delivered(book, sequence)
        assert due(book) == [8]


def test_a_book_of_a_later_release_is_refused(tmp_path) -> None:
    opened_book(tmp_path / "r.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "r.sqlite.delivery")) as connection, connection:
        connection.execute("INSERT INTO book VALUES (3)")
    with pytest.raises(BookUnavailable, match="Move it away"):
        opened_book(tmp_path / "r.sqlite")


def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(BookUnavailable) as caught:
        opened_book("postgresql://packgrade:sesame@127.0.0.1:9/records")
    assert "sesame" not in str(caught.value)


def _change(location: str | Path, *statements: str) -> None:
    """Make a book what another release would have left."""
    if isinstance(location, Path):
        with closing(sqlite3.connect(f"{location}.delivery")) as connection, connection:
            [connection.execute(statement) for statement in statements]
    else:
        with psycopg.connect(location, options="-c search_path=delivery") as database:
            [database.execute(statement.encode()) for statement in statements]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from(["A", "B", "C", "AB", "BC", "ABC"])),
        st.tuples(st.sampled_from(["deliver", "later", "refuse"]), st.integers(0, 2)),
        st.tuples(st.just("retry"), st.sampled_from("ABC")),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(STEPS)
def test_whatever_happens_an_event_waits_exactly_for_the_earlier_ones_of_its_batteries(steps) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(opened_book(Path(folder) / "r.sqlite")) as book:
        named: dict[int, str] = {}  # of every event not delivered, the batteries it names
        for number, (what, which) in enumerate(steps):
            gone = _taken(book, number, what, which)
            named |= {number: str(which)} if what == "take" else {}
            [named.pop(sequence) for sequence in gone]
            standing = {row.sequence: row.state for row in book.undelivered(ALL, 100)}
            waiting = {
                each for each in named if any(set(named[each]) & set(named[other]) for other in named if other < each)
            }
            assert standing.keys() == named.keys()
            assert {each for each in standing if standing[each] is State.WAITING} == waiting


def _taken(book: DeliveryBook, number: int, what: str, which: str | int) -> list[int]:
    """Take one step; returns what it delivered."""
    ready = book.due(LATER, 100)
    if what == "take":
        filed, *others = str(which)
        book.take_up([NewRow(number, filed, "2026-12-11", f"{number:064x}", frozenset(others))], NOW)
    elif what == "retry":
        book.try_again(NOW, battery_id=str(which))
    elif int(which) < len(ready):
        row = ready[int(which)]
        error, again = (None, None) if what == "deliver" else ("no", NOW if what == "later" else None)
        book.settle([Settlement(row, "", again, error)], NOW)
        return [row.sequence] if what == "deliver" else []
    return []
