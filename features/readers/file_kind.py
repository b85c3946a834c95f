"""What a file of unknown origin is, by its content.

Grading takes a declared format and never comes here; a person who asks what a file is does. Nothing is
read beyond the begin of a text, the footer of a Parquet file or the table of contents of an archive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import UnreadableFile
from features.measurement import column_definition
from features.readers.canonical_rows import BATTERY_COLUMN
from features.readers.neware_binary import NDA_SIGNATURE, ZIP_SIGNATURE, archive_members
from features.readers.tester_formats import TABLE_FORMATS
from features.readers.tester_table import PARQUET_SIGNATURE
from features.readers.tester_text import text_layout, text_start
from features.readers.testers import start_bytes
from features.vocabulary import COLUMNS, TableFormat

_SHOWN_LABELS = 8
_FRAME_STARTS = ("##", "$$", "2323", "2424")


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file is.

    Attributes
    ----------
    title : str
        For a person.
    run_format : str
        Format word under which it can be read; empty where there is none.
    """

    title: str
    run_format: str = ""


def file_kind(path: Path) -> FileKind:
    """Say what a file is.

    Raises
    ------
    UnreadableFile
        If it is absent, empty, damaged, or a packing bomb.
    """
    start = start_bytes(path)
    if start.startswith(NDA_SIGNATURE):
        return FileKind("a Neware nda file", "neware")
    if start.startswith(ZIP_SIGNATURE):
        return _archive_kind(path)
    if start.startswith(PARQUET_SIGNATURE):
        return _parquet_kind(path)
    if start.startswith((b"##", b"$$")):
        return FileKind("frames of GB/T 32960.3", "gbt32960")
    if start.startswith(b"\x1f\x8b"):
        return FileKind("a gzip file; a canonical table or a vehicle export with its mapping may be one")
    return _text_kind(path)


def _archive_kind(path: Path) -> FileKind:
    names = archive_members(path)
    if "data.ndc" in names:
        return FileKind("a Neware ndax file", "neware")
    if any(name.lower().endswith((".nda", ".ndax")) for name in names):
        return FileKind("a zip archive with a Neware file", "neware")
    if "xl/workbook.xml" in names:
        return FileKind("an xlsx workbook; the one that can be read is a Nebula step report", "nebula")
    return FileKind(f"a zip archive of {len(names)} members that no reader knows")


def _parquet_kind(path: Path) -> FileKind:
    try:
        labels = list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError, UnicodeError) as fault:
        raise UnreadableFile(path.name, "is not a whole Parquet file", str(fault)[:200]) from fault
    return _kind_of(labels, "Parquet") or FileKind(f"a Parquet table with the columns {_shown(labels)}")


def _text_kind(path: Path) -> FileKind:
    text, _ = text_start(path)
    if text.lstrip().startswith(_FRAME_STARTS):
        return FileKind("frames of GB/T 32960.3 in hexadecimal lines", "gbt32960")
    found: list[FileKind] = []

    def is_heading(labels: Sequence[str]) -> bool:
        kind = _kind_of(labels, "text")
        found.extend([kind] if kind is not None else [])
        return kind is not None

    if text_layout(path, is_heading) is not None:
        return found[0]
    first = next((line for line in text.splitlines() if line.strip()), "")
    return FileKind(f"a text file without the headings of any tester; it begins {first.strip()[:80]!r}")


def _kind_of(labels: Sequence[str], container: str) -> FileKind | None:
    names = {label.strip().lstrip("\ufeff") for label in labels}
    for table_format in TableFormat:
        required = {column.name for column in COLUMNS[table_format] if column.required}
        canonical = all(column_definition(table_format, name) for name in names - {BATTERY_COLUMN})
        if required <= names and (canonical or table_format is TableFormat.TELEMETRY):
            return FileKind(f"a canonical {table_format.value} table ({container})", table_format.value)
    known = next((each for each in TABLE_FORMATS.values() if each.recognises(labels)), None)
    return FileKind(f"{known.title} ({container})", known.word) if known is not None else None


def _shown(labels: Sequence[str]) -> str:
    more = f" and {left} more" if (left := len(labels) - _SHOWN_LABELS) > 0 else ""
    return ", ".join(label[:40] for label in labels[:_SHOWN_LABELS]) + more
