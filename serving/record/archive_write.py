"""Writing an evidence archive: everything an auditor needs on another machine, and nothing personal.

Leaves and checkpoints stream from the store into the zip file a piece at a time. The same record and
the same documents give the same bytes: names are sorted, times are fixed. What is written is
verified as a stranger would before it gets its name; a record that is not whole is not exported,
its own file is the evidence then. Erasable data is kept apart from the leaves and is never read here.
"""

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from features.errors import InvalidInput, PackGradeError, Problem
from serving.record.archive import CHECKPOINTS, CONTENTS, HEAD, KEYS, LEAVES, MANIFEST, README, SCHEMA, numbered
from serving.record.archive_check import verify_archive
from serving.record.archive_contents import Contents, NamedArtifact, written_table
from serving.record.canonical import MalformedLeaf, canonical_json
from serving.record.checkpoint import VerifierKey, parsed_checkpoint
from serving.record.key_history import KeyChange, earlier_changes
from serving.record.leaf import Leaf, canonical_bytes, leaf_sha256
from serving.record.store import Head, Store, leaves
from serving.record.verify import Progress

CHUNK_BYTE = 32 * 2**20
"""A numbered file is closed when it has grown beyond this. [byte]"""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = 0o100644 << 16
_TOLD_EVERY = 256


class AtHand(Protocol):
    """Documents of bundles and policies, found by digest (`serving.artifacts`)."""

    def policy(self, sha256: str) -> bytes | None:
        """Return a policy file."""

    def bundle_documents(self, sha256: str) -> Mapping[str, bytes]:
        """Return manifest and model card of a bundle, by name."""


class RecordNotWhole(PackGradeError):  # noqa: N818 - reads as what it is: the record is not whole
    """A record that does not verify is no archive's content. Nothing was exported."""

    def __init__(self, problems: Iterable[object]) -> None:
        super().__init__(
            "RECORD_NOT_WHOLE",
            "The record does not verify. Nothing was exported. Keep the record itself as evidence and look into it "
            "with `packgrade record verify`.",
            [Problem("record", str(problem)) for problem in problems],
        )


def export_archive(
    store: Store,
    out: Path,
    at_hand: AtHand,
    keys: Sequence[VerifierKey],
    *,
    progress: Progress | None = None,
    chunk_byte: int = CHUNK_BYTE,
) -> dict[str, Any]:
    """Write the evidence archive of a record.

    Parameters
    ----------
    store : Store
        The record; entries appended meanwhile are left for the next export.
    out : Path
        New zip file; it is there whole, or not at all.
    at_hand : AtHand
        Where policies, manifests and model cards are found.
    keys : sequence of VerifierKey
        Public keys of the log; those its key changes name are added.
    progress : callable, optional
        Called with the entries done and the entries there are.
    chunk_byte : int, optional
        Size after which a numbered file ends. [byte]

    Returns
    -------
    dict
        Table of contents, with what is missing.

    Raises
    ------
    InvalidInput
        If the file exists, its folder does not, the record is empty, or there is no public key.
    RecordNotWhole
        If the record does not verify.
    """
    head_note = _last_checkpoint(store, out, keys)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with zipfile.ZipFile(partial, "x", zipfile.ZIP_DEFLATED) as opened:
            pages = _Pages(opened, chunk_byte)
            pages.add_all(_front_matter(head_note, [*keys, *_later_keys(store)]))
            table = _written(pages, store, parsed_checkpoint(head_note).size, at_hand, progress)
        report = verify_archive(partial, keys=keys)
        if not report.is_intact:
            raise RecordNotWhole(report.problems)
        partial.replace(out)
    except MalformedLeaf as damaged:
        raise RecordNotWhole([damaged]) from damaged
    finally:
        partial.unlink(missing_ok=True)
    return table


def _last_checkpoint(store: Store, out: Path, keys: Sequence[VerifierKey]) -> str:
    if out.exists() or not out.parent.is_dir():
        raise _refused("--out", "must be a new file in a folder that exists", out.name)
    if not keys:
        raise _refused("--key", "is needed: no public key of this record is beside it")
    with store.reading() as reader:
        note = reader.last_checkpoint()
    if note is None:
        raise _refused("record", "must hold an entry to be exported")
    return note


def _later_keys(store: Store) -> Iterator[VerifierKey]:
    with store.reading() as reader:
        changes = earlier_changes(reader)
    for leaf in changes:
        change = KeyChange.told_by(leaf)
        yield from (change.old, change.new)


def _front_matter(head_note: str, keys: Sequence[VerifierKey]) -> dict[str, bytes]:
    shipped = files("serving.record").joinpath("schema")
    documents = {README: "archive_readme.txt", SCHEMA: "leaf.schema.json"}
    return {
        **{name: shipped.joinpath(file).read_bytes() for name, file in documents.items()},
        HEAD: head_note.encode(),
        **{f"{KEYS}{key.key_hash.hex()}.pub": f"{key}\n".encode() for key in keys},
    }


def _written(pages: "_Pages", store: Store, size: int, at_hand: AtHand, told: Progress | None) -> dict[str, Any]:
    contents, last = Contents(), list[Leaf]()
    pages.add_lines(LEAVES, _leaf_lines(store, size, contents, last, told))
    checkpoints = pages.add_lines(CHECKPOINTS, _checkpoint_lines(store, size))
    for each in contents.named.values():
        pages.add_all(_documents(each, at_hand))
    head = Head(last[0].sequence, leaf_sha256(last[0])) if last else None
    table = contents.table(head, checkpoints, frozenset(pages.digests))
    pages.add(CONTENTS, written_table(table))
    listed = "".join(f"{digest}  {name}\n" for name, digest in sorted(pages.digests.items()))
    pages.add(MANIFEST, listed.encode())
    return table


def _leaf_lines(
    store: Store, size: int, contents: Contents, last: list[Leaf], told: Progress | None
) -> Iterator[bytes]:
    """Lines of the first `size` leaves; the last one stays in `last`."""
    for done, leaf in enumerate(islice(leaves(store), size), start=1):
        contents.add(leaf)
        last[:] = [leaf]
        if told is not None and (done % _TOLD_EVERY == 0 or done == size):
            told(done, size)
        yield canonical_bytes(leaf)


def _checkpoint_lines(store: Store, size: int) -> Iterator[bytes]:
    covered = 0
    while covered < size:
        notes = _some_checkpoints(store, covered, size)
        yield from (canonical_json({"note": note, "size": at}) for at, note in notes)
        if not notes:
            return
        covered = notes[-1][0]


def _some_checkpoints(store: Store, covered: int, size: int, at_most: int = 500) -> list[tuple[int, str]]:
    found = list[tuple[int, str]]()
    with store.reading() as reader:
        while covered < size and len(found) < at_most and (note := reader.covering_checkpoint(covered)) is not None:
            covered = parsed_checkpoint(note).size
            found.append((covered, note))
    return found


def _documents(named: NamedArtifact, at_hand: AtHand) -> dict[str, bytes]:
    if named.kind == "policy":
        policy = at_hand.policy(named.sha256)
        return {} if policy is None else {named.files[0]: policy}
    documents = at_hand.bundle_documents(named.sha256)
    return {name: documents[short] for name in named.files if (short := name.rpartition("/")[2]) in documents}


class _Pages:
    """Files of an archive that is being written, with their digests."""

    def __init__(self, opened: zipfile.ZipFile, chunk_byte: int) -> None:
        self.digests: dict[str, str] = {}
        self._zip = opened
        self._chunk_byte = chunk_byte

    def add(self, name: str, content: bytes) -> None:
        with self._adding(name) as write:
            write(content)

    def add_all(self, documents: Mapping[str, bytes]) -> None:
        for name, content in documents.items():
            self.add(name, content)

    def add_lines(self, folder: str, lines: Iterable[bytes]) -> int:
        """Write numbered files of lines; returns how many lines there were."""
        counted = enumerate(lines)
        done = 0
        for first, line in counted:
            with self._adding(numbered(folder, first)) as write:
                written = write(line + b"\n")
                done = first + 1
                while written < self._chunk_byte and (following := next(counted, None)) is not None:
                    written += write(following[1] + b"\n")
                    done = following[0] + 1
        return done

    @contextmanager
    def _adding(self, name: str) -> Iterator[Callable[[bytes], int]]:
        described = zipfile.ZipInfo(name, _EPOCH)
        described.compress_type, described.external_attr = zipfile.ZIP_DEFLATED, _PLAIN_FILE
        digest = hashlib.sha256()
        with self._zip.open(described, "w") as opened:

            def write(content: bytes) -> int:
                digest.update(content)
                return opened.write(content)

            yield write
        self.digests[name] = digest.hexdigest()


def _refused(where: str, rule: str, value: str = "") -> InvalidInput:
    return InvalidInput("Nothing was exported.", [Problem(where, rule, value)])
