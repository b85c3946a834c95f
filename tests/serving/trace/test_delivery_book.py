import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

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


def test_a_book_of_a_later_release_is_refused(tmp_path) -> None:
    opened_book(tmp_path / "r.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "r.sqlite.delivery")) as connection, connection:
        connection.execute("INSERT INTO book VALUES (2)")
    with pytest.raises(BookUnavailable, match="Move it away"):
        opened_book(tmp_path / "r.sqlite")


def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(BookUnavailable) as caught:
        opened_book("postgresql://packgrade:sesame@127.0.0.1:9/records")
    assert "sesame" not in str(caught.value)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from("ABC")),
        st.tuples(st.sampled_from(["deliver", "later", "refuse"]), st.integers(0, 2)),
        st.tuples(st.just("retry"), st.sampled_from("ABC")),
    ),
    max_size=40,
)


@settings(max_examples=40)
@given(STEPS)
def test_whatever_happens_each_battery_is_delivered_in_order_and_has_one_turn_at_most(steps) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(opened_book(Path(folder) / "r.sqlite")) as book:
        sent: list[tuple[str, int]] = []
        for number, (what, which) in enumerate(steps):
            sent += _taken(book, number, what, which)
            standing = book.undelivered(ALL, 100)
            turns = [row.battery_id for row in standing if row.state is not State.WAITING]
            assert sorted(turns) == sorted({row.battery_id for row in standing})
            assert all(index < row.sequence for row in standing for each, index in sent if each == row.battery_id)
    for battery in "ABC":
        of_battery = [index for each, index in sent if each == battery]
        assert of_battery == sorted(set(of_battery))


def _taken(book: DeliveryBook, number: int, what: str, which: str | int) -> list[tuple[str, int]]:
    """Take one step; returns what it delivered."""
    ready = book.due(LATER, 100)
    if what == "take":
        book.take_up([NewRow(number, str(which), "2026-12-11", f"{number:064x}")], NOW)
    elif what == "retry":
        book.try_again(NOW, battery_id=str(which))
    elif int(which) < len(ready):
        row = ready[int(which)]
        error, again = (None, None) if what == "deliver" else ("no", NOW if what == "later" else None)
        book.settle([Settlement(row, "", again, error)], NOW)
        return [(row.battery_id, row.sequence)] if what == "deliver" else []
    return []
