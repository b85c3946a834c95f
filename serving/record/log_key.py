"""The key that signs one log: a file beside the record, made once, readable by its owner alone.

Whoever holds this file can sign another history; that shows only to those who keep older
checkpoints. A deployment that can should keep it on other storage than the record.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from serving.record.checkpoint import CheckpointRefused, SignerKey, VerifierKey, parsed_checkpoint
from serving.record.store import RecordUnavailable

_NAME_DIGITS = 12


def key_file(record: Path) -> Path:
    """Where the private key of a record stands."""
    return Path(f"{record}.key")


def public_key_file(record: Path) -> Path:
    """Where its public key stands, for auditors."""
    return Path(f"{record}.pub")


def log_key(record: Path, signed_before: str | None = None) -> SignerKey:
    """Key of a record, made if there is none.

    Parameters
    ----------
    record : Path
        The record's file.
    signed_before : str or None
        Last checkpoint the record holds; its origin must be the key's name.

    Raises
    ------
    RecordUnavailable
        If the key cannot be read or written, or a record with entries has lost it.
    """
    path = key_file(record)
    try:
        if not path.exists():
            _require_never_had_one(record, signed_before)
            _make(path)
        key = SignerKey.parsed(path.read_text(encoding="utf-8"))
        _require_its_own(key, record, signed_before)
        if not public_key_file(record).exists():
            _write_once(public_key_file(record), f"{key.verifier}\n", 0o644)
    except (OSError, UnicodeDecodeError, CheckpointRefused) as problem:
        raise RecordUnavailable(f"The record's key {path} cannot be used: {problem}.") from problem
    return key


def public_key(record: Path) -> VerifierKey | None:
    """Public key beside a record, if there is one.

    Raises
    ------
    CheckpointRefused
        If the file holds no verifier key.
    """
    path = public_key_file(record)
    return VerifierKey.parsed(path.read_text(encoding="utf-8")) if path.is_file() else None


def _require_never_had_one(record: Path, signed_before: str | None) -> None:
    if public_key_file(record).exists() or signed_before is not None:
        raise RecordUnavailable(
            f"The record's key {key_file(record)} is gone, although it signed this record before.",
            what_to_do="Restore the key. Without it the log cannot go on under its name.",
        )


def _require_its_own(key: SignerKey, record: Path, signed_before: str | None) -> None:
    if signed_before is not None and parsed_checkpoint(signed_before).origin != key.name:
        raise RecordUnavailable(
            f"The key {key_file(record)} ({key.name}) is not the one that signed this record "
            f"({parsed_checkpoint(signed_before).origin}).",
            what_to_do="Put the record's own key beside it.",
        )


def _make(path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    name = f"packgrade/{hashlib.sha256(raw).hexdigest()[:_NAME_DIGITS]}"
    _write_once(path, f"{SignerKey(name, private).secret}\n", 0o600)


def _write_once(path: Path, text: str, mode: int) -> None:
    """Write a whole file under its name, or leave the one that another process wrote first."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        os.write(descriptor, text.encode("utf-8"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with suppress(FileExistsError):
        os.link(scratch, path)
    scratch.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
