"""What a record keeps beside its leaves because it is searched often: all of it follows from the leaves.

Rows of the outbox (what the platform is to be told, and by when) and links between batteries (part of,
became) are written in the transaction of their leaf and computed here and nowhere else, so that
`verify` can compute them again. A pseudonym is derived too, from what an erasable row holds.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
import rfc8785

from features.errors import Problem
from serving.record.canonical import UnrecordableEntry
from serving.record.leaf import Leaf, LeafKind

SALT_BYTE = 16
"""Length of the salt of a pseudonym. [byte]"""

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_DUE_ON = "upload_due_on"


class Relation(StrEnum):
    """How one battery stands to another."""

    PART_OF = "part_of"
    BECAME = "became"


class OutboxRow(NamedTuple):
    """An entry the platform is to be told of.

    Attributes
    ----------
    sequence : int
        Index of the entry in the log.
    battery_id : str
        Its battery.
    due_on : str
        Last day for telling, ISO 8601.
    """

    sequence: int
    battery_id: str
    due_on: str


class Link(NamedTuple):
    """One statement of an entry about two batteries; a later one may revoke it.

    Attributes
    ----------
    sequence : int
        Index of the entry in the log.
    relation : Relation
        How the child stands to the parent.
    child_id, parent_id : str
        Battery codes: the part and the whole, or the old code and the new one.
    joined : bool
        True where the entry joins them, False where it parts them.
    """

    sequence: int
    relation: Relation
    child_id: str
    parent_id: str
    joined: bool


class ErasableRow(NamedTuple):
    """What stands behind a pseudonym until it is erased; the salt has `SALT_BYTE` bytes."""

    pseudonym: str
    salt: bytes
    kind: str
    station: str
    value: str


def pseudonym(salt: bytes, kind: str, station: str, value: str) -> str:
    """Return the pseudonym of a value, 32 hexadecimal digits; without the salt nobody finds the value by trying.

    Examples
    --------
    >>> pseudonym(bytes(16), "operator", "chongqing-3", "Li Wei")
    '98832f42c9115d5ea8de962c6383d9c8'
    """
    return hashlib.sha256(salt + rfc8785.dumps([kind, station, value])).hexdigest()[:32]


def derived_rows(leaf: Leaf, body: Mapping[str, Any] | None = None) -> tuple[list[OutboxRow], list[Link]]:
    """Return the outbox rows (one at most) and the links, in their order, that follow from a leaf.

    Parameters
    ----------
    leaf : Leaf
        The leaf.
    body : mapping, optional
        Its body, where the caller has read it already.

    Raises
    ------
    UnrecordableEntry
        If the body announces such rows in another form than the record knows.
    """
    has_links = leaf.kind in (LeafKind.ASSOCIATION, LeafKind.RECODING)
    if not has_links and f'"{_DUE_ON}":'.encode() not in leaf.body_json:
        return [], []
    said = orjson.loads(leaf.body_json) if body is None else body
    return _outbox_rows(leaf, said), _links(leaf, said) if has_links else []


def _outbox_rows(leaf: Leaf, body: Mapping[str, Any]) -> list[OutboxRow]:
    if _DUE_ON not in body:
        return []
    due_on = body[_DUE_ON]
    if leaf.battery_id is None or not _is_day(due_on):
        rule = "must be a day such as 2026-12-11, of an entry about a battery"
        raise UnrecordableEntry([Problem(f"body.{_DUE_ON}", rule, f"{due_on!r:.80}")])
    return [OutboxRow(leaf.sequence, leaf.battery_id, due_on)]


def _links(leaf: Leaf, body: Mapping[str, Any]) -> list[Link]:
    if leaf.kind is LeafKind.RECODING:
        parent, children, joined = body.get("new_code"), body.get("old_codes"), True
        relation, shown = Relation.BECAME, "new_code and old_codes"
    else:
        parent, children, joined = body.get("parent"), body.get("children"), body.get("action") == "ADD"
        relation, shown = Relation.PART_OF, "parent, children and action"
        if body.get("action") not in ("ADD", "DELETE"):
            children = None
    codes = [parent, *children] if isinstance(children, list) and children else []
    if not codes or not all(isinstance(code, str) and code for code in codes):
        rule = "must name battery codes, at least one child, and an action ADD or DELETE where there is one"
        raise UnrecordableEntry([Problem(f"body: {shown}", rule, f"{[parent, children]!r:.80}")])
    return [Link(leaf.sequence, relation, child, str(parent), joined) for child in codes[1:]]


def _is_day(value: object) -> bool:
    try:
        return isinstance(value, str) and _DAY.fullmatch(value) is not None and bool(date.fromisoformat(value))
    except ValueError:
        return False


def pseudonym_problems(row: ErasableRow) -> list[Problem]:
    """What keeps a row of personal data from being kept: its form, or a pseudonym that is not its own."""
    texts = {"kind": row.kind, "station": row.station, "value": row.value}
    problems = [
        Problem(name, "must be 1 to 200 printable characters", f"{text!r:.80}")
        for name, text in texts.items()
        if not (isinstance(text, str) and 1 <= len(text) <= 200 and text.isprintable())
    ]
    if not isinstance(row.salt, bytes) or len(row.salt) != SALT_BYTE:
        problems.append(Problem("salt", f"must have {SALT_BYTE} bytes"))
    if not problems and row.pseudonym != (own := pseudonym(row.salt, row.kind, row.station, row.value)):
        problems.append(Problem("pseudonym", f"must be {own}", f"{row.pseudonym!r:.80}"))
    return problems
