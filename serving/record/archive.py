"""What an evidence archive is: a zip file of fixed names with fixed meanings; and how far a stranger's is read.

    README.txt                      what this is, and the one command that verifies it
    MANIFEST.sha256                 SHA-256 and name of every other file (``sha256sum -c`` reads it)
    contents.json                   counts, the head, policies and bundles the entries name, which of them are missing
    checkpoint.txt                  the signed checkpoint over all entries
    leaves/000000000000.jsonl       one canonical leaf per line; named by the first one's index
    checkpoints/000000000000.jsonl  every signed checkpoint, ``{"note": …, "size": …}``; named by their place
    keys/0a1b2c3d.pub               public keys of the log
    policies/<sha256>.toml          policy files; bundles/<sha256>/manifest.json and model_card.md
    schema/leaf.schema.json         JSON schema of a leaf

An archive comes from somebody else. Nothing is ever unpacked to disk, a name outside this list is
refused, and so is a file that would grow beyond its cap.
"""

import hashlib
import json
import re
import struct
import zipfile
import zlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Self

from features.errors import InvalidInput, Problem

ARCHIVE_FORMAT = 1
README, MANIFEST, CONTENTS, HEAD = "README.txt", "MANIFEST.sha256", "contents.json", "checkpoint.txt"
LEAVES, CHECKPOINTS, KEYS, SCHEMA = "leaves/", "checkpoints/", "keys/", "schema/leaf.schema.json"
POLICIES, BUNDLES, BUNDLE_FILES = "policies/", "bundles/", ("manifest.json", "model_card.md")

MOST_FILES = 200_000
LARGEST_FILE_BYTE = 256 * 2**20
LARGEST_LINE_BYTE = 16 * 2**20
"""A leaf beyond this is refused when it is read. [byte]"""
LARGEST_DOCUMENT_BYTE = 64 * 2**20
HIGHEST_COMPRESSION = 500.0
"""JSON lines shrink ten- to hundredfold; deflate ends at 1032."""
_SMALL_BYTE = 2**20
_LOCAL_HEADER_BYTE = 30

_NAMES = re.compile(
    rf"{re.escape(README)}|{re.escape(MANIFEST)}|{re.escape(CONTENTS)}|{re.escape(HEAD)}|{re.escape(SCHEMA)}"
    r"|(leaves|checkpoints)/[0-9]{12}\.jsonl|keys/[0-9a-f]{8}\.pub|policies/[0-9a-f]{64}\.toml"
    r"|bundles/[0-9a-f]{64}/(manifest\.json|model_card\.md)"
)
_BEGINNING = b"PK\x03\x04"

Unreadable = (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, UnicodeError)
"""What reading a damaged archive may raise beside `ArchiveRefused`."""


class ArchiveRefused(InvalidInput):
    """A file is no evidence archive, or reading it would be dangerous. Nothing was unpacked."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        super().__init__(f"{name} is not read. Nothing was unpacked.", problems, code="ARCHIVE_REFUSED")


def is_archive(location: str | Path) -> bool:
    """Whether a location is a zip file; a record is none."""
    try:
        with Path(location).open("rb") as opened:
            return opened.read(len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False


class OpenedArchive:
    """An archive opened for reading, every name of it known to be harmless.

    Parameters
    ----------
    path : Path
        The zip file.

    Attributes
    ----------
    names : tuple of str
        Every file, sorted.
    misnumbered : set of str
        Files read by `numbered_lines` that are not named by the number of their first line.

    Raises
    ------
    ArchiveRefused
        If a name stands twice or has no meaning, a file is too large or grows too much, files lie on
        top of each other, or one is encrypted.
    zipfile.BadZipFile, OSError
        If it is damaged or not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = zipfile.ZipFile(path)
        try:
            entries = self._zip.infolist()
            if problems := [*_problems_of_all(entries), *(each for one in entries for each in _problems_of(one))]:
                raise ArchiveRefused(path.name, problems[:20])
        except BaseException:
            self._zip.close()
            raise
        self.names = tuple(sorted(entry.filename for entry in entries))
        self.misnumbered = set[str]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def under(self, folder: str) -> list[str]:
        """Names in a folder, sorted."""
        return [name for name in self.names if name.startswith(folder)]

    def content(self, name: str) -> bytes:
        """Whole content of a small file.

        Raises
        ------
        ArchiveRefused
            If it is larger than `LARGEST_DOCUMENT_BYTE`.
        """
        if (size := self._zip.getinfo(name).file_size) > LARGEST_DOCUMENT_BYTE:
            problem = Problem(name, f"must unpack to at most {LARGEST_DOCUMENT_BYTE} bytes", str(size))
            raise ArchiveRefused(self.path.name, [problem])
        return self._zip.read(name)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Content of a file, piece by piece."""
        with self._zip.open(name) as opened:
            while piece := opened.read(_SMALL_BYTE):
                yield piece

    def lines(self, name: str, seen: Callable[[bytes], object] | None = None) -> Iterator[bytes]:
        """Lines of a file without their ends; `seen` is given every byte.

        Raises
        ------
        ArchiveRefused
            If a line is longer than `LARGEST_LINE_BYTE`.
        """
        rest = b""
        for piece in self.pieces(name):
            if seen is not None:
                seen(piece)
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
            if len(rest) > LARGEST_LINE_BYTE:
                raise ArchiveRefused(self.path.name, [Problem(name, f"has a line beyond {LARGEST_LINE_BYTE} bytes")])
        if rest:
            yield rest

    def numbered_lines(self, folder: str, digests: dict[str, str]) -> Iterator[bytes]:
        """Lines of all numbered files of a folder in order; the files' SHA-256 stay in `digests`."""
        count = 0
        for name in self.under(folder):
            if first_of(name) != count:
                self.misnumbered.add(name)
            digest = hashlib.sha256()
            for line in self.lines(name, digest.update):
                count += 1
                yield line
            digests[name] = digest.hexdigest()

    def sha256(self, name: str) -> str:
        """Digest of a file."""
        digest = hashlib.sha256()
        for piece in self.pieces(name):
            digest.update(piece)
        return digest.hexdigest()

    def said_entry_count(self) -> int:
        """Entries the table of contents speaks of; 0 where it is damaged. Good for a progress bar, proves nothing."""
        try:
            said = json.loads(self.content(CONTENTS))["entries"]
        except (KeyError, ValueError, TypeError, RecursionError):
            return 0
        return said if isinstance(said, int) else 0

    def leaf_at(self, sequence: int) -> bytes | None:
        """Stored leaf at an index, as the names of the files and the lines in them count."""
        names = self.under(LEAVES)
        firsts = [first_of(name) for name in names]
        at = bisect_right(firsts, sequence) - 1
        if at < 0:
            return None
        lines = self.lines(names[at])
        return next((line for number, line in enumerate(lines, start=firsts[at]) if number == sequence), None)

    def stored_leaves(self) -> Iterator[bytes]:
        """Every stored leaf in the order of the archive."""
        for name in self.under(LEAVES):
            yield from self.lines(name)


def first_of(name: str) -> int:
    """Number of the first line of a numbered file."""
    return int(name[-18:-6])


def numbered(folder: str, first: int) -> str:
    """Name of the file whose first line has a number."""
    return f"{folder}{first:012d}.jsonl"


def _problems_of_all(entries: list[zipfile.ZipInfo]) -> Iterator[Problem]:
    if len(entries) > MOST_FILES:
        yield Problem("archive", f"must hold at most {MOST_FILES} files", str(len(entries)))
    for name, count in Counter(entry.filename for entry in entries).most_common(1):
        if count > 1:
            yield Problem("archive", "must hold every name once", f"{name!r:.90}")
    for one, following in pairwise(sorted(entries, key=lambda entry: entry.header_offset)):
        if one.header_offset + _LOCAL_HEADER_BYTE + one.compress_size > following.header_offset:
            yield Problem(f"{following.filename!r:.90}", "lies on top of another file of the archive")
            return


def _problems_of(entry: zipfile.ZipInfo) -> Iterator[Problem]:
    shown = f"{entry.orig_filename!r:.90}"
    if not _NAMES.fullmatch(entry.orig_filename):
        yield Problem(shown, "is no file of an evidence archive")
    if entry.flag_bits & 0x1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield Problem(shown, "must be stored or deflated, and not encrypted")
    if entry.file_size > LARGEST_FILE_BYTE:
        yield Problem(shown, f"must unpack to at most {LARGEST_FILE_BYTE} bytes", str(entry.file_size))
    elif entry.file_size > _SMALL_BYTE and entry.file_size > HIGHEST_COMPRESSION * entry.compress_size:
        yield Problem(shown, f"must not unpack to more than {HIGHEST_COMPRESSION:g} times its size")
