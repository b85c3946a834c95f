"""What the ledger asks of a place that keeps leaves, whichever database that is.

A store keeps leaves in order, finds them again and gives one writer at a time its turn. It knows
nothing of idempotency, of the chain's rules or of threads; those stand in `ledger`.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from features.errors import PackGradeError
from serving.record.derived import Link, OutboxRow, Relation
from serving.record.leaf import Leaf, LeafKind
from serving.record.migrations import SCHEMA_VERSION


class RecordUnavailable(PackGradeError):  # noqa: N818 - reads as what it is: the record is unavailable
    """The record cannot be read or written now.

    Parameters
    ----------
    what_happened : str
        The fault, with the place.
    consequence : str, optional
        What was not done.
    what_to_do : str, optional
        Next step for the operator or the caller.
    """

    def __init__(
        self,
        what_happened: str,
        consequence: str = "Nothing was recorded.",
        what_to_do: str = "Restore the record, then send the request again with the same idempotency key.",
    ) -> None:
        super().__init__("RECORD_UNAVAILABLE", f"{what_happened} {consequence} {what_to_do}")


def other_schema(shown_location: str, version: int) -> RecordUnavailable:
    """Return the refusal of a record of an older or newer schema, naming the way out."""
    older = "Stop the service, back the record up and run `packgrade record upgrade`."
    newer = "Use the release that wrote it or a newer one."
    return RecordUnavailable(
        f"{shown_location} has record schema {version}, this release reads {SCHEMA_VERSION}.",
        what_to_do=older if version < SCHEMA_VERSION else newer,
    )


class Head(NamedTuple):
    """The last leaf of a chain: its index there and its digest."""

    sequence: int
    leaf_sha256: str


class Asked(NamedTuple):
    """What the ledger will look up when it appends an entry."""

    station: str
    idempotency_key: str
    event_id: str
    battery_id: str | None


class Reader(Protocol):
    """One consistent view of the stored leaves."""

    def head(self) -> Head | None:
        """Return the last leaf of the log."""

    def battery_head(self, battery_id: str) -> Head | None:
        """Return the last leaf of one battery, counted within the battery."""

    def station_head(self, station: str) -> Head | None:
        """Return the last leaf of one station, counted within the station."""

    def find(self, station: str, idempotency_key: str) -> Leaf | None:
        """Return the leaf a station wrote under a key."""

    def by_event_id(self, event_id: str) -> Leaf | None:
        """Return the leaf of an event."""

    def by_sequence(self, sequence: int) -> Leaf | None:
        """Return the leaf at an index of the log."""

    def by_battery(self, battery_id: str) -> list[Leaf]:
        """Return the leaves of one battery, oldest first."""

    def last_of_battery(self, battery_id: str) -> Leaf | None:
        """Return the last leaf of one battery."""

    def page(self, first_sequence: int, at_most: int) -> list[Leaf]:
        """Return consecutive leaves of the log from an index on."""

    def digest_at(self, sequence: int) -> str | None:
        """Return the digest stored at an index of the log."""

    def subtree(self, level: int, place: int) -> bytes:
        """Return the hash of a full subtree of the Merkle tree (`serving.record.merkle`)."""

    def covering_checkpoint(self, sequence: int) -> str | None:
        """Return the first signed checkpoint whose tree holds the leaf at an index."""

    def last_checkpoint(self) -> str | None:
        """Return the signed checkpoint over the most leaves."""

    def last_of_kind(self, kind: LeafKind) -> Leaf | None:
        """Return the last leaf of a kind."""

    def outbox_page(self, first_sequence: int, at_most: int) -> list[OutboxRow]:
        """Return what the platform is to be told, oldest first, from an index of the log on."""

    def links_of_child(self, child_id: str, relation: Relation) -> list[Link]:
        """Return what was said of a battery as the part or the old code, oldest first."""

    def links_of_parent(self, parent_id: str, relation: Relation) -> list[Link]:
        """Return what was said of a battery as the whole or the new code, oldest first."""

    def pseudonym_of(self, kind: str, station: str, value: str) -> str | None:
        """Return the pseudonym personal data is kept under."""

    def erasable_value(self, pseudonym: str) -> str | None:
        """Return what stands behind a pseudonym, None once it was erased."""


class Writer(Reader, Protocol):
    """A reader whose turn it is to write; what it appends is seen by its own reads."""

    def announce(self, asked: Sequence[Asked]) -> None:
        """Say what will be looked up, so that a distant store can fetch it at once; it promises nothing."""

    def append(self, leaf: Leaf) -> Head:
        """Add the next leaf of the log, the subtrees it completes and the rows that follow from it.

        Raises
        ------
        UnrecordableEntry
            If the body announces such rows in another form than the record knows; nothing was added.
        """

    def keep_checkpoint(self, size: int, note: str) -> None:
        """Add a signed checkpoint over the first `size` leaves, more than any before it covers."""

    def keep_erasable(self, pseudonym: str, salt: bytes, kind: str, station: str, value: str) -> str:
        """Keep personal data apart from the leaves; returns the pseudonym it is kept under, an earlier one first."""

    def erase(self, pseudonym: str) -> bool:
        """Erase what stands behind a pseudonym; whether something stood there."""


class Store(Protocol):
    """A place that keeps leaves. Every failure of the place is a `RecordUnavailable`."""

    def prepare(self) -> None:
        """Create the record if there is none, or see that it is one of ours."""

    def reading(self) -> AbstractContextManager[Reader]:
        """Open a consistent view."""

    def writing(self) -> AbstractContextManager[Writer]:
        """Wait for the one writer's turn; leaving normally makes everything appended durable, else nothing is kept."""

    def close(self) -> None:
        """Let go of what is held open."""


def leaves(store: Store, page_size: int = 500, first_sequence: int = 0) -> Iterator[Leaf]:
    """Iterate over the log in order from an index on, holding no view open between pages."""
    following = first_sequence
    while True:
        with store.reading() as reader:
            page = reader.page(following, page_size)
        yield from page
        if len(page) < page_size:
            return
        following = page[-1].sequence + 1
