"""One write transaction on a PostgreSQL record in three round trips, however many leaves it appends.

The first brings the writer's turn and the right edge of the tree, the second all that the announced
entries will look up, the third all rows and the commit. Between them the writer answers from what it
holds; whatever it does not hold is asked for, after the rows it still keeps back were sent.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from serving.record.leaf import Leaf, parse_leaf
from serving.record.sql import COLUMNS, Row, SqlReader, SqlWriter
from serving.record.store import Asked, Head

LOCK = 0x50474C31
"""Advisory lock of the one logical writer of a database."""

_HEAD = "SELECT sequence, leaf_sha256 FROM leaf ORDER BY sequence DESC LIMIT 1"
_LAST_NOTE = "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1"
_RIGHT_EDGE = """
SELECT level, place, hash
FROM (SELECT coalesce(max(sequence) + 1, 0) AS size FROM leaf) AS log
CROSS JOIN generate_series(0, 52) AS height
CROSS JOIN LATERAL (SELECT * FROM subtree WHERE level = height AND place = (size >> height) - 1) AS standing
WHERE (size >> height) & 1 = 1
"""
_BY_KEY = """
SELECT leaf.station, leaf.idempotency_key, leaf FROM unnest(%s::text[], %s::text[]) AS asked (station, idempotency_key)
JOIN leaf USING (station, idempotency_key)
"""
_BY_EVENT = "SELECT event_id, leaf FROM leaf WHERE event_id = ANY (%s)"
_HEADS = """
SELECT asked.{0}, last.{0}_sequence, last.leaf_sha256 FROM unnest(%s::text[]) AS asked ({0})
CROSS JOIN LATERAL
    (SELECT * FROM leaf WHERE leaf.{0}{1} = asked.{0} ORDER BY {0}_sequence DESC LIMIT 1) AS last
"""
_STATION_HEADS, _BATTERY_HEADS = _HEADS.format("station", ""), _HEADS.format("battery", "_id")
_NUMBERS = {"sequence", "battery_sequence", "station_sequence", "level", "place", "size", "joined"}
_BYTES = {"leaf", "hash", "salt"}


def _insert(table: str, columns: Sequence[str]) -> bytes:
    """Return the statement that adds many rows at once, given column by column."""
    types = ("bigint" if name in _NUMBERS else "bytea" if name in _BYTES else "text" for name in columns)
    arrays = ", ".join(f"%s::{each}[]" for each in types)
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays})".encode()


_INSERT = {table: _insert(table, columns) for table, columns in COLUMNS.items()}


class PostgresReader(SqlReader):
    """Reads of one connection."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection

    def _rows(self, query: str, *values: object) -> Sequence[Row]:
        return self._connection.execute(query.replace("?", "%s").encode(), values, binary=True).fetchall()


class PostgresWriter(PostgresReader, SqlWriter):
    """Writes of the one open transaction, inside the pipeline of its connection."""

    def __init__(self, connection: Connection[Any]) -> None:
        super().__init__(connection)
        self._kept_back: dict[str, list[Row]] = {table: [] for table in COLUMNS}
        self._by_key: dict[tuple[str, str], Leaf | None] = {}
        self._by_event: dict[str, Leaf | None] = {}
        self._stations: dict[str, Head | None] = {}
        self._batteries: dict[str, Head | None] = {}
        self._last, self._edge, self._note = self._begun()
        self._size_before = 0 if self._last is None else self._last.sequence + 1
        self._signed: tuple[int, str] | None = None

    def head(self) -> Head | None:
        """Return the last leaf of the log."""
        return self._last

    def station_head(self, station: str) -> Head | None:
        """Return the last leaf of one station, counted within the station."""
        return self._stations[station] if station in self._stations else super().station_head(station)

    def battery_head(self, battery_id: str) -> Head | None:
        """Return the last leaf of one battery, counted within the battery."""
        return self._batteries[battery_id] if battery_id in self._batteries else super().battery_head(battery_id)

    def find(self, station: str, idempotency_key: str) -> Leaf | None:
        """Return the leaf a station wrote under a key."""
        place = (station, idempotency_key)
        return self._by_key[place] if place in self._by_key else super().find(*place)

    def by_event_id(self, event_id: str) -> Leaf | None:
        """Return the leaf of an event."""
        return self._by_event[event_id] if event_id in self._by_event else super().by_event_id(event_id)

    def digest_at(self, sequence: int) -> str | None:
        """Return the digest stored at an index of the log."""
        last = self._last
        return last.leaf_sha256 if last is not None and last.sequence == sequence else super().digest_at(sequence)

    def subtree(self, level: int, place: int) -> bytes:
        """Return the hash of a full subtree of the Merkle tree."""
        held = self._edge.get((level, place))
        return super().subtree(level, place) if held is None else held

    def covering_checkpoint(self, sequence: int) -> str | None:
        """Return the first signed checkpoint whose tree holds the leaf at an index."""
        if self._signed is not None and self._size_before <= sequence < self._signed[0]:
            return self._signed[1]
        return super().covering_checkpoint(sequence)

    def last_checkpoint(self) -> str | None:
        """Return the signed checkpoint over the most leaves."""
        return self._note

    def announce(self, asked: Sequence[Asked]) -> None:
        """Fetch at once what the entries about to be appended will look up."""
        new = [each for each in asked if (each.station, each.idempotency_key) not in self._by_key]
        keys = [(each.station, each.idempotency_key) for each in new]
        events = [each.event_id for each in new]
        stations = sorted({each.station for each in new} - self._stations.keys())
        batteries = sorted({each.battery_id for each in new if each.battery_id} - self._batteries.keys())
        self._send()
        by_key = self._asked(_BY_KEY, [key[0] for key in keys], [key[1] for key in keys])
        by_event = self._asked(_BY_EVENT, events)
        station_heads, battery_heads = self._asked(_STATION_HEADS, stations), self._asked(_BATTERY_HEADS, batteries)
        self._by_key |= dict.fromkeys(keys) | {(row[0], row[1]): parse_leaf(row[2]) for row in by_key.fetchall()}
        self._by_event |= dict.fromkeys(events) | {row[0]: parse_leaf(row[1]) for row in by_event.fetchall()}
        self._stations |= dict.fromkeys(stations) | {row[0]: Head(*row[1:]) for row in station_heads.fetchall()}
        self._batteries |= dict.fromkeys(batteries) | {row[0]: Head(*row[1:]) for row in battery_heads.fetchall()}

    def append(self, leaf: Leaf) -> Head:
        """Add the next leaf of the log, the subtrees it completes and the rows that follow from it."""
        self._last = head = super().append(leaf)
        self._by_key[leaf.station, leaf.idempotency_key] = self._by_event[leaf.event_id] = leaf
        self._stations[leaf.station] = Head(leaf.station_sequence, head.leaf_sha256)
        if leaf.battery_id is not None and leaf.battery_sequence is not None:
            self._batteries[leaf.battery_id] = Head(leaf.battery_sequence, head.leaf_sha256)
        return head

    def keep_checkpoint(self, size: int, note: str) -> None:
        """Add a signed checkpoint over the first `size` leaves, more than any before it covers."""
        super().keep_checkpoint(size, note)
        self._signed, self._note = (size, note), note

    def erase(self, pseudonym: str) -> bool:
        """Erase what stands behind a pseudonym; whether something stood there."""
        return bool(self._rows("DELETE FROM erasable WHERE pseudonym = ? RETURNING pseudonym", pseudonym))

    def commit(self) -> None:
        """Send what was kept back together with the commit; the pipeline's end tells whether it took place."""
        self._send()
        self._connection.execute("COMMIT")

    def _begun(self) -> tuple[Head | None, dict[tuple[int, int], bytes], str | None]:
        """Begin, wait for the turn, and see where the log ends."""
        self._connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        self._asked("SELECT pg_advisory_xact_lock(%s)", LOCK)
        head, edge, note = self._asked(_HEAD), self._asked(_RIGHT_EDGE), self._asked(_LAST_NOTE)
        last, signed = head.fetchone(), note.fetchone()
        subtrees = {(level, place): hashed for level, place, hashed in edge.fetchall()}
        return (last and Head(*last)), subtrees, (signed and signed[0])

    def _rows(self, query: str, *values: object) -> Sequence[Row]:
        self._send()
        return super()._rows(query, *values)

    def _asked(self, query: str, *values: object) -> Any:
        return self._connection.execute(query.encode(), values, binary=True)

    def _add(self, table: str, rows: Sequence[Row]) -> None:
        self._kept_back[table].extend(rows)
        if table == "subtree":
            self._edge |= {(level, place): hashed for level, place, hashed in rows}

    def _send(self) -> None:
        for table, rows in self._kept_back.items():
            if rows:
                self._connection.execute(_INSERT[table], [list(column) for column in zip(*rows, strict=True)])
                rows.clear()
