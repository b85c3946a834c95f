"""The one writer of the record: idempotency and the chain.

An entry is appended once per station and key: the same request again gets the earlier leaf, another
request under the key is refused. A new leaf names the leaf before it in the log and the one before
it of its battery. The caller's bytes are prepared before its turn comes and no lock is held
meanwhile. Time, identifiers and randomness come with the entry.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Self

from features.errors import PackGradeError
from serving.record.canonical import canonical_json
from serving.record.entry import EventExists, IdempotencyConflict, NewEntry, Recorded
from serving.record.group_commit import GroupCommit, Seal, awaited
from serving.record.leaf import Leaf
from serving.record.log_key import log_key
from serving.record.merkle import consistency_proof, inclusion_proof
from serving.record.seal import Sealing, with_receipt
from serving.record.sqlite import SqliteStore
from serving.record.store import Head, Reader, RecordUnavailable, Store, Writer, leaves


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
        cls, path: Path, software_version: str, patience_second: float = 10.0, witness: Path | None = None
    ) -> Self:
        """Open the SQLite record at a path, creating it, and its key beside it, if the folder holds none.

        Raises
        ------
        RecordUnavailable
            If the folder is missing, or the file cannot be written or is not a record of this release.
        """
        store = SqliteStore(path)
        store.prepare()
        with store.reading() as reader:
            signed_before = reader.last_checkpoint()
        return cls(store, Sealing(log_key(path, signed_before), witness), software_version, patience_second)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is waiting, then stop the writer."""
        self._commits.close(self._patience_second)

    def submit(self, entry: NewEntry) -> Future[Recorded]:
        """Hand an entry over without waiting; ``asyncio.wrap_future`` makes the answer awaitable.

        The answer is a `Recorded`, set after the commit, or one of the errors of `append`. Cancelling
        it before its transaction began leaves the entry out.
        """
        return self._commits.hand_over([self._write_of(entry)])[0]

    def append(self, entry: NewEntry) -> Recorded:
        """Record an entry, or return the earlier one of the same station, key and request.

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
        UnrecordableEntry
            If the body holds what JSON cannot.
        RecordUnavailable
            If the store cannot be written in time.
        """
        return awaited(self.submit(entry), self._patience_second)

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
        answers = self._commits.hand_over([self._write_of(entry) for entry in entries])
        return [self._outcome_of(answer) for answer in answers]

    def require_writable(self) -> None:
        """Begin and end a transaction that writes nothing.

        Raises
        ------
        RecordUnavailable
            If the store cannot be written now.
        """
        (answer,) = self._commits.hand_over([lambda writer: writer.head()])
        awaited(answer, self._patience_second)

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

    def __iter__(self) -> Iterator[Recorded]:
        """Iterate over all entries in order."""
        return map(Recorded.earlier, leaves(self._store))

    def _write_of(self, entry: NewEntry) -> Callable[[Writer], Recorded]:
        return partial(_record, entry, canonical_json(entry.body), self._software_version)

    def _outcome_of(self, answer: Future[Recorded]) -> Recorded | PackGradeError:
        try:
            return awaited(answer, self._patience_second)
        except RecordUnavailable:
            raise
        except PackGradeError as error:
            return error


def _record(entry: NewEntry, body_json: bytes, software_version: str, writer: Writer) -> Recorded:
    earlier = writer.find(entry.station, entry.idempotency_key)
    if earlier is not None:
        if earlier.request_sha256 != entry.request_sha256:
            raise IdempotencyConflict(entry, earlier)
        return Recorded.earlier(earlier)
    if (namesake := writer.by_event_id(entry.event_id)) is not None:
        raise EventExists(entry, namesake)
    leaf = _next_leaf(entry, body_json, software_version, writer)
    return Recorded(leaf, writer.append(leaf).leaf_sha256, replayed=False)


def _proved(leaf: Leaf | None, reader: Reader) -> Recorded | None:
    return None if leaf is None else with_receipt(Recorded.earlier(leaf), reader)


def _next_leaf(entry: NewEntry, body_json: bytes, software_version: str, reader: Reader) -> Leaf:
    head = reader.head()
    station_head = reader.station_head(entry.station)
    battery_head = None if entry.battery_id is None else reader.battery_head(entry.battery_id)
    return Leaf(
        sequence=_following(head),
        event_id=entry.event_id,
        kind=entry.kind,
        battery_id=entry.battery_id,
        battery_sequence=None if entry.battery_id is None else _following(battery_head),
        battery_previous_leaf_sha256=battery_head and battery_head.leaf_sha256,
        station=entry.station,
        station_sequence=_following(station_head),
        idempotency_key=entry.idempotency_key,
        request_sha256=entry.request_sha256,
        recorded_at=entry.recorded_at_text,
        previous_leaf_sha256=head and head.leaf_sha256,
        software_version=software_version,
        body_json=body_json,
    )


def _following(head: Head | None) -> int:
    return 0 if head is None else head.sequence + 1
