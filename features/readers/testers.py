"""One door to the files of every tester: a declared format word, a file, a canonical timeseries.

The word says whose file it is; only between a vendor's own kinds of file (Neware binary or table) does
the content decide. `inspection` says what a file of unknown origin is.
"""

from pathlib import Path

from features.errors import UnreadableFile
from features.readers.canonical_rows import ReadingCaps
from features.readers.neware_binary import is_neware_binary, read_neware_binary
from features.readers.reading import Reading
from features.readers.tester_formats import TABLE_FORMATS
from features.readers.tester_table import read_tester_table


def read_tester(path: Path, word: str, caps: ReadingCaps | None = None) -> Reading:
    """Read a tester's file.

    Parameters
    ----------
    path : Path
        The file.
    word : str
        A key of `TABLE_FORMATS`.
    caps : ReadingCaps, optional
        Limits.

    Returns
    -------
    Reading
        A ``timeseries``.

    Raises
    ------
    UnreadableFile
        Naming file, place, rule and value.
    InvalidInput
        If an extra is missing, or the table breaks a canonical rule.
    """
    if word == "neware" and is_neware_binary(start_bytes(path)):
        return read_neware_binary(path, caps)
    return read_tester_table(path, TABLE_FORMATS[word], caps)


def start_bytes(path: Path, count: int = 16) -> bytes:
    """First bytes of a file.

    Raises
    ------
    UnreadableFile
        If it is absent, a folder, empty, or cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(count)
    except OSError as fault:
        raise UnreadableFile(path.name, "the file cannot be opened", fault.strerror or "") from fault
    if not start:
        raise UnreadableFile(path.name, "the file is empty", "0 bytes")
    return start
