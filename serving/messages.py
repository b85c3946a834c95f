"""What travels over the wire: requests, replies, and the reply that a record entry gives.

Requests are strict pydantic models: no number from a string, no boolean for a number, no unknown
key, no infinity. They check shape and type; what a battery or a measurement must obey stands in
`features.measurement`. A reply is a pure function of the recorded entry, so the same request is
answered with the same bytes for ever.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from features.battery_code import parse_battery_code
from features.errors import InvalidInput
from features.feature_set import Method
from features.findings import Severity
from features.measurement import BatteryIdentity, Inspection
from features.vehicle_number import vehicle_number_problems
from features.vocabulary import Chemistry, Level, Provenance, RunKind, Scheme, TableFormat
from models.decision import Outcome
from serving.events.operators import LONGEST_NAME, operator_name
from serving.grading import RecordedDecision
from serving.record.entry import Recorded
from serving.record.leaf import Leaf, LeafKind
from serving.record.receipt import Receipt

MOST_RUNS = 16
MOST_COLUMNS = 600
MOST_ROWS = 2_000_000

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_EARLIEST_CLOCK, _LATEST_CLOCK = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def _rfc_3339(text: str) -> str:
    if not _RFC_3339.fullmatch(text):
        raise ValueError("must be a moment with its time zone, such as 2026-11-22T08:30:00Z")
    text = text.upper()
    datetime.fromisoformat(text)
    return text


def _utc(text: str) -> str:
    text = _rfc_3339(text)
    if not _EARLIEST_CLOCK <= datetime.fromisoformat(text).replace(tzinfo=UTC) <= _LATEST_CLOCK:
        raise ValueError("must be a moment from 1970 to 9998")
    return text


def _operator(text: str) -> str:
    try:
        return operator_name(text)
    except InvalidInput as error:
        raise ValueError(error.problems[0].rule) from error


def _iso_date(text: str) -> str:
    if not _ISO_DATE.fullmatch(text):
        raise ValueError("must be a date such as 2021-12-04")
    date.fromisoformat(text)
    return text


Moment = Annotated[str, AfterValidator(_rfc_3339), WithJsonSchema({"type": "string", "format": "date-time"})]
Day = Annotated[str, AfterValidator(_iso_date), WithJsonSchema({"type": "string", "format": "date"})]
StationClock = Annotated[str, AfterValidator(_utc), WithJsonSchema({"type": "string", "format": "date-time"})]
OperatorName = Annotated[
    str, AfterValidator(_operator), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LONGEST_NAME})
]
Line = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
ScannedCode = Annotated[str, Field(min_length=1, max_length=200)]
TableValues = Annotated[
    list[Any],
    Field(max_length=MOST_ROWS),
    WithJsonSchema(
        {
            "type": "array",
            "maxItems": MOST_ROWS,
            "items": {"type": ["number", "string", "null"]},
            "description": "Numbers; words in step_type only; null in telemetry and surface_temperature_celsius only.",
        }
    ),
]


class Request(BaseModel):
    """Base of everything a client sends."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class AttributedRequest(Request):
    """What a station may say of itself; it is no part of what is asked, so a repetition may say otherwise."""

    operator: OperatorName | None = Field(
        default=None, description="Name or badge of who works at the station; the record gets a pseudonym."
    )
    station_clock: StationClock | None = Field(
        default=None,
        description="What the station's own clock shows; noted in the record, never used to order or to grade.",
    )

    @property
    def station_moment(self) -> datetime | None:
        """What the station's clock shows."""
        return None if self.station_clock is None else datetime.fromisoformat(self.station_clock)


class BatteryDeclaration(Request):
    """The battery as declared: its code and its plate."""

    battery_id: ScannedCode
    level: Level
    chemistry: Chemistry
    rated_capacity_ah: float
    scheme: Scheme | None = Field(None, description="Recognised from the code where it is not given.")
    nominal_voltage_volt: float | None = None
    series_count: int | None = None
    parallel_count: int | None = None
    type_designation: Line | None = None
    manufactured_on: Day | None = None

    def identity(self) -> BatteryIdentity:
        """Return the identity, its code normalised.

        Raises
        ------
        InvalidInput
            If the code does not fit its scheme, the plate breaks a rule or either is a vehicle's number.
        """
        texts = {"battery_id": self.battery_id, "type_designation": self.type_designation}
        if problems := vehicle_number_problems(texts.items()):
            raise InvalidInput("The battery is named after its vehicle. Nothing was recorded.", problems)
        plate = self.model_dump(exclude={"battery_id", "scheme", "manufactured_on"})
        made = None if self.manufactured_on is None else date.fromisoformat(self.manufactured_on)
        return BatteryIdentity.declared(self.battery_id, scheme=self.scheme, manufactured_on=made, **plate)


class InspectionReport(Request):
    """What was seen on the battery; what is absent was not looked at."""

    leakage: bool | None = None
    swelling: bool | None = None
    burn: bool | None = None
    water_ingress: bool | None = None
    deformation: bool | None = None
    insulation_ohm_per_volt: float | None = None
    alarm_level: int | None = None

    def inspection(self) -> Inspection:
        """Return the inspection.

        Raises
        ------
        InvalidInput
            If a value is out of range.
        """
        return Inspection(**self.model_dump())


class BatteryFile(Request):
    """A battery without its measurements, as ``packgrade grade --battery`` reads it."""

    battery: BatteryDeclaration
    inspection: InspectionReport = Field(default_factory=InspectionReport)


class WireRun(Request):
    """One measurement as a table of columns."""

    kind: RunKind
    format: TableFormat
    table: dict[str, TableValues] = Field(max_length=MOST_COLUMNS)
    started_at: Moment | None = Field(None, description="Begin of the test; the moment of receipt unless given.")
    train: int | None = Field(None, description="Which pulse train of the table, counted from 1; the first if absent.")
    provenance: Provenance | None = Field(
        None, description="bms_reported for field_telemetry and bench_measured otherwise, unless given."
    )


class GradeRequest(BatteryFile, AttributedRequest):
    """Body of ``POST /v1/grade``. Without runs the battery is judged on its code and inspection alone."""

    runs: list[WireRun] = Field(max_length=MOST_RUNS, fail_fast=True)


class CodeText(Request):
    """Body of ``POST /v1/codes/parse``."""

    text: Annotated[str, Field(max_length=200)]


class Reply(BaseModel):
    """Base of everything the service answers."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class ReceiptReply(Reply):
    """Proof that an entry stands in the signed log; keep it, `packgrade record verify` asks for it."""

    leaf_hash: str
    inclusion_proof: list[str]
    checkpoint: str


class RecordPlace(Reply):
    """Where an entry stands in the record, and the proof that it does."""

    sequence: int
    leaf_sha256: str
    receipt: ReceiptReply


class BilingualText(Reply):
    """One sentence in the languages of the station."""

    en: str
    zh: str


class CapacityReply(Reply):
    """Remaining capacity with its interval; absent where nothing honest can be said."""

    method: Method
    definition: str
    rated_capacity_ah: float
    remaining_capacity_ah: float
    lower_ah: float
    upper_ah: float
    coverage_fraction: float
    state_of_health_fraction: float
    probability_below_cut: dict[str, float]


class ReasonReply(Reply):
    """Why the decision is what it is."""

    code: str
    severity: Severity
    message: BilingualText
    evidence: dict[str, bool | int | float | str]


class NextTestReply(Reply):
    """The cheapest test that would tell."""

    test_id: str
    method: Method
    minutes: float
    instruction: BilingualText


class BundleReply(Reply):
    """Which bundle estimated."""

    name: str
    version: str
    sha256: str


class PolicyReply(Reply):
    """Which policy decided."""

    id: str
    version: str
    sha256: str


class GradeReply(Reply):
    """A recorded decision."""

    decision_id: str
    recorded: RecordPlace
    outcome: Outcome
    grade: str | None
    suitable_uses: list[str]
    capacity: CapacityReply | None
    reasons: list[ReasonReply]
    next_test: NextTestReply | None
    bundle: BundleReply
    policy: PolicyReply
    input_sha256: str


class DeclarationReply(Reply):
    """A battery as it was declared."""

    battery_id: str
    scheme: Scheme
    level: Level
    chemistry: Chemistry
    rated_capacity_ah: float
    nominal_voltage_volt: float | None
    series_count: int | None
    parallel_count: int | None
    type_designation: str | None
    manufactured_on: Day | None


class DecisionSummary(Reply):
    """One decision in the list of a battery."""

    decision_id: str
    sequence: int
    recorded_at: Moment
    outcome: Outcome
    grade: str | None


class EventSummary(Reply):
    """One entry about a battery that is no decision."""

    sequence: int
    kind: LeafKind
    event_id: str
    recorded_at: Moment
    names: str | None = Field(description="The decision it is about, where it is about one.")


class BatteryReply(Reply):
    """A battery as last declared (null if never graded), its decisions and what else is recorded, oldest first."""

    battery: DeclarationReply | None
    decisions: list[DecisionSummary]
    events: list[EventSummary]


class ProblemReply(Reply):
    """One broken rule."""

    where: str
    rule: str
    value: str


class CodeReply(Reply):
    """What a battery code says; a code that breaks a rule is not interpreted and only names its problems."""

    code: str
    valid: bool
    scheme: Scheme
    problems: list[ProblemReply]
    maker_code: str | None
    maker_name: str | None
    level: Level | None
    cascade_level: Level | None
    battery_type_letter: str | None
    chemistries: list[Chemistry]
    chemistry_certain: bool
    specification: str | None
    traceability: str | None
    manufacture_year: int | None
    manufacture_month: int | None
    manufactured_on: str | None
    day_ambiguous: bool
    day_readings: list[int]
    serial: str | None


class ErrorDetail(Reply):
    """The error of a refused request."""

    code: str
    message: str
    details: list[ProblemReply]


class ErrorReply(Reply):
    """The one body of every answer from 400 on."""

    error: ErrorDetail


def record_place(leaf_sha256: str, receipt: Receipt | None) -> RecordPlace:
    """Where an entry stands, as a reply says it.

    Raises
    ------
    ValueError
        If the entry was read without its receipt: nothing leaves the building without one.
    """
    if receipt is None:
        raise ValueError(f"Entry {leaf_sha256} was read without its receipt.")
    proof = ReceiptReply(
        leaf_hash=receipt.leaf_hash, inclusion_proof=list(receipt.inclusion_proof), checkpoint=receipt.checkpoint
    )
    return RecordPlace(sequence=receipt.sequence, leaf_sha256=leaf_sha256, receipt=proof)


def reply_from_record(recorded: RecordedDecision) -> dict[str, Any]:
    """Return the reply a recorded decision gives, as plain JSON; a function of the record alone."""
    place = record_place(recorded.leaf_sha256, recorded.receipt)
    return _decision_reply(recorded.decision_id, place, recorded.request_sha256, recorded.body)


def reply_from_entry(entry: Recorded) -> dict[str, Any]:
    """Return the reply that was sent when a decision was recorded."""
    leaf = entry.leaf
    place = record_place(entry.leaf_sha256, entry.receipt)
    return _decision_reply(leaf.event_id, place, leaf.request_sha256, leaf.body)


def battery_reply(entries: Sequence[Leaf]) -> dict[str, Any]:
    """Return what the record says of one battery.

    Parameters
    ----------
    entries : sequence of Leaf
        Everything recorded about it, oldest first.
    """
    decisions = [leaf for leaf in entries if leaf.kind is LeafKind.DECISION]
    return BatteryReply(
        battery=DeclarationReply.model_validate(decisions[-1].body["battery"]) if decisions else None,
        decisions=[_decision_summary(leaf) for leaf in decisions],
        events=[_event_summary(leaf) for leaf in entries if leaf.kind is not LeafKind.DECISION],
    ).model_dump(mode="json")


def _decision_summary(leaf: Leaf) -> DecisionSummary:
    decision = leaf.body["decision"]
    return DecisionSummary(
        decision_id=leaf.event_id,
        sequence=leaf.sequence,
        recorded_at=leaf.recorded_at,
        outcome=decision["outcome"],
        grade=decision["grade"],
    )


def _event_summary(leaf: Leaf) -> EventSummary:
    return EventSummary(
        sequence=leaf.sequence,
        kind=leaf.kind,
        event_id=leaf.event_id,
        recorded_at=leaf.recorded_at,
        names=leaf.body.get("decision_id"),
    )


def code_reply(text: str) -> dict[str, Any]:
    """Return what a scanned or typed text says as a battery code."""
    parsed = parse_battery_code(text)
    problems = [{"where": each.where, "rule": each.rule, "value": each.value} for each in parsed.problems]
    named = {name: getattr(parsed, name) for name in CodeReply.model_fields if name != "problems"}
    made = parsed.manufactured_on and parsed.manufactured_on.isoformat()
    return CodeReply.model_validate({**named, "problems": problems, "manufactured_on": made}).model_dump(mode="json")


def json_bytes(reply: Mapping[str, Any]) -> bytes:
    """Return a reply as the bytes that are sent: UTF-8, compact, keys in the order of the schema."""
    return json.dumps(reply, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _decision_reply(
    decision_id: str, place: RecordPlace, request_sha256: str, body: Mapping[str, Any]
) -> dict[str, Any]:
    decision, policy, estimate = body["decision"], body["policy"], body["estimate"]
    reply = {
        "decision_id": decision_id,
        "recorded": place,
        **{name: decision[name] for name in ("outcome", "grade", "suitable_uses", "reasons", "next_test")},
        "capacity": None if estimate is None else _capacity(estimate),
        "bundle": body["bundle"],
        "policy": {"id": policy["policy_id"], "version": policy["version"], "sha256": policy["sha256"]},
        "input_sha256": request_sha256,
    }
    return GradeReply.model_validate(reply).model_dump(mode="json")


def _capacity(estimate: Mapping[str, Any]) -> dict[str, Any]:
    named = {name: estimate[name] for name in CapacityReply.model_fields if name != "definition"}
    return {**named, "definition": estimate["capacity_definition"]}
