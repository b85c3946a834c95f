"""What a station asks, done: graded or reported under its operator's pseudonym, a refused measurement recorded.

Between the wire and the record. A refusal that was recorded is answered like any other, with one
header more: its place in the record. Nothing here knows the server.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from features.errors import InvalidInput, PackGradeError
from features.measurement import BatteryHistory
from serving.desk import Desk
from serving.events.operators import attributed
from serving.events.outcomes import record_outcome
from serving.events.refusals import record_refusal
from serving.file_messages import FileGradeRequest
from serving.grading import GradingRequest, RecordedDecision
from serving.messages import AttributedRequest, BatteryFile, GradeRequest
from serving.outcome_messages import OutcomeRequest, outcome_from_request
from serving.record.derived import SALT_BYTE
from serving.record.entry import Recorded
from serving.wire import Refusal
from serving.wire_history import history_from_request

RECORDED_HEADER = "packgrade-recorded"
"""Index of the entry that tells of a refusal."""


def graded(desk: Desk, request: GradeRequest, asked: GradingRequest) -> RecordedDecision:
    """Grade a battery, or record that its measurement was refused.

    Parameters
    ----------
    desk : Desk
        Grader and record.
    request : GradeRequest
        A request of the right shape.
    asked : GradingRequest
        Its station, key, digest and moment of receipt.

    Raises
    ------
    Refusal
        For a measurement of a sound battery that breaks a rule; it is in the record.
    InvalidInput
        If the battery itself breaks a rule; nothing was recorded.
    PackGradeError
        As `Grader.grade`.
    """
    return graded_as_told(desk, request, partial(history_from_request, request, asked.moment), asked)


def graded_as_told(
    desk: Desk,
    request: GradeRequest | FileGradeRequest,
    told_history: Callable[[], BatteryHistory],
    asked: GradingRequest,
) -> RecordedDecision:
    """Grade the history that `told_history` reads from a request; everything else as `graded`."""
    grader, battery_id = desk.grader(), battery_named(request)
    told = asked if battery_id is None else told_request(desk, request, asked)
    try:
        return grader.grade(told_history(), told)
    except InvalidInput as refused:
        raise _answered(desk, battery_id, refused, told) from refused


def outcome_recorded(desk: Desk, request: OutcomeRequest, asked: GradingRequest) -> Recorded:
    """Record a capacity measured later, or that its measurement was refused; parameters as of `graded`.

    Raises
    ------
    Refusal
        For a measurement that breaks a rule, of a decision that is known; it is in the record.
    PackGradeError
        As `record_outcome`.
    """
    due_dates, decided = desk.grader().due_dates, desk.ledger().by_event_id(request.decision_id)
    told = asked if decided is None else told_request(desk, request, asked)
    try:
        outcome = outcome_from_request(request, asked.station, asked.moment)
        return record_outcome(desk.ledger(), outcome, told, due_dates)
    except InvalidInput as refused:
        raise _answered(desk, decided.leaf.battery_id if decided else None, refused, told) from refused


def told_request(desk: Desk, request: AttributedRequest, asked: GradingRequest) -> GradingRequest:
    """Return the request under its operator's pseudonym, with what the station's clock showed."""
    dated = replace(asked, station_clock=request.station_moment)
    return attributed(desk.ledger(), dated, request.operator, os.urandom(SALT_BYTE))


def battery_named(request: BatteryFile) -> str | None:
    """Return the battery's normalised code, None where the battery itself breaks a rule."""
    try:
        return request.battery.identity().battery_id
    except InvalidInput:
        return None


def _answered(desk: Desk, battery_id: str | None, refused: InvalidInput, asked: GradingRequest) -> PackGradeError:
    """Return the error to answer with: where the battery is known the refusal is recorded first."""
    if battery_id is None:
        return refused
    recorded = record_refusal(desk.ledger(), battery_id, refused, asked)
    headers = {RECORDED_HEADER: str(recorded.leaf.sequence)}
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, refused.code, refused.message, refused.problems, headers)
