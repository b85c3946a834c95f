"""``POST /v1/outcomes`` on the wire: a capacity measured later, and what the record answers.

Strict in the manner of `messages`: shape and type here, the rules of an outcome in `events`.
"""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from features.errors import InvalidInput
from features.vehicle_number import vehicle_number_problems
from features.vocabulary import RunKind
from serving.events.outcomes import MeasuredOutcome
from serving.messages import AttributedRequest, Line, Moment, RecordPlace, Reply, WireRun, record_place
from serving.record.entry import Recorded
from serving.wire_history import measurement_run

DecisionId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
StationName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]


class OutcomeRequest(AttributedRequest):
    """Body of ``POST /v1/outcomes``: a measured capacity, or the capacity test it follows from."""

    decision_id: DecisionId
    capacity_definition: Line = Field(description="Which capacity it is, as the graded reply words it.")
    measured_at: Moment
    remaining_capacity_ah: float | None = Field(None, description="Given unless capacity_test is.")
    capacity_test: WireRun | None = Field(None, description="A run of kind capacity_test.")
    station: StationName | None = Field(None, description="Station that measured; this one unless given.")
    chosen_at_random: bool | None = Field(
        None, description="True if the battery was drawn by lot, whatever its decision said."
    )

    @model_validator(mode="after")
    def _one_measurement(self) -> Self:
        if (self.remaining_capacity_ah is None) == (self.capacity_test is None):
            raise ValueError("must give either remaining_capacity_ah or capacity_test")
        if self.capacity_test is not None and self.capacity_test.kind is not RunKind.CAPACITY_TEST:
            raise ValueError("capacity_test must be a run of kind capacity_test")
        return self


class OutcomeReply(Reply):
    """A recorded outcome."""

    outcome_id: str
    decision_id: str
    battery_id: str
    recorded: RecordPlace
    remaining_capacity_ah: float
    capacity_definition: str


def outcome_from_request(request: OutcomeRequest, station: str, moment: datetime) -> MeasuredOutcome:
    """Return the outcome a request tells.

    Raises
    ------
    InvalidInput
        If the run breaks a rule of measurements, its place written from the request's root, or a text holds a
        vehicle's number.
    """
    texts = {"capacity_definition": request.capacity_definition, "station": request.station}
    if problems := vehicle_number_problems(texts.items()):
        raise InvalidInput("The outcome names a vehicle. Nothing was recorded.", problems)
    return MeasuredOutcome(
        decision_id=request.decision_id,
        capacity_definition=request.capacity_definition,
        measured=_measured(request, moment),
        measured_at=datetime.fromisoformat(request.measured_at),
        measured_by=request.station or station,
        chosen_at_random=request.chosen_at_random,
    )


def outcome_reply(recorded: Recorded) -> dict[str, Any]:
    """Return the reply of a recorded outcome, as plain JSON; a function of the record alone."""
    leaf, body = recorded.leaf, recorded.leaf.body
    return OutcomeReply(
        outcome_id=leaf.event_id,
        decision_id=body["decision_id"],
        battery_id=leaf.battery_id or "",
        recorded=record_place(recorded.leaf_sha256, recorded.receipt),
        remaining_capacity_ah=body["remaining_capacity_ah"],
        capacity_definition=body["capacity_definition"],
    ).model_dump(mode="json")


def _measured(request: OutcomeRequest, moment: datetime) -> Any:
    if request.capacity_test is None:
        return request.remaining_capacity_ah
    try:
        return measurement_run(request.capacity_test, "capacity_test", moment)
    except InvalidInput as error:
        raise error.inside("capacity_test") from error
