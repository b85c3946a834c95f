"""Receipts a station kept, held against a record: each must be proved by its checkpoint and stand where it says."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import InvalidInput, Problem
from serving.record.canonical import MalformedLeaf
from serving.record.chain_check import RecordProblem
from serving.record.checkpoint import Checkpoint, CheckpointRefused, opened_checkpoint
from serving.record.key_history import KeyHistory
from serving.record.leaf import Leaf, canonical_bytes
from serving.record.receipt import Receipt
from serving.record.source import RecordSource


@dataclass(frozen=True, slots=True)
class KeptReceipt:
    """One receipt from a station's folder.

    Attributes
    ----------
    name : str
        File it stands in.
    receipt : Receipt
        The proof.
    leaf_sha256 : str
        Digest of the entry, as answered beside it.
    signed : Checkpoint
        Its opened checkpoint.
    said : mapping
        Outcome and grade of the reply around it; empty for a receipt alone.
    against : str
        What the record's own key changes say against its signature; empty where they agree.
    """

    name: str
    receipt: Receipt
    leaf_sha256: str
    signed: Checkpoint
    said: Mapping[str, Any]
    against: str = ""


def kept_receipts(folder: Path, keys: KeyHistory) -> list[KeptReceipt]:
    """Receipts of every ``*.json`` file in a folder: whole replies, or their ``recorded`` part.

    Parameters
    ----------
    folder : Path
        The station's folder; receipts from before and after a change of the log's key may lie in it.
    keys : KeyHistory
        Keys the auditor trusts, and how the log went on from them.

    Raises
    ------
    InvalidInput
        If the folder has none, or a file holds none that a key of this log signed.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InvalidInput("Nothing was verified.", [Problem(str(folder), "must hold receipts (*.json)")])
    return [_kept(file, keys) for file in files]


def receipt_problems(record: RecordSource, receipts: Sequence[KeptReceipt]) -> Iterator[RecordProblem]:
    """What a record says otherwise than the receipts, in the order of the log."""
    for each in sorted(receipts, key=lambda kept: kept.receipt.sequence):
        sequence = each.receipt.sequence
        if each.against:
            yield RecordProblem(f"{each.name} is signed by a key that the record disowns: {each.against}", sequence)
        try:
            leaf = record.by_sequence(sequence)
        except MalformedLeaf as damaged:
            yield RecordProblem(f"cannot be held against {each.name}: {damaged.rule}", sequence)
            continue
        if leaf is None:
            yield RecordProblem(f"is missing although {each.name} is its receipt", sequence)
        else:
            yield from _differences(each, leaf)


def _differences(kept: KeptReceipt, leaf: Leaf) -> Iterator[RecordProblem]:
    found = hashlib.sha256(canonical_bytes(leaf)).hexdigest()
    sequence = kept.receipt.sequence
    if found != kept.leaf_sha256 or not kept.receipt.proves_in(kept.signed, leaf):
        what = f"is not the entry {kept.name} is the receipt of"
        yield RecordProblem(what, sequence, leaf.event_id, expected=kept.leaf_sha256, found=found)
    decided = leaf.body.get("decision", {})
    for name, said in kept.said.items():
        if decided.get(name) != said:
            what = f"says another {name} than the reply {kept.name}"
            yield RecordProblem(what, sequence, leaf.event_id, expected=str(said), found=str(decided.get(name)))


def _kept(file: Path, keys: KeyHistory) -> KeptReceipt:
    try:
        written: Any = json.loads(file.read_text(encoding="utf-8"))
        place = written.get("recorded", written)
        receipt = Receipt.from_json({"sequence": place["sequence"], **place["receipt"]})
        said = {name: written[name] for name in ("outcome", "grade") if name in written}
        signed, against = _opened(receipt.checkpoint, keys)
        return KeptReceipt(file.name, receipt, str(place["leaf_sha256"]), signed, said, against)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = Problem(file.name, "must be a reply or its `recorded` part", type(error).__name__)
        raise InvalidInput("Nothing was verified.", [problem]) from error
    except CheckpointRefused as refused:
        raise InvalidInput("Nothing was verified.", [Problem(file.name, refused.message)]) from refused


def _opened(note: str, keys: KeyHistory) -> tuple[Checkpoint, str]:
    """Checkpoint of a receipt; what a trusted key signed is held against the record even if that disowns the key."""
    try:
        return keys.opened(note), ""
    except CheckpointRefused as refused:
        return opened_checkpoint(note, keys.trusted), refused.message
