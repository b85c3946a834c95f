"""Which bundle and which policy are in force from here on: an entry whenever either becomes another one.

The log's last activation of a kind says what is in force. Whoever opens a grader that holds something
else records it, under a key that names the activation it replaces: of many workers that start at once
one is the first to use that key, inside its transaction, and the others find its entry. Going back to
an older bundle is a new activation. Every decision names its bundle and policy itself; these entries
tell when and in which order they came into force.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from uuid import uuid4

import rfc8785

from serving.grading import Grader
from serving.record.entry import IdempotencyConflict, NewEntry, Recorded
from serving.record.leaf import Leaf, LeafKind
from serving.record.ledger import Ledger

DEPLOYMENT = "packgrade deployment"
"""Station of what concerns the whole deployment."""

MODEL_CARD = "model_card.md"


def record_activations(ledger: Ledger, grader: Grader, moment: datetime) -> list[Recorded]:
    """Record what a grader brings into force.

    Parameters
    ----------
    ledger : Ledger
        The record's writer.
    grader : Grader
        Opened and sound.
    moment : datetime
        When it was opened, aware.

    Returns
    -------
    list of Recorded
        The new entries; none where bundle and policy were in force already.

    Raises
    ------
    RecordUnavailable
        If the record cannot be written.
    """
    asked: dict[LeafKind, dict[str, object]] = {
        LeafKind.BUNDLE_ACTIVATED: {
            **grader.bundle.stamp,
            "model_card_sha256": grader.bundle.manifest.files.get(MODEL_CARD),
        },
        LeafKind.POLICY_ACTIVATED: {
            "policy_id": grader.policy.stamp.policy_id,
            "version": grader.policy.stamp.version,
            "effective_from": grader.policy.effective_from.isoformat(),
            "sha256": grader.policy.stamp.sha256,
        },
    }
    recorded = [_activated(ledger, kind, body, moment) for kind, body in asked.items()]
    return [each for each in recorded if each is not None]


def _activated(ledger: Ledger, kind: LeafKind, body: Mapping[str, object], moment: datetime) -> Recorded | None:
    """Record an activation unless it is in force; whoever comes second looks again."""
    while (last := ledger.last_of_kind(kind)) is None or last.body["sha256"] != body["sha256"]:
        try:
            recorded = ledger.append(_entry(kind, body, last, moment))
        except IdempotencyConflict:
            continue
        if not recorded.replayed:
            return recorded
    return None


def _entry(kind: LeafKind, body: Mapping[str, object], replaced: Leaf | None, moment: datetime) -> NewEntry:
    key = f"{kind.value} after {'nothing' if replaced is None else replaced.sequence}"
    told = {**body, "replaces": replaced and replaced.event_id}
    return NewEntry(
        kind=kind,
        battery_id=None,
        station=DEPLOYMENT,
        idempotency_key=key,
        request_sha256=hashlib.sha256(rfc8785.dumps({"key": key, **told})).hexdigest(),  # type: ignore[dict-item]
        event_id=uuid4().hex,
        recorded_at=moment,
        body=told,
    )
