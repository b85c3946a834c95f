"""The canonical tables from CSV and Parquet: one door, one battery at a time.

Columns are exactly those of the format, plus ``battery_id`` where a file holds many batteries; an extra
column is refused by name rather than left out. Numbers are taken as they are written: no unit, no sign
and no gap is repaired here. Rows are named as a spreadsheet shows them (header = row 1), in Parquet too.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from features.errors import InvalidInput, Problem, UnreadableFile
from features.measurement import CanonicalTable
from features.readers.canonical_csv import CsvRows
from features.readers.canonical_parquet import ParquetRows
from features.readers.canonical_rows import BATTERY_COLUMN, ReadingCaps, RowNumbers, RowSource, place
from features.readers.reading import Reading
from features.vocabulary import TableFormat

_READERS: dict[str, type[CsvRows] | type[ParquetRows]] = {
    ".csv": CsvRows,
    ".csv.gz": CsvRows,
    ".parquet": ParquetRows,
}
_CELL = re.compile(r"(\w+)\[(\d+)\]")
_SHOWN_BATTERIES = 5


class CanonicalFile:
    """A canonical file, opened once, whose batteries can be read one after the other.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.csv.gz`` or ``.parquet``.
    table_format : TableFormat
        Format of the table.
    caps : ReadingCaps, optional
        Limits of what is read.

    Raises
    ------
    InvalidInput
        If the file cannot be read or its header is not canonical. A bad cell is only raised when the
        battery it belongs to is read.
    """

    def __init__(self, path: Path, table_format: TableFormat, caps: ReadingCaps | None = None) -> None:
        caps = caps or ReadingCaps()
        self._name = path.name
        self._format = table_format
        self._rows: RowSource = _reader(path, caps)(path, table_format, caps)

    @property
    def battery_ids(self) -> tuple[str, ...]:
        """Batteries of the file in order of appearance; empty where it has no ``battery_id`` column."""
        return self._rows.batteries.battery_ids if self._rows.batteries else ()

    def reading(self, battery_id: str | None = None) -> Reading:
        """Table of one battery.

        Parameters
        ----------
        battery_id : str, optional
            Which battery; may be left out where the file holds one.

        Raises
        ------
        InvalidInput
            If the battery is not in the file, the file holds several and none is named, or a cell or
            the table breaks a rule of the format.
        """
        rows = self._selected(battery_id)
        if problems := self._rows.problems(rows):
            raise InvalidInput(f"{self._name} holds cells that are not numbers. Nothing was graded.", problems[:20])
        try:
            table = CanonicalTable(self._format, self._rows.columns(rows))
        except UnreadableFile:
            raise
        except InvalidInput as error:
            problems = [self._in_the_file(problem, rows) for problem in error.problems]
            raise InvalidInput(f"{self._name}: {error.message}", problems, error.code) from error
        return Reading(table, started_at=_started_at(table))

    def readings(self) -> Iterator[tuple[str, Reading]]:
        """Every battery of the file with its table, in order of appearance."""
        for battery_id in self.battery_ids:
            yield battery_id, self.reading(battery_id)

    def _selected(self, battery_id: str | None) -> RowNumbers:
        batteries = self._rows.batteries
        if batteries is None:
            return np.arange(self._rows.row_count)
        if battery_id is None and len(batteries.battery_ids) == 1:
            battery_id = batteries.battery_ids[0]
        rows = batteries.rows(battery_id) if battery_id is not None else np.empty(0, dtype=np.int64)
        if not len(rows):
            shown = ", ".join(batteries.battery_ids[:_SHOWN_BATTERIES])
            more = f" and {left} more" if (left := len(batteries.battery_ids) - _SHOWN_BATTERIES) > 0 else ""
            asked = f"battery {battery_id!r:.70} is not in the file" if battery_id else "name one battery of the file"
            raise UnreadableFile(self._name, asked, f"it holds {shown[:400]}{more}", f"column {BATTERY_COLUMN}")
        return rows

    def _in_the_file(self, problem: Problem, rows: RowNumbers) -> Problem:
        cell = _CELL.fullmatch(problem.where)
        if cell is None:
            return problem.inside(self._name)
        where = f"{self._name} {place(int(rows[int(cell[2])]), cell[1])}"
        return Problem(where, problem.rule, "an empty cell or nan" if problem.value == "nan" else problem.value)


def read_canonical(path: Path, table_format: TableFormat, battery_id: str | None = None) -> Reading:
    """Read one battery's canonical table from a file.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.csv.gz`` or ``.parquet``.
    table_format : TableFormat
        Format of the table.
    battery_id : str, optional
        Battery to take where the file has a ``battery_id`` column.

    Returns
    -------
    Reading
        The table; `started_at` from the first ``unix_time_second`` of telemetry.

    Raises
    ------
    InvalidInput
        See `CanonicalFile`.
    """
    return CanonicalFile(path, table_format).reading(battery_id)


def _reader(path: Path, caps: ReadingCaps) -> type[CsvRows] | type[ParquetRows]:
    ending = "".join(path.suffixes[-2:]).lower()
    reader = _READERS.get(ending) or _READERS.get(path.suffix.lower())
    if reader is None:
        raise UnreadableFile(path.name, f"a canonical table ends in {', '.join(_READERS)}", path.suffix)
    if (size := _size(path)) > caps.file_bytes:
        raise UnreadableFile(path.name, f"larger than {caps.file_bytes / 2**20:g} MiB; split the file", f"{size} bytes")
    return reader


def _size(path: Path) -> int:
    try:
        if path.is_file():
            with path.open("rb"):
                return path.stat().st_size
    except OSError as error:
        raise UnreadableFile(path.name, "the file cannot be opened", str(error.strerror)) from error
    raise UnreadableFile(path.name, "there is no such file")


def _started_at(table: CanonicalTable) -> datetime | None:
    if table.format is not TableFormat.TELEMETRY:
        return None
    return datetime.fromtimestamp(float(table.floats("unix_time_second")[0]), UTC)
