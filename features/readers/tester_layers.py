"""Nested reports (循环层, 工步层, 记录层 in one file) as plain rows of records.

Such a report indents: a cycle row begins at the first cell, a step row at the second, a record at the
third, each layer with its own heading row. Only records are handed on, each with the count and the
name of the step it belongs to; cells beyond the headings are cut, missing ones are empty.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from features.readers.tester_headings import heading

STEP_LABELS = ("Step Count", "Step Name")
"""Headings of the two cells that every record gains."""

_NAME_KEYS = ("stepname", "steptype", "status", "工步名称", "工步类型", "状态")


def leading_blanks(cells: Sequence[str]) -> int:
    """How many cells stand empty before the first one that does not."""
    return next((place for place, cell in enumerate(cells) if cell.strip()), len(cells))


class RecordRows(io.RawIOBase):
    """The records of a nested report as UTF-8 rows of one width.

    Parameters
    ----------
    path : Path
        The report.
    encoding, separator : str
        How it is written.
    labels : sequence of str
        Headings of the record layer, blanks in front, without `STEP_LABELS`.
    """

    def __init__(self, path: Path, encoding: str, separator: str, labels: Sequence[str]) -> None:
        self._file = path.open(encoding=encoding, errors="replace", newline="")
        self._separator, self._width, self._layer = separator, len(labels), leading_blanks(labels)
        self._rows = self._records()
        self._pending = b""

    def readable(self) -> bool:
        """Say that it is for reading."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # narrower than Buffer
        """Fill a buffer with the next bytes of the rows."""
        while not self._pending:
            row = next(self._rows, None)
            if row is None:
                return 0
            self._pending = row
        count = min(len(buffer), len(self._pending))
        buffer[:count], self._pending = self._pending[:count], self._pending[count:]
        return count

    def close(self) -> None:
        """Close the report."""
        self._file.close()
        super().close()

    def _records(self) -> Iterator[bytes]:
        step_count, step_name, name_place, in_records = 0, "", -1, False
        for cells in csv.reader(self._file, delimiter=self._separator):
            layer = leading_blanks(cells)
            if layer == self._layer - 1 and not in_records:
                keys = [heading(cell).key for cell in cells]
                name_place = next((keys.index(key) for key in _NAME_KEYS if key in keys), -1)
            elif layer == self._layer - 1:
                step_count, step_name = step_count + 1, cells[name_place] if 0 <= name_place < len(cells) else ""
            elif layer == self._layer and not in_records:
                in_records = True
            elif layer == self._layer:
                yield self._row(cells, step_count, step_name)

    def _row(self, cells: list[str], step_count: int, step_name: str) -> bytes:
        padded = (cells + [""] * self._width)[: self._width]
        plain = [cell.replace(self._separator, " ").replace('"', "").replace("\n", " ") for cell in padded]
        return (self._separator.join([*plain, str(step_count), step_name]) + "\n").encode()
