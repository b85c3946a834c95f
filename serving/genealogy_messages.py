"""``POST /v1/associations`` and ``POST /v1/recodings`` on the wire, and a battery's place among the others.

Strict in the manner of `messages`: shape and type here, the rules of a genealogy in `events`.
"""

from typing import Annotated, Any

from pydantic import Field

from serving.events.family import current_code, direct_parts, holder, old_codes, successor
from serving.events.relations import Action, Association, Recoding
from serving.messages import AttributedRequest, Day, RecordPlace, Reply, ScannedCode, record_place
from serving.outcome_messages import DecisionId
from serving.record.entry import Recorded
from serving.record.store import Reader

MOST_BATTERIES = 500
"""Batteries one request may name: a pack of loose cells has fewer."""

Codes = Annotated[list[ScannedCode], Field(min_length=1, max_length=MOST_BATTERIES)]


class AssociationRequest(AttributedRequest):
    """Body of ``POST /v1/associations``."""

    parent: ScannedCode = Field(description="The module or pack; the record may hear of it for the first time.")
    children: Codes = Field(description="Cells or modules the record knows.")
    action: Action = Field(description="ADD: they came in; DELETE: they were taken out.")


class AssociationReply(Reply):
    """A recorded association."""

    association_id: str
    parent: str
    children: list[str]
    action: Action
    upload_due_on: Day | None
    recorded: RecordPlace


class RecodingRequest(AttributedRequest):
    """Body of ``POST /v1/recodings``."""

    old_codes: Codes = Field(description="Codes given up; the record keeps them.")
    new_code: ScannedCode = Field(description="Cascade code of 19 characters, GB/T 34014.")
    rated_capacity_ah: float = Field(description="Rated capacity of the product, newly calibrated.")
    decision_id: DecisionId = Field(description="The cascade decision that permits it.")


class RecodingReply(Reply):
    """A recorded recoding."""

    recoding_id: str
    old_codes: list[str]
    new_code: str
    rated_capacity_ah: float
    decision_id: str
    upload_due_on: Day | None
    recorded: RecordPlace


class GenealogyReply(Reply):
    """A battery among the others: what it was, what it is now, what it is in, what is in it."""

    battery_id: str
    current_code: str
    became: str | None
    old_codes: list[str]
    part_of: str | None
    parts: list[str]


def association_from_request(request: AssociationRequest) -> Association:
    """Return the association a request tells.

    Raises
    ------
    InvalidInput
        If a code cannot name a battery, or one is named twice.
    """
    return Association(request.parent, tuple(request.children), request.action)


def recoding_from_request(request: RecodingRequest) -> Recoding:
    """Return the recoding a request tells.

    Raises
    ------
    InvalidInput
        If a code cannot name a battery, one is named twice or the new one is no cascade code.
    """
    return Recoding(tuple(request.old_codes), request.new_code, request.rated_capacity_ah, request.decision_id)


def association_reply(recorded: Recorded) -> dict[str, Any]:
    """Return the reply of a recorded association, as plain JSON; a function of the record alone."""
    leaf, body = recorded.leaf, recorded.leaf.body
    return AssociationReply(
        association_id=leaf.event_id,
        parent=body["parent"],
        children=body["children"],
        action=Action(body["action"]),
        upload_due_on=body.get("upload_due_on"),
        recorded=record_place(recorded.leaf_sha256, recorded.receipt),
    ).model_dump(mode="json")


def recoding_reply(recorded: Recorded) -> dict[str, Any]:
    """Return the reply of a recorded recoding, as plain JSON; a function of the record alone."""
    leaf, body = recorded.leaf, recorded.leaf.body
    return RecodingReply(
        recoding_id=leaf.event_id,
        old_codes=body["old_codes"],
        new_code=body["new_code"],
        rated_capacity_ah=body["rated_capacity_ah"],
        decision_id=body["decision_id"],
        upload_due_on=body.get("upload_due_on"),
        recorded=record_place(recorded.leaf_sha256, recorded.receipt),
    ).model_dump(mode="json")


def genealogy_reply(reader: Reader, code: str) -> dict[str, Any]:
    """Return where a battery stands among the others, as plain JSON."""
    whole = holder(reader, code)
    return GenealogyReply(
        battery_id=code,
        current_code=current_code(reader, code),
        became=successor(reader, code),
        old_codes=old_codes(reader, code),
        part_of=whole and current_code(reader, whole),
        parts=direct_parts(reader, code),
    ).model_dump(mode="json")
