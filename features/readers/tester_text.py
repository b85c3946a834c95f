"""The text files of testers as columns of cells, from a file nobody vouches for.

Finds encoding, separator and the heading row, streams the rows below it under caps and hands on the
wanted columns as text. It knows no unit and no number: see `tester_headings` and `tester_columns`.
A row with another number of cells is counted and left out; the last one is a file that breaks off.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv as pa_csv

from features.errors import UnreadableFile
from features.readers.canonical_rows import ReadingCaps
from features.readers.tester_layers import STEP_LABELS, RecordRows, leading_blanks

SEARCHED_BYTES = 2**20
"""The heading row stands within the first mebibyte."""

_SEARCHED_LINES = 3000
_FEWEST_COLUMNS = 3
_WORD = re.compile(r"[A-Za-z\u3400-\u9fff]")
_LONGEST_CELL_COUNT = 512
_BLOCK_BYTES = 4 * 2**20
_SEPARATORS = ("\t", ";", ",")
_CHINESE = ("电压", "电流", "时间", "工步", "循环", "容量", "温度", "序号")
_MOST_UNEVEN_FRACTION = 0.01
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_BINARY = {
    b"PK\x03\x04": "a zip archive or workbook",
    b"PAR1": "a Parquet file",
    b"NEWARE": "a Neware nda file",
    b"\xd0\xcf\x11\xe0": "an encrypted or old Office file",
    b"\x1f\x8b": "a gzip file",
    b"BIO-LOGIC MODULA": "a binary BioLogic mpr file",
}


@dataclass(frozen=True)
class TextLayout:
    """How a text file is written.

    Attributes
    ----------
    encoding : str
        Python's name of the encoding.
    separator : str
        Between cells.
    heading_line : int
        Line of the headings, counted from 0.
    labels : tuple of str
        The headings.
    quoted_lines : bool
        Whether every line stands in quotes as a whole, as a spreadsheet saves a one-column sheet.
    nested : bool
        Whether cycles, steps and records are layers of one report (`tester_layers`).
    """

    encoding: str
    separator: str
    heading_line: int
    labels: tuple[str, ...]
    quoted_lines: bool = False
    nested: bool = False


@dataclass
class TextCells:
    """Cells of the wanted columns.

    Attributes
    ----------
    columns : dict of str to pyarrow.ChunkedArray
        Text by meaning, all of one length.
    row_count : int
        Rows that were read.
    uneven_rows : list of int
        Lines left out because they hold another number of cells, as an editor counts them.
    cut_off : bool
        Whether the last row is one of them.
    """

    columns: dict[str, pa.ChunkedArray]
    row_count: int
    uneven_rows: list[int] = field(default_factory=list)
    cut_off: bool = False


def text_start(path: Path) -> tuple[str, str]:
    """Decode the begin of a text file.

    Returns
    -------
    tuple of str
        The text, and the name of its encoding: UTF-8, UTF-16 with mark, GBK where Chinese headings say so,
        else Latin-1.

    Raises
    ------
    UnreadableFile
        If the file is absent, empty or not text.
    """
    start = file_start(path)
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return start.decode(encoding, errors="replace").lstrip("\ufeff"), encoding
    for signature, what in _BINARY.items():
        if start.startswith(signature):
            raise UnreadableFile(path.name, f"is {what}, not a text export", repr(start[:8]))
    if b"\x00" in start:
        raise UnreadableFile(path.name, "is not text", repr(start[:8]))
    return _decoded(start)


def file_start(path: Path) -> bytes:
    """First mebibyte of a file.

    Raises
    ------
    UnreadableFile
        If the file is absent, a folder, empty or cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(SEARCHED_BYTES)
    except OSError as fault:
        raise UnreadableFile(path.name, "the file cannot be opened", fault.strerror or "") from fault
    if not start.strip():
        raise UnreadableFile(path.name, "the file is empty", f"{len(start)} bytes")
    return start


def _decoded(start: bytes) -> tuple[str, str]:
    whole_lines = start[: start.rfind(b"\n") + 1] or start
    try:
        return whole_lines.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        chinese = whole_lines.decode("gb18030", errors="replace")
    if any(word in chinese for word in _CHINESE):
        return chinese, "gb18030"
    return whole_lines.decode("latin-1"), "latin-1"


def text_layout(path: Path, is_heading: Callable[[Sequence[str]], bool]) -> TextLayout | None:
    """Find the heading row; None where no line of the searched part is one.

    Parameters
    ----------
    path : Path
        The file.
    is_heading : callable
        Whether cells are the headings that are sought.

    Raises
    ------
    UnreadableFile
        See `text_start`.
    """
    text, encoding = text_start(path)
    for number, line in enumerate(io.StringIO(text, newline=None)):
        if number >= _SEARCHED_LINES:
            return None
        if _WORD.search(line) is None:
            continue
        for separator in _SEPARATORS:
            if line.count(separator) < _FEWEST_COLUMNS - 1:
                continue
            quoted = line.startswith('"') and line.rstrip().endswith('"') and len(_cells(line, separator)) == 1
            cells = _cells(line.strip().strip('"') if quoted else line.rstrip("\n"), separator)
            if len(cells) >= _FEWEST_COLUMNS and is_heading(cells):
                nested = leading_blanks(cells) > 1
                labels = (*cells, *STEP_LABELS) if nested else tuple(cells)
                return TextLayout(encoding, separator, number, labels, quoted, nested)
    return None


def text_cells(path: Path, layout: TextLayout, wanted: dict[str, int], caps: ReadingCaps) -> TextCells:
    """Read the wanted columns below the heading row.

    Parameters
    ----------
    path : Path
        The file.
    layout : TextLayout
        How it is written.
    wanted : dict of str to int
        Place of the column by meaning.
    caps : ReadingCaps
        Limits.

    Raises
    ------
    UnreadableFile
        If a cap is exceeded, no row follows the headings, or more than 1 % of the rows hold another
        number of cells than the headings.
    """
    if (size := path.stat().st_size) > caps.file_bytes:
        raise UnreadableFile(path.name, f"larger than {caps.file_bytes / 2**20:g} MiB; split the file", f"{size} bytes")
    width, first_row = _data_width(path, layout)
    uneven: list[int] = []
    parts: dict[str, list[pa.Array]] = {meaning: [] for meaning in wanted}
    rows = 0
    for batch in _batches(path, layout, width, wanted, uneven):
        rows += batch.num_rows
        caps.check_rows(path.name, rows, len(wanted))
        for meaning, place in wanted.items():
            parts[meaning].append(batch.column(f"c{place}"))
    blank_lines = first_row - layout.heading_line - 2  # the parser does not count them
    uneven = [number + blank_lines for number in uneven]
    _refuse_uneven(path.name, rows, uneven, first_row)
    last_is_uneven = bool(uneven) and uneven[-1] - first_row >= rows + len(uneven) - 1
    return TextCells(
        {meaning: pa.chunked_array(each, pa.string()) for meaning, each in parts.items()},
        rows,
        uneven,
        cut_off=last_is_uneven,
    )


def _refuse_uneven(file_name: str, rows: int, uneven: Sequence[int], first_row: int) -> None:
    if rows == 0:
        raise UnreadableFile(file_name, "no row follows the headings", where=f"line {first_row}")
    if len(uneven) > max(1, _MOST_UNEVEN_FRACTION * rows):
        rule = "rows must hold as many cells as the headings (is the file damaged?)"
        raise UnreadableFile(file_name, rule, f"{len(uneven)} of {rows + len(uneven)} rows", f"line {uneven[0]}")


def _data_width(path: Path, layout: TextLayout) -> tuple[int, int]:
    """Number of cells of the first data row, and its line as an editor counts it."""
    if layout.nested:
        return len(layout.labels), layout.heading_line + 2
    text, _ = text_start(path)
    lines = io.StringIO(text, newline=None)
    for number, line in enumerate(lines, start=1):
        stripped = line.strip("\n")
        if number <= layout.heading_line + 1 or not stripped.strip():
            continue
        count = len(_cells(stripped.strip().strip('"') if layout.quoted_lines else stripped, layout.separator))
        extra = layout.labels[count:]
        if count > _LONGEST_CELL_COUNT or any(label.strip() for label in extra):
            rule = f"the first row must hold the {len(layout.labels)} cells of the headings"
            raise UnreadableFile(path.name, rule, f"{count} cells", f"line {number}")
        return count, number
    raise UnreadableFile(path.name, "no row follows the headings", where=f"line {layout.heading_line + 1}")


def _batches(
    path: Path, layout: TextLayout, width: int, wanted: dict[str, int], uneven: list[int]
) -> Iterable[pa.RecordBatch]:
    def skipped(row: pa_csv.InvalidRow) -> str:
        if row.text.strip(layout.separator + " \r\n"):
            uneven.append(row.number or 0)
        return "skip"

    names = [f"c{place}" for place in range(width)]
    include = [f"c{place}" for place in sorted(set(wanted.values()))]
    with _rows_stream(path, layout) as stream:
        try:
            yield from pa_csv.open_csv(
                stream,
                pa_csv.ReadOptions(
                    use_threads=False,
                    block_size=_BLOCK_BYTES,
                    skip_rows=0 if layout.nested else layout.heading_line + 1,
                    column_names=names,
                ),
                pa_csv.ParseOptions(delimiter=layout.separator, invalid_row_handler=skipped),
                pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(include, pa.string()), include_columns=include, strings_can_be_null=False
                ),
            )
        except (pa.ArrowException, UnicodeError, OSError, csv.Error) as fault:
            raise UnreadableFile(path.name, "is damaged, or no text table", str(fault)[:200]) from fault


class _CleanBytes(io.RawIOBase):
    """A text file in UTF-8, unreadable bytes replaced, without its quotation marks where asked."""

    def __init__(self, path: Path, encoding: str, *, unquoted: bool) -> None:
        self._raw = path.open("rb")
        self._unquoted = unquoted
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._pending = b""

    def close(self) -> None:
        self._raw.close()
        super().close()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # narrower than Buffer
        while not self._pending and (block := self._raw.read(len(buffer))):
            text = self._decoder.decode(block).encode()
            self._pending = text.replace(b'"', b"") if self._unquoted else text
        count = min(len(buffer), len(self._pending))
        buffer[:count], self._pending = self._pending[:count], self._pending[count:]
        return count


def _rows_stream(path: Path, layout: TextLayout) -> IO[bytes]:
    if layout.nested:
        records = RecordRows(path, layout.encoding, layout.separator, layout.labels[: -len(STEP_LABELS)])
        return io.BufferedReader(records, _BLOCK_BYTES)
    return io.BufferedReader(_CleanBytes(path, layout.encoding, unquoted=layout.quoted_lines), _BLOCK_BYTES)


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []
