"""Vehicle identification numbers (VIN), so that they can be kept out of where no vehicle belongs.

A VIN leads to its owner. Here it is only recognised, by ISO 3779 and its check digit (GB 16735, 49 CFR 565), never
interpreted. European makers need no check digit; their numbers are not told from other texts of 17 characters.
"""

import re
from collections.abc import Iterable

from features.errors import Problem
from features.plain_text import plain_text

LENGTH = 17
MASKED = "[vehicle number]"
"""Stands where a vehicle number was taken out of a text."""

_VALUES = dict(zip("0123456789ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "012345678912345678123457923456789"), strict=True))
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_CHECK_POSITION = 8
_CANDIDATE = re.compile(r"(?<![0-9A-Za-z])(?<![0-9]\.)[0-9A-HJ-NPR-Za-hj-npr-z]{17}(?![0-9A-Za-z])")


def is_vehicle_number(text: str) -> bool:
    """Whether a text is a VIN: 17 digits and letters without I, O and Q, the ninth of them its check digit.

    Parameters
    ----------
    text : str
        Any text; lower case and white space around it do not matter.

    Notes
    -----
    Weighted sum of the transliterated characters modulo 11, ten written as X (49 CFR 565.15). Of other texts of
    this form about one in eleven passes too.

    Examples
    --------
    >>> is_vehicle_number("1M8GDM9AXKP042788"), is_vehicle_number("1M8GDM9A1KP042788")
    (True, False)
    """
    number = text.strip()
    if not _CANDIDATE.fullmatch(number):
        return False
    number = number.upper()
    remainder = sum(weight * _VALUES[each] for weight, each in zip(_WEIGHTS, number, strict=True)) % 11
    return number[_CHECK_POSITION] == "0123456789X"[remainder]


def without_vehicle_numbers(text: str) -> str:
    """Return a text with every VIN in it, as far as it stands apart from other letters, masked.

    Examples
    --------
    >>> without_vehicle_numbers("export_1M8GDM9AXKP042788.csv")
    'export_[vehicle number].csv'
    """
    return _CANDIDATE.sub(lambda found: MASKED if is_vehicle_number(found[0]) else found[0], text)


def vehicle_number_problems(texts: Iterable[tuple[str, str | None]]) -> list[Problem]:
    """Return a problem for every text, given with its place, that holds a VIN; the number is not repeated."""
    rule = "must not be or hold a vehicle number: it leads to an owner, and no record may"
    return [
        Problem(where, rule, MASKED)
        for where, text in texts
        if text is not None and _holds_vehicle_number(plain_text(text))
    ]


def _holds_vehicle_number(text: str) -> bool:
    """Whether a VIN stands in a text, or the text is one with white space in it, which identifiers lose."""
    return without_vehicle_numbers(text) != text or is_vehicle_number("".join(text.split()))
