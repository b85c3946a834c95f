"""Which battery is part of which, and which became which: recorded under rules no order of requests can break.

A battery is in one place at a time: part of one whole, or of none, until it is taken out. A code is given
up once, for one new code, and is then out of use. So the batteries of a record form a forest, whatever
is asked and however many ask at once: the rules look at the record inside the transaction that would
change it. Nothing here knows HTTP.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from features.errors import InvalidInput, Problem
from models.past import PartVerdict
from serving.due_dates import DueDates
from serving.events.family import all_parts, part_verdicts
from serving.events.genealogy_rules import association_problems, recoding_problems
from serving.events.relations import Association, Recoding
from serving.record.entry import Recorded
from serving.record.leaf import LeafKind
from serving.record.store import Reader

if TYPE_CHECKING:
    from serving.grading import GradingRequest
    from serving.record.ledger import Ledger


class GenealogyRefused(InvalidInput):
    """What is asked contradicts what the record knows of the batteries. Nothing was recorded."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        message = "The record forbids this for the reasons named below. Nothing was recorded."
        super().__init__(message, problems, code="GENEALOGY_REFUSED")


def record_association(
    ledger: "Ledger", asked: Association, request: "GradingRequest", due_dates: DueDates
) -> Recorded:
    """Record that parts came into a whole or out of it.

    Parameters
    ----------
    ledger : Ledger
        The record's writer.
    asked : Association
        What happened.
    request : GradingRequest
        Who tells it, under which key, when.
    due_dates : DueDates
        When the platform must be told.

    Returns
    -------
    Recorded
        Committed; the earlier entry if this station used this key for the same.

    Raises
    ------
    GenealogyRefused
        If a part is unknown, elsewhere, too large or the whole itself; or, going out, not part of the whole.
    PackGradeError
        If the record cannot be written, or the key was used for something else.
    """
    body = {
        "parent": asked.parent,
        "children": list(asked.children),
        "action": asked.action.value,
        **due_dates.of(LeafKind.ASSOCIATION, request.moment),
    }
    entry = request.entry(LeafKind.ASSOCIATION, asked.parent, body)
    return _earlier(ledger, request) or ledger.append(entry, partial(_require_association, asked))


def record_recoding(ledger: "Ledger", asked: Recoding, request: "GradingRequest", due_dates: DueDates) -> Recorded:
    """Record that batteries became a cascade product under a new code; the old codes are kept.

    Parameters
    ----------
    ledger : Ledger
        The record's writer.
    asked : Recoding
        What happened.
    request : GradingRequest
        Who tells it, under which key, when.
    due_dates : DueDates
        When the platform must be told.

    Returns
    -------
    Recorded
        Committed, the first entry of the new code; the earlier one if this station used this key for the same.

    Raises
    ------
    GenealogyRefused
        If the last decision on a battery is no cascade decision, none of them is the one named, a battery is
        still part of another or has a new code already, the new code exists or contradicts an old one.
    PackGradeError
        If the record cannot be written, or the key was used for something else.
    """
    body = {
        "old_codes": list(asked.old_codes),
        "new_code": asked.new_code,
        "rated_capacity_ah": float(asked.rated_capacity_ah),
        "decision_id": asked.decision_id,
        **due_dates.of(LeafKind.RECODING, request.moment),
    }
    entry = request.entry(LeafKind.RECODING, asked.new_code, body)
    return _earlier(ledger, request) or ledger.append(entry, partial(_require_recoding, asked))


def parts_of(ledger: "Ledger", battery_id: str) -> tuple[PartVerdict, ...]:
    """What was last decided on every battery now inside one, the cells of its modules too.

    Parameters
    ----------
    ledger : Ledger
        The record.
    battery_id : str
        A module or pack.

    Returns
    -------
    tuple of PartVerdict
        The nearest first; a part nobody judged is not gated, a part under a new code without a decision
        stands with the decisions on what it was made from.
    """
    with ledger.reading() as reader:
        inside = all_parts(reader, battery_id)
        return tuple(verdict for part in inside for verdict in part_verdicts(reader, part))


def _require_association(asked: Association, reader: Reader) -> None:
    if problems := list(association_problems(reader, asked)):
        raise GenealogyRefused(problems)


def _require_recoding(asked: Recoding, reader: Reader) -> None:
    if problems := list(recoding_problems(reader, asked)):
        raise GenealogyRefused(problems)


def _earlier(ledger: "Ledger", request: "GradingRequest") -> Recorded | None:
    """The entry this station wrote under this key for the same request."""
    earlier = ledger.find(request.station, request.idempotency_key)
    return earlier if earlier is not None and earlier.leaf.request_sha256 == request.request_sha256 else None
