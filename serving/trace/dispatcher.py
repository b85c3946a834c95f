"""Carries the outbox of a record to the platform: at least once, in order per battery.

    outbox ──► book ──► due events ──► document ──► platform ──► book

An event is noted as delivered after the platform has answered, so a crash in between sends it again
under the same event id, never not at all. Events of different batteries travel at the same time, those
that name one battery one after the other in the order of the log. The record is only read. Clock and chance
are arguments; one dispatcher runs per record (`DeliveryBook.turn`).
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from features.errors import PackGradeError
from serving.record.derived import OutboxRow, derived_rows
from serving.record.leaf import Leaf, LeafKind, leaf_sha256
from serving.record.store import Reader, RecordUnavailable, Store
from serving.trace.answer import Answer, Fate, one_line
from serving.trace.delivery import Platform
from serving.trace.delivery_book import BookOfAnotherRecord, BookRow, DeliveryBook, NewRow, Settlement
from serving.trace.schedule import LONGEST_RETRY_AFTER_SECOND, Backoff, Pause

PAGE = 500
"""Outbox rows taken up in one go."""

_NAMING_OTHERS = (LeafKind.ASSOCIATION, LeafKind.RECODING)

Render = Callable[[Leaf, Reader], bytes]
Flights = dict["asyncio.Task[Answer]", "Flight"]


@dataclass(frozen=True, slots=True)
class Flight:
    """An event under way."""

    row: BookRow
    sent_at: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How eagerly events are carried.

    Attributes
    ----------
    at_a_time : int
        Batteries under way at a time.
    poll_second : float
        How often the outbox is looked at while there is nothing to do. [s]
    patience_second : float
        A run ends when nothing is due within this time; infinite: it runs until it is stopped. [s]
    event_backoff, platform_backoff : Backoff
        Waits of one event that was not served, and of everybody while nobody is.
    """

    at_a_time: int = 16
    poll_second: float = 2.0
    patience_second: float = math.inf
    event_backoff: Backoff = field(default_factory=Backoff)
    platform_backoff: Backoff = field(default_factory=partial(Backoff, 1.0, 300.0))


class Dispatcher:
    """Delivers one record.

    Parameters
    ----------
    store : Store
        The record.
    book : DeliveryBook
        What became of every event.
    platform : Platform
        An open connection to the platform.
    render : Render
        Document of an entry; a `PackGradeError` refuses that event.
    clock : callable
        The present moment, aware.
    chance : random.Random
        Jitter of the waits.
    pace : Pace, optional
        How eagerly.
    told : callable, optional
        Gets a line for the operator when something is refused or not served.
    """

    def __init__(
        self,
        store: Store,
        book: DeliveryBook,
        platform: Platform,
        render: Render,
        *,
        clock: Callable[[], datetime],
        chance: random.Random,
        pace: Pace | None = None,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._store, self._book, self._platform, self._render = store, book, platform, render
        self._clock, self._chance, self._pace, self._told = clock, chance, pace or Pace(), told
        self._pause = Pause(self._pace.platform_backoff, chance)
        self._look_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until stopped, or until nothing is due soon (`Pace.patience_second`).

        What is under way when it ends is waited for and noted.

        Raises
        ------
        AlreadyDelivering
            If another dispatcher delivers this record.
        BookOfAnotherRecord
            If the book knows entries the record does not have.
        BookUnavailable
            If the book cannot be used.
        RecordUnavailable
            If the record cannot be read.
        """
        with self._book.turn():
            self._require_book_of_this_record()
            flights: Flights = {}
            stopping = asyncio.create_task(stop.wait())
            try:
                while not stop.is_set() and await self._step(flights, stopping):
                    pass
            finally:
                stopping.cancel()
                if flights:
                    await asyncio.wait(flights)
                    self._land(flights)

    async def _step(self, flights: Flights, stopping: "asyncio.Task[bool]") -> bool:
        """Take up, send, wait for what happens first; whether there is more to do."""
        took_up_all = self._take_up() if not flights or time.monotonic() >= self._look_at else True
        self._send_due(flights)
        if flights:
            waited_second = self._pace.poll_second
        else:
            waited_second = 0.0 if not took_up_all else self._idle_second()
            if waited_second > self._pace.patience_second:
                return False
        waiting = {stopping, *flights}
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait(waiting, timeout=min(waited_second, self._pace.poll_second), return_when=first)
        self._land(flights)
        return True

    def _take_up(self) -> bool:
        """Copy the next outbox rows into the book; whether there are no more."""
        last = self._book.last_taken_up()
        with self._store.reading() as reader:
            page = reader.outbox_page(0 if last is None else last[0] + 1, PAGE)
            rows = [_new_row(row, reader) for row in page]
        if rows:
            self._book.take_up(rows, self._clock())
        took_up_all = len(rows) < PAGE
        self._look_at = time.monotonic() + (self._pace.poll_second if took_up_all else 0.0)
        return took_up_all

    def _send_due(self, flights: Flights) -> None:
        free = self._pace.at_a_time - len(flights)
        if free <= 0 or self._pause.left_second(time.monotonic()) > 0:
            return
        now = self._clock()
        under_way = {flight.row.sequence for flight in flights.values()}
        due = (row for row in self._book.due(now, free + len(flights)) if row.sequence not in under_way)
        for row, event_id, document in self._documents(list(islice(due, free)), now):
            flights[asyncio.create_task(self._platform.send(event_id, document, now))] = Flight(row, time.monotonic())

    def _documents(self, rows: list[BookRow], now: datetime) -> Iterable[tuple[BookRow, str, bytes]]:
        """Documents of rows; what cannot be said in our vocabulary is refused here and not sent."""
        if not rows:
            return
        refused = []
        with self._store.reading() as reader:
            for row in rows:
                leaf = _unchanged(reader.by_sequence(row.sequence), row)
                try:
                    yield row, leaf.event_id, self._render(leaf, reader)
                except PackGradeError as error:
                    refused.append(self._refused(row, one_line(f"not sent: {error}")))
        if refused:
            self._book.settle(refused, now)

    def _land(self, flights: Flights) -> None:
        landed = [task for task in flights if task.done()]
        if landed:
            now = self._clock()
            self._book.settle([self._settlement(flights.pop(task), task.result(), now) for task in landed], now)

    def _settlement(self, flight: Flight, answer: Answer, now: datetime) -> Settlement:
        row = flight.row
        if answer.fate is Fate.LATER:
            return self._put_off(flight, answer, now)
        self._pause.succeeded()
        if answer.fate is Fate.REFUSED:
            return self._refused(row, answer.said)
        return Settlement(row, answer_id=answer.answer_id)

    def _put_off(self, flight: Flight, answer: Answer, now: datetime) -> Settlement:
        row = flight.row
        asked_second = answer.retry_after_second or 0.0
        self._pause.failed(flight.sent_at, time.monotonic())
        if asked_second:
            self._pause.hold(time.monotonic(), asked_second)
        wait_second = max(asked_second, self._pace.event_backoff.wait_second(row.attempts + 1, self._chance))
        self._told(f"entry {row.sequence} of {row.battery_id} not served, again in {wait_second:.0f} s: {answer.said}")
        return Settlement(row, next_attempt_at=now + timedelta(seconds=wait_second), last_error=answer.said)

    def _refused(self, row: BookRow, said: str) -> Settlement:
        self._told(f"entry {row.sequence} of {row.battery_id} REFUSED, the batteries it names wait: {said}")
        return Settlement(row, last_error=said)

    def _idle_second(self) -> float:
        """How long until something is due; infinite if nothing is under the way."""
        now = self._clock()
        self._book.pull_in(now, now + timedelta(seconds=self._longest_second))
        due = self._book.next_attempt_at()
        if due is None:
            return math.inf
        return max(0.0, (due - now).total_seconds(), self._pause.left_second(time.monotonic()))

    @property
    def _longest_second(self) -> float:
        return max(self._pace.event_backoff.longest_second, LONGEST_RETRY_AFTER_SECOND)

    def _require_book_of_this_record(self) -> None:
        last = self._book.last_taken_up()
        if last is None:
            return
        with self._store.reading() as reader:
            if reader.digest_at(last[0]) != last[1]:
                raise BookOfAnotherRecord(*last)


def _new_row(row: OutboxRow, reader: Reader) -> NewRow:
    leaf, digest = reader.by_sequence(row.sequence), reader.digest_at(row.sequence)
    if leaf is None or digest is None:
        raise RecordUnavailable(f"The outbox names entry {row.sequence}, which the record lacks.", "Nothing was sent.")
    links = derived_rows(leaf)[1] if leaf.kind in _NAMING_OTHERS else []
    others = frozenset(code for link in links for code in (link.child_id, link.parent_id))
    return NewRow(*row, digest, others - {row.battery_id})


def _unchanged(leaf: Leaf | None, row: BookRow) -> Leaf:
    if leaf is None or leaf_sha256(leaf) != row.leaf_sha256:
        raise RecordUnavailable(
            f"Entry {row.sequence} is not the one that was taken up for delivery.", "It was not sent.", "Verify it."
        )
    return leaf
