"""The log's key is changed: an entry names the old key and the new one, and both sign for it.

The name of the log stays. From the next entry on the new key signs alone. The private half of the old
key is replaced on disk and not kept. Nothing here knows a terminal.
"""

import hashlib
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from features.errors import InvalidInput, Problem
from serving.events.activations import DEPLOYMENT
from serving.record.checkpoint import SignerKey
from serving.record.entry import NewEntry, Recorded
from serving.record.key_rotation import key_going_on, lay_ready, rotation, take_over
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger


def rotate_key(ledger: Ledger, key_path: Path, moment: datetime) -> Recorded:
    """Change the key of a log; running services go on with the new one at their next entry.

    Parameters
    ----------
    ledger : Ledger
        The record's writer.
    key_path : Path
        File of the log's key.
    moment : datetime
        When it is changed, aware.

    Returns
    -------
    Recorded
        The entry, committed, under a checkpoint that both keys signed.

    Raises
    ------
    InvalidInput
        If the log is empty: nothing was signed yet, and nobody could follow from the old key.
    RecordUnavailable
        If record or key cannot be written; then the old key goes on, or, if the entry was committed,
        the new one takes its place when the record is written next.
    """
    with rotation(key_path):
        signed_before = ledger.last_checkpoint()
        if signed_before is None:
            raise InvalidInput("The key was not changed.", [Problem("record", "must hold an entry the old key signed")])
        old = key_going_on(key_path, signed_before)
        new = SignerKey.made(old.name)
        lay_ready(key_path, new)
        recorded = ledger.append(_entry(ledger, old, new, moment))
        take_over(key_path)
    return recorded


def _entry(ledger: Ledger, old: SignerKey, new: SignerKey, moment: datetime) -> NewEntry:
    before = ledger.last_of_kind(LeafKind.KEY_CHANGE)
    key = f"key_change to {new.verifier.key_hash.hex()}"
    return NewEntry(
        kind=LeafKind.KEY_CHANGE,
        battery_id=None,
        station=DEPLOYMENT,
        idempotency_key=key,
        request_sha256=hashlib.sha256(f"{old.verifier} {new.verifier}".encode()).hexdigest(),
        event_id=uuid4().hex,
        recorded_at=moment,
        body={
            "old": str(old.verifier),
            "new": str(new.verifier),
            "change_before": None if before is None else before.sequence,
        },
    )
