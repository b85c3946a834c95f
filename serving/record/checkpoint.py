"""A signed head of the log, as a C2SP checkpoint: what an auditor keeps, and what a tampered log cannot match.

    packgrade/example                        origin: which log
    42                                       leaves
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=    root of the tree over them

    — packgrade/example Az3grl…              one line per signature: key name, key hash and signature

The text up to and including the line break before the empty line is signed (C2SP ``signed-note`` and
``tlog-checkpoint``). A key is known by name and by a hash over name, type and public key, so that
another key type can be added without breaking an old checkpoint: lines of unknown keys are passed
over. Nothing here opens a file or decides which keys are trusted.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from features.errors import PackGradeError

_ED25519 = b"\x01"
_ROOT_BYTES = 32
_KEY_HASH_BYTES = 4
_NAME = re.compile(r"[^\s+]{1,200}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")
_PRIVATE = "PRIVATE+KEY+"
_MARK = "\u2014 "


class CheckpointRefused(PackGradeError):  # noqa: N818 - reads as what happened
    """A checkpoint is none, or none of the trusted keys signed it."""

    def __init__(self, what: str) -> None:
        super().__init__("CHECKPOINT_REFUSED", f"{what} Nothing was verified with it.")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Which log, how many leaves, which root.

    Attributes
    ----------
    origin : str
        Name of the log, without blanks.
    size : int
        Leaves in the tree.
    root : bytes
        Root of the tree over them, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.origin) or self.size < 0 or len(self.root) != _ROOT_BYTES:
            shown = f"{self.origin!r:.80}, {self.size}, {len(self.root)} bytes"
            raise ValueError(
                f"A checkpoint needs an origin without blanks, a size and a root of 32 bytes, got {shown}."
            )

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True)
class VerifierKey:
    """A public key under its name, written ``name+hash+key`` (C2SP verifier key)."""

    name: str
    public: Ed25519PublicKey

    @property
    def key_hash(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self._raw).digest()[:_KEY_HASH_BYTES]

    @property
    def _raw(self) -> bytes:
        return self.public.public_bytes(Encoding.Raw, PublicFormat.Raw)

    def __str__(self) -> str:
        return f"{self.name}+{self.key_hash.hex()}+{base64.b64encode(_ED25519 + self._raw).decode()}"

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Read a verifier key.

        Raises
        ------
        CheckpointRefused
            If it is not ``name+hash+key`` of an Ed25519 key, or the hash is not that of the key.
        """
        name, _, rest = text.strip().partition("+")
        stated, _, encoded = rest.partition("+")
        try:
            decoded = base64.b64decode(encoded, validate=True)
            key = cls(name, Ed25519PublicKey.from_public_bytes(decoded[1:]))
        except (binascii.Error, ValueError) as problem:
            raise CheckpointRefused(f"{text[:80]!r} is no verifier key.") from problem
        if not _NAME.fullmatch(name) or decoded[:1] != _ED25519 or stated != key.key_hash.hex():
            raise CheckpointRefused(f"{text[:80]!r} is no Ed25519 verifier key, or its hash is not its own.")
        return key

    def signed(self, signature: bytes, text: str) -> bool:
        """Whether this key made a signature over a text."""
        try:
            self.public.verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class SignerKey:
    """A private key under its name."""

    name: str
    private: Ed25519PrivateKey

    @cached_property
    def _key_hash(self) -> bytes:
        return self.verifier.key_hash

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self.private.public_key())

    @property
    def secret(self) -> str:
        """The key as text, ``PRIVATE+KEY+name+hash+key`` (C2SP signer key)."""
        seed = self.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return f"{_PRIVATE}{self.name}+{self.verifier.key_hash.hex()}+{base64.b64encode(_ED25519 + seed).decode()}"

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Read a signer key.

        Raises
        ------
        CheckpointRefused
            If it is none; the text is not repeated.
        """
        name, _, rest = text.strip().removeprefix(_PRIVATE).partition("+")
        stated, _, encoded = rest.partition("+")
        try:
            decoded = base64.b64decode(encoded, validate=True)
            key = cls(name, Ed25519PrivateKey.from_private_bytes(decoded[1:]))
        except (binascii.Error, ValueError):
            raise CheckpointRefused("This is no signer key.") from None
        if not text.startswith(_PRIVATE) or decoded[:1] != _ED25519 or stated != key.verifier.key_hash.hex():
            raise CheckpointRefused("This is no signer key, or its hash is not its own.")
        return key

    def sign(self, checkpoint: Checkpoint) -> str:
        """Signed note over a checkpoint."""
        signature = self._key_hash + self.private.sign(checkpoint.text.encode())
        return f"{checkpoint.text}\n{_MARK}{self.name} {base64.b64encode(signature).decode()}\n"


def parsed_checkpoint(note: str) -> Checkpoint:
    """Checkpoint of a note, whoever signed it.

    Raises
    ------
    CheckpointRefused
        If the note does not begin with origin, size and root in their one form.
    """
    return _checkpoint(note.partition("\n\n")[0] + "\n")


def opened_checkpoint(note: str, trusted: Iterable[VerifierKey]) -> Checkpoint:
    """Checkpoint of a signed note, if a trusted key signed it.

    Parameters
    ----------
    note : str
        The whole note.
    trusted : iterable of VerifierKey
        Keys of which one must have signed; a wrong signature of any of them refuses the note.

    Raises
    ------
    CheckpointRefused
        Saying what is wrong.
    """
    text, gap, lines = note.partition("\n\n")
    checkpoint = _checkpoint(text + "\n")
    if not gap or not lines.endswith("\n"):
        raise CheckpointRefused("The note has no signature lines.")
    keys = {(key.name, key.key_hash): key for key in trusted}
    found = 0
    for line in lines[:-1].split("\n"):
        name, signature = _signature(line)
        key = keys.get((name, signature[:_KEY_HASH_BYTES]))
        if key is None:
            continue
        if not key.signed(signature[_KEY_HASH_BYTES:], checkpoint.text):
            raise CheckpointRefused(f"The signature of {name} does not belong to this text.")
        found += 1
    if not found:
        raise CheckpointRefused(f"None of the trusted keys signed this checkpoint of {checkpoint.origin}.")
    return checkpoint


def _checkpoint(text: str) -> Checkpoint:
    parts = text.split("\n")
    try:
        origin, size, encoded, end = parts
        held = Checkpoint(origin, int(size), base64.b64decode(encoded, validate=True))
    except (ValueError, binascii.Error) as problem:
        raise CheckpointRefused("The note does not begin with origin, size and root.") from problem
    if end or not _SIZE.fullmatch(size) or held.text != text:
        raise CheckpointRefused("The note writes its origin, size or root in another form than the one that is signed.")
    return held


def _signature(line: str) -> tuple[str, bytes]:
    name, _, encoded = line.removeprefix(_MARK).partition(" ")
    try:
        signature = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error) as problem:
        raise CheckpointRefused(f"{line[:80]!r} is no signature line.") from problem
    if not line.startswith(_MARK) or not _NAME.fullmatch(name) or len(signature) <= _KEY_HASH_BYTES:
        raise CheckpointRefused(f"{line[:80]!r} is no signature line.")
    return name, signature
