"""What may occur once only in a log: events, and keys within a station. On disk, so that any log fits."""

import sqlite3
from collections.abc import Iterator
from typing import Self

from serving.record.chain_check import RecordProblem
from serving.record.leaf import Leaf

_AT_ONCE = 1000
_DOUBLED = "SELECT {columns}, max(sequence) FROM seen GROUP BY {columns} HAVING count(*) > 1"


class OnceCheck:
    """Identifiers of the entries seen, in a temporary file that disappears with it."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("")
        self._connection.execute("CREATE TABLE seen (sequence, event_id, station, idempotency_key)")
        self._waiting: list[tuple[int, str, str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def add(self, leaf: Leaf) -> None:
        """Remember an entry."""
        self._waiting.append((leaf.sequence, leaf.event_id, leaf.station, leaf.idempotency_key))
        if len(self._waiting) >= _AT_ONCE:
            self._write()

    def problems(self) -> Iterator[RecordProblem]:
        """Whatever occurs more than once."""
        self._write()
        for columns in ("event_id", "station, idempotency_key"):
            for *values, sequence in self._connection.execute(_DOUBLED.format(columns=columns)):
                shown = " / ".join(str(value)[:80] for value in values)
                yield RecordProblem(f"{columns} occurs more than once", sequence, found=shown)

    def _write(self) -> None:
        self._connection.executemany("INSERT INTO seen VALUES (?, ?, ?, ?)", self._waiting)
        self._waiting.clear()
