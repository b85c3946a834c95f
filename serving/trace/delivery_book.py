"""The delivery book: what became of every event that is due at the platform.

It stands beside the record and is no evidence: it changes, nobody signs it, and a lost one only means
that everything is sent once more and the platform sees event ids it knows. A row follows its outbox
row through these states:

    waiting ──► ready ──► delivered          ready: its turn, sent when its next attempt comes
                  ▲  └──► refused ──► ready  refused: a dead letter; it holds the batteries it names back
                  └─ tried again             until somebody asks for it to be tried again

An event names the battery it is filed under and, where batteries are joined, parted or recoded, the others.
Invariant: it waits exactly while an earlier one that names one of its batteries is not delivered.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from features.errors import PackGradeError
from serving.trace.delivery_book_sql import (
    AGAIN,
    BEHIND,
    BOOK_VERSION,
    COLUMNS,
    CONCERN,
    CONCERN_NO_MORE,
    DELIVERED,
    LATER,
    NEXT_TURN,
    OF_BATTERY,
    REFUSED,
    SCHEMA,
    TAKE_UP,
    UPGRADE,
)
from serving.trace.schedule import utc_text

Values = Mapping[str, str | int | None]


class BookUnavailable(PackGradeError):  # noqa: N818 - reads as what it is: the book is unavailable
    """The delivery book cannot be used now; what was sent meanwhile is sent again."""

    def __init__(self, what_happened: str, what_to_do: str = "Make it usable; delivery goes on where it was.") -> None:
        super().__init__("DELIVERY_BOOK_UNAVAILABLE", f"{what_happened} Nothing was lost. {what_to_do}")


class BookOfAnotherRecord(PackGradeError):  # noqa: N818 - reads as what it is: a book of another record
    """The book knows entries the record does not have. Nothing was sent."""

    def __init__(self, sequence: int, leaf_sha256: str) -> None:
        super().__init__(
            "BOOK_OF_ANOTHER_RECORD",
            f"The delivery book knows entry {sequence} as {leaf_sha256[:12]}…, the record does not have it. Nothing "
            "was sent. The record was exchanged or rolled back: verify it, then move the book away; everything is then "
            "sent once more.",
        )


class AlreadyDelivering(PackGradeError):  # noqa: N818 - reads as what it is: somebody delivers already
    """Another dispatcher delivers this record. Nothing was sent."""

    def __init__(self, place: str) -> None:
        message = f"Another process delivers from {place}. Nothing was sent. One at a time is enough."
        super().__init__("ALREADY_DELIVERING", message)


class State(StrEnum):
    """Where an event stands on its way."""

    WAITING = "waiting"
    READY = "ready"
    REFUSED = "refused"
    DELIVERED = "delivered"


class NewRow(NamedTuple):
    """An outbox row to be taken up, with the digest of its entry and the other batteries the entry names."""

    sequence: int
    battery_id: str
    due_on: str
    leaf_sha256: str
    others: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BookRow:
    """One event that is not delivered yet.

    Attributes
    ----------
    sequence : int
        Index of its entry in the log.
    battery_id : str
        Its battery.
    due_on : str
        Last day for telling, ISO 8601.
    leaf_sha256 : str
        Digest of its entry when it was taken up.
    state : State
        Where it stands.
    attempts : int
        How often it was sent.
    next_attempt_at : str or None
        When it is sent next, UTC; None while it waits or is refused.
    last_error : str or None
        Why the last attempt failed.
    """

    sequence: int
    battery_id: str
    due_on: str
    leaf_sha256: str
    state: State
    attempts: int
    next_attempt_at: str | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of one attempt; exactly one of the last three is set, an `answer_id` may be empty.

    Attributes
    ----------
    row : BookRow
        What was sent.
    answer_id : str or None
        Delivered: what the platform calls it.
    next_attempt_at : datetime or None
        Not served: when it is sent again.
    last_error : str or None
        Why it was not served, or, without a next attempt, why it is refused.
    """

    row: BookRow
    answer_id: str | None = None
    next_attempt_at: datetime | None = None
    last_error: str | None = None


class BookConnection(Protocol):
    """What the book asks of a database. Names in statements are written ``:name``."""

    def rows(self, statement: str, values: Values) -> list[tuple[Any, ...]]:
        """Run a query."""

    def run(self, statement: str, values: Values) -> int:
        """Run a statement; returns how many rows it changed."""

    def run_each(self, statement: str, values: Iterable[Values]) -> None:
        """Run a statement once per set of values."""

    def transaction(self) -> AbstractContextManager[None]:
        """Keep everything run inside, or nothing."""

    def turn(self) -> AbstractContextManager[None]:
        """Be the only dispatcher, or raise `AlreadyDelivering`."""

    def close(self) -> None:
        """Let go of the database."""


class DeliveryBook:
    """The book in a database; see the module for its states.

    Parameters
    ----------
    connection : BookConnection
        Where it is kept.

    Raises
    ------
    BookUnavailable
        If it was written by a release that knows other states.
    """

    def __init__(self, connection: BookConnection) -> None:
        self._connection = connection
        with connection.transaction():
            for statement in SCHEMA:
                connection.run(statement, {})
            versions = self._versions()
        if versions != [(BOOK_VERSION,)]:
            raise BookUnavailable(
                f"The delivery book has version {versions}, this release knows {BOOK_VERSION}.",
                "Move it away: everything is then sent once more.",
            )

    def turn(self) -> AbstractContextManager[None]:
        """Be the only dispatcher while inside.

        Raises
        ------
        AlreadyDelivering
            If there is another.
        """
        return self._connection.turn()

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    def last_taken_up(self) -> tuple[int, str] | None:
        """Index and digest of the last entry in the book, or None."""
        found = self._connection.rows("SELECT sequence, leaf_sha256 FROM event ORDER BY sequence DESC LIMIT 1", {})
        return (int(found[0][0]), str(found[0][1])) if found else None

    def take_up(self, rows: Sequence[NewRow], now: datetime) -> None:
        """Add outbox rows in their order; those it has stay as they are."""
        concerns: list[Values] = [
            {"sequence": row.sequence, "battery_id": battery_id}
            for row in rows
            for battery_id in sorted({row.battery_id, *row.others})
        ]
        own = ("sequence", "battery_id", "due_on", "leaf_sha256")
        values: list[Values] = [{name: getattr(row, name) for name in own} | {"now": utc_text(now)} for row in rows]
        with self._connection.transaction():
            self._connection.run_each(CONCERN, concerns)
            self._connection.run_each(TAKE_UP, values)

    def due(self, now: datetime, at_most: int) -> list[BookRow]:
        """Rows whose attempt has come, the longest due first."""
        condition = "state = 'ready' AND next_attempt_at <= :now ORDER BY next_attempt_at, sequence LIMIT :at_most"
        return self._rows(condition, {"now": utc_text(now), "at_most": at_most})

    def next_attempt_at(self) -> datetime | None:
        """When the next attempt comes, or None if there is none to come."""
        (found,) = self._connection.rows("SELECT min(next_attempt_at) FROM event WHERE state = 'ready'", {})
        return None if found[0] is None else datetime.fromisoformat(found[0])

    def settle(self, settlements: Iterable[Settlement], now: datetime) -> None:
        """Write down what became of attempts, all or none; a delivered event gives those behind it their turn."""
        with self._connection.transaction():
            for each in settlements:
                self._settle(each, utc_text(now))

    def pull_in(self, now: datetime, latest: datetime) -> int:
        """Bring attempts later than a moment forward to now: no clock ever set wrong may put them off for years."""
        statement = "UPDATE event SET next_attempt_at = :now WHERE state = 'ready' AND next_attempt_at > :latest"
        with self._connection.transaction():
            return self._connection.run(statement, {"now": utc_text(now), "latest": utc_text(latest)})

    def try_again(self, now: datetime, battery_id: str | None = None, sequence: int | None = None) -> int:
        """Make refused and put-off events due now: of one entry, naming one battery, or all; returns how many."""
        condition = "" if battery_id is None else OF_BATTERY
        condition += "" if sequence is None else " AND sequence = :sequence"
        values = {"now": utc_text(now), "battery_id": battery_id, "sequence": sequence}
        with self._connection.transaction():
            return self._connection.run(AGAIN + condition, values)

    def counts(self) -> dict[State, int]:
        """How many rows stand where."""
        found = dict(self._connection.rows("SELECT state, count(*) FROM event GROUP BY state", {}))
        return {state: int(found.get(state.value, 0)) for state in State}

    def undelivered(self, due_before: str, at_most: int, state: State | None = None) -> list[BookRow]:
        """Undelivered rows due before a day (ISO 8601), the earliest due first, of one state or all."""
        condition = "state <> 'delivered' AND due_on < :due_before" + ("" if state is None else " AND state = :state")
        values: Values = {"due_before": due_before, "at_most": at_most, "state": state and state.value}
        return self._rows(f"{condition} ORDER BY due_on, sequence LIMIT :at_most", values)

    def _versions(self) -> list[tuple[Any, ...]]:
        """Versions the book names, after a new one got ours and one of version 1 was brought to it."""
        found = self._connection.rows("SELECT version FROM book", {})
        if not found:
            self._connection.run("INSERT INTO book (version) VALUES (:version)", {"version": BOOK_VERSION})
        if found == [(1,)]:
            for statement in UPGRADE:
                self._connection.run(statement, {})
        return self._connection.rows("SELECT version FROM book", {})

    def _rows(self, condition: str, values: Values) -> list[BookRow]:
        found = self._connection.rows(f"SELECT {COLUMNS} FROM event WHERE {condition}", values)
        return [
            BookRow(sequence, battery_id, due_on, leaf_sha256, State(state), attempts, next_attempt_at, last_error)
            for sequence, battery_id, due_on, leaf_sha256, state, attempts, next_attempt_at, last_error in found
        ]

    def _settle(self, each: Settlement, now: str) -> None:
        row, run = each.row, self._connection.run
        if each.last_error is None:
            if run(DELIVERED, {"now": now, "answer_id": each.answer_id, "sequence": row.sequence}):
                behind = {following for (following,) in self._connection.rows(BEHIND, {"sequence": row.sequence})}
                run(CONCERN_NO_MORE, {"sequence": row.sequence})
                for following in sorted(behind - {None}):
                    run(NEXT_TURN, {"now": now, "sequence": following})
        elif each.next_attempt_at is not None:
            moment = utc_text(each.next_attempt_at)
            run(LATER, {"next_attempt_at": moment, "last_error": each.last_error, "sequence": row.sequence})
        else:
            run(REFUSED, {"last_error": each.last_error, "sequence": row.sequence})
