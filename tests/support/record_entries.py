"""Entries for tests of the record: plain, numbered, and equal for equal numbers."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger, NewEntry

WRITTEN_AT = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)


def new_entry(number: int, **changes: Any) -> NewEntry:
    """The decision numbered so; three batteries and two stations take turns."""
    entry = NewEntry(
        kind=LeafKind.DECISION,
        battery_id=f"BATTERY{number % 3}",
        station=f"station-{number % 2}",
        idempotency_key=f"key-{number}",
        request_sha256=sha256(str(number).encode()).hexdigest(),
        event_id=uuid.uuid5(uuid.NAMESPACE_OID, str(number)).hex,
        recorded_at=WRITTEN_AT,
        body={"number": number, "lower_ah": 26.9, "upper_ah": 30.0, "p": 0.000012, "note": "电池 “B”", "missing": None},
    )
    return replace(entry, **changes)


def append_numbered(ledger: Ledger, count: int) -> None:
    """The first `count` numbered entries, in one transaction."""
    assert all(
        not isinstance(outcome, Exception) for outcome in ledger.append_many([new_entry(n) for n in range(count)])
    )
