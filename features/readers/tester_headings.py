"""What a tester's column heading says: which quantity, in which unit.

Pure functions on heading text. Spelling differs between versions of one tester (``Test_Time(s)``,
``Test Time / s``, ``test_time_s``, ``TestTime``), so a heading is reduced to a key of lower-case letters,
digits and Chinese characters, and a unit. A unit that does not measure the quantity makes it another
column: ``Step (Sec)`` is a time, ``Step`` a number.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

_TIME = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "秒"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "毫秒"), 1e-3),
    **dict.fromkeys(("min", "mins", "minute", "minutes", "分"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "小时"), 3600.0),
    **dict.fromkeys(("d", "day", "days", "天"), 86400.0),
}
_CELSIUS = ("c", "°c", "oc", "degc", "degcelsius", "celsius", "摄氏度", "\ufffdc", "癈", "?", "\ufffd")


class Quantity(StrEnum):
    """What a column measures."""

    TIME = "time"
    MOMENT = "moment"
    VOLTAGE = "voltage"
    CURRENT = "current"
    TEMPERATURE = "temperature"
    COUNT = "count"
    WORD = "word"


UNIT_FACTORS: Mapping[Quantity, Mapping[str, float]] = {
    Quantity.TIME: _TIME,
    Quantity.MOMENT: {},
    Quantity.VOLTAGE: {"v": 1.0, "volt": 1.0, "volts": 1.0, "mv": 1e-3, "μv": 1e-6, "uv": 1e-6},
    Quantity.CURRENT: {
        **dict.fromkeys(("a", "amp", "amps", "ampere"), 1.0),
        **dict.fromkeys(("ma", "mamps", "milliampere"), 1e-3),
        **dict.fromkeys(("μa", "ua"), 1e-6),
        **dict.fromkeys(("na",), 1e-9),
    },
    Quantity.TEMPERATURE: dict.fromkeys((*_CELSIUS, "f", "°f", "k"), 1.0),
    Quantity.COUNT: {"1": 1.0, "#": 1.0, "hz": 1.0},
    Quantity.WORD: {},
}
"""Factor to second, volt, ampere by the unit of a heading, lower case. Temperatures are shifted in `celsius`."""

CLOCK_UNIT = "hh:mm:ss"
"""Unit of a heading that says its cells are clock text such as ``01:02:03.5``."""

_MACHINE_UNITS = ("second", "millisecond", "volt", "ampere", "celsius")
_TRAILING_UNITS = frozenset(
    ("s", "ms", "h", "V", "v", "mV", "A", "a", "mA", "uA", "C", "degC", "degc", "Hz", *_MACHINE_UNITS)
)
_BRACKET = re.compile(r"[(\[]([^)\]]*)[)\]]")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading taken apart.

    Attributes
    ----------
    key : str
        Its name in lower-case letters, digits and Chinese characters.
    unit : str
        Its unit in lower case; empty where it names none.
    """

    key: str
    unit: str


@dataclass(frozen=True, slots=True)
class Sought:
    """The headings one meaning may have in a format.

    Attributes
    ----------
    quantity : Quantity
        What the column measures.
    keys : tuple of str
        Keys in order of preference.
    unit : str
        Unit where the heading names none and the vendor's manual does; empty where it must be named.
    """

    quantity: Quantity
    keys: tuple[str, ...]
    unit: str = ""


@lru_cache(maxsize=8192)
def heading(label: str) -> Heading:
    """Take a heading apart.

    Examples
    --------
    >>> heading("Test_Time(s)"), heading("Voltage / mV")
    (Heading(key='testtime', unit='s'), Heading(key='voltage', unit='mv'))
    >>> heading("current_A"), heading("电流（mA）")
    (Heading(key='current', unit='a'), Heading(key='电流', unit='ma'))
    """
    text = unicodedata.normalize("NFKC", label).strip().lstrip("~\ufeff").strip().strip('"')
    if (bracket := _BRACKET.search(text)) is not None:
        return Heading(_key(text[: bracket.start()] + text[bracket.end() :]), _unit(bracket[1]))
    name, slash, unit = text.partition("/")
    if slash and name.strip():
        return Heading(_key(name), _unit(unit))
    stem, underscore, last = text.rpartition("_")
    if underscore and stem and last in _TRAILING_UNITS:
        return Heading(_key(stem), _unit(last))
    return Heading(_key(text), "")


def column_of(headings: Sequence[Heading], sought: Sought) -> int | None:
    """Place of the column with a meaning; None where no heading fits by name and unit.

    Of several with one name the first counts.
    """
    for key in sought.keys:
        for place, each in enumerate(headings):
            if each.key == key and _measures(each, sought.quantity):
                return place
    return None


def factor(found: Heading, sought: Sought) -> float | None:
    """Factor from the heading's unit to the base unit; None where neither heading nor manual names one."""
    unit = found.unit or sought.unit
    if unit == CLOCK_UNIT:
        return 1.0
    return UNIT_FACTORS[sought.quantity].get(unit)


def _measures(found: Heading, quantity: Quantity) -> bool:
    if quantity in (Quantity.WORD, Quantity.MOMENT):
        return True
    if quantity is Quantity.TIME and not found.unit:
        return "time" in found.key or "时间" in found.key
    return not found.unit or found.unit == CLOCK_UNIT or found.unit in UNIT_FACTORS[quantity]


def _key(text: str) -> str:
    return re.sub(r"[^0-9a-z\u3400-\u9fff<>|]", "", text.lower())


def _unit(text: str) -> str:
    unit = re.sub(r"\s+", "", text).lower().rstrip(".")
    return CLOCK_UNIT if re.search(r"h+:m", unit) else unit
