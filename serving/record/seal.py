"""Signing the head of the log inside the transaction that moved it, and handing out the receipts.

A checkpoint is made before the commit and leaves the building only after it. Where a witness holds a
checkpoint of this log, nothing is signed that is smaller than it or does not begin with it: a record
that was rolled back stops here instead of growing a second history.
"""

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

from serving.record.checkpoint import Checkpoint, CheckpointRefused, SignerKey, opened_checkpoint, parsed_checkpoint
from serving.record.entry import Recorded
from serving.record.merkle import root
from serving.record.receipt import receipt_of
from serving.record.store import Reader, RecordUnavailable, Writer


class Sealing:
    """Signs one log with one key.

    Parameters
    ----------
    key : SignerKey
        Its name is the log's origin.
    witness : Path or None
        File with the last checkpoint somebody else holds; read again whenever it changed.
    """

    def __init__(self, key: SignerKey, witness: Path | None = None) -> None:
        self._key = key
        self._witness = witness
        self._agreed: tuple[int, int] | None = None

    def __call__(self, writer: Writer, outcomes: list[Any]) -> list[Any]:
        """Outcomes of a transaction with the receipts of what was recorded; signs where the log grew."""
        head = writer.head()
        if head is None:
            return outcomes
        self._require_witnessed(writer, head.sequence + 1)
        if any(isinstance(each, Recorded) and not each.replayed for each in outcomes):
            self._sign(writer, head.sequence + 1)
        return [with_receipt(each, writer) if isinstance(each, Recorded) else each for each in outcomes]

    def _sign(self, writer: Writer, size: int) -> None:
        checkpoint = Checkpoint(self._key.name, size, root(size, writer.subtree))
        writer.keep_checkpoint(size, self._key.sign(checkpoint))

    def _require_witnessed(self, reader: Reader, size: int) -> None:
        """Refuse a log that does not begin with what the witness holds."""
        if self._witness is None or not self._witness.exists():
            return
        standing = self._witness.stat()
        identity = (standing.st_mtime_ns, standing.st_ino)
        if identity == self._agreed:
            return
        held = self._held(self._witness)
        if held.size > size or root(held.size, reader.subtree) != held.root:
            shown = f"{held.size} leaves with root {base64.b64encode(held.root).decode()}"
            raise RecordUnavailable(
                f"A witness holds a checkpoint over {shown}; this record has {size} leaves that do not begin so.",
                what_to_do="The record was rolled back or exchanged: stop the service, keep the file and verify it.",
            )
        self._agreed = identity

    def _held(self, witness: Path) -> Checkpoint:
        try:
            return opened_checkpoint(witness.read_text(encoding="utf-8"), [self._key.verifier])
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
    size = parsed_checkpoint(note).size
    return replace(recorded, receipt=receipt_of(recorded.leaf, note, size, reader))
