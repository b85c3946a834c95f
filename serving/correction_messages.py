"""``POST /v1/corrections`` on the wire: what a named person does to a decision, and what the record answers.

Strict in the manner of `messages`: shape and type here, the rules of a correction in `events`.
"""

from typing import Annotated, Any

from pydantic import Field

from serving.events.corrections import Correction
from serving.events.operators import LONGEST_NAME
from serving.events.verdicts import CorrectionAction
from serving.messages import RecordPlace, Reply, Request, record_place
from serving.outcome_messages import DecisionId
from serving.record.entry import Recorded

LONGEST_REASON = 1000

_Reason = Annotated[
    str, Field(min_length=1, max_length=LONGEST_REASON, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")
]
_Person = Annotated[
    str, Field(min_length=1, max_length=LONGEST_NAME, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")
]


class CorrectionRequest(Request):
    """Body of ``POST /v1/corrections``."""

    decision_id: DecisionId
    action: CorrectionAction = Field(
        description="override: an unsafe verdict no longer binds later gradings; "
        "withdraw: the decision was a mistake and counts for nothing."
    )
    reason: _Reason = Field(description="Why; stays in the record for ever, so name nobody here.")
    person: _Person = Field(description="Name or badge of who answers for it; kept apart, where it can be erased.")


class CorrectionReply(Reply):
    """A recorded correction."""

    correction_id: str
    decision_id: str
    battery_id: str
    action: CorrectionAction
    reason: str
    operator: str
    recorded: RecordPlace


def correction_from_request(request: CorrectionRequest) -> Correction:
    """Return the correction a request tells."""
    return Correction(request.decision_id, request.action, request.reason, request.person)


def correction_reply(recorded: Recorded) -> dict[str, Any]:
    """Return the reply of a recorded correction, as plain JSON; a function of the record alone."""
    leaf, body = recorded.leaf, recorded.leaf.body
    return CorrectionReply(
        correction_id=leaf.event_id,
        decision_id=body["decision_id"],
        battery_id=leaf.battery_id or "",
        action=CorrectionAction(body["action"]),
        reason=body["reason"],
        operator=leaf.operator or "",
        recorded=record_place(recorded.leaf_sha256, recorded.receipt),
    ).model_dump(mode="json")
