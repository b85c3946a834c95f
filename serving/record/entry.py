"""What goes into the record, what comes back, and why an entry is refused. Data only; nothing is written here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Self

from features.errors import PackGradeError, Problem
from serving.record.canonical import UnrecordableEntry
from serving.record.leaf import Leaf, LeafKind, broken_rules, leaf_sha256
from serving.record.receipt import Receipt

_UTC_TEXT = "%Y-%m-%dT%H:%M:%S.%fZ"


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

    def __post_init__(self) -> None:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if problems := broken_rules(values | {"recorded_at": self.recorded_at_text}):
            raise UnrecordableEntry(problems)

    @property
    def recorded_at_text(self) -> str:
        """The moment as the leaf holds it; without a zone it is left as it is, which no leaf accepts."""
        moment = self.recorded_at
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
