"""How batteries stand to one another, read from the record's links.

Two relations: a cell or module is *part of* a module or pack until it is taken out, and a battery *became*
another when it got a new code, for ever. Whoever is part of nothing and became nothing is a root, so
both relations together form a forest. The last statement of the log counts. Nothing is written here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from features.battery_code import parse_battery_code
from features.vocabulary import Level
from models.decision import Outcome
from models.past import PartVerdict
from serving.events.verdicts import CorrectionAction, corrections
from serving.record.derived import Relation
from serving.record.leaf import Leaf, LeafKind
from serving.record.store import Reader


def is_known(reader: Reader, code: str) -> bool:
    """Whether the record holds an entry about a battery under this code."""
    return reader.battery_head(code) is not None


def holder(reader: Reader, code: str) -> str | None:
    """Code of the module or pack a battery is directly part of now, as it was joined; None if of nothing."""
    said = reader.links_of_child(code, Relation.PART_OF)
    return said[-1].parent_id if said and said[-1].joined else None


def successor(reader: Reader, code: str) -> str | None:
    """Code that replaced this one; None if it is in use."""
    said = reader.links_of_child(code, Relation.BECAME)
    return said[-1].parent_id if said else None


def current_code(reader: Reader, code: str) -> str:
    """The code in use of the battery that bears or bore this one."""
    return _successors(reader, code)[-1]


def old_codes(reader: Reader, code: str) -> list[str]:
    """Codes this one replaced directly, in the order they were named."""
    return [link.child_id for link in reader.links_of_parent(code, Relation.BECAME)]


def family(reader: Reader, code: str) -> list[str]:
    """A code and every code it replaced, newest first."""
    found = [code]
    for each in found:
        found.extend(old for old in old_codes(reader, each) if old not in found)
    return found


def all_codes(reader: Reader, code: str) -> list[str]:
    """Every code of one battery: this one, those it replaced and those that replaced it."""
    return [*family(reader, code), *_successors(reader, code)[1:]]


def above(reader: Reader, code: str) -> Iterator[str]:
    """The battery itself and everything it is inside of, or became, from the inside out."""
    passed, following = set[str](), code
    while following and following not in passed:
        yield following
        passed.add(following)
        following = holder(reader, following) or successor(reader, following) or ""


def direct_parts(reader: Reader, code: str) -> list[str]:
    """Batteries now directly part of one, in the order they came; those that came under its old codes too."""
    own = family(reader, code)
    joined = (link for each in own for link in reader.links_of_parent(each, Relation.PART_OF))
    candidates = dict.fromkeys(link.child_id for link in sorted(joined))
    return [child for child in candidates if holder(reader, child) in own]


def all_parts(reader: Reader, code: str) -> list[str]:
    """Every battery inside one, the cells of its modules too; the nearest first."""
    found = direct_parts(reader, code)
    for each in found:
        found.extend(part for part in direct_parts(reader, each) if part not in found)
    return found


def last_decision(reader: Reader, code: str) -> Leaf | None:
    """The last decision under this very code that nobody withdrew."""
    entries = reader.by_battery(code)
    corrected = corrections(entries)
    standing = (
        leaf
        for leaf in reversed(entries)
        if leaf.kind is LeafKind.DECISION and CorrectionAction.WITHDRAW not in corrected.get(leaf.event_id, ())
    )
    return next(standing, None)


def part_verdicts(reader: Reader, code: str) -> list[PartVerdict]:
    """What was last decided on one battery; where its code is new, on each battery it was made from."""
    decided = last_decision(reader, code)
    if decided is not None:
        said = decided.body["decision"]
        return [PartVerdict(code, decided.event_id, Outcome(said["outcome"]), said["grade"], gated=True)]
    before = [verdict for old in old_codes(reader, code) for verdict in part_verdicts(reader, old)]
    return before or [PartVerdict(code, None, None, None, gated=False)]


def level_of(reader: Reader, code: str) -> Level | None:
    """Cell, module or pack: as the code says, else as last declared; None if nobody said."""
    parsed = parse_battery_code(code)
    if parsed.valid:
        return parsed.cascade_level or parsed.level
    declared = _declared(reader, code)
    return None if declared is None else Level(declared["level"])


def rated_capacity_ah(reader: Reader, code: str) -> float | None:
    """Rated capacity as last declared; None if nobody said. [Ah]."""
    declared = _declared(reader, code)
    return None if declared is None else float(declared["rated_capacity_ah"])


def _successors(reader: Reader, code: str) -> list[str]:
    """A code and those that replaced it one after the other; a circle, which no rule lets in, ends it."""
    found = [code]
    while (following := successor(reader, found[-1])) is not None and following not in found:
        found.append(following)
    return found


def _declared(reader: Reader, code: str) -> Mapping[str, Any] | None:
    decisions = [leaf for leaf in reader.by_battery(code) if leaf.kind is LeafKind.DECISION]
    return decisions[-1].body["battery"] if decisions else None
