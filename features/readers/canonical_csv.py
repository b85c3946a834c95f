"""Canonical CSV, read once, block by block, with every bad cell named by its row.

Comma separated, decimal point, one header row, UTF-8 (with or without byte order mark) or GBK. Text
becomes the nearest double, so CSV and Parquet of one table hold the same bits. A bad cell does not
spoil the file: it is kept as a problem of its row and refuses the battery that row belongs to.
"""

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from features.errors import Problem, UnreadableFile
from features.measurement import FloatArray, TableColumn
from features.readers.canonical_rows import (
    BATTERY_COLUMN,
    LONGEST_WORD,
    TEXT_COLUMNS,
    BatteryRows,
    ReadingCaps,
    RowNumbers,
    check_header,
    joined,
    place,
    taken,
)
from features.vocabulary import TableFormat

_BLOCK_BYTES = 4 * 2**20
_LONGEST_HEADER_BYTE = 65536
_MOST_BAD_CELLS = 1000
_ENCODINGS = ("utf-8", "gb18030")
"""GB 18030 contains GBK and GB 2312."""
_NUMBER = r"^([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(?i:nan|inf|infinity)|)$"


class CsvRows:
    """All rows of a canonical CSV file.

    Parameters
    ----------
    path : Path
        ``.csv`` or ``.csv.gz``.
    table_format : TableFormat
        Format the header must have.
    caps : ReadingCaps
        Limits.

    Raises
    ------
    InvalidInput
        If the header is not canonical.
    UnreadableFile
        If the file is no CSV, has rows of another length, blank rows in between, more than 1000 bad
        cells, another encoding, or exceeds a cap.
    """

    def __init__(self, path: Path, table_format: TableFormat, caps: ReadingCaps) -> None:
        self._name = path.name
        self._caps = caps
        self._path = path
        self._read(table_format, self._encoding())

    def columns(self, rows: RowNumbers) -> dict[str, TableColumn]:
        """Canonical columns of the given rows."""
        return {name: taken(values, rows) for name, values in self._columns.items()}

    def problems(self, rows: RowNumbers) -> list[Problem]:
        """Bad cells in the given rows."""
        bad = np.isin([row for row, _ in self._bad_cells], rows)
        return [problem for (_, problem), here in zip(self._bad_cells, bad, strict=True) if here]

    def _read(self, table_format: TableFormat, encoding: str) -> None:
        names = self._header(encoding)
        check_header(self._name, table_format, names)
        self.row_count = 0
        self._bad_cells: list[tuple[int, Problem]] = []
        self._battery_cells: dict[str, int] = {}
        parts: dict[str, list[TableColumn]] = {name: [] for name in names}
        for block in self._blocks(names, encoding):
            for name, cells in zip(names, block.columns, strict=True):
                parts[name].append(self._converted(name, cells))
            self.row_count += block.num_rows
            self._caps.check_rows(self._name, self.row_count, len(names))
        if self.row_count == 0:
            raise UnreadableFile(self._name, "the table must have at least one row")
        whole = {name: joined(arrays) for name, arrays in parts.items()}
        codes = whole.pop(BATTERY_COLUMN, None)
        self.batteries = None if codes is None else BatteryRows(codes.astype(np.int32), list(self._battery_cells))
        self._columns = whole

    def _encoding(self) -> str:
        for encoding in _ENCODINGS:
            with self._stream() as stream:
                if _decodes(stream, encoding, self._name):
                    return encoding
        raise UnreadableFile(self._name, "the text is neither UTF-8 nor GBK; save the table as CSV in UTF-8")

    def _header(self, encoding: str) -> list[str]:
        with self._stream() as stream:
            start = stream.read(_LONGEST_HEADER_BYTE)
        if start.startswith(b"PK") or b"\x00" in start:
            raise UnreadableFile(self._name, "is not text; save the table as CSV in UTF-8", repr(start[:8]))
        line = start.splitlines()[0] if start else b""
        if not line.strip():
            raise UnreadableFile(self._name, "the first line must be the header row")
        return next(csv.reader([line.decode("utf-8-sig" if encoding == "utf-8" else encoding)]))

    def _stream(self) -> IO[bytes]:
        if self._path.suffix.lower() != ".gz":
            return self._path.open("rb")
        return io.BufferedReader(_CappedGzip(self._path, self._caps.decompressed_bytes), _BLOCK_BYTES)

    def _blocks(self, names: Sequence[str], encoding: str) -> Iterator[pa.RecordBatch]:
        with self._stream() as stream:
            blocks = _without_trailing_blank_rows(self._parsed(stream, names, encoding), self._name)
            try:
                yield from blocks
            except pa.ArrowInvalid as error:
                raise UnreadableFile(self._name, "is not a CSV table", str(error)[:200]) from error

    def _parsed(self, stream: IO[bytes], names: Sequence[str], encoding: str) -> Iterator[pa.RecordBatch]:
        def refuse(row: pa_csv.InvalidRow) -> str:
            rule = f"has {row.actual_columns} columns instead of {row.expected_columns}; decimals need a point"
            uneven.append(UnreadableFile(self._name, rule, row.text[:80], f"row {row.number}"))
            return "error"

        uneven: list[UnreadableFile] = []
        try:
            yield from pa_csv.open_csv(
                stream,
                pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES, encoding=encoding),
                pa_csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=refuse),
                pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
            )
        except pa.ArrowInvalid:
            if uneven:
                raise uneven[0] from None
            raise

    def _converted(self, name: str, cells: pa.StringArray) -> TableColumn:
        if name == BATTERY_COLUMN:
            return self._battery_codes(cells)
        if name in TEXT_COLUMNS:
            words = pc.utf8_slice_codeunits(cells, 0, LONGEST_WORD)
            return cast(TableColumn, words.to_numpy(zero_copy_only=False).astype(f"<U{LONGEST_WORD}"))
        try:
            return _floats(cells)
        except pa.ArrowInvalid:
            return self._floats_with_bad_cells(name, cells)

    def _floats_with_bad_cells(self, name: str, cells: pa.StringArray) -> FloatArray:
        trimmed = pc.utf8_trim_whitespace(cells)
        bad = pc.invert(pc.match_substring_regex(trimmed, _NUMBER))
        for row in np.flatnonzero(bad.to_numpy(zero_copy_only=False)):
            self._note_bad_cell(self.row_count + int(row), name, cells[row].as_py())
        return _floats(pc.if_else(bad, "", trimmed))

    def _note_bad_cell(self, row: int, name: str, text: str) -> None:
        hint = "; write decimals with a point" if "," in text else ""
        problem = Problem(f"{self._name} {place(row, name)}", f"must be a number{hint}", repr(text)[:60])
        self._bad_cells.append((row, problem))
        if len(self._bad_cells) > _MOST_BAD_CELLS:
            rule = f"more than {_MOST_BAD_CELLS} cells are not numbers"
            raise UnreadableFile(self._name, rule, repr(text)[:60], place(row, name))

    def _battery_codes(self, cells: pa.StringArray) -> TableColumn:
        encoded = cells.dictionary_encode()
        distinct = encoded.dictionary.to_pylist()
        empty = [number for number, cell in enumerate(distinct) if not cell.strip()]
        codes = encoded.indices.to_numpy()
        if empty:
            row = self.row_count + int(np.flatnonzero(codes == empty[0])[0])
            raise UnreadableFile(self._name, "must not be empty", where=place(row, BATTERY_COLUMN))
        known = [self._battery_cells.setdefault(cell, len(self._battery_cells)) for cell in distinct]
        return cast(TableColumn, np.array(known, dtype=np.float64)[codes])


class _CappedGzip(io.RawIOBase):
    """Decompressed bytes of a ``.gz`` file, refused past a cap."""

    def __init__(self, path: Path, cap: int) -> None:
        self._file = gzip.open(path, "rb")  # noqa: SIM115 - closed by close()
        self._name, self._cap, self._seen = path.name, cap, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # narrower than Buffer
        count = self._file.readinto(buffer)
        self._seen += count
        if self._seen > self._cap:
            raise UnreadableFile(self._name, f"holds more than {self._cap / 2**20:g} MiB of text; split the file")
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _decodes(stream: IO[bytes], encoding: str, file_name: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while block := stream.read(_BLOCK_BYTES):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFile(file_name, "is damaged", str(error)[:200]) from error
    return True


def _floats(cells: pa.StringArray) -> FloatArray:
    filled = pc.if_else(pc.equal(cells, ""), None, cells)
    values: FloatArray = pc.cast(filled, pa.float64()).to_numpy(zero_copy_only=False)
    return values


def _without_trailing_blank_rows(blocks: Iterator[pa.RecordBatch], file_name: str) -> Iterator[pa.RecordBatch]:
    """Blocks without the empty lines at the end of a file; one in between is refused, it hides a cut."""
    rows, first_blank = 0, None
    for block in blocks:
        filled = _filled_row_count(block)
        if first_blank is not None and filled:
            raise UnreadableFile(file_name, "is blank although rows follow", where=place(first_blank))
        if filled < block.num_rows and first_blank is None:
            first_blank = rows + filled
        rows += block.num_rows
        if filled:
            yield block.slice(0, filled)


def _filled_row_count(block: pa.RecordBatch) -> int:
    """Rows up to the last one that holds anything."""
    if block.num_rows == 0 or block.column(0)[-1].as_py():
        return int(block.num_rows)
    filled = np.zeros(block.num_rows, dtype=bool)
    for column in block.columns:
        filled |= pc.not_equal(column, "").to_numpy(zero_copy_only=False)
    return int(np.flatnonzero(filled)[-1]) + 1 if filled.any() else 0
