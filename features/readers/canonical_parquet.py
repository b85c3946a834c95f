"""Canonical Parquet, checked by its footer before a value is decoded, fetched battery by battery.

A few megabytes of Parquet can declare a thousand million rows: row count and size come from the footer
and are refused there. Only the ``battery_id`` column is read as a whole; the others are decoded one row
group at a time, and the last row group stays in memory because batteries follow one another.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.errors import Problem, UnreadableFile
from features.measurement import TableColumn
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


class ParquetRows:
    """All rows of a canonical Parquet file.

    Parameters
    ----------
    path : Path
        The file.
    table_format : TableFormat
        Format its columns must have.
    caps : ReadingCaps
        Limits.

    Raises
    ------
    InvalidInput
        If the columns are not canonical.
    UnreadableFile
        If the file is damaged, exceeds a cap, has no rows, or a column holds another type than numbers
        (``step_type``: text; ``battery_id``: text or whole numbers).
    """

    def __init__(self, path: Path, table_format: TableFormat, caps: ReadingCaps) -> None:
        self._name = path.name
        self._caps = caps
        self._file = self._opened(path)
        check_header(self._name, table_format, self._all_names)
        self._check_types(self._file.schema_arrow)
        self._check_size()
        self._names = [name for name in self._all_names if name != BATTERY_COLUMN]
        sizes = [self._file.metadata.row_group(n).num_rows for n in range(self._file.num_row_groups)]
        self._begins = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.row_count = int(self._file.metadata.num_rows)
        self.batteries = self._battery_rows() if BATTERY_COLUMN in self._all_names else None
        self._row_group = lru_cache(maxsize=1)(self._decoded)

    def columns(self, rows: RowNumbers) -> dict[str, TableColumn]:
        """Canonical columns of the given rows, which are in file order."""
        self._caps.check_rows(self._name, len(rows), len(self._names))
        parts: dict[str, list[TableColumn]] = {name: [] for name in self._names}
        edges = np.searchsorted(rows, self._begins)
        for group in np.flatnonzero(np.diff(edges)):
            here = rows[edges[group] : edges[group + 1]] - self._begins[group]
            for name, values in self._row_group(int(group)).items():
                parts[name].append(taken(values, here))
        return {name: joined(arrays) for name, arrays in parts.items()}

    def problems(self, rows: RowNumbers) -> Sequence[Problem]:
        """None: a Parquet column has one type, checked for the whole file."""
        return ()

    def _opened(self, path: Path) -> pq.ParquetFile:
        try:
            footer = pq.read_metadata(path)
            # A repeated word is kept once: long words cannot grow with the number of rows.
            words = [name for name in (BATTERY_COLUMN, *TEXT_COLUMNS) if name in footer.schema.names]
            file = pq.ParquetFile(path, metadata=footer, read_dictionary=words, page_checksum_verification=True)
            # Names are decoded here, so that damaged ones are found here.
            self._all_names = list(file.schema_arrow.names)
            return file
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise UnreadableFile(self._name, "is not a whole Parquet file", str(error)[:200]) from error

    def _check_types(self, schema: pa.Schema) -> None:
        for column in schema:
            kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
            text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
            number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
            if column.name == BATTERY_COLUMN:
                fits, rule = text or pa.types.is_integer(kind), "must hold text or whole numbers"
            elif column.name in TEXT_COLUMNS:
                fits, rule = text, "must hold text"
            else:
                fits, rule = number and kind is column.type, "must hold numbers"
            if not fits:
                raise UnreadableFile(self._name, rule, str(column.type)[:60], f"column {column.name}")

    def _check_size(self) -> None:
        footer = self._file.metadata
        if footer.num_rows == 0:
            raise UnreadableFile(self._name, "the table must have at least one row")
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        self._caps.check_rows(self._name, footer.num_rows, 1)
        self._caps.check_rows(self._name, max(group.num_rows for group in groups), footer.num_columns)
        uncompressed = max(group.total_byte_size for group in groups)
        if uncompressed > self._caps.decoded_bytes:
            rule = f"a row group holds more than {self._caps.decoded_bytes / 2**20:g} MiB; write smaller row groups"
            raise UnreadableFile(self._name, rule, f"{uncompressed} bytes")

    def _battery_rows(self) -> BatteryRows:
        codes: list[npt.NDArray[np.int32]] = []
        cells: dict[str, int] = {}
        for group in range(self._file.num_row_groups):
            (column,) = self._table(group, [BATTERY_COLUMN]).columns
            if column.null_count:
                row = int(self._begins[group] + np.flatnonzero(column.is_null())[0])
                raise UnreadableFile(self._name, "must not be empty", where=place(row, BATTERY_COLUMN))
            encoded = _dictionary(column)
            known = [cells.setdefault(cell, len(cells)) for cell in map(str, encoded.dictionary.to_pylist())]
            codes.append(np.array(known, dtype=np.int32)[encoded.indices.to_numpy()])
        if "" in map(str.strip, cells):
            raise UnreadableFile(self._name, "must not be empty", where=f"column {BATTERY_COLUMN}")
        return BatteryRows(np.concatenate(codes), list(cells))

    def _decoded(self, group: int) -> dict[str, TableColumn]:
        table = self._table(group, self._names)
        return {name: self._converted(name, table.column(name)) for name in self._names}

    def _table(self, group: int, names: list[str]) -> pa.Table:
        try:
            table = self._file.read_row_group(group, columns=names, use_threads=False)
            table.validate(full=True)
            return table
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFile(self._name, "is damaged", str(error)[:200]) from error

    def _converted(self, name: str, column: pa.ChunkedArray) -> TableColumn:
        if name in TEXT_COLUMNS:
            encoded = _dictionary(column.fill_null(""))
            words = pc.utf8_slice_codeunits(encoded.dictionary, 0, LONGEST_WORD).to_numpy(zero_copy_only=False)
            codes: TableColumn = words.astype(f"<U{LONGEST_WORD}")[encoded.indices.to_numpy()]
            return codes
        try:
            numbers: TableColumn = column.cast(pa.float64()).to_numpy()
        except pa.ArrowInvalid as error:
            raise UnreadableFile(self._name, "must hold numbers", str(error)[:120], f"column {name}") from error
        return numbers


def _dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Bring a column into one dictionary array."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return encoded.unify_dictionaries().combine_chunks()
