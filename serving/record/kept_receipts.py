"""Receipts a station kept, held against a record: each must be proved by its checkpoint and stand where it says."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import InvalidInput, Problem
from serving.record.chain_check import RecordProblem
from serving.record.checkpoint import Checkpoint, CheckpointRefused, VerifierKey, opened_checkpoint
from serving.record.leaf import canonical_bytes
from serving.record.receipt import Receipt
from serving.record.sqlite import SqliteStore


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
    """

    name: str
    receipt: Receipt
    leaf_sha256: str
    signed: Checkpoint
    said: Mapping[str, Any]


def kept_receipts(folder: Path, keys: Sequence[VerifierKey]) -> list[KeptReceipt]:
    """Receipts of every ``*.json`` file in a folder: whole replies, or their ``recorded`` part.

    Raises
    ------
    InvalidInput
        If the folder has none, or a file holds none that a trusted key signed.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InvalidInput("Nothing was verified.", [Problem(str(folder), "must hold receipts (*.json)")])
    return [_kept(file, keys) for file in files]


def receipt_problems(path: Path, receipts: Sequence[KeptReceipt]) -> Iterator[RecordProblem]:
    """What a record says otherwise than the receipts."""
    with SqliteStore(path).reading() as reader:
        for each in receipts:
            sequence = each.receipt.sequence
            leaf = reader.by_sequence(sequence)
            if leaf is None:
                yield RecordProblem(f"is missing although {each.name} is its receipt", sequence)
                continue
            found = hashlib.sha256(canonical_bytes(leaf)).hexdigest()
            if found != each.leaf_sha256 or not each.receipt.proves_in(each.signed, leaf):
                what = f"is not the entry {each.name} is the receipt of"
                yield RecordProblem(what, sequence, leaf.event_id, expected=each.leaf_sha256, found=found)
            decided = leaf.body.get("decision", {})
            for name, said in each.said.items():
                if decided.get(name) != said:
                    what = f"says another {name} than the reply {each.name}"
                    yield RecordProblem(what, sequence, leaf.event_id, expected=str(said), found=str(decided.get(name)))


def _kept(file: Path, keys: Sequence[VerifierKey]) -> KeptReceipt:
    try:
        written: Any = json.loads(file.read_text(encoding="utf-8"))
        place = written.get("recorded", written)
        receipt = Receipt.from_json({"sequence": place["sequence"], **place["receipt"]})
        said = {name: written[name] for name in ("outcome", "grade") if name in written}
        signed = opened_checkpoint(receipt.checkpoint, keys)
        return KeptReceipt(file.name, receipt, str(place["leaf_sha256"]), signed, said)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = Problem(file.name, "must be a reply or its `recorded` part", type(error).__name__)
        raise InvalidInput("Nothing was verified.", [problem]) from error
    except CheckpointRefused as refused:
        raise InvalidInput("Nothing was verified.", [Problem(file.name, refused.message)]) from refused
