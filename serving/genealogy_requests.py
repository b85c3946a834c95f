"""What a station tells of how batteries stand to one another, done: read, attributed and recorded.

Between the wire and the record. Nothing here knows the server.
"""

import os
from dataclasses import replace

from serving.desk import Desk
from serving.events.genealogy import record_association, record_recoding
from serving.events.operators import attributed
from serving.genealogy_messages import (
    AssociationRequest,
    RecodingRequest,
    association_from_request,
    recoding_from_request,
)
from serving.grading import GradingRequest
from serving.messages import AttributedRequest
from serving.record.derived import SALT_BYTE
from serving.record.entry import Recorded


def association_recorded(desk: Desk, request: AssociationRequest, asked: GradingRequest) -> Recorded:
    """Record that parts came into a whole or out of it.

    Parameters
    ----------
    desk : Desk
        Grader, for the policy's time limits, and record.
    request : AssociationRequest
        A request of the right shape.
    asked : GradingRequest
        Its station, key, digest and moment of receipt.

    Raises
    ------
    InvalidInput
        If a code cannot name a battery, or the record forbids it.
    PackGradeError
        As `record_association`.
    """
    association, due_dates = association_from_request(request), desk.grader().due_dates
    return record_association(desk.ledger(), association, _told(desk, request, asked), due_dates)


def recoding_recorded(desk: Desk, request: RecodingRequest, asked: GradingRequest) -> Recorded:
    """Record that batteries became a cascade product under a new code; parameters as of `association_recorded`.

    Raises
    ------
    InvalidInput
        If a code cannot name a battery, the new one is no cascade code, or the record forbids it.
    PackGradeError
        As `record_recoding`.
    """
    recoding, due_dates = recoding_from_request(request), desk.grader().due_dates
    return record_recoding(desk.ledger(), recoding, _told(desk, request, asked), due_dates)


def _told(desk: Desk, request: AttributedRequest, asked: GradingRequest) -> GradingRequest:
    dated = replace(asked, station_clock=request.station_moment)
    return attributed(desk.ledger(), dated, request.operator, os.urandom(SALT_BYTE))
