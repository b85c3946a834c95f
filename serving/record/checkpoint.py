"""A signed head of the log, as a C2SP checkpoint: what an auditor keeps, and what a tampered log cannot match.

    packgrade/example                        origin: which log
    42                                       leaves
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=    root of the tree over them

    — packgrade/example Az3grl…              one line per signature: key name, key hash and signature

The text up to and including the line break before the empty line is signed (C2SP ``signed-note`` and
``tlog-checkpoint``). A key is known by name and by a hash over name, algorithm byte and public key;
algorithms stand in a table, so that another can be added without breaking an old checkpoint: lines of
unknown keys are passed over, a key of an unknown algorithm is refused by name. Where a log changes its
key the old one signs first and the new one last. Nothing here opens a file or decides which keys are
trusted.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from features.errors import PackGradeError

_ROOT_BYTES = 32
_KEY_HASH_BYTES = 4
_NAME = re.compile(r"[^\s+]{1,200}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")
_PRIVATE = "PRIVATE+KEY+"
_MARK = "\u2014 "
_FOLLOWS = "follows "


class PublicKey(Protocol):
    """What verifies signatures of one algorithm."""

    def verify(self, signature: bytes, data: bytes, /) -> None:
        """Raise `InvalidSignature` unless the key signed the data."""

    def public_bytes_raw(self) -> bytes:
        """Return the key's bytes."""


class PrivateKey(Protocol):
    """What signs with one algorithm."""

    def sign(self, data: bytes, /) -> bytes:
        """Return a signature."""

    def private_bytes_raw(self) -> bytes:
        """Return the key's bytes, a secret."""


class Algorithm(NamedTuple):
    """A way to sign: its name, how keys are read from their bytes, made, and the public half found."""

    name: str
    public_from: Callable[[bytes], PublicKey]
    private_from: Callable[[bytes], PrivateKey]
    public_of: Callable[[PrivateKey], PublicKey]
    made: Callable[[], PrivateKey]


def _ed25519_public_of(private: PrivateKey) -> PublicKey:
    return Ed25519PrivateKey.from_private_bytes(private.private_bytes_raw()).public_key()


ED25519 = 1
ALGORITHMS: Mapping[int, Algorithm] = {
    ED25519: Algorithm(
        "Ed25519",
        Ed25519PublicKey.from_public_bytes,
        Ed25519PrivateKey.from_private_bytes,
        _ed25519_public_of,
        Ed25519PrivateKey.generate,
    )
}
"""Algorithms of keys by their byte in a C2SP verifier key; a new one is a line here."""


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
    follows : bytes or None
        SHA-256 of the text of the log's checkpoint before it, so that none can be taken out unseen; None for a log's
        first, and for those signed before checkpoints named one another. Written as an extension line.
    """

    origin: str
    size: int
    root: bytes
    follows: bytes | None = None

    def __post_init__(self) -> None:
        hashes = [self.root] if self.follows is None else [self.root, self.follows]
        if not _NAME.fullmatch(self.origin) or self.size < 0 or any(len(each) != _ROOT_BYTES for each in hashes):
            shown = f"{self.origin!r:.80}, {self.size}, {len(self.root)} bytes"
            raise ValueError(
                f"A checkpoint needs an origin without blanks, a size and a root of 32 bytes, got {shown}."
            )

    @property
    def text(self) -> str:
        """What is signed."""
        extension = "" if self.follows is None else f"{_FOLLOWS}{base64.b64encode(self.follows).decode()}\n"
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n{extension}"

    @property
    def sha256(self) -> bytes:
        """Digest of what is signed; the next checkpoint of the log names it."""
        return hashlib.sha256(self.text.encode()).digest()


@dataclass(frozen=True)
class VerifierKey:
    """A public key under its name, written ``name+hash+key`` (C2SP verifier key)."""

    name: str
    public: PublicKey
    algorithm: int = ED25519

    @cached_property
    def key_hash(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return hashlib.sha256(self.name.encode() + b"\n" + self._encoded).digest()[:_KEY_HASH_BYTES]

    @property
    def _encoded(self) -> bytes:
        return bytes([self.algorithm]) + self.public.public_bytes_raw()

    def __str__(self) -> str:
        return f"{self.name}+{self.key_hash.hex()}+{base64.b64encode(self._encoded).decode()}"

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Read a verifier key.

        Raises
        ------
        CheckpointRefused
            If it is not ``name+hash+key``, its algorithm is unknown, or the hash is not that of the key.
        """
        what = f"{text.strip()[:80]!r} is no verifier key"
        name, stated, number, raw = _key_parts(text.strip(), what)
        try:
            key = cls(name, _algorithm(number).public_from(raw), number)
        except ValueError as problem:
            raise CheckpointRefused(f"{what}.") from problem
        if not _NAME.fullmatch(name) or stated != key.key_hash.hex():
            raise CheckpointRefused(f"{what}, or its hash is not its own.")
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
    private: PrivateKey
    algorithm: int = ED25519

    @classmethod
    def made(cls, name: str, algorithm: int = ED25519) -> Self:
        """Make a new key, at random."""
        return cls(name, ALGORITHMS[algorithm].made(), algorithm)

    @cached_property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, ALGORITHMS[self.algorithm].public_of(self.private), self.algorithm)

    @property
    def secret(self) -> str:
        """The key as it is kept (C2SP signer key)."""
        encoded = base64.b64encode(bytes([self.algorithm]) + self.private.private_bytes_raw()).decode()
        return f"{_PRIVATE}{self.name}+{self.verifier.key_hash.hex()}+{encoded}"

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Read a signer key.

        Raises
        ------
        CheckpointRefused
            If it is none or of an unknown algorithm; the text is not repeated.
        """
        what = "This is no signer key"
        name, stated, number, raw = _key_parts(text.strip().removeprefix(_PRIVATE), what)
        try:
            key = cls(name, _algorithm(number).private_from(raw), number)
        except ValueError:
            raise CheckpointRefused(f"{what}.") from None
        if not text.startswith(_PRIVATE) or stated != key.verifier.key_hash.hex():
            raise CheckpointRefused(f"{what}, or its hash is not its own.")
        return key

    def signature(self, checkpoint: Checkpoint) -> str:
        """Signature line over a checkpoint."""
        signature = self.verifier.key_hash + self.private.sign(checkpoint.text.encode())
        return f"{_MARK}{self.name} {base64.b64encode(signature).decode()}\n"

    def sign(self, checkpoint: Checkpoint) -> str:
        """Signed note over a checkpoint."""
        return signed_note(checkpoint, self)


def signed_note(checkpoint: Checkpoint, *keys: SignerKey) -> str:
    """Checkpoint signed by several keys, in their order."""
    return f"{checkpoint.text}\n{''.join(key.signature(checkpoint) for key in keys)}"


def signers(note: str) -> list[tuple[str, bytes]]:
    """Name and key hash of every signature line of a note, in order; nothing is verified.

    Raises
    ------
    CheckpointRefused
        If a line is no signature line.
    """
    _, _, lines = note.partition("\n\n")
    return [(name, signature[:_KEY_HASH_BYTES]) for name, signature in map(_signature, lines[:-1].split("\n"))]


def note_kept(text: str) -> str:
    """Signed note of a file somebody kept: the note itself, or the whole reply of ``GET /v1/checkpoint``.

    Returns
    -------
    str
        The text as it is where it is no such reply; opening it then says what is wrong.
    """
    try:
        reply = json.loads(text)
    except ValueError:
        return text
    note = reply.get("checkpoint") if isinstance(reply, dict) else None
    return note if isinstance(note, str) else text


def parsed_checkpoint(note: str) -> Checkpoint:
    """Checkpoint of a note, whoever signed it.

    Raises
    ------
    CheckpointRefused
        If the note does not begin with origin, size, root and perhaps a digest in their one form.
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


def _key_parts(text: str, what: str) -> tuple[str, str, int, bytes]:
    """Name, stated hash, algorithm byte and bytes of a written key."""
    name, _, rest = text.partition("+")
    stated, _, encoded = rest.partition("+")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise CheckpointRefused(f"{what}.") from None
    if not decoded:
        raise CheckpointRefused(f"{what}.")
    return name, stated, decoded[0], decoded[1:]


def _algorithm(number: int) -> Algorithm:
    if number not in ALGORITHMS:
        known = ", ".join(f"0x{each:02x} ({algorithm.name})" for each, algorithm in ALGORITHMS.items())
        raise CheckpointRefused(f"The key is of algorithm 0x{number:02x}; this release knows {known}.")
    return ALGORITHMS[number]


def _checkpoint(text: str) -> Checkpoint:
    try:
        origin, size, encoded, extension = text.split("\n", 3)
        follows = base64.b64decode(extension.removeprefix(_FOLLOWS).rstrip("\n"), validate=True) if extension else None
        held = Checkpoint(origin, int(size), base64.b64decode(encoded, validate=True), follows)
    except (ValueError, binascii.Error) as problem:
        raise CheckpointRefused("The note does not begin with origin, size and root.") from problem
    if not _SIZE.fullmatch(size) or held.text != text:
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
