"""The battery code of GB/T 34014-2017, read position by position.

Two layouts: 24 characters for a traction battery, 19 for a cascade product made from one. Any text
can be parsed; what breaks a rule is a `Problem` naming its position (counted from 1), never an
exception. Makers, battery types and dates are data in ``battery_code_tables.toml``, each with its
source and how sure it is. A code that breaks any rule is not interpreted: its fields stay empty.
"""

import re
import string
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import date

from features.battery_code_tables import SHIPPED_TABLES, BatteryCodeTables
from features.errors import Problem
from features.plain_text import plain_text
from features.vocabulary import Chemistry, Level, Scheme

CODE_LENGTH = 24
CASCADE_CODE_LENGTH = 19
# str.upper() would turn letters of other scripts into Latin ones ("ı" into "I"): only a-z is folded.
_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
LONGEST_BATTERY_ID = 64
BATTERY_ID_RULE = f"must be 1 to {LONGEST_BATTERY_ID} printable characters of ASCII or Chinese"
# Other scripts are refused because some of their letters cannot be told from Latin ones by eye.
_BATTERY_ID = re.compile(rf"[\x20-\x7e\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]{{1,{LONGEST_BATTERY_ID}}}")
_SPACES = re.compile(" +")
_LOOSE_SPACE = re.compile("(?<![0-9]) | (?![0-9])")


@dataclass(frozen=True, slots=True)
class BatteryCode:
    """What a battery code says; every field below `problems` is None where the code is not valid.

    Attributes
    ----------
    code : str
        The text in upper case with white space and line breaks taken out.
    scheme : Scheme
        By length alone: 24 characters ``gbt34014``, 19 ``gbt34014_cascade``, otherwise ``local``.
    problems : tuple of Problem
        Every invalid position, ``position 1`` the first, and a wrong length (``length``).
    maker_code, maker_name : str or None
        Positions 1 to 3, and the name where the table knows it.
    level : Level or None
        Position 4: what the code was given to; on a cascade code the original battery's level.
    cascade_level : Level or None
        What the cascade product is; only on a cascade code.
    battery_type_letter : str or None
        Position 5.
    chemistries : tuple of Chemistry
        What the letter may mean: two for ``E`` (ternary), none for supercapacitor and other.
    chemistry_certain : bool
        Whether the meaning of the letter is sure (``B`` and ``E``).
    specification, traceability, serial : str or None
        Maker's own positions; a cascade code has no traceability part.
    manufacture_year, manufacture_month : int or None
        From the date part.
    manufactured_on : date or None
        Full date; None where the day is ambiguous.
    day_readings : tuple of int
        What an ambiguous day letter may mean; empty where the day is certain.
    """

    code: str
    scheme: Scheme
    problems: tuple[Problem, ...] = ()
    maker_code: str | None = None
    maker_name: str | None = None
    level: Level | None = None
    cascade_level: Level | None = None
    battery_type_letter: str | None = None
    chemistries: tuple[Chemistry, ...] = ()
    chemistry_certain: bool = False
    specification: str | None = None
    traceability: str | None = None
    manufacture_year: int | None = None
    manufacture_month: int | None = None
    manufactured_on: date | None = None
    day_readings: tuple[int, ...] = ()
    serial: str | None = None

    @property
    def valid(self) -> bool:
        """Whether the text is a code of its scheme, every position included."""
        return not self.problems

    @property
    def day_ambiguous(self) -> bool:
        """Whether public tables disagree about the day letter."""
        return bool(self.day_readings)

    @property
    def chemistry(self) -> Chemistry | None:
        """The chemistry where the letter leaves only one; None for ternary, other and invalid codes."""
        return self.chemistries[0] if len(self.chemistries) == 1 else None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the date and the serial number of a code lie, counted from 0; the first seven positions are alike."""

    scheme: Scheme
    length: int
    date_begin: int

    @property
    def serial(self) -> slice:
        """Seven positions behind the date."""
        return slice(self.date_begin + 3, self.date_begin + 10)

    def legal(self, index: int, tables: BatteryCodeTables) -> tuple[Container[str], str]:
        """Characters legal at an index, and the rule in words."""
        named: dict[int, tuple[Container[str], str]] = {
            3: (tables.level, "product type must be P, M or C"),
            4: (tables.chemistries, "battery type must be one of A to G or Z"),
            self.date_begin: (tables.year, "year must be 1 to 9 or a letter other than I, O, Q, U and Z"),
            self.date_begin + 1: (tables.month, "month must be 1 to 9, A, B or C"),
            self.date_begin + 2: (
                tables.day.keys() | tables.day_readings.keys(),
                "day must be 0 to 9 or a letter other than I, O, Q and Z",
            ),
            17: ("R", "a cascade code has R here"),
            18: (tables.level, "level of the cascade product must be P, M or C"),
        }
        if self.serial.start <= index < self.serial.stop:
            return tables.serial, "serial number must be a digit"
        return named.get(index, (tables.alphabet, "must be a digit or a letter other than I"))


_CODE = _Layout(Scheme.GBT34014, CODE_LENGTH, date_begin=14)
_CASCADE_CODE = _Layout(Scheme.GBT34014_CASCADE, CASCADE_CODE_LENGTH, date_begin=7)
_LAYOUTS = {layout.length: layout for layout in (_CODE, _CASCADE_CODE)}


def parse_battery_code(text: str, tables: BatteryCodeTables = SHIPPED_TABLES) -> BatteryCode:
    r"""Read a scanned or typed text as a battery code; never raises.

    Parameters
    ----------
    text : str
        Any text; lower case, white space and line breaks (printed codes are often split) are accepted.
    tables : BatteryCodeTables, optional
        Makers, types and dates; the shipped ones unless given.

    Notes
    -----
    A text of any other length than 24 or 19 is in no scheme; its positions are still checked against the
    24-character layout, so that a mistyped code shows where it goes wrong. A date that does not exist is
    a problem only where the day letter is certain. Legal letters of the maker's own positions are
    unresolved beyond "no I": O, Q and Z are let through there (``04Q`` is a filed maker code).

    Examples
    --------
    >>> parsed = parse_battery_code("04qcb76836300\njbc40000903")
    >>> parsed.code, parsed.maker_name, parsed.manufactured_on.isoformat()
    ('04QCB76836300JBC40000903', 'EVE', '2021-12-04')
    >>> [str(problem) for problem in parse_battery_code("04QXB76836300JBC40000903").problems]
    ['position 4: product type must be P, M or C (got X)']
    """
    code = "".join(text.split()).translate(_UPPER)
    layout = _LAYOUTS.get(len(code))
    scheme = layout.scheme if layout else Scheme.LOCAL
    problems = tuple(_problems(code, layout, tables))
    if layout is None or problems:
        return BatteryCode(code, scheme, problems)
    return _interpreted(code, layout, tables)


def known_battery_id(text: str) -> str:
    r"""Return the one identifier under which a battery is known, however it is written; never raises.

    Parameters
    ----------
    text : str
        Code or local identifier as scanned or typed.

    Returns
    -------
    str
        A valid GB/T 34014 code on one line. Any other text in plain characters and upper case, without white
        space except one space between two digits; it may be no identifier (`battery_id_is_sound`).

    Notes
    -----
    A space between digits is kept because it separates two numbers: rack 1 12 is not rack 11 2.

    Examples
    --------
    >>> known_battery_id("04qcb76836300\njbc40000903"), known_battery_id(" pack\u2011 \uff11 ")
    ('04QCB76836300JBC40000903', 'PACK-1')
    """
    plain = plain_text(text)
    parsed = parse_battery_code(plain)
    return parsed.code if parsed.valid else _LOOSE_SPACE.sub("", _SPACES.sub(" ", plain.strip())).translate(_UPPER)


def battery_id_is_sound(battery_id: str) -> bool:
    """Whether an identifier, as `known_battery_id` returns it, can name a battery (`BATTERY_ID_RULE`)."""
    return _BATTERY_ID.fullmatch(battery_id) is not None


def _problems(code: str, layout: _Layout | None, tables: BatteryCodeTables) -> Iterator[Problem]:
    if layout is None:
        yield Problem("length", "a battery code has 24 characters, a cascade code 19", f"{len(code)} characters")
    shape = layout or _CODE
    for index, character in enumerate(code[: shape.length]):
        legal, rule = shape.legal(index, tables)
        if character not in legal:
            yield Problem(f"position {index + 1}", rule, character if character.isprintable() else repr(character))
    if layout is not None:
        yield from _date_problems(code, layout, tables)


def _date_problems(code: str, layout: _Layout, tables: BatteryCodeTables) -> Iterator[Problem]:
    year_letter, month_letter, day_letter = list(code[layout.date_begin : layout.date_begin + 3])
    year, month, day = tables.year.get(year_letter), tables.month.get(month_letter), tables.day.get(day_letter)
    if year and month and day and _date(year, month, day) is None:
        shown = f"{year}-{month:02d}-{day:02d}"
        yield Problem(f"position {layout.date_begin + 3}", "the coded date does not exist", shown)


def _date(year: int, month: int, day: int | None) -> date | None:
    try:
        return None if day is None else date(year, month, day)
    except ValueError:
        return None


def _interpreted(code: str, layout: _Layout, tables: BatteryCodeTables) -> BatteryCode:
    year_letter, month_letter, day_letter = list(code[layout.date_begin : layout.date_begin + 3])
    year, month = tables.year[year_letter], tables.month[month_letter]
    cascade = layout is _CASCADE_CODE
    return BatteryCode(
        code=code,
        scheme=layout.scheme,
        maker_code=code[:3],
        maker_name=tables.maker.get(code[:3]),
        level=tables.level[code[3]],
        cascade_level=tables.level[code[18]] if cascade else None,
        battery_type_letter=code[4],
        chemistries=tables.chemistries[code[4]],
        chemistry_certain=code[4] in tables.certain_letters,
        specification=code[5:7],
        traceability=None if cascade else code[7:14],
        manufacture_year=year,
        manufacture_month=month,
        manufactured_on=_date(year, month, tables.day.get(day_letter)),
        day_readings=tables.day_readings.get(day_letter, ()),
        serial=code[layout.serial],
    )
