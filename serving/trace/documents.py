"""The shape of every EPCIS document we send: GS1's EPCIS 2.0, narrowed to what we mean.

A closed profile. Business steps, dispositions, quantities and properties are those of the vocabulary or
the few GS1 words named here; anything else is refused, where GS1's own schema would let it pass. A document
is built through these models, so what was built keeps the profile. Every moment is UTC.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from features.errors import InvalidInput, Problem
from serving.record.canonical import canonical_json
from serving.trace.identifiers import AUTHORITY
from serving.trace.vocabulary import WordKind, shipped_vocabulary

GS1_CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
SCHEMA_VERSION = "2.0"

_OURS = shipped_vocabulary()
_PROPERTIES = _OURS.names(WordKind.PROPERTY)
_CONTEXT = (GS1_CONTEXT, {_OURS.prefix: _OURS.namespace})


def _listed(kind: WordKind) -> AfterValidator:
    words = {_OURS.written(name) for name in _OURS.names(kind)}

    def listed(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be a word of the vocabulary ({kind.value})")
        return text

    return AfterValidator(listed)


def _utc(text: str) -> str:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", text):
        raise ValueError("must be a UTC moment such as 2026-11-22T08:30:00.000000Z")
    datetime.fromisoformat(text)
    return text


def _day(text: str) -> str:
    date.fromisoformat(text)
    return text


def _our_context(context: tuple[Any, ...]) -> tuple[Any, ...]:
    if context != _CONTEXT:
        raise ValueError("must be GS1's context and our prefix")
    return context


_LONGEST_URI = 2048
_SEGMENT = r"([A-Za-z0-9._~-]|%[0-9A-F]{2})+"
_BATTERY = rf"^{re.escape(AUTHORITY)}/obj/(gbt34014|gbt34014_cascade|local)/{_SEGMENT}$"
_STATION = rf"^{re.escape(AUTHORITY)}/loc/{_SEGMENT}$"

BatteryUri = Annotated[str, Field(pattern=_BATTERY, max_length=_LONGEST_URI)]
StationUri = Annotated[str, Field(pattern=_STATION, max_length=_LONGEST_URI)]
EventUri = Annotated[str, Field(pattern=r"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
DigestUri = Annotated[str, Field(pattern=r"^ni:///sha-256;[A-Za-z0-9_-]{43}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[str, AfterValidator(_utc)]
Day = Annotated[str, AfterValidator(_day)]
Text = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
Index = Annotated[int, Field(ge=0)]
Disposition = Annotated[str, _listed(WordKind.DISPOSITION)]
OwnStep = Annotated[str, _listed(WordKind.BUSINESS_STEP)]
Measurement = Annotated[str, _listed(WordKind.MEASUREMENT)]
SensorException = Annotated[str, _listed(WordKind.SENSOR_EXCEPTION)]
ErrorReason = Annotated[str, _listed(WordKind.ERROR_REASON)]


_GS1_NAMES = {
    "context": "@context",
    "event_id": "eventID",
    "corrective_event_ids": "correctiveEventIDs",
    "parent_id": "parentID",
    "child_epcs": "childEPCs",
    "input_epc_list": "inputEPCList",
    "output_epc_list": "outputEPCList",
}
"""Names of EPCIS 2.0 that are not in camel case."""


def _written(name: str) -> str:
    """A field as documents write it: our properties with our prefix, GS1's as GS1 spells them."""
    return _OURS.written(name) if name in _PROPERTIES else _GS1_NAMES.get(name, to_camel(name))


class Part(BaseModel):
    """Base of every part of a document: no other property, no value of another type."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, frozen=True, alias_generator=_written, populate_by_name=True
    )


class Place(Part):
    """A station."""

    id: StationUri


class Stamp(Part):
    """Which policy or bundle."""

    name: Text
    version: Text
    sha256: Sha256


class SensorMetadata(Part):
    """Where values come from: digests of the input, the policy and the model, never the data."""

    raw_data: DigestUri
    biz_rules: DigestUri | None = None
    data_processing_method: DigestUri | None = None


class SensorReport(Part):
    """One quantity with its interval, or why there is none. Units are UN/CEFACT codes: AMH is Ah, C62 is one."""

    type: Measurement
    exception: SensorException | None = None
    value: float | None = None
    uom: Literal["AMH", "C62"] | None = None
    lower: float | None = None
    upper: float | None = None
    coverage_fraction: float | None = None
    method: Text | None = None
    capacity_definition: Text | None = None

    @model_validator(mode="after")
    def _value_or_exception(self) -> Self:
        if (self.value is None) == (self.exception is None) or (self.value is None) != (self.uom is None):
            raise ValueError("must give either a value with its unit or an exception")
        if self.value is not None and not self._within_interval(self.value):
            raise ValueError("must lie within its interval")
        return self

    def _within_interval(self, value: float) -> bool:
        """Whether a value keeps the bounds that are given; one that is not given bounds nothing."""
        return (self.lower is None or self.lower <= value) and (self.upper is None or value <= self.upper)


class SensorElement(Part):
    """Values with what they rest on."""

    sensor_metadata: SensorMetadata
    sensor_report: Annotated[list[SensorReport], Field(min_length=1)]


class ErrorDeclaration(Part):
    """Says of an event told before that later ones correct it."""

    declaration_time: Moment
    reason: ErrorReason
    corrective_event_ids: Annotated[list[EventUri], Field(min_length=1)]


class Event(Part):
    """What every event carries, among it its place in the record."""

    event_id: EventUri
    event_time: Moment
    event_time_zone_offset: Literal["+00:00"] = "+00:00"
    read_point: Place
    error_declaration: ErrorDeclaration | None = None
    kind: Text
    log_index: Index
    leaf_sha256: Sha256
    battery_sequence: Index
    software_version: Text
    station_clock: Moment | None = None
    upload_due_on: Day | None = None


class ObjectEvent(Event):
    """A battery was looked at: graded, measured, corrected, or its grading refused."""

    type: Literal["ObjectEvent"] = "ObjectEvent"
    action: Literal["OBSERVE"] = "OBSERVE"
    biz_step: Literal["inspecting"] = "inspecting"
    disposition: Disposition
    epc_list: Annotated[list[BatteryUri], Field(min_length=1, max_length=1)]
    sensor_element_list: Annotated[list[SensorElement], Field(min_length=1)] | None = None
    grade: Text | None = None
    suitable_uses: list[Text] | None = None
    reasons: list[Text] | None = None
    next_test: Text | None = None
    policy: Stamp | None = None
    bundle: Stamp | None = None
    about_event: EventUri | None = None


class AssociationEvent(Event):
    """Cells or modules came into a module or pack, or out of it."""

    type: Literal["AssociationEvent"] = "AssociationEvent"
    action: Literal["ADD", "DELETE"]
    biz_step: Literal["assembling", "disassembling"]
    parent_id: BatteryUri
    child_epcs: Annotated[list[BatteryUri], Field(min_length=1)]

    @model_validator(mode="after")
    def _step_of_action(self) -> Self:
        if (self.action == "ADD") != (self.biz_step == "assembling"):
            raise ValueError("ADD is assembling, DELETE is disassembling")
        return self


class ProductData(Part):
    """What a cascade product is: its newly calibrated rated capacity, and the codes it bore."""

    rated_capacity_ah: Annotated[float, Field(gt=0.0)]
    former_ids: Annotated[list[BatteryUri], Field(min_length=1)]


class TransformationEvent(Event):
    """Batteries became a cascade product under a new code."""

    type: Literal["TransformationEvent"] = "TransformationEvent"
    biz_step: OwnStep
    disposition: Disposition
    input_epc_list: Annotated[list[BatteryUri], Field(min_length=1)]
    output_epc_list: Annotated[list[BatteryUri], Field(min_length=1, max_length=1)]
    ilmd: ProductData
    permitted_by: EventUri


AnyEvent = Annotated[ObjectEvent | AssociationEvent | TransformationEvent, Field(discriminator="type")]


class EventList(Part):
    """Events in the order of the log."""

    event_list: list[AnyEvent]


class _Document(Part):
    context: Annotated[tuple[Any, ...], AfterValidator(_our_context), Field(strict=False)] = _CONTEXT
    schema_version: Literal["2.0"] = "2.0"
    creation_date: Moment


class EpcisDocument(_Document):
    """What is sent for one entry of the record; ``id`` is the digest of that entry."""

    type: Literal["EPCISDocument"] = "EPCISDocument"
    id: DigestUri
    epcis_body: EventList


class QueryResults(Part):
    """The answer to a query, one page of it."""

    query_name: Literal["SimpleEventQuery"] = "SimpleEventQuery"
    results_body: EventList
    next_page_token: Text | None = None


class QueryBody(Part):
    """Body of the answer to a query."""

    query_results: QueryResults


class EpcisQueryDocument(_Document):
    """The events of one battery."""

    type: Literal["EPCISQueryDocument"] = "EPCISQueryDocument"
    epcis_body: QueryBody


def plain(document: EpcisDocument | EpcisQueryDocument) -> dict[str, Any]:
    """A document as JSON; what is absent is left out."""
    return document.model_dump(mode="json", by_alias=True, exclude_none=True)


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """A document as it is sent: canonical JSON (RFC 8785), so equal entries give equal bytes."""
    return canonical_json(document)


def require_profile(document: Mapping[str, Any]) -> None:
    """See that a document says nothing our profile does not know.

    Raises
    ------
    InvalidInput
        Naming every place that breaks it.
    """
    shape = EpcisQueryDocument if document.get("type") == "EPCISQueryDocument" else EpcisDocument
    try:
        shape.model_validate(document, by_name=False)
    except ValidationError as error:
        problems = [
            Problem(".".join(map(str, each["loc"])), each["msg"], f"{each['input']!r:.80}") for each in error.errors()
        ]
        raise InvalidInput("The document does not keep the profile of our EPCIS events.", problems) from error
