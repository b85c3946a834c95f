"""A receipt: proof that an entry stands in the signed log, to be kept by whoever was answered.

It holds the entry's hash in the tree, the hashes that lead from it to the root, and the signed
checkpoint with that root. A log cannot show about itself that its end was cut off or rewritten:
the receipt, kept elsewhere, does.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from serving.record.checkpoint import Checkpoint, CheckpointRefused, VerifierKey, opened_checkpoint
from serving.record.leaf import Leaf, canonical_bytes
from serving.record.merkle import includes, inclusion_proof, leaf_hash
from serving.record.store import Reader


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that an entry stands in the signed log.

    Attributes
    ----------
    sequence : int
        Index of the entry in the log.
    leaf_hash : str
        Its hash in the Merkle tree (RFC 6962), base64.
    inclusion_proof : tuple of str
        Hashes from the leaf to the root, base64.
    checkpoint : str
        Signed checkpoint (C2SP signed note) over a tree that holds the entry.
    """

    sequence: int
    leaf_hash: str
    inclusion_proof: tuple[str, ...]
    checkpoint: str

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Self:
        """Read a receipt as it was answered.

        Raises
        ------
        CheckpointRefused
            If it is none.
        """
        try:
            proof = tuple(str(each) for each in written["inclusion_proof"])
            receipt = cls(int(written["sequence"]), str(written["leaf_hash"]), proof, str(written["checkpoint"]))
        except (KeyError, TypeError, ValueError) as problem:
            raise CheckpointRefused("This is no receipt.") from problem
        return receipt

    def proves(self, trusted: Iterable[VerifierKey], leaf: Leaf | None = None) -> bool:
        """Whether a trusted key signed a log that holds the entry, and, where it is given, that this leaf is it.

        Raises
        ------
        CheckpointRefused
            If no trusted key signed the checkpoint.
        """
        return self.proves_in(opened_checkpoint(self.checkpoint, trusted), leaf)

    def proves_in(self, signed: Checkpoint, leaf: Leaf | None = None) -> bool:
        """Whether the log a checkpoint covers holds the entry, and, where it is given, that this leaf is it."""
        try:
            hashed = base64.b64decode(self.leaf_hash, validate=True)
            proof = [base64.b64decode(each, validate=True) for each in self.inclusion_proof]
        except (binascii.Error, ValueError):
            return False
        is_it = leaf is None or leaf_hash(canonical_bytes(leaf)) == hashed
        return is_it and includes(hashed, self.sequence, signed.size, proof, signed.root)


def receipt_of(leaf: Leaf, note: str, size: int, reader: Reader) -> Receipt:
    """Receipt of an entry under a checkpoint over the first `size` leaves."""
    proof = inclusion_proof(leaf.sequence, size, reader.subtree)
    return Receipt(leaf.sequence, _text(reader.subtree(0, leaf.sequence)), _texts(proof), note)


def _texts(hashes: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(_text(each) for each in hashes)


def _text(hashed: bytes) -> str:
    return base64.b64encode(hashed).decode("ascii")
