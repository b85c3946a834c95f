"""What counts of the decisions recorded on a battery.

A withdrawn decision counts for nothing, an overridden one no longer binds, and what an earlier verdict
or a part held back is no verdict of its own. Which verdicts stand is the policy's to say
(`models.standing`). Pure functions of leaves.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any

from pydantic_core import from_json

from models.decision import VERDICT_STANDS, Outcome
from models.part_limits import PART_LIMITS_GRADE
from models.past import PastDecision
from models.standing import VERDICT_RELEASED
from serving.record.leaf import Leaf, LeafKind


class CorrectionAction(StrEnum):
    """What a correction does to a decision.

    ``override``: an unsafe verdict no longer binds later gradings. ``withdraw``: the decision was a mistake
    and counts for nothing, neither against the battery nor for it.
    """

    OVERRIDE = "override"
    WITHDRAW = "withdraw"


def body_of(leaf: Leaf) -> dict[str, Any]:
    """The body of a leaf that was read from a record, where its form was checked already."""
    body: dict[str, Any] = from_json(leaf.body_json)
    return body


def past_decisions(leaves: Sequence[Leaf]) -> list[PastDecision]:
    """The decisions among the entries of a battery that nobody withdrew, in their order."""
    corrected = corrections(leaves)
    return [
        past_decision(leaf, body_of(leaf), corrected[leaf.event_id])
        for leaf in leaves
        if leaf.kind is LeafKind.DECISION and CorrectionAction.WITHDRAW not in corrected[leaf.event_id]
    ]


def corrections(leaves: Sequence[Leaf]) -> Mapping[str, Mapping[CorrectionAction, str]]:
    """By decision: what was done to it, and the correction that did it first."""
    done: Mapping[str, dict[CorrectionAction, str]] = defaultdict(dict)
    for leaf in leaves:
        if leaf.kind is LeafKind.CORRECTION:
            body = body_of(leaf)
            done[body["decision_id"]].setdefault(CorrectionAction(body["action"]), leaf.event_id)
    return done


def past_decision(leaf: Leaf, body: Mapping[str, Any], corrected: Collection[CorrectionAction]) -> PastDecision:
    """What counts of a recorded decision, its body read once by whoever asks."""
    reasons = body["decision"]["reasons"]
    return PastDecision(
        decision_id=leaf.event_id,
        sequence=leaf.sequence,
        outcome=_outcome_alone(body["decision"]),
        closed_gates=tuple(each["code"] for each in reasons if each["severity"] == "disqualifying"),
        releases=any(each["code"] == VERDICT_RELEASED for each in reasons),
        overridden=CorrectionAction.OVERRIDE in corrected,
    )


def _outcome_alone(decision: Mapping[str, Any]) -> Outcome:
    """What a decision would have said without its past and its parts: only that is a verdict of its own."""
    deciding = decision["reasons"][0]
    held_back = deciding["code"] in (VERDICT_STANDS, PART_LIMITS_GRADE)
    return Outcome(deciding["evidence"]["outcome_alone"] if held_back else decision["outcome"])
