"""The one writer of the record: idempotency and the chain.

An entry is appended once per station and key: the same request again gets the earlier leaf, another
request under the key is refused. A new leaf names the leaf before it in the log and the one before
it of its battery. The caller's bytes are prepared before its turn comes and no lock is held
meanwhile. Time, identifiers and randomness come with the entry.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from features.errors import PackGradeError
from serving.record.canonical import canonical_json
from serving.record.derived import Link, OutboxRow, Relation
from serving.record.entry import ANY_HEAD, BatteryMoved, EventExists, IdempotencyConflict, NewEntry, Recorded
from serving.record.group_commit import GroupCommit, Seal, awaited
from serving.record.leaf import Leaf, LeafKind
from serving.record.location import RecordLocation, is_database, opened_store
from serving.record.log_key import key_file, log_key_in
from serving.record.merkle import consistency_proof, inclusion_proof
from serving.record.seal import Sealing, with_receipt
from serving.record.store import Asked, Head, Reader, RecordUnavailable, Store, Writer, leaves

T = TypeVar("T")
Requirement = Callable[[Reader], None]


class Ledger:
    """Appends to and reads one record; safe for many threads, and for several processes on one record.

    Parameters
    ----------
    store : Store
        Prepared place of the leaves.
    seal : Seal
        Signs the head of every commit (`serving.record.seal`).
    software_version : str
        Release written into every leaf.
    patience_second : float, optional
        How long `append` waits for its commit. [s]
    """

    def __init__(self, store: Store, seal: Seal, software_version: str, patience_second: float = 10.0) -> None:
        self._store = store
        self._software_version = software_version
        self._patience_second = patience_second
        self._commits = GroupCommit(store, seal)

    @classmethod
    def open(
        cls,
        location: RecordLocation,
        software_version: str,
        patience_second: float = 10.0,
        witness: Path | None = None,
        key: Path | None = None,
    ) -> Self:
        """Open the record at a location, creating it where there is none yet.

        Parameters
        ----------
        location : Path or str
            File, or ``postgresql://`` URL.
        software_version : str
            Release written into every leaf.
        patience_second : float, optional
            How long `append` waits for its commit. [s]
        witness : Path, optional
            File with the last checkpoint a witness holds.
        key : Path, optional
            File of the log's private key; beside a record in a file unless named, made for an empty log.

        Raises
        ------
        RecordUnavailable
            If the folder or the database is missing, it cannot be written or is not a record of this
            release, or the key of a database is not named.
        """
        if key is None and is_database(location):
            raise RecordUnavailable(
                "A record in a database needs its key's place named.",
                what_to_do="Set PACKGRADE_LOG_KEY to a file on storage of its own.",
            )
        store = opened_store(location)
        store.prepare()
        with store.reading() as reader:
            signed_before = reader.last_checkpoint()
        key_path = key or key_file(Path(location))
        sealing = Sealing(log_key_in(key_path, signed_before), witness, key_path)
        return cls(store, sealing, software_version, patience_second)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is waiting, then stop the writer."""
        self._commits.close(self._patience_second)

    def submit(self, entry: NewEntry, require: Requirement | None = None) -> Future[Recorded]:
        """Hand an entry over without waiting; ``asyncio.wrap_future`` makes the answer awaitable.

        The answer is a `Recorded`, set after the commit, or one of the errors of `append`. Cancelling
        it before its transaction began leaves the entry out.
        """
        return self._commits.hand_over([self._write_of(entry, require)], [_asked(entry)])[0]

    def append(self, entry: NewEntry, require: Requirement | None = None) -> Recorded:
        """Record an entry, or return the earlier one of the same station, key and request.

        Parameters
        ----------
        entry : NewEntry
            What is to be recorded.
        require : callable, optional
            Looks at the record inside the entry's own transaction, where nothing can move, and raises a
            `PackGradeError` where the entry must not follow; not asked for an entry that stands already.

        Returns
        -------
        Recorded
            The entry in its place, after the commit returned.

        Raises
        ------
        IdempotencyConflict
            If the station used the key for another request.
        EventExists
            If another entry has the event identifier.
        BatteryMoved
            If the battery has another last entry than the one the caller read.
        UnrecordableEntry
            If the body holds what JSON cannot.
        RecordUnavailable
            If the store cannot be written in time.
        """
        return awaited(self.submit(entry, require), self._patience_second)

    def append_many(self, entries: Sequence[NewEntry]) -> list[Recorded | PackGradeError]:
        """Record entries in order in one transaction; a few hundred at a time.

        Returns
        -------
        list of Recorded or PackGradeError
            One outcome per entry; a conflict concerns its own entry alone.

        Raises
        ------
        UnrecordableEntry
            If a body holds what JSON cannot; then none of the entries is recorded.
        RecordUnavailable
            If the store cannot be written; then none of the entries is recorded.
        """
        answers = self._commits.hand_over([self._write_of(entry) for entry in entries], list(map(_asked, entries)))
        return [self._outcome_of(answer) for answer in answers]

    def require_writable(self) -> None:
        """Begin and end a transaction that writes nothing.

        Raises
        ------
        RecordUnavailable
            If the store cannot be written now.
        """
        self._written(lambda writer: writer.head())

    def reading(self) -> AbstractContextManager[Reader]:
        """Open a consistent view, for whoever must look at several things at once."""
        return self._store.reading()

    def find(self, station: str, idempotency_key: str) -> Recorded | None:
        """Return the entry a station wrote under a key, or None."""
        with self._store.reading() as reader:
            return _proved(reader.find(station, idempotency_key), reader)

    def by_event_id(self, event_id: str) -> Recorded | None:
        """Return the entry of an event, or None."""
        with self._store.reading() as reader:
            return _proved(reader.by_event_id(event_id), reader)

    def by_sequence(self, sequence: int) -> Recorded | None:
        """Return the entry at an index of the log, or None."""
        with self._store.reading() as reader:
            return _proved(reader.by_sequence(sequence), reader)

    def by_battery(self, battery_id: str) -> list[Recorded]:
        """Return the entries of one battery, oldest first."""
        with self._store.reading() as reader:
            return [Recorded.earlier(leaf) for leaf in reader.by_battery(battery_id)]

    def head(self) -> Head | None:
        """Return index and digest of the last entry, or None for an empty record."""
        with self._store.reading() as reader:
            return reader.head()

    def inclusion_proof(self, sequence: int, size: int) -> list[bytes] | None:
        """Return the hashes from an entry to the root of the tree over the first `size` leaves, or None."""
        with self._store.reading() as reader:
            known = _following(reader.head())
            return inclusion_proof(sequence, size, reader.subtree) if sequence < size <= known else None

    def consistency_proof(self, old_size: int, new_size: int) -> list[bytes] | None:
        """Return the hashes that show one tree to begin with another, or None where the log has no such trees."""
        with self._store.reading() as reader:
            known = _following(reader.head())
            return consistency_proof(old_size, new_size, reader.subtree) if 0 < old_size <= new_size <= known else None

    def last_checkpoint(self) -> str | None:
        """Return the signed checkpoint over the whole log, or None for an empty record."""
        with self._store.reading() as reader:
            return reader.last_checkpoint()

    def last_of_kind(self, kind: LeafKind) -> Leaf | None:
        """Return the last entry of a kind, or None."""
        with self._store.reading() as reader:
            return reader.last_of_kind(kind)

    def outbox_page(self, first_sequence: int, at_most: int) -> list[OutboxRow]:
        """Return what the platform is to be told, oldest first, from an index of the log on."""
        with self._store.reading() as reader:
            return reader.outbox_page(first_sequence, at_most)

    def links_of_child(self, child_id: str, relation: Relation) -> list[Link]:
        """Return what was said of a battery as the part or the old code, oldest first."""
        with self._store.reading() as reader:
            return reader.links_of_child(child_id, relation)

    def links_of_parent(self, parent_id: str, relation: Relation) -> list[Link]:
        """Return what was said of a battery as the whole or the new code, oldest first."""
        with self._store.reading() as reader:
            return reader.links_of_parent(parent_id, relation)

    def pseudonym_of(self, kind: str, station: str, value: str) -> str | None:
        """Return the pseudonym personal data is kept under, or None."""
        with self._store.reading() as reader:
            return reader.pseudonym_of(kind, station, value)

    def erasable_value(self, pseudonym: str) -> str | None:
        """Return what stands behind a pseudonym, or None once it was erased."""
        with self._store.reading() as reader:
            return reader.erasable_value(pseudonym)

    def keep_erasable(self, pseudonym: str, salt: bytes, kind: str, station: str, value: str) -> str:
        """Keep personal data apart from the log, where it can be erased.

        Parameters
        ----------
        pseudonym : str
            `serving.record.derived.pseudonym` of the rest.
        salt : bytes
            16 random bytes.
        kind, station, value : str
            What it is (``operator``), whose, and what it says.

        Returns
        -------
        str
            The pseudonym to use: an earlier one where the value is kept already.

        Raises
        ------
        UnrecordableEntry
            If the pseudonym is not that of the rest.
        RecordUnavailable
            If the store cannot be written in time.
        """
        return self._written(lambda writer: writer.keep_erasable(pseudonym, salt, kind, station, value))

    def erase(self, pseudonym: str) -> bool:
        """Erase what stands behind a pseudonym, for ever; whether something stood there.

        Raises
        ------
        RecordUnavailable
            If the store cannot be written in time.
        """
        return self._written(lambda writer: writer.erase(pseudonym))

    def __iter__(self) -> Iterator[Recorded]:
        """Iterate over all entries in order."""
        return map(Recorded.earlier, leaves(self._store))

    def _write_of(self, entry: NewEntry, require: Requirement | None = None) -> Callable[[Writer], Recorded]:
        return partial(_record, entry, canonical_json(entry.body), self._software_version, require)

    def _written(self, write: Callable[[Writer], T]) -> T:
        (answer,) = self._commits.hand_over([write])
        return awaited(answer, self._patience_second)

    def _outcome_of(self, answer: Future[Recorded]) -> Recorded | PackGradeError:
        try:
            return awaited(answer, self._patience_second)
        except RecordUnavailable:
            raise
        except PackGradeError as error:
            return error


def _asked(entry: NewEntry) -> Asked:
    return Asked(entry.station, entry.idempotency_key, entry.event_id, entry.battery_id)


def _record(
    entry: NewEntry, body_json: bytes, software_version: str, require: Requirement | None, writer: Writer
) -> Recorded:
    earlier = writer.find(entry.station, entry.idempotency_key)
    if earlier is not None:
        if earlier.request_sha256 != entry.request_sha256:
            raise IdempotencyConflict(entry, earlier)
        return Recorded.earlier(earlier)
    if (namesake := writer.by_event_id(entry.event_id)) is not None:
        raise EventExists(entry, namesake)
    if require is not None:
        require(writer)
    leaf = _next_leaf(entry, body_json, software_version, writer)
    return Recorded(leaf, writer.append(leaf).leaf_sha256, replayed=False)


def _proved(leaf: Leaf | None, reader: Reader) -> Recorded | None:
    return None if leaf is None else with_receipt(Recorded.earlier(leaf), reader)


def _next_leaf(entry: NewEntry, body_json: bytes, software_version: str, reader: Reader) -> Leaf:
    head = reader.head()
    station_head = reader.station_head(entry.station)
    battery_head = None if entry.battery_id is None else reader.battery_head(entry.battery_id)
    if entry.expected_battery_head not in (ANY_HEAD, found := battery_head and battery_head.leaf_sha256):
        raise BatteryMoved(entry, found)
    return Leaf(
        sequence=_following(head),
        event_id=entry.event_id,
        kind=entry.kind,
        battery_id=entry.battery_id,
        battery_sequence=None if entry.battery_id is None else _following(battery_head),
        battery_previous_leaf_sha256=found,
        station=entry.station,
        station_sequence=_following(station_head),
        idempotency_key=entry.idempotency_key,
        request_sha256=entry.request_sha256,
        recorded_at=entry.recorded_at_text,
        previous_leaf_sha256=head and head.leaf_sha256,
        software_version=software_version,
        body_json=body_json,
        operator=entry.operator,
        station_clock=entry.station_clock_text,
    )


def _following(head: Head | None) -> int:
    return 0 if head is None else head.sequence + 1
