"""Rows of the sheets of an xlsx file, from a file nobody vouches for.

Streams values and knows nothing of what they mean. A file that is not an xlsx workbook, is
encrypted or broken, or would unpack to far more than a test record needs, is refused before it is
parsed.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openpyxl
from openpyxl.workbook.workbook import Workbook

from features.errors import UnreadableFile

LARGEST_UNPACKED_BYTE = 500_000_000
LARGEST_PACKING_RATIO = 200.0
LARGEST_ROW_COUNT = 2_000_000
LARGEST_COLUMN_COUNT = 256

_OLE_SIGNATURE = b"\xd0\xcf\x11\xe0"

Row = tuple[object, ...]


@contextmanager
def opened_workbook(path: Path) -> Iterator[Workbook]:
    """Workbook of an xlsx file, for streaming.

    Raises
    ------
    UnreadableFile
        Empty, encrypted, not xlsx, broken, or a packing bomb.
    """
    _refuse_strange_container(path)
    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as fault:
        raise UnreadableFile(path.name, "the xlsx workbook is broken", type(fault).__name__) from fault
    try:
        yield workbook
    finally:
        workbook.close()


def sheet_rows(workbook: Workbook, sheet_name: str, file_name: str) -> Iterator[tuple[int, Row]]:
    """Rows of one sheet with their number as a spreadsheet shows it, blank rows left out.

    Raises
    ------
    UnreadableFile
        If the sheet breaks off or holds too many rows.
    """
    sheet = workbook[sheet_name]
    if hasattr(sheet, "reset_dimensions"):
        sheet.reset_dimensions()  # some testers write a wrong extent, which would hide columns
    where = f"sheet {sheet_name!r}"
    try:
        for number, row in enumerate(sheet.iter_rows(values_only=True, max_col=LARGEST_COLUMN_COUNT), start=1):
            if number > LARGEST_ROW_COUNT:
                raise UnreadableFile(file_name, f"a sheet may hold {LARGEST_ROW_COUNT} rows", where=where)
            if any(value is not None for value in row):
                yield number, row
    except UnreadableFile:
        raise
    except Exception as fault:
        raise UnreadableFile(file_name, "the sheet breaks off or is broken", type(fault).__name__, where) from fault


def _refuse_strange_container(path: Path) -> None:
    with path.open("rb") as stream:
        signature = stream.read(4)
    if not signature:
        raise UnreadableFile(path.name, "the file is empty", "0 bytes")
    if signature == _OLE_SIGNATURE:
        raise UnreadableFile(path.name, "the workbook is encrypted or in the old xls format; save it as plain xlsx")
    try:
        with zipfile.ZipFile(path) as container:
            members = container.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as fault:
        raise UnreadableFile(path.name, "the file is no xlsx workbook or is cut off", type(fault).__name__) from fault
    unpacked = sum(member.file_size for member in members)
    packed = max(sum(member.compress_size for member in members), 1)
    if unpacked > LARGEST_UNPACKED_BYTE:
        rule = f"a workbook may unpack to {LARGEST_UNPACKED_BYTE / 1e6:g} MB"
        raise UnreadableFile(path.name, rule, f"{unpacked / 1e6:.0f} MB")
    if unpacked > LARGEST_PACKING_RATIO * packed:
        rule = f"a workbook may be packed at most {LARGEST_PACKING_RATIO:g} to 1"
        raise UnreadableFile(path.name, rule, f"{unpacked / packed:.0f} to 1")
