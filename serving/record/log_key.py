"""The key that signs one log: a file beside the record, made once, readable by its owner alone.

Whoever holds this file can sign another history; that shows only to those who keep older
checkpoints. A deployment that can should keep it on other storage than the record.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from serving.record.checkpoint import ALGORITHMS, ED25519, CheckpointRefused, SignerKey, VerifierKey
from serving.record.key_rotation import key_going_on, sync_folder, write_secret
from serving.record.store import RecordUnavailable

_NAME_DIGITS = 12
_MOST_LEFT_BEHIND = 1000


def key_file(record: Path) -> Path:
    """Where the private key of a record in a file stands, unless another place is named."""
    return Path(f"{record}.key")


def public_key_file(record: Path) -> Path:
    """Where its public key stands, for auditors."""
    return public_half(key_file(record))


def public_half(key: Path) -> Path:
    """Where the public key of a private key file stands: ``log.pub`` beside ``log.key``."""
    return key.with_suffix(".pub") if key.suffix == ".key" else Path(f"{key}.pub")


def log_key(record: Path, signed_before: str | None = None) -> SignerKey:
    """Key that stands beside a record in a file; see `log_key_in`."""
    return log_key_in(key_file(record), signed_before)


def log_key_in(path: Path, signed_before: str | None = None) -> SignerKey:
    """Key of a log from its file, made if there is none and the log is empty.

    Parameters
    ----------
    path : Path
        File of the private key.
    signed_before : str or None
        Last checkpoint the record holds; the key must be the one that goes on after it.

    Raises
    ------
    RecordUnavailable
        If the key cannot be read or written, or a record with entries has lost it.
    """
    try:
        if not path.exists():
            _require_never_had_one(path, signed_before)
            _make(path)
        key = key_going_on(path, signed_before)
        if not public_half(path).exists():
            _write_once(public_half(path), f"{key.verifier}\n", 0o644)
    except (OSError, UnicodeDecodeError, CheckpointRefused) as problem:
        raise RecordUnavailable(f"The record's key {path} cannot be used: {problem}.") from problem
    return key


def public_key(record: Path, key: Path | None = None) -> VerifierKey | None:
    """Public key beside a record or beside the private key named, if there is one.

    Raises
    ------
    CheckpointRefused
        If the file holds no verifier key.
    """
    path = public_key_file(record) if key is None else public_half(key)
    return VerifierKey.parsed(path.read_text(encoding="utf-8")) if path.is_file() else None


def _require_never_had_one(path: Path, signed_before: str | None) -> None:
    if public_half(path).exists() or signed_before is not None:
        raise RecordUnavailable(
            f"The record's key {path} is gone, although it signed this record before.",
            what_to_do="Restore the key. Without it the log cannot go on under its name.",
        )


def _make(path: Path) -> None:
    private = ALGORITHMS[ED25519].made()
    raw = ALGORITHMS[ED25519].public_of(private).public_bytes_raw()
    name = f"packgrade/{hashlib.sha256(raw).hexdigest()[:_NAME_DIGITS]}"
    _write_once(path, f"{SignerKey(name, private).secret}\n", 0o600)


def _write_once(path: Path, text: str, mode: int) -> None:
    """Write a whole file under its name, or leave the one that another process wrote first."""
    scratch = _written_apart(path, text, mode)
    with suppress(FileExistsError):
        os.link(scratch, path)
    scratch.unlink()
    sync_folder(path.parent)


def _written_apart(path: Path, text: str, mode: int) -> Path:
    """Write a file beside a path; one that a killed process of the same number left there stays as it is."""
    for number in range(_MOST_LEFT_BEHIND):
        scratch = path.with_name(f"{path.name}.{os.getpid()}.{number}")
        with suppress(FileExistsError):
            write_secret(scratch, text, mode)
            return scratch
    raise FileExistsError(f"{scratch} and all like it exist already")
