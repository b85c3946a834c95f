"""What testers write into a cell: headings with units, durations, moments, numbers.

Pure functions on single cells. Each raises `ValueError` saying what was expected, so that a reader
can add file, row and heading. Units are converted here by the heading's bracket.
"""

import math
import re
import unicodedata
from datetime import datetime, time, timedelta

UNIT_FACTORS: dict[str, float] = {
    "": 1.0,
    "v": 1.0,
    "mv": 1e-3,
    "a": 1.0,
    "ma": 1e-3,
    "ua": 1e-6,
    "ah": 1.0,
    "mah": 1e-3,
    "℃": 1.0,
    "°c": 1.0,
    "c": 1.0,
    "s": 1.0,
    "sec": 1.0,
    "ms": 1e-3,
    "min": 60.0,
    "h": 3600.0,
}
"""Factor to volt, ampere, ampere-hour, degree Celsius or second by the unit in a heading, lower case."""

_HEADING = re.compile(r"([^(\[/]+)[(\[/]?([^)\]]*)[)\]]?")
_DAYS = re.compile(r"(\d+)\s*(?:days?,?|d|天|日|\.)\s*(?=\d+:)", re.IGNORECASE)


def heading_parts(cell: object) -> tuple[str, str]:
    """Name and unit of a heading, both without spaces; the unit in lower case.

    Examples
    --------
    >>> heading_parts("起始电压（mV）"), heading_parts("状态")
    (('起始电压', 'mv'), ('状态', ''))
    """
    text = re.sub(r"\s+", "", unicodedata.normalize("NFKC", str(cell))) if cell is not None else ""
    matched = _HEADING.fullmatch(text)
    return (matched[1], matched[2].lower()) if matched else (text, "")


def unit_factor(unit: str) -> float:
    """Factor to the base unit of a heading's unit.

    Raises
    ------
    ValueError
        If the unit is not known.

    Examples
    --------
    >>> unit_factor("mah")
    0.001
    """
    normal = unicodedata.normalize("NFKC", unit).lower()
    if normal not in UNIT_FACTORS:
        raise ValueError(f"the unit must be one of {', '.join(filter(None, UNIT_FACTORS))}")
    return UNIT_FACTORS[normal]


def finite_number(cell: object) -> float:
    """Read the number in a cell, also where it was saved as text.

    Raises
    ------
    ValueError
        If there is no finite number.

    Examples
    --------
    >>> finite_number(" 3.8506 ")
    3.8506
    """
    if not isinstance(cell, int | float | str) or isinstance(cell, bool):
        raise ValueError("must hold a number")
    try:
        number = float(cell)
    except ValueError:
        raise ValueError("must hold a number") from None
    if not math.isfinite(number):
        raise ValueError("must hold a finite number")
    return number


def duration_second(cell: object, unit: str = "") -> float:
    """Duration in a cell. [s].

    Parameters
    ----------
    cell : str, number, time or timedelta
        ``h:min:s.fraction``, ``h:min:s:ms``, with more than 24 hours or with days in front; a bare
        number is taken in the heading's unit.
    unit : str
        Unit of the heading, lower case.

    Raises
    ------
    ValueError
        If it is no duration.

    Examples
    --------
    >>> duration_second("00:00:30.500"), duration_second("00:00:00:400"), duration_second("1天 02:00:00")
    (30.5, 0.4, 93600.0)
    >>> duration_second(250, "ms")
    0.25
    """
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    if isinstance(cell, time):
        return cell.hour * 3600.0 + cell.minute * 60.0 + cell.second + cell.microsecond / 1e6
    if isinstance(cell, str) and ":" in cell:
        return _clock_second(unicodedata.normalize("NFKC", cell).strip())
    if unit not in ("s", "sec", "ms", "min", "h"):
        raise ValueError("must be a duration such as 00:00:30.000")
    number = finite_number(cell) * UNIT_FACTORS[unit]
    if number < 0.0:
        raise ValueError("must not be negative")
    return number


def _clock_second(text: str) -> float:
    days = _DAYS.match(text)
    parts = text[days.end() :].split(":") if days else text.split(":")
    expected = "must be a duration such as 00:00:30.000"
    if not 2 <= len(parts) <= 4 or not all(re.fullmatch(r"\d+", part) for part in parts[:-1]):
        raise ValueError(expected)
    if not re.fullmatch(r"\d+(\.\d+)?" if len(parts) < 4 else r"\d{1,3}", parts[-1]):
        raise ValueError(expected)
    milli = float(parts.pop()) / 1000.0 if len(parts) == 4 else 0.0
    hour, minute, second = (float(part) for part in ["0", *parts][-3:])
    if minute >= 60.0 or second >= 60.0:
        raise ValueError(expected)
    return (float(days[1]) if days else 0.0) * 86400.0 + hour * 3600.0 + minute * 60.0 + second + milli


def local_moment(cell: object) -> datetime | None:
    """Date and time without a zone; None where the cell holds none.

    Examples
    --------
    >>> local_moment("2023-12-06 09:17:53.520").isoformat()
    '2023-12-06T09:17:53.520000'
    """
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=None)
    try:
        return datetime.fromisoformat(str(cell).strip().replace("/", "-")).replace(tzinfo=None)
    except ValueError:
        return None
