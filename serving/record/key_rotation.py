"""The key file of a log that changes its key: which of two keys goes on, and how one takes the other's place.

The log itself says who signs next: whoever signed last on its last checkpoint. A new key is written to
``KEY.next`` before the log names it, and takes the place of the old one, in one step, only after that
is committed. Stopped anywhere in between, the next to sign finds in the log which of the two files
counts. The old private key is not kept: nothing will ever be signed with it again.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from serving.record.checkpoint import CheckpointRefused, SignerKey, parsed_checkpoint, signers
from serving.record.store import RecordUnavailable

_READ_AGAIN = 2
"""Another process may put the new key in place between the two looks at the files."""


def next_key_file(key_path: Path) -> Path:
    """Where a new key waits for the log to name it."""
    return Path(f"{key_path}.next")


def key_going_on(key_path: Path, last_note: str | None) -> SignerKey:
    """Key that signs next; a new one the log has named already is put in place on the way.

    Parameters
    ----------
    key_path : Path
        File of the log's key.
    last_note : str or None
        Last checkpoint of the log; None where nothing was signed yet.

    Raises
    ------
    RecordUnavailable
        If the file cannot be read, or holds a key the log does not go on with.
    """
    try:
        for _ in range(_READ_AGAIN):
            key = read_key(key_path)
            if last_note is None or goes_on(key, last_note):
                return key
            if next_key_file(key_path).exists():
                with suppress(FileNotFoundError):
                    following = read_key(next_key_file(key_path))
                    if goes_on(following, last_note):
                        take_over(key_path)
                        return following
    except (OSError, UnicodeDecodeError, CheckpointRefused) as problem:
        raise RecordUnavailable(f"The record's key {key_path} cannot be used: {problem}.") from problem
    raise _not_its_own(key_path, key, last_note)


def goes_on(key: SignerKey, last_note: str) -> bool:
    """Whether a log whose last checkpoint is this one goes on with a key: it was the last to sign."""
    return signers(last_note)[-1] == (key.name, key.verifier.key_hash)


def read_key(path: Path) -> SignerKey:
    """Key a file holds.

    Raises
    ------
    OSError, UnicodeDecodeError, CheckpointRefused
        If there is none.
    """
    return SignerKey.parsed(path.read_text(encoding="utf-8"))


@contextmanager
def rotation(key_path: Path) -> Iterator[None]:
    """Wait for one's turn to change the key; one rotation at a time on this machine."""
    lock = os.open(f"{key_path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def lay_ready(key_path: Path, key: SignerKey) -> None:
    """Write a new key where it waits for the log to name it; what a broken-off rotation left there goes."""
    path = next_key_file(key_path)
    path.unlink(missing_ok=True)
    write_secret(path, f"{key.secret}\n")


def write_secret(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file that must not exist, durably."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        os.write(descriptor, text.encode("utf-8"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def take_over(key_path: Path) -> None:
    """Put the waiting key in the old one's place, in one step; harmless if somebody else just did."""
    with suppress(FileNotFoundError):
        next_key_file(key_path).replace(key_path)
    sync_folder(key_path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_its_own(key_path: Path, key: SignerKey, last_note: str | None) -> RecordUnavailable:
    origin, signed = "", ""
    if last_note is not None:
        origin, signed = parsed_checkpoint(last_note).origin, signers(last_note)[-1][1].hex()
    if origin != key.name:
        return RecordUnavailable(
            f"The key {key_path} ({key.name}) is not the one that signed this record ({origin}).",
            what_to_do="Put the record's own key beside it.",
        )
    held = key.verifier.key_hash.hex()
    return RecordUnavailable(
        f"The key {key_path} (hash {held}) is not the one this record goes on with (hash {signed}): the key was "
        "changed, elsewhere or since.",
        what_to_do="Put the new key in its place on every machine that writes.",
    )
