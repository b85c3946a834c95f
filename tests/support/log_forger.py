"""Somebody who can write the record's file and has stolen its key: makes a changed log agree with itself again."""

import shutil
import sqlite3
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from serving.record.checkpoint import Checkpoint, SignerKey
from serving.record.leaf import Leaf
from serving.record.ledger import Ledger, NewEntry
from serving.record.log_key import key_file, public_key_file
from serving.record.merkle import completed_subtrees, leaf_hash, root


def reseal(connection: sqlite3.Connection, key: SignerKey) -> None:
    """Rebuild every subtree over the stored leaves and sign one checkpoint over all of them."""
    connection.execute("DELETE FROM subtree")
    connection.execute("DELETE FROM checkpoint")
    kept: dict[tuple[int, int], bytes] = {}
    stored = [row[0] for row in connection.execute("SELECT leaf FROM leaf ORDER BY sequence")]
    for index, leaf in enumerate(stored):
        for level, place, hashed in completed_subtrees(index, leaf_hash(leaf), lambda *where: kept[where]):
            kept[level, place] = hashed
    rows = [(level, place, hashed) for (level, place), hashed in kept.items()]
    connection.executemany("INSERT INTO subtree VALUES (?, ?, ?)", rows)
    head = Checkpoint(key.name, len(stored), root(len(stored), lambda *where: kept[where]))
    connection.execute("INSERT INTO checkpoint VALUES (?, ?)", (head.size, key.sign(head)))


def forge_history(path: Path, edit: Callable[[list[NewEntry]], Iterable[NewEntry]]) -> None:
    """Write the record again from the first entry on, as its own software would have, with other entries.

    Every digest, link, count, derived row, hash of the tree and signature of the new record is right; the
    file then takes the old one's place.
    """
    with Ledger.open(path, "0.1.0") as ledger:
        entries = [_entry_of(each.leaf) for each in ledger]
    scratch = path.with_name("forged.sqlite")
    for own in (key_file, public_key_file):
        shutil.copyfile(own(path), own(scratch))
    with Ledger.open(scratch, "0.1.0") as ledger:
        for entry in edit(entries):
            ledger.append(entry)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    scratch.replace(path)


def _entry_of(leaf: Leaf) -> NewEntry:
    return NewEntry(
        kind=leaf.kind,
        battery_id=leaf.battery_id,
        station=leaf.station,
        idempotency_key=leaf.idempotency_key,
        request_sha256=leaf.request_sha256,
        event_id=leaf.event_id,
        recorded_at=datetime.fromisoformat(leaf.recorded_at),
        body=leaf.body,
        operator=leaf.operator,
        station_clock=None if leaf.station_clock is None else datetime.fromisoformat(leaf.station_clock),
    )
