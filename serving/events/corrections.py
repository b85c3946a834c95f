"""A named person overrides an unsafe verdict or withdraws a decision. Neither alters what is recorded.

A correction is an entry of its own that names the decision and its leaf digest. What it does is read
back by `verdicts`: an overridden verdict no longer binds later gradings, a withdrawn decision counts
for nothing. The person stands in the log as a pseudonym (`operators`). Nothing here knows HTTP.
"""

from dataclasses import dataclass, replace

from features.errors import InvalidInput, Problem
from features.vehicle_number import vehicle_number_problems
from models.decision import VERDICT_STANDS, Outcome
from serving.due_dates import DueDates
from serving.events.operators import attributed, operator_name
from serving.events.outcomes import UnknownDecision
from serving.events.verdicts import CorrectionAction, corrections, past_decision
from serving.grading import MOST_TRIES, GradingRequest
from serving.record.entry import BatteryMoved, IdempotencyConflict, NewEntry, Recorded
from serving.record.leaf import Leaf, LeafKind
from serving.record.ledger import Ledger
from serving.record.store import RecordUnavailable


@dataclass(frozen=True, slots=True)
class Correction:
    """What is to be done to a decision, and by whom.

    Attributes
    ----------
    decision_id : str
        The decision.
    action : CorrectionAction
        Override or withdraw.
    reason : str
        Why; stays in the record for ever, so it names nobody.
    person : str
        Who answers for it; kept apart from the log, where it can be erased.
    """

    decision_id: str
    action: CorrectionAction
    reason: str
    person: str


def record_correction(
    ledger: Ledger, correction: Correction, request: GradingRequest, salt: bytes, due_dates: DueDates
) -> Recorded:
    """Record a correction of a decision.

    Parameters
    ----------
    ledger : Ledger
        The record's writer.
    correction : Correction
        What is done, and by whom.
    request : GradingRequest
        Who reports it, under which key, when; its digest must not depend on the person.
    salt : bytes
        16 random bytes for a person who is new at the station.
    due_dates : DueDates
        When the platform must be told.

    Returns
    -------
    Recorded
        Committed; the earlier entry if this station used this key for the same correction.

    Raises
    ------
    UnknownDecision
        If the record holds no such event.
    InvalidInput
        If the event is no decision, the person is not named, the reason names a vehicle, or there is nothing
        to override or withdraw.
    PackGradeError
        If the record cannot be written, or the key was used for something else.
    """
    earlier = ledger.find(request.station, request.idempotency_key)
    if earlier is not None:
        if earlier.leaf.request_sha256 == request.request_sha256:
            return earlier
        raise IdempotencyConflict(request.entry(LeafKind.CORRECTION, None, {}), earlier.leaf)
    _require_sound(correction)
    for _ in range(MOST_TRIES):
        decided = _decision(ledger, correction.decision_id)
        head = _require_correctable(ledger, decided.leaf, correction.action)
        request = attributed(ledger, request, correction.person, salt)
        entry = _entry(decided, correction, request, due_dates)
        try:
            return ledger.append(replace(entry, expected_battery_head=head))
        except BatteryMoved:
            continue
    raise RecordUnavailable(f"Battery {decided.leaf.battery_id} got other entries {MOST_TRIES} times meanwhile.")


def _entry(decided: Recorded, correction: Correction, request: GradingRequest, due_dates: DueDates) -> NewEntry:
    body = {
        "decision_id": correction.decision_id,
        "decision_leaf_sha256": decided.leaf_sha256,
        "action": correction.action.value,
        "reason": correction.reason,
        **due_dates.of(LeafKind.CORRECTION, request.moment),
    }
    return request.entry(LeafKind.CORRECTION, decided.leaf.battery_id, body)


def _require_sound(correction: Correction) -> None:
    if problems := vehicle_number_problems([("reason", correction.reason)]):
        raise _refused(problems[0])
    try:
        operator_name(correction.person)
    except InvalidInput as error:
        raise _refused(Problem("person", error.problems[0].rule)) from error


def _decision(ledger: Ledger, decision_id: str) -> Recorded:
    named = ledger.by_event_id(decision_id)
    if named is None:
        raise UnknownDecision(decision_id)
    if named.leaf.kind is not LeafKind.DECISION:
        rule = f"must name a decision; this is entry {named.leaf.sequence}"
        raise _refused(Problem("decision_id", rule, named.leaf.kind))
    return named


def _require_correctable(ledger: Ledger, decided: Leaf, action: CorrectionAction) -> str:
    """Return the digest of the battery's last entry that was looked at."""
    entries = ledger.by_battery(decided.battery_id or "")
    done = corrections([entry.leaf for entry in entries])[decided.event_id]
    for before in (CorrectionAction.WITHDRAW, action):
        if before in done:
            what = "overridden" if before is CorrectionAction.OVERRIDE else "withdrawn"
            rule = f"was {what} by correction {done[before]}"
            raise _refused(Problem("decision_id", rule, decided.event_id))
    if action is CorrectionAction.OVERRIDE:
        _require_unsafe(decided)
    return entries[-1].leaf_sha256


def _require_unsafe(decided: Leaf) -> None:
    """Only a verdict of its own can be overridden, not one that repeats another or says nothing unsafe."""
    decision = decided.body["decision"]
    deciding = decision["reasons"][0]
    alone = past_decision(decided, decided.body, ()).outcome
    if alone in (Outcome.HOLD, Outcome.RECYCLE):
        return
    if deciding["code"] == VERDICT_STANDS:
        rule = f"repeats decision {deciding['evidence']['decision_id']}, which stands; override that one"
        raise _refused(Problem("decision_id", rule, decided.event_id))
    rule = "must be an unsafe verdict of its own, hold or recycle"
    raise _refused(Problem("decision_id", rule, decision["outcome"]))


def _refused(problem: Problem) -> InvalidInput:
    return InvalidInput("The correction breaks the rule named below. Nothing was recorded.", [problem])
