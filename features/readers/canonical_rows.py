"""What a canonical CSV and a canonical Parquet file have in common: caps, header rules, battery rows.

Nothing here opens a file. Rows are counted from 0 inside the code and shown as a spreadsheet shows
them (header = row 1) in every message.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from features.battery_code import known_battery_id
from features.errors import InvalidInput, Problem, UnreadableFile
from features.measurement import TableColumn, column_definition
from features.vocabulary import COLUMNS, TableFormat

RowNumbers = npt.NDArray[np.int64]

BATTERY_COLUMN = "battery_id"
TEXT_COLUMNS = frozenset({"step_type"})
LONGEST_WORD = 16
"""Words are cut here before they become a fixed-width array; no canonical word is as long."""

_INDEX_NAMES = frozenset({"", "index", "Unnamed: 0", "__index_level_0__"})


@dataclass(frozen=True, slots=True)
class ReadingCaps:
    """How much of a file is read before it is refused.

    Attributes
    ----------
    file_bytes : int
        Size on disk.
    decompressed_bytes : int
        Text behind a ``.csv.gz``.
    rows : int
        Rows of the whole file.
    decoded_bytes : int
        Numbers held in memory at once (eight bytes a cell).
    """

    file_bytes: int = 256 * 2**20
    decompressed_bytes: int = 2**30
    rows: int = 20_000_000
    decoded_bytes: int = 2 * 2**30

    def check_rows(self, file_name: str, rows: int, columns: int) -> None:
        """Refuse a table that is too large.

        Raises
        ------
        UnreadableFile
            If rows, or rows times columns, exceed the caps.
        """
        if rows > self.rows:
            raise UnreadableFile(file_name, f"more than {self.rows} rows; split the file", str(rows))
        if rows * columns * 8 > self.decoded_bytes:
            rule = f"the table needs more than {self.decoded_bytes / 2**20:g} MiB in memory; split the file"
            raise UnreadableFile(file_name, rule, f"{rows} rows of {columns} columns")


class RowSource(Protocol):
    """An opened file whose rows can be fetched."""

    row_count: int
    batteries: "BatteryRows | None"

    def columns(self, rows: RowNumbers) -> Mapping[str, TableColumn]:
        """Canonical columns of the given rows; NaN where a cell is empty."""

    def problems(self, rows: RowNumbers) -> Sequence[Problem]:
        """Cells of the given rows that could not be read."""


class BatteryRows:
    """Which rows belong to which battery.

    Parameters
    ----------
    row_codes : ndarray of int, shape (n,)
        Index into `cells` per row.
    cells : sequence of str
        Distinct cells of the ``battery_id`` column in order of appearance.

    Notes
    -----
    GB/T 34014 codes are compared in their normal form (upper case, lines joined), other identifiers
    without white space at their ends.
    """

    def __init__(self, row_codes: npt.NDArray[np.int32], cells: Sequence[str]) -> None:
        names = [normal_battery_id(cell) for cell in cells]
        self.battery_ids = tuple(dict.fromkeys(names))
        place = {name: number for number, name in enumerate(self.battery_ids)}
        codes = np.array([place[name] for name in names], dtype=np.int32)[row_codes]
        self._order = np.argsort(codes, kind="stable")
        self._begins = np.searchsorted(codes[self._order], np.arange(len(self.battery_ids) + 1))
        self._place = place

    def rows(self, battery_id: str) -> RowNumbers:
        """Rows of a battery in file order; empty if it is not in the file."""
        number = self._place.get(normal_battery_id(battery_id))
        if number is None:
            return np.empty(0, dtype=np.int64)
        return self._order[self._begins[number] : self._begins[number + 1]]


def normal_battery_id(text: str) -> str:
    """Bring an identifier into the form in which two writings of it are equal."""
    return known_battery_id(text)


def taken(values: TableColumn, rows: RowNumbers) -> TableColumn:
    """Values of the given rows, which are in file order; of neighbouring rows a view, which copies nothing."""
    together = len(rows) > 0 and rows[-1] - rows[0] + 1 == len(rows)
    return values[rows[0] : rows[-1] + 1] if together else values[rows]


def joined(parts: Sequence[TableColumn]) -> TableColumn:
    """Parts of one column, one after the other."""
    return parts[0] if len(parts) == 1 else cast(TableColumn, np.concatenate(parts))


def place(row: int, column: str = "") -> str:
    """Where a row (counted from 0) is in the file, header = row 1."""
    return f"row {row + 2} column {column}".removesuffix(" column ")


def check_header(file_name: str, table_format: TableFormat, names: Sequence[str]) -> None:
    """Refuse a header that is not exactly canonical.

    Raises
    ------
    InvalidInput
        For duplicate, unknown (extra columns are refused, an index column too) and missing columns.
    """
    repeated = [Problem(f"column {name}", "appears more than once") for name, n in Counter(names).items() if n > 1]
    known = [name for name in names if name == BATTERY_COLUMN or column_definition(table_format, name)]
    unknown = [_unknown(table_format, name) for name in names if name not in known]
    missing = [
        Problem(f"column {column.name}", f"is required in {table_format.value}")
        for column in COLUMNS[table_format]
        if column.required and column.name not in names
    ]
    if problems := [*repeated, *unknown, *missing]:
        message = f"{file_name} is not a canonical {table_format.value} table. Nothing was graded."
        raise InvalidInput(message, [problem.inside(file_name) for problem in problems[:20]])


def _unknown(table_format: TableFormat, name: str) -> Problem:
    hint = ""
    if name in _INDEX_NAMES:
        hint = "; write the table without its index"
    elif ";" in name or "\t" in name:
        hint = "; separate columns by commas and write decimals with a point"
    return Problem(f"column {name!r:.60}", f"is not a column of {table_format.value}{hint}")
