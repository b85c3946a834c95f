"""The tables behind the battery code: alphabets, levels, dates, makers and battery types.

Data only, read from ``battery_code_tables.toml`` where every table names its source and its status. A
table may be replaced (an unresolved letter settled, a maker added) without touching the parser.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from features.vocabulary import Chemistry, Level

_CERTAIN = "read"


@dataclass(frozen=True)
class BatteryCodeTables:
    """What the characters of a battery code mean.

    Attributes
    ----------
    alphabet, serial : frozenset of str
        Characters legal in the maker's own positions, and in the serial number.
    level : mapping of str to Level
        Product type letters.
    year, month, day : mapping of str to int
        Date characters whose meaning is certain.
    day_readings : mapping of str to tuple of int
        Day characters public tables disagree about, with every reading.
    maker : mapping of str to str
        Names of known makers.
    chemistries : mapping of str to tuple of Chemistry
        Every legal battery type letter and what it may mean.
    certain_letters : frozenset of str
        Battery type letters whose meaning is certain.
    """

    alphabet: frozenset[str]
    serial: frozenset[str]
    level: Mapping[str, Level]
    year: Mapping[str, int]
    month: Mapping[str, int]
    day: Mapping[str, int]
    day_readings: Mapping[str, tuple[int, ...]]
    maker: Mapping[str, str]
    chemistries: Mapping[str, tuple[Chemistry, ...]]
    certain_letters: frozenset[str]


def _shipped_tables() -> BatteryCodeTables:
    text = resources.files("features").joinpath("battery_code_tables.toml").read_text(encoding="utf-8")
    toml: dict[str, Any] = tomllib.loads(text)
    types = toml["battery_type"]
    return BatteryCodeTables(
        alphabet=frozenset(toml["alphabet"]["characters"]),
        serial=frozenset(toml["serial"]["characters"]),
        level={letter: Level(word) for letter, word in toml["level"]["codes"].items()},
        year=toml["year"]["codes"],
        month=toml["month"]["codes"],
        day=toml["day"]["codes"],
        day_readings={letter: tuple(days) for letter, days in toml["day_readings"]["codes"].items()},
        maker={each["code"]: each["name"] for each in toml["maker"]},
        chemistries={each["letter"]: tuple(map(Chemistry, each["chemistries"])) for each in types},
        certain_letters=frozenset(each["letter"] for each in types if each["status"] == _CERTAIN),
    )


SHIPPED_TABLES = _shipped_tables()
"""The tables of this release."""
