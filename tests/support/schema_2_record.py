"""A record in SQLite as the release before schema 3 wrote it: leaves of format 1, one signed checkpoint over all."""

import sqlite3
from contextlib import closing
from pathlib import Path

from serving.record.leaf import Leaf, canonical_bytes, leaf_sha256
from serving.record.log_key import log_key
from serving.record.migrations import script
from serving.record.sqlite import APPLICATION_ID
from tests.support.log_forger import reseal
from tests.support.record_entries import new_entry


def write_schema_2_record(path: Path, count: int) -> list[Leaf]:
    """Write the numbered entries with the schema and the leaves of that release; returns the leaves."""
    leaves = list[Leaf]()
    for number in range(count):
        leaves.append(_leaf(number, [leaf_sha256(leaf) for leaf in leaves]))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(script("sqlite", 2))
        connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 2;")
        for leaf in leaves:
            place = (leaf.sequence, leaf.event_id, leaf.battery_id, leaf.battery_sequence, leaf.station)
            row = (*place, leaf.station_sequence, leaf.idempotency_key, leaf_sha256(leaf), canonical_bytes(leaf))
            connection.execute("INSERT INTO leaf VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        reseal(connection, log_key(path))
    return leaves


def _leaf(number: int, digests: list[str]) -> Leaf:
    entry = new_entry(number)
    return Leaf(
        sequence=number,
        event_id=entry.event_id,
        kind=entry.kind,
        battery_id=entry.battery_id,
        battery_sequence=number // 3,
        battery_previous_leaf_sha256=digests[number - 3] if number >= 3 else None,
        station=entry.station,
        station_sequence=number // 2,
        idempotency_key=entry.idempotency_key,
        request_sha256=entry.request_sha256,
        recorded_at=entry.recorded_at_text,
        previous_leaf_sha256=digests[-1] if digests else None,
        software_version="0.1.0",
        body_json=b'{"number":%d}' % number,
        format_version=1,
    )
