"""What the record allows batteries to become and to be part of.

A part is in one place at a time, nothing is inside itself, a cell is in a module and a module in a pack,
a code is given up once and only for what a standing cascade decision permits. Every rule looks at one
consistent view of the record and answers with what is broken; nothing is written here.
"""

from collections.abc import Iterator

from features.battery_code import BatteryCode, parse_battery_code
from features.errors import Problem
from features.vocabulary import Level
from models.decision import Outcome
from serving.events.family import (
    above,
    all_parts,
    current_code,
    holder,
    is_known,
    level_of,
    part_verdicts,
    rated_capacity_ah,
    successor,
)
from serving.events.relations import Action, Association, Recoding, places
from serving.record.store import Reader

HIGHEST_PLAUSIBLE_FRACTION = 1.5
"""Beyond this share of the plates it was made from, a calibrated capacity is a unit mistake (mAh for Ah)."""

_TYPE_POSITIONS = 7
_LARGENESS = {Level.CELL: 0, Level.MODULE: 1, Level.PACK: 2}


def association_problems(reader: Reader, asked: Association) -> Iterator[Problem]:
    """Why the record forbids an association."""
    if (now := successor(reader, asked.parent)) is not None:
        yield Problem("parent", f"must be in use; its code is now {now}", asked.parent)
        return
    check = _joining_problem if asked.action is Action.ADD else _leaving_problem
    for place, child in places("children", asked.children).items():
        if (rule := check(reader, asked.parent, child)) is not None:
            yield Problem(place, rule, child)


def recoding_problems(reader: Reader, asked: Recoding) -> Iterator[Problem]:
    """Why the record forbids a recoding."""
    if is_known(reader, asked.new_code):
        yield Problem("new_code", "must be new: the record knows a battery of this code", asked.new_code)
    new = parse_battery_code(asked.new_code)
    for place, old in places("old_codes", asked.old_codes).items():
        if (rule := _old_code_problem(reader, old, new, alone=len(asked.old_codes) == 1)) is not None:
            yield Problem(place, rule, old)
    decided = [verdict for old in asked.old_codes for verdict in part_verdicts(reader, old)]
    if asked.decision_id not in {verdict.decision_id for verdict in decided}:
        rule = "must be the last decision on one of the old codes that nobody withdrew"
        yield Problem("decision_id", rule, asked.decision_id)
    yield from _capacity_problems(reader, asked)


def _joining_problem(reader: Reader, parent: str, child: str) -> str | None:
    """The rule a part coming in breaks: unknown, out of use, elsewhere, a circle, or too large."""
    if not is_known(reader, child):
        return "must be known to the record: grade it first"
    if (now := successor(reader, child)) is not None:
        return f"must be in use; its code is now {now}"
    if (whole := holder(reader, child)) is not None:
        return f"must be part of nothing; it is part of {current_code(reader, whole)}"
    if child in above(reader, parent):
        return f"must not contain what it is to be part of, {parent}"
    inner, outer = level_of(reader, child), level_of(reader, parent)
    if inner is not None and outer is not None and _LARGENESS[inner] >= _LARGENESS[outer]:
        return f"must be smaller than its whole; a {inner.value} is no part of a {outer.value}"
    return None


def _leaving_problem(reader: Reader, parent: str, child: str) -> str | None:
    """The rule a part going out breaks."""
    whole = holder(reader, child)
    if whole is None or current_code(reader, whole) != parent:
        inside = "nothing" if whole is None else current_code(reader, whole)
        return f"must be part of {parent}; it is part of {inside}"
    return None


def _old_code_problem(reader: Reader, old: str, new: BatteryCode, *, alone: bool) -> str | None:
    """The rule a code to be given up breaks."""
    if (now := successor(reader, old)) is not None:
        return f"must be in use; its code is now {now}"
    if (whole := holder(reader, old)) is not None:
        return f"must be part of nothing; it is part of {current_code(reader, whole)}"
    if any(verdict.outcome is not Outcome.CASCADE for verdict in part_verdicts(reader, old)):
        return "must have a cascade decision as its last one"
    if (unfit := _unfit_part(reader, old)) is not None:
        return unfit
    parsed = parse_battery_code(old)
    if parsed.valid and parsed.code[:_TYPE_POSITIONS] != new.code[:_TYPE_POSITIONS]:
        return f"must agree with positions 1 to {_TYPE_POSITIONS} of the new code, {new.code[:_TYPE_POSITIONS]}"
    return _level_problem(level_of(reader, old), new.cascade_level, alone=alone)


def _unfit_part(reader: Reader, whole: str) -> str | None:
    """What a part at any depth has against a cascade code: a judged one without a use leaves its whole none."""
    inside = (verdict for part in all_parts(reader, whole) for verdict in part_verdicts(reader, part))
    for part in inside:
        if part.gated and part.outcome is not Outcome.CASCADE:
            decided = f"whose last decision is {part.outcome} ({part.decision_id})"
            return f"must have no part without a use; it holds {part.battery_id}, {decided}"
    return None


def _level_problem(old: Level | None, new: Level | None, *, alone: bool) -> str | None:
    """One battery keeps its level or is built into something larger; several make a module or a pack."""
    if old is None or new is None:
        return None
    if _LARGENESS[old] > _LARGENESS[new] or (not alone and new is Level.CELL):
        return f"must fit the new code; a {new.value} is not made from {'a' if alone else 'several'} {old.value}"
    return None


def _capacity_problems(reader: Reader, asked: Recoding) -> Iterator[Problem]:
    plates = [rated_capacity_ah(reader, old) for old in asked.old_codes]
    known = [plate for plate in plates if plate is not None]
    highest = HIGHEST_PLAUSIBLE_FRACTION * sum(known)
    if len(known) == len(plates) and asked.rated_capacity_ah > highest:
        rule = f"must be at most {highest:g} Ah, half more than the plates say; is the unit Ah?"
        yield Problem("rated_capacity_ah", rule, f"{asked.rated_capacity_ah:g}")
