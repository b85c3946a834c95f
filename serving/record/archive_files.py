"""The files of an archive held against its manifest, its table of contents and the digests they are named by."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping

from serving.record.archive import (
    BUNDLES,
    CONTENTS,
    HEAD,
    MANIFEST,
    POLICIES,
    README,
    SCHEMA,
    OpenedArchive,
)
from serving.record.archive_checkpoints import ArchivedCheckpoints
from serving.record.archive_contents import Contents, written_table
from serving.record.canonical import UnrecordableEntry, canonical_json
from serving.record.chain_check import RecordProblem
from serving.record.store import Head

_NEEDED = (README, CONTENTS, HEAD, SCHEMA)
_LISTED = re.compile(r"^([0-9a-f]{64})  ([!-~]{1,200})$", re.MULTILINE)


def file_problems(archive: OpenedArchive, digests: dict[str, str]) -> Iterator[RecordProblem]:
    """Hold every file against the manifest."""
    if MANIFEST not in archive.names:
        yield RecordProblem(f"the archive has no {MANIFEST}")
        return
    written = archive.content(MANIFEST)
    listed = {name: digest for digest, name in _LISTED.findall(written.decode("utf-8", "replace"))}
    if written != b"".join(f"{listed[name]}  {name}\n".encode() for name in sorted(listed)):
        yield RecordProblem(f"{MANIFEST} is not a list of digests and names, every file once, in order")
    for name in sorted({*archive.names, *listed, *_NEEDED} - {MANIFEST}):
        yield from _file_problem(archive, name, listed.get(name), digests)


def _file_problem(
    archive: OpenedArchive, name: str, expected: str | None, digests: dict[str, str]
) -> Iterator[RecordProblem]:
    if name not in archive.names:
        yield RecordProblem(f"file {name} is missing from the archive")
    elif expected is None:
        yield RecordProblem(f"file {name} is not listed in {MANIFEST}: it was added")
    else:
        found = digests.get(name) or archive.sha256(name)
        if found != expected:
            yield RecordProblem(f"file {name} was changed", expected=expected, found=found)


def content_problems(
    archive: OpenedArchive, contents: Contents, head: Head | None, checkpoints: ArchivedCheckpoints
) -> Iterator[RecordProblem]:
    """What the files are for: numbers, contents, documents under their digests.

    Parameters
    ----------
    archive : OpenedArchive
        The archive, its leaves and checkpoints read.
    contents : Contents
        What its leaves were found to name.
    head : Head or None
        Its last entry, by place, and the digest found.
    checkpoints : ArchivedCheckpoints
        The checkpoints found.
    """
    for name in sorted(archive.misnumbered):
        yield RecordProblem(f"{name} is not named by the number of its first line")
    expected = contents.table(head, checkpoints.count, frozenset(archive.names))
    if CONTENTS in archive.names and archive.content(CONTENTS) != written_table(expected):
        yield RecordProblem(f"{CONTENTS} does not say what the archive holds")
    if HEAD in archive.names and archive.content(HEAD) != checkpoints.last_note.encode():
        yield RecordProblem(f"{HEAD} is not the last checkpoint of the archive")
    named = {name for each in contents.named.values() for name in each.files}
    for name in (*archive.under(POLICIES), *archive.under(BUNDLES)):
        if name not in named:
            yield RecordProblem(f"{name} is named by no entry")
        elif problem := _document_problem(archive, name):
            yield problem


def _document_problem(archive: OpenedArchive, name: str) -> RecordProblem | None:
    """Whether a document is the one its digest names."""
    found = archive.sha256(name)
    if name.startswith(POLICIES):
        expected = name[len(POLICIES) : -len(".toml")]
    else:
        folder, _, short = name.rpartition("/")
        digest, listed = _manifest(archive, f"{folder}/manifest.json")
        if short == "manifest.json":
            expected, found = folder[len(BUNDLES) :], digest
        else:
            expected = str(listed.get(short, "a file that is not listed"))
    if found == expected:
        return None
    return RecordProblem(f"{name} is another than its digest names", expected=expected, found=found)


def _manifest(archive: OpenedArchive, name: str) -> tuple[str, Mapping[str, object]]:
    """Digest of a bundle, which is that of its manifest's canonical JSON, and the files it lists."""
    try:
        manifest = json.loads(archive.content(name))
        return hashlib.sha256(canonical_json(manifest)).hexdigest(), dict(manifest["files"])
    except (KeyError, ValueError, TypeError, RecursionError, UnrecordableEntry):
        return "no manifest of a bundle", {}
