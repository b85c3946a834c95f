"""Columns of cells as numbers, durations and moments, whole columns at a time.

Decimal point or comma, thousands separators, clock text (``1d 02:03:04.5``) and the dates testers
write. An empty cell is NaN (or NaT); text that is no number raises `ValueError` naming row and cell, so
that a reader can add file and heading. Single cells of workbooks are read in `tester_cells`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.measurement import FloatArray
from features.readers.tester_cells import duration_second

MomentArray = npt.NDArray[np.datetime64]

_CLOCK = (
    r"^(?:(?P<day>\d+)\s*(?:[dD天日.\-]|days?,?)?\s+|(?P<days>\d+)[dD天日.\-]\s*)?"
    r"(?:(?P<hour>\d+):)?(?P<minute>\d{1,2}):(?P<second>\d{1,2}(?:[.,]\d+)?)$"
)
_MISSING = ("", "nan", "n/a", "na", "--", "-", "null", "none")
_DAY_FORMATS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d-%b-%y",
    "%d-%b-%Y",
    "%d %b %Y",
)
_AMBIGUOUS_DAY_FORMATS = ("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%m-%d-%Y", "%d-%m-%Y")
_CLOCK_FORMATS = ("%H:%M:%S.%f", "%H:%M:%S", "%I:%M:%S %p", "%I:%M:%S.%f %p", "%H:%M")


@dataclass(frozen=True)
class Moments:
    """The tester's clock per row.

    Attributes
    ----------
    stamps : ndarray of datetime64[us], shape (n,)
        NaT where a cell is empty. UTC where `has_zone`, else the tester's local time.
    has_zone : bool
        Whether the file names the time zone.
    """

    stamps: MomentArray
    has_zone: bool

    @property
    def seconds(self) -> FloatArray:
        """Seconds since 1970 of the clock's own reckoning, NaN where missing."""
        numbers: FloatArray = np.where(np.isnat(self.stamps), np.nan, self.stamps.astype(np.int64) / 1e6)
        return numbers


def numbers(cells: pa.ChunkedArray, decimal_comma: bool = False) -> FloatArray:
    """Numbers of a column of text or numbers; NaN where a cell is empty.

    Raises
    ------
    ValueError
        Naming the first row (counted from 1) that holds something else.
    """
    if not _is_text(cells):
        return np.asarray(cells.cast(pa.float64()).to_numpy(), dtype=np.float64)
    try:
        return _cast(cells)
    except pa.ArrowInvalid:
        pass
    trimmed = _without_missing(cells)
    plain = pc.replace_substring(trimmed, "," if not decimal_comma else ".", "")
    try:
        return _cast(pc.replace_substring(plain, ",", ".") if decimal_comma else _checked_thousands(trimmed, plain))
    except pa.ArrowInvalid:
        row, cell = _first_bad(plain, decimal_comma)
        raise ValueError(f"must hold a number, row {row} holds {cell!r:.40}") from None


def durations(cells: pa.ChunkedArray, unit_second: float, decimal_comma: bool = False) -> FloatArray:
    """Durations of a column: numbers in a unit, or clock text. [s].

    Parameters
    ----------
    cells : pyarrow.ChunkedArray
        Text or numbers.
    unit_second : float
        Length of the heading's unit. [s]
    decimal_comma : bool
        Whether numbers are written with a comma.

    Raises
    ------
    ValueError
        If a cell is neither.
    """
    if not _is_text(cells) or not _holds(cells, ":"):
        return numbers(cells, decimal_comma) * unit_second
    trimmed = _without_missing(cells).combine_chunks()
    parts = pc.extract_regex(trimmed, _CLOCK)
    seconds = np.zeros(len(trimmed))
    for name, length in (("day", 86400.0), ("days", 86400.0), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0)):
        part = pc.replace_substring(pc.struct_field(parts, name), ",", ".")
        seconds += length * np.nan_to_num(_cast(pc.if_else(pc.equal(part, ""), pa.scalar(None, pa.string()), part)))
    matched = parts.is_valid().to_numpy(zero_copy_only=False)
    seconds[~matched] = np.nan
    for row in np.flatnonzero(~matched & trimmed.is_valid().to_numpy(zero_copy_only=False)):
        seconds[row] = _single_duration(trimmed[int(row)].as_py(), int(row))
    return seconds


def moments(cells: pa.ChunkedArray, elapsed_second: FloatArray | None) -> Moments | None:
    """Dates with time of a column; None where they are written in no known way.

    Parameters
    ----------
    cells : pyarrow.ChunkedArray
        Text, numbers (seconds or milliseconds since 1970) or timestamps.
    elapsed_second : ndarray or None
        The tester's own time; of day-month and month-day, the reading that agrees with it counts.
    """
    if pa.types.is_timestamp(cells.type):
        stamps = cells.cast(pa.timestamp("us", cells.type.tz), safe=False).to_numpy()
        return Moments(stamps.astype("datetime64[us]"), cells.type.tz is not None)
    if not _is_text(cells):
        return _unix_moments(numbers(cells))
    text = _without_missing(cells)
    if text.null_count == len(text):
        return None
    try:
        return _unix_moments(_cast(text))
    except pa.ArrowInvalid:
        return _written_moments(text.to_pandas(), elapsed_second)


def uses_decimal_comma(columns: Sequence[pa.ChunkedArray]) -> bool:
    """Whether the numbers of a file are written with a comma as decimal mark.

    A point anywhere in a number says no: then commas are thousands separators.
    """
    comma = False
    for cells in columns:
        if _is_text(cells):
            if pc.any(pc.match_substring_regex(cells, r"^\s*[-+]?[\d,]*\.\d+([eE][-+]?\d+)?\s*$")).as_py():
                return False
            comma = comma or bool(
                pc.any(pc.match_substring_regex(cells, r"^\s*[-+]?[\d.]*,\d+([eE][-+]?\d+)?\s*$")).as_py()
            )
    return comma


def _is_text(cells: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type))


def _holds(cells: pa.ChunkedArray, part: str) -> bool:
    return bool(pc.any(pc.match_substring(cells, part)).as_py())


def _cast(cells: pa.ChunkedArray | pa.Array) -> FloatArray:
    values: FloatArray = pc.cast(cells, pa.float64()).to_numpy(zero_copy_only=False)
    return np.array(values, dtype=np.float64)


def _without_missing(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(cells)
    missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(_MISSING))
    return pc.if_else(missing, pa.scalar(None, cells.type), trimmed)


def _checked_thousands(written: pa.ChunkedArray, plain: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cells without thousands separators, which must stand before groups of three digits."""
    odd = pc.and_(
        pc.match_substring(written, ","),
        pc.invert(pc.match_substring_regex(written, r"^[-+]?\d{1,3}(,\d{3})+(\.\d*)?$")),
    )
    return pc.if_else(odd, written, plain)


def _first_bad(cells: pa.ChunkedArray, decimal_comma: bool) -> tuple[int, str]:
    mark = "," if decimal_comma else r"\."
    good = pc.match_substring_regex(cells, rf"^[-+]?(\d+{mark}?\d*|{mark}\d+)([eE][-+]?\d+)?$|^[-+]?(?i:inf|infinity)$")
    row = int(np.flatnonzero(~pc.fill_null(good, True).to_numpy())[0]) if not pc.all(good).as_py() else 0
    return row + 1, str(cells[row].as_py())


def _single_duration(text: str, row: int) -> float:
    try:
        return duration_second(text, "s")
    except ValueError as fault:
        raise ValueError(f"{fault}, row {row + 1} holds {text!r:.40}") from None


def _unix_moments(written: FloatArray) -> Moments | None:
    usual = float(np.nanmedian(written)) if np.isfinite(written).any() else 0.0
    scale = next((length for length in (1e6, 1e3, 1.0) if 5e8 < usual * length / 1e6 < 5e9), None)
    if scale is None:
        return None
    micro = np.where(np.isfinite(written), written, 0.0) * scale
    stamps = np.round(micro).astype(np.int64).astype("datetime64[us]")
    return Moments(np.where(np.isfinite(written), stamps, np.datetime64("NaT")), has_zone=True)


def _written_moments(text: "pd.Series[str]", elapsed_second: FloatArray | None) -> Moments | None:
    first = str(text[text.first_valid_index()])
    if "T" in first or first[-1] in "Zz" or "+" in first[10:]:
        iso = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
        zoned = first[-1] in "Zz" or "+" in first[10:] or "-" in first[11:]
        return Moments(_stamps(iso.dt.tz_localize(None)), zoned) if _enough(iso) else None
    found = [
        parsed for each in _formats(first) if _enough(parsed := pd.to_datetime(text, format=each, errors="coerce"))
    ]
    if not found:
        return None
    candidates = [Moments(_stamps(each), has_zone=False) for each in found]
    return min(candidates, key=lambda each: _disagreement(each.seconds, elapsed_second))


def _formats(first: str) -> list[str]:
    """Formats that fit the first cell."""
    days = (*_DAY_FORMATS, *_AMBIGUOUS_DAY_FORMATS)
    every = [f"{day} {clock}" for day in days for clock in _CLOCK_FORMATS]
    return [each for each in every if not pd.isna(pd.to_datetime(first, format=each, errors="coerce"))]


def _enough(parsed: "pd.Series[pd.Timestamp]") -> bool:
    return bool(parsed.notna().mean() > 0.9)


def _stamps(parsed: "pd.Series[pd.Timestamp]") -> MomentArray:
    stamps: MomentArray = parsed.to_numpy(dtype="datetime64[us]")
    return stamps


def _disagreement(clock_second: FloatArray, elapsed_second: FloatArray | None) -> float:
    """How far a reading of the clock lies from the tester's own time, summed over steps. [s]."""
    steps = np.diff(clock_second)
    expected = np.diff(elapsed_second) if elapsed_second is not None else np.zeros(len(steps))
    backward = np.nansum(steps < 0.0) * 1e9
    return float(backward + np.nansum(np.abs(steps - expected)))
