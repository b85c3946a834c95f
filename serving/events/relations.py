"""What a station tells of how batteries stand to one another; sound in itself, whatever the record says.

Every code is written as the record knows the battery, so that one battery has one name. Values only.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from features.battery_code import (
    BATTERY_ID_RULE,
    BatteryCode,
    battery_id_is_sound,
    known_battery_id,
    parse_battery_code,
)
from features.errors import InvalidInput, Problem
from features.vehicle_number import vehicle_number_problems
from features.vocabulary import Scheme


class Action(StrEnum):
    """Whether parts come in or go out."""

    ADD = "ADD"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Association:
    """Parts come into a whole, or out of it.

    Attributes
    ----------
    parent : str
        Code of the module or pack.
    children : tuple of str
        Codes of its parts, each once.
    action : Action
        In or out.

    Raises
    ------
    InvalidInput
        If a code cannot name a battery, or one is named twice.
    """

    parent: str
    children: tuple[str, ...]
    action: Action

    def __post_init__(self) -> None:
        named = {"parent": self.parent, **places("children", self.children)}
        _require_names(named, self.children)
        object.__setattr__(self, "parent", known_battery_id(self.parent))
        object.__setattr__(self, "children", tuple(map(known_battery_id, self.children)))


@dataclass(frozen=True, slots=True)
class Recoding:
    """Batteries become a cascade product under a new code.

    Attributes
    ----------
    old_codes : tuple of str
        Codes given up, each once.
    new_code : str
        Cascade code of 19 characters.
    rated_capacity_ah : float
        Rated capacity of the product, newly calibrated. [Ah]
    decision_id : str
        Cascade decision that permits it.

    Raises
    ------
    InvalidInput
        If a code cannot name a battery, one is named twice, the new one is no cascade code, or the
        capacity is not a positive number.
    """

    old_codes: tuple[str, ...]
    new_code: str
    rated_capacity_ah: float
    decision_id: str

    def __post_init__(self) -> None:
        _require_names({"new_code": self.new_code, **places("old_codes", self.old_codes)}, self.old_codes)
        problems = list(_new_code_problems(parse_battery_code(known_battery_id(self.new_code))))
        if not (math.isfinite(self.rated_capacity_ah) and self.rated_capacity_ah > 0.0):
            problems.append(Problem("rated_capacity_ah", "must be a number above 0", f"{self.rated_capacity_ah}"))
        if problems:
            raise _invalid(problems)
        object.__setattr__(self, "new_code", known_battery_id(self.new_code))
        object.__setattr__(self, "old_codes", tuple(map(known_battery_id, self.old_codes)))


def places(name: str, codes: Sequence[str]) -> dict[str, str]:
    """Codes of a list by their place in the request."""
    return {f"{name}[{index}]": code for index, code in enumerate(codes)}


def _new_code_problems(parsed: BatteryCode) -> Iterator[Problem]:
    if parsed.scheme is not Scheme.GBT34014_CASCADE:
        yield Problem("new_code", "must be a cascade code of 19 characters", f"{parsed.code:.80}")
    else:
        yield from (problem.inside("new_code") for problem in parsed.problems)


def _require_names(named: Mapping[str, str], listed: Sequence[str]) -> None:
    """See that every text can name a battery, none of them a vehicle, and that all are different."""
    codes = list(map(known_battery_id, named.values()))
    problems = [
        Problem(place, BATTERY_ID_RULE, f"{named[place]!r:.80}")
        for place, code in zip(named, codes, strict=True)
        if not battery_id_is_sound(code)
    ]
    problems += vehicle_number_problems(named.items())
    problems += [
        Problem(place, "must be named once", f"{code!r:.80}")
        for index, (place, code) in enumerate(zip(named, codes, strict=True))
        if code in codes[:index]
    ]
    if not listed:
        problems.append(Problem("", "must name at least one battery"))
    if problems:
        raise _invalid(problems)


def _invalid(problems: Sequence[Problem]) -> InvalidInput:
    return InvalidInput("The request breaks the rules named below. Nothing was recorded.", problems)
