"""The wanted columns of a vehicle export (csv, csv.gz, Parquet), read under caps.

Nothing is converted here: numbers come as they stand in the file, text as text. A file is read in
batches; it is refused as soon as it exceeds the bytes, rows or values allowed, so a small
compressed file that unfolds into a large one stops early.
"""

import gzip
import io
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from features.errors import UnreadableFile
from features.measurement import FloatArray
from features.readers.vehicle_mapping import FileLayout

LARGEST_BYTE_COUNT = 2 << 30
"""Bytes after decompression."""
LARGEST_ROW_COUNT = 5_000_000
LARGEST_VALUE_COUNT = 60_000_000
"""Rows times wanted columns: 480 MB as float64."""
_BATCH_ROW_COUNT = 65_536
_BATCH_BYTE_COUNT = 4 << 20


@dataclass(frozen=True)
class Export:
    """The wanted columns of a file, as they stand there.

    Attributes
    ----------
    table : pyarrow.Table
        The wanted columns.
    malformed_row_count : int
        Lines with another number of cells than the heading, left out.
    """

    table: pa.Table
    malformed_row_count: int

    def numbers(self, name: str) -> FloatArray:
        """Column `name` as float64; an empty cell is NaN."""
        values: FloatArray = pc.cast(self.table.column(name), pa.float64()).to_numpy()
        return values


class _CappedStream(io.RawIOBase):
    """A byte stream that ends in an error once it has given too much."""

    def __init__(self, source: io.BufferedIOBase | gzip.GzipFile, file_name: str) -> None:
        self._source = source
        self._file_name = file_name
        self._given_byte = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        block = self._source.read(min(size, _BATCH_BYTE_COUNT) if size >= 0 else _BATCH_BYTE_COUNT)
        self._given_byte += len(block)
        if self._given_byte > LARGEST_BYTE_COUNT:
            raise UnreadableFile(self._file_name, f"at most {LARGEST_BYTE_COUNT} bytes are read after decompression")
        return block


@contextmanager
def _faults_named(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError) as fault:
        raise UnreadableFile(path.name, "cannot be opened", fault.strerror or "") from fault
    except (pa.ArrowException, EOFError, zlib.error, UnicodeError, OSError) as fault:
        rule = f"is damaged, or is not the {kind} file the mapping describes"
        raise UnreadableFile(path.name, rule, str(fault)[:300]) from fault


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        begin = file.read(4)
    if begin in (b"PAR1", b"PK\x03\x04"):
        raise UnreadableFile(path.name, "is Parquet or a zip archive, not the csv file the mapping describes")
    return begin[:2] == b"\x1f\x8b"


@contextmanager
def _csv_batches(
    path: Path, layout: FileLayout, types: Mapping[str, pa.DataType] | None, malformed: list[int]
) -> Iterator[pa_csv.CSVStreamingReader]:
    def skipped(row: pa_csv.InvalidRow) -> str:
        malformed.append(row.number or 0)
        return "skip"

    convert = pa_csv.ConvertOptions(
        include_columns=list(types) if types is not None else None,
        column_types=dict(types) if types is not None else None,
        null_values=list(layout.missing_words),
        strings_can_be_null=True,
        decimal_point=layout.decimal_point,
    )
    with path.open("rb") as raw, gzip.open(raw) if _is_gzip(path) else raw as source:
        yield pa_csv.open_csv(
            pa.PythonFile(_CappedStream(source, path.name), mode="r"),
            read_options=pa_csv.ReadOptions(encoding=layout.encoding, block_size=_BATCH_BYTE_COUNT, use_threads=False),
            parse_options=pa_csv.ParseOptions(delimiter=layout.separator, invalid_row_handler=skipped),
            convert_options=convert,
        )


def column_names(path: Path, layout: FileLayout) -> tuple[str, ...]:
    """Headings of the file, in order.

    Raises
    ------
    UnreadableFile
        If the file is absent, empty or not of the kind the mapping says.
    """
    with _faults_named(path, layout.kind):
        if layout.kind == "parquet":
            return tuple(pq.read_schema(path).names)
        with _csv_batches(path, layout, None, []) as reader:
            return tuple(reader.schema.names)


def read_export(path: Path, layout: FileLayout, numeric: Collection[str], as_written: Collection[str]) -> Export:
    """Read the wanted columns.

    Parameters
    ----------
    path : Path
        The file.
    layout : FileLayout
        How it is written.
    numeric : collection of str
        Columns that hold numbers.
    as_written : collection of str
        Columns of times, codes and lists: text in csv, whatever type it has in Parquet.

    Raises
    ------
    UnreadableFile
        If the file is damaged, exceeds a cap, or holds text where a number is expected.
    """
    malformed: list[int] = []
    with _faults_named(path, layout.kind):
        if layout.kind == "parquet":
            table = _parquet_table(path, [*numeric, *as_written])
        else:
            types = {name: pa.float64() for name in numeric} | {name: pa.string() for name in as_written}
            with _csv_batches(path, layout, types, malformed) as reader:
                table = _gathered(reader, path, reader.schema)
        _refuse_text(table, numeric, path)
    return Export(table, len(malformed))


def _parquet_table(path: Path, wanted: list[str]) -> pa.Table:
    with pq.ParquetFile(path) as file:
        metadata = file.metadata
        _refuse_beyond(path, metadata.num_rows, len(wanted), 0)
        declared = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        _refuse_beyond(path, 0, 0, declared)
        schema = pa.schema([file.schema_arrow.field(name) for name in wanted])
        return _gathered(file.iter_batches(_BATCH_ROW_COUNT, columns=wanted), path, schema)


def _gathered(batches: Iterator[pa.RecordBatch], path: Path, schema: pa.Schema) -> pa.Table:
    kept: list[pa.RecordBatch] = []
    rows = held = 0
    for batch in batches:
        rows, held = rows + batch.num_rows, held + batch.nbytes
        _refuse_beyond(path, rows, batch.num_columns, held)
        kept.append(batch.select(schema.names))
    if rows == 0:
        raise UnreadableFile(path.name, "has no rows")
    return pa.Table.from_batches(kept)


def _refuse_beyond(path: Path, rows: int, columns: int, held_byte: int) -> None:
    if rows > LARGEST_ROW_COUNT:
        raise UnreadableFile(path.name, f"at most {LARGEST_ROW_COUNT} rows are read", str(rows))
    if rows * columns > LARGEST_VALUE_COUNT:
        raise UnreadableFile(path.name, f"at most {LARGEST_VALUE_COUNT} values are read", str(rows * columns))
    if held_byte > LARGEST_BYTE_COUNT:
        raise UnreadableFile(path.name, f"at most {LARGEST_BYTE_COUNT} bytes are read", str(held_byte))


def _refuse_text(table: pa.Table, numeric: Collection[str], path: Path) -> None:
    for name in numeric:
        kind = table.schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            try:
                pc.cast(table.column(name), pa.float64())
            except pa.ArrowException as fault:
                raise UnreadableFile(path.name, "must hold numbers", str(fault)[:200], f"column {name}") from fault
