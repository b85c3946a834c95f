"""How far the platform is told: what stands in the outbox and is not delivered yet, and by when it must be.

Reads the record and the book, changes neither. An outbox row that no dispatcher has taken up yet counts
as well, so the answer is complete without any dispatcher ever having run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice

from serving.record.derived import OutboxRow
from serving.record.store import Reader, Store
from serving.trace.delivery_book import DeliveryBook, State

MOST_LISTED = 10_000
"""Longer lists end here; the counts are of everything."""

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Undelivered:
    """One event the platform has not got yet.

    Attributes
    ----------
    event_id : str
        The event, 32 hexadecimal digits.
    sequence : int
        Its entry in the log.
    battery_id : str
        Its battery.
    due_on : str
        Last day for telling, ISO 8601.
    state : str
        ``new`` (not taken up), ``waiting`` for an earlier event of a battery it names, ``ready`` or ``refused``.
    attempts : int
        How often it was sent.
    next_attempt_at : str or None
        When it is sent next, UTC.
    last_error : str or None
        Why the last attempt failed.
    """

    event_id: str
    sequence: int
    battery_id: str
    due_on: str
    state: str
    attempts: int = 0
    next_attempt_at: str | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Counts over the whole outbox, and the lists behind them.

    Attributes
    ----------
    counts : dict of str to int
        Events ``new``, ``waiting``, ``ready``, ``refused`` and ``delivered``.
    oldest : Undelivered or None
        The undelivered event that is due first.
    refused : tuple of Undelivered
        Dead letters, each holding back the batteries it names.
    next_attempts : tuple of Undelivered
        Events that were not served and are sent again, the soonest first.
    """

    counts: dict[str, int]
    oldest: Undelivered | None
    refused: tuple[Undelivered, ...]
    next_attempts: tuple[Undelivered, ...]

    @property
    def undelivered_count(self) -> int:
        """Events the platform has not got."""
        return sum(self.counts.values()) - self.counts[State.DELIVERED.value]


def standing(store: Store, book: DeliveryBook, listed: int = 20) -> Standing:
    """How far delivery is.

    Parameters
    ----------
    store : Store
        The record.
    book : DeliveryBook
        What became of every event.
    listed : int, optional
        Length of the lists.

    Raises
    ------
    PackGradeError
        If record or book cannot be read.
    """
    with store.reading() as reader:
        new_count, oldest_new = 0, None
        for row in _not_taken_up(reader, book):
            new_count += 1
            oldest_new = row if oldest_new is None or row.due_on < oldest_new.due_on else oldest_new
        oldest = _in_book(reader, book, None, at_most=1) + ([_new(reader, oldest_new)] if oldest_new else [])
        refused = _in_book(reader, book, None, listed, State.REFUSED)
        ready = _in_book(reader, book, None, MOST_LISTED, State.READY)
    again = sorted((each for each in ready if each.attempts), key=lambda each: each.next_attempt_at or "")
    counts = {"new": new_count} | {state.value: count for state, count in book.counts().items()}
    first = min(oldest, key=lambda each: each.due_on, default=None)
    return Standing(counts, first, tuple(refused), tuple(again[:listed]))


def overdue(store: Store, book: DeliveryBook, on: date) -> list[Undelivered]:
    """Events that should have been delivered before a day, the longest due first; `MOST_LISTED` at most.

    Raises
    ------
    PackGradeError
        If record or book cannot be read.
    """
    with store.reading() as reader:
        new = (row for row in _not_taken_up(reader, book) if row.due_on < on.isoformat())
        late = _in_book(reader, book, on, MOST_LISTED) + [_new(reader, row) for row in islice(new, MOST_LISTED)]
    return sorted(late, key=lambda each: (each.due_on, each.sequence))[:MOST_LISTED]


def _in_book(
    reader: Reader, book: DeliveryBook, before: date | None, at_most: int, state: State | None = None
) -> list[Undelivered]:
    rows = book.undelivered((before or date.max).isoformat(), at_most, state)
    return [
        Undelivered(
            _event_id(reader, row.sequence),
            row.sequence,
            row.battery_id,
            row.due_on,
            row.state.value,
            row.attempts,
            row.next_attempt_at,
            row.last_error,
        )
        for row in rows
    ]


def _not_taken_up(reader: Reader, book: DeliveryBook) -> Iterator[OutboxRow]:
    last = book.last_taken_up()
    following = 0 if last is None else last[0] + 1
    while page := reader.outbox_page(following, _PAGE):
        yield from page
        following = page[-1].sequence + 1


def _new(reader: Reader, row: OutboxRow) -> Undelivered:
    return Undelivered(_event_id(reader, row.sequence), *row, state="new")


def _event_id(reader: Reader, sequence: int) -> str:
    leaf = reader.by_sequence(sequence)
    return "" if leaf is None else leaf.event_id
