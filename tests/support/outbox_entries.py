"""A record whose outbox is full: events of several batteries, all to be told to the platform."""

from pathlib import Path
from typing import Any

from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger, NewEntry
from serving.record.location import RecordLocation
from tests.support.record_entries import new_entry

DUE_ON = "2026-12-11"


def told_entry(number: int, batteries: int = 3, **changes: Any) -> NewEntry:
    """A refusal the platform is to be told of; batteries take turns."""
    body = {"code": "INVALID_INPUT", "upload_due_on": DUE_ON}
    return new_entry(
        number, **({"kind": LeafKind.REFUSAL, "battery_id": f"BATTERY{number % batteries}", "body": body} | changes)
    )


def fill_outbox(
    record: RecordLocation, count: int, batteries: int = 3, first: int = 0, key: Path | None = None
) -> None:
    """Append that many events; every seventh leaf in between is none."""
    entries = []
    for number in range(first, first + count):
        if number % 7 == 3:
            entries.append(new_entry(1_000_000 + number))
        entries.append(told_entry(number, batteries))
    with Ledger.open(record, "0.1.0", key=key) as ledger:
        for start in range(0, len(entries), 300):
            outcomes = ledger.append_many(entries[start : start + 300])
            assert not any(isinstance(outcome, Exception) for outcome in outcomes)
