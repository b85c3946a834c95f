"""What goes into the record, what comes back, and why an entry is refused. Data only; nothing is written here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import Enum
from typing import Final, Literal, Self

from features.errors import PackGradeError, Problem
from serving.record.canonical import UnrecordableEntry
from serving.record.leaf import Leaf, LeafKind, broken_rules, leaf_sha256
from serving.record.receipt import Receipt

_UTC_TEXT = "%Y-%m-%dT%H:%M:%S.%fZ"


class _Whichever(Enum):
    HEAD = "whichever head"


ANY_HEAD: Final = _Whichever.HEAD
"""Default of `NewEntry.expected_battery_head`: the entry does not depend on the battery's earlier ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """What a caller wants recorded; the ledger adds the place in the chain.

    Attributes
    ----------
    kind : LeafKind
        What the entry is about.
    battery_id : str or None
        The battery concerned; None for entries about the deployment itself.
    station : str
        Who asked; idempotency keys are unique within it.
    idempotency_key : str
        Names the request at its station, for ever.
    request_sha256 : str
        Digest of everything that makes two requests the same one, route included.
    event_id : str
        A fresh UUID as 32 hexadecimal digits.
    recorded_at : datetime
        The caller's clock, aware; informs, never orders.
    body : mapping
        JSON object; NaN, infinities and integers beyond 2**53 - 1 are refused on appending.
    operator : str or None
        Pseudonym of the person at the station, 32 hexadecimal digits.
    station_clock : datetime or None
        What the station's own clock said, aware.
    expected_battery_head : str, None or ANY_HEAD
        Digest of the battery's last entry that the caller has read, None if it read none. If the
        battery has another last entry when the turn comes, nothing is recorded (`BatteryMoved`).

    Raises
    ------
    UnrecordableEntry
        If a field breaks its rule.
    """

    kind: LeafKind
    battery_id: str | None
    station: str
    idempotency_key: str
    request_sha256: str
    event_id: str
    recorded_at: datetime
    body: Mapping[str, object]
    operator: str | None = None
    station_clock: datetime | None = None
    expected_battery_head: str | Literal[_Whichever.HEAD] | None = ANY_HEAD

    def __post_init__(self) -> None:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moments = {"recorded_at": self.recorded_at_text, "station_clock": self.station_clock_text}
        if problems := broken_rules(values | moments):
            raise UnrecordableEntry(problems)

    @property
    def recorded_at_text(self) -> str:
        """The moment as the leaf holds it; without a zone it is left as it is, which no leaf accepts."""
        return _utc_text(self.recorded_at)

    @property
    def station_clock_text(self) -> str | None:
        """The station's moment as the leaf holds it."""
        return None if self.station_clock is None else _utc_text(self.station_clock)


def _utc_text(moment: datetime) -> str:
    return moment.isoformat() if moment.tzinfo is None else f"{moment.astimezone(UTC):{_UTC_TEXT}}"


class IdempotencyConflict(PackGradeError):  # noqa: N818 - reads as what it is: a conflict
    """A station used a key again for another request. Nothing was recorded."""

    def __init__(self, entry: NewEntry, earlier: Leaf) -> None:
        self.earlier = earlier
        super().__init__(
            "IDEMPOTENCY_CONFLICT",
            f"Station {entry.station} already used idempotency key {entry.idempotency_key} for another request "
            f"(event {earlier.event_id}, entry {earlier.sequence}). Nothing was recorded. Send the new request "
            "under a new key.",
            [Problem("request_sha256", f"must be {earlier.request_sha256}", entry.request_sha256)],
        )


class EventExists(PackGradeError):  # noqa: N818 - reads as what it is: the event exists
    """An event identifier was given to a second entry. Nothing was recorded."""

    def __init__(self, entry: NewEntry, earlier: Leaf) -> None:
        super().__init__(
            "EVENT_EXISTS",
            f"Event {entry.event_id} is already entry {earlier.sequence} of the record. Nothing was recorded. "
            "Give every new entry a fresh identifier.",
        )


class BatteryMoved(PackGradeError):  # noqa: N818 - reads as what it is: the battery has moved on
    """A battery got another entry after the caller read it. Nothing was recorded."""

    def __init__(self, entry: NewEntry, found: str | None) -> None:
        super().__init__(
            "BATTERY_MOVED",
            f"Battery {entry.battery_id} got another entry meanwhile. Nothing was recorded. Read the battery again "
            "and decide anew.",
            [Problem("expected_battery_head", f"must be {found}", str(entry.expected_battery_head))],
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry that is in the record, durably.

    Attributes
    ----------
    leaf : Leaf
        What stands there.
    leaf_sha256 : str
        Its digest.
    replayed : bool
        True for an entry that stood there before; nothing was written.
    receipt : Receipt or None
        Proof that it is in the signed log; None where the entry was only looked up.
    """

    leaf: Leaf
    leaf_sha256: str
    replayed: bool
    receipt: Receipt | None = None

    @classmethod
    def earlier(cls, leaf: Leaf) -> Self:
        """Return what stood in the record before."""
        return cls(leaf, leaf_sha256(leaf), replayed=True)
