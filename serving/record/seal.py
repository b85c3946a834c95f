"""Signing the head of the log inside the transaction that moved it, and handing out the receipts.

A checkpoint is made before the commit and leaves the building only after it. Where a witness holds a
checkpoint of this log, nothing is signed that is smaller than it or does not begin with it: a record
that was rolled back stops here instead of growing a second history. The log's last checkpoint tells
which key goes on; where the key was changed meanwhile, its file is read again. A checkpoint over an
entry that changes the key is signed by both.
"""

import base64
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from serving.record.checkpoint import (
    Checkpoint,
    CheckpointRefused,
    SignerKey,
    note_kept,
    parsed_checkpoint,
    signed_note,
)
from serving.record.entry import Recorded
from serving.record.key_history import KeyHistory, earlier_changes
from serving.record.key_rotation import goes_on, key_going_on, next_key_file, read_key
from serving.record.leaf import Leaf, LeafKind
from serving.record.merkle import root
from serving.record.receipt import receipt_of
from serving.record.store import Reader, RecordUnavailable, Writer


class Sealing:
    """Signs one log.

    Parameters
    ----------
    key : SignerKey
        The log's key; its name is the log's origin.
    witness : Path or None
        File with the last checkpoint somebody else holds; read again whenever it changed.
    key_path : Path or None
        File of the key, read again when the log goes on with another key, and the place beside which a new
        key waits for its entry; None for a key that never changes.
    """

    def __init__(self, key: SignerKey, witness: Path | None = None, key_path: Path | None = None) -> None:
        self._key = key
        self._witness = witness
        self._key_path = key_path
        self._agreed: tuple[int, int] | None = None

    def __call__(self, writer: Writer, outcomes: list[Any]) -> list[Any]:
        """Outcomes of a transaction with the receipts of what was recorded; signs where the log grew."""
        head = writer.head()
        if head is None:
            return outcomes
        self._require_witnessed(writer, head.sequence + 1)
        if new := [each.leaf for each in outcomes if isinstance(each, Recorded) and not each.replayed]:
            self._sign(writer, head.sequence + 1, [leaf for leaf in new if leaf.kind is LeafKind.KEY_CHANGE])
        return [with_receipt(each, writer) if isinstance(each, Recorded) else each for each in outcomes]

    def _sign(self, writer: Writer, size: int, changes: list[Leaf]) -> None:
        before = writer.last_checkpoint()
        if before is not None and self._key_path is not None and not goes_on(self._key, before):
            self._key = key_going_on(self._key_path, before)
        keys = [self._key, *(self._following(leaf) for leaf in changes)]
        follows = None if before is None else parsed_checkpoint(before).sha256
        checkpoint = Checkpoint(self._key.name, size, root(size, writer.subtree), follows)
        writer.keep_checkpoint(size, signed_note(checkpoint, *keys))

    def _following(self, leaf: Leaf) -> SignerKey:
        """Return the new key an entry names, from where it waits; the old one must be the one in force."""
        old, new = leaf.body.get("old"), leaf.body.get("new")
        if self._key_path is None or old != str(self._key.verifier):
            raise RecordUnavailable(
                f"The key that was to be replaced ({old}) is not the one in force ({self._key.verifier}).",
                what_to_do="Look who else changes the key, then try again.",
            )
        try:
            key = read_key(next_key_file(self._key_path))
        except (OSError, UnicodeDecodeError, CheckpointRefused) as problem:
            raise RecordUnavailable(f"The new key cannot be used: {problem}.") from problem
        if str(key.verifier) != new:
            raise RecordUnavailable(f"The new key that waits is {key.verifier}, the entry names {new}.")
        return key

    def _require_witnessed(self, reader: Reader, size: int) -> None:
        """Refuse a log that does not begin with what the witness holds; an unchanged witness is not read again."""
        if self._witness is None:
            return
        if not self._witness.exists():
            self._require_first(reader)
            return
        standing = self._witness.stat()
        identity = (standing.st_mtime_ns, standing.st_ino)
        if identity == self._agreed:
            return
        held = self._held(self._witness, reader)
        if held.size > size or root(held.size, reader.subtree) != held.root:
            shown = f"{held.size} leaves with root {base64.b64encode(held.root).decode()}"
            raise RecordUnavailable(
                f"A witness holds a checkpoint over {shown}; this record has {size} leaves that do not begin so.",
                what_to_do="The record was rolled back or exchanged: stop the service, keep the file and verify it.",
            )
        self._agreed = identity

    def _require_first(self, reader: Reader) -> None:
        """Refuse to go on without the witness; only a log's very first entries have nothing to be witnessed."""
        if reader.last_checkpoint() is not None:
            raise RecordUnavailable(
                f"The witness {self._witness} is not there.",
                what_to_do="Bring it back, or look why and write one with `packgrade record checkpoint --out FILE`.",
            )

    def _held(self, witness: Path, reader: Reader) -> Checkpoint:
        try:
            keys = KeyHistory([self._key.verifier], earlier_changes(reader))
            return keys.opened(note_kept(witness.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, CheckpointRefused) as problem:
            raise RecordUnavailable(
                f"The witness {witness} holds no checkpoint of this log ({problem}).",
                what_to_do="Give the witness of this log, or none.",
            ) from problem


def with_receipt(recorded: Recorded, reader: Reader) -> Recorded:
    """Return an entry with the receipt it was answered with, and always will be: its first checkpoint's.

    Raises
    ------
    RecordUnavailable
        If no signed checkpoint covers it, which no commit leaves behind.
    """
    note = reader.covering_checkpoint(recorded.leaf.sequence)
    if note is None:
        raise RecordUnavailable(
            f"Entry {recorded.leaf.sequence} stands under no signed checkpoint.", what_to_do="Verify the record."
        )
    return replace(recorded, receipt=receipt_of(recorded.leaf, note, _size(note), reader))


@lru_cache(maxsize=1024)
def _size(note: str) -> int:
    """Leaves a checkpoint covers; those of one commit share theirs."""
    return parsed_checkpoint(note).size
