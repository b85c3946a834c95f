"""An entry of the record as a GS1 EPCIS 2.0 document; a pure function of the entry.

A decision, an outcome or a refusal is an `ObjectEvent` (somebody looked at a battery), coming into or out
of a pack an `AssociationEvent`, a new cascade code a `TransformationEvent`. A withdrawal is told as two
events of one document, as GS1 asks: the decision again, unchanged, with an `errorDeclaration`, and the event
that corrects it. An override says nothing against the decision, which was no error: it is an event of its own
that names it. The event's time is the moment of recording; the order is the log's index, never the
clock. Entries about the deployment itself (keys, bundles, policies) are not events of a battery and
make no document. Neither rows of measurements nor persons are told: digests point to the former, pseudonyms
of the latter stay in the record.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from features.errors import Problem
from models.decision import CapacityEstimate
from serving.record.leaf import Leaf, LeafKind, leaf_sha256
from serving.trace.documents import (
    AnyEvent,
    AssociationEvent,
    EpcisDocument,
    EpcisQueryDocument,
    ErrorDeclaration,
    EventList,
    ObjectEvent,
    Place,
    ProductData,
    QueryBody,
    QueryResults,
    SensorElement,
    SensorMetadata,
    SensorReport,
    Stamp,
    TransformationEvent,
    plain,
)
from serving.trace.identifiers import NotToBeTold, battery_uri, digest_uri, event_uri, station_uri
from serving.trace.vocabulary import shipped_vocabulary

TOLD_KINDS = frozenset(
    {
        LeafKind.DECISION,
        LeafKind.OUTCOME,
        LeafKind.CORRECTION,
        LeafKind.REFUSAL,
        LeafKind.ASSOCIATION,
        LeafKind.RECODING,
    }
)
"""Kinds of entry that are events of a battery."""

Json = Mapping[str, Any]

_our = shipped_vocabulary().written
_ESTIMATE = TypeAdapter(CapacityEstimate)
_WITHDRAW = "withdraw"
_CORRECTED = {_WITHDRAW: "decision_withdrawn", "override": "verdict_overridden"}


def epcis_document(leaf: Leaf, corrected: Leaf | None = None) -> dict[str, Any]:
    """The document that tells an entry; ``id`` is the digest of the entry, ``creationDate`` its moment.

    Parameters
    ----------
    leaf : Leaf
        The entry.
    corrected : Leaf, optional
        The entry `corrected_event_id` names; required where it names one.

    Returns
    -------
    dict
        Plain JSON that keeps our profile (`serving.trace.documents`); equal entries give equal documents.

    Raises
    ------
    NotToBeTold
        If the entry is no event of a battery, or its battery is named by a vehicle.
    ValueError
        If the entry corrected is missing or another one.
    """
    body = EventList(event_list=_events(leaf, corrected))
    told = EpcisDocument(id=digest_uri(leaf_sha256(leaf)), creation_date=leaf.recorded_at, epcis_body=body)
    return plain(told)


def corrected_event_id(leaf: Leaf) -> str | None:
    """Identifier of the decision that an entry declares to be an error; None unless it withdraws one."""
    body = leaf.body if leaf.kind is LeafKind.CORRECTION else {}
    return body["decision_id"] if body.get("action") == _WITHDRAW else None


def epcis_query_document(
    told: Sequence[tuple[Leaf, Leaf | None]], created: str, next_page_token: str | None
) -> dict[str, Any]:
    """The document that answers which events a battery has.

    Parameters
    ----------
    told : sequence of pair of Leaf
        Entries in the order of the log, each with the one it corrects.
    created : str
        Moment of the document, UTC.
    next_page_token : str or None
        Gives the next page; None on the last.
    """
    events = [event for leaf, corrected in told for event in _events(leaf, corrected)]
    results = QueryResults(results_body=EventList(event_list=events), next_page_token=next_page_token)
    return plain(EpcisQueryDocument(creation_date=created, epcis_body=QueryBody(query_results=results)))


def _events(leaf: Leaf, corrected: Leaf | None) -> list[AnyEvent]:
    wrong = corrected_event_id(leaf)
    if wrong is None:
        return [_event(leaf)]
    if corrected is None or corrected.event_id != wrong:
        raise ValueError(f"Correction {leaf.event_id} can only be told together with decision {wrong}.")
    declared = ErrorDeclaration(
        declaration_time=leaf.recorded_at,
        reason=_our("withdrawn"),
        corrective_event_ids=[event_uri(leaf.event_id)],
    )
    return [_event(corrected).model_copy(update={"error_declaration": declared}), _event(leaf)]


def _event(leaf: Leaf) -> AnyEvent:
    if leaf.kind not in TOLD_KINDS or leaf.battery_id is None:
        rule = "must be an event of a battery"
        raise NotToBeTold(f"Entry {leaf.sequence} concerns the deployment.", Problem("kind", rule, leaf.kind.value))
    common, body = _common(leaf), leaf.body
    if leaf.kind is LeafKind.ASSOCIATION:
        return _association(common, body)
    if leaf.kind is LeafKind.RECODING:
        return _recoding(common, body)
    looked_at = {**common, "epc_list": [battery_uri(leaf.battery_id)]}
    if leaf.kind is LeafKind.DECISION:
        return _decision(looked_at, leaf.request_sha256, body)
    if leaf.kind is LeafKind.OUTCOME:
        return _outcome(looked_at, leaf.request_sha256, body)
    return _remark(looked_at, leaf.kind, body)


def _common(leaf: Leaf) -> dict[str, Any]:
    return {
        "event_id": event_uri(leaf.event_id),
        "event_time": leaf.recorded_at,
        "read_point": Place(id=station_uri(leaf.station)),
        "kind": leaf.kind.value,
        "log_index": leaf.sequence,
        "leaf_sha256": leaf_sha256(leaf),
        "battery_sequence": leaf.battery_sequence,
        "software_version": leaf.software_version,
        "station_clock": leaf.station_clock,
        "upload_due_on": leaf.body.get("upload_due_on"),
    }


def _decision(looked_at: Json, request_sha256: str, body: Json) -> ObjectEvent:
    decided, policy, bundle = body["decision"], body["policy"], body["bundle"]
    metadata = SensorMetadata(
        raw_data=digest_uri(request_sha256),
        biz_rules=digest_uri(policy["sha256"]),
        data_processing_method=digest_uri(bundle["sha256"]),
    )
    return ObjectEvent(
        **looked_at,
        disposition=_our(decided["outcome"]),
        sensor_element_list=[SensorElement(sensor_metadata=metadata, sensor_report=_reports(body["estimate"]))],
        grade=decided["grade"],
        suitable_uses=decided["suitable_uses"] or None,
        reasons=[reason["code"] for reason in decided["reasons"]],
        next_test=decided["next_test"] and decided["next_test"]["test_id"],
        policy=Stamp(name=policy["policy_id"], version=policy["version"], sha256=policy["sha256"]),
        bundle=Stamp(name=bundle["name"], version=bundle["version"], sha256=bundle["sha256"]),
    )


def _reports(written: Json | None) -> list[SensorReport]:
    """Remaining capacity and state of health with their interval, or that neither was estimated."""
    quantities = _our("remaining_capacity"), _our("state_of_health")
    if written is None:
        return [SensorReport(type=each, exception=_our("not_estimated")) for each in quantities]
    estimate = _ESTIMATE.validate_python({k: v for k, v in written.items() if k != "state_of_health_fraction"})
    rests_on: dict[str, Any] = {
        "coverage_fraction": estimate.coverage_fraction,
        "method": estimate.method.value,
        "capacity_definition": estimate.capacity_definition,
    }
    return [
        SensorReport(
            type=quantities[0],
            uom="AMH",
            value=estimate.remaining_capacity_ah,
            lower=estimate.lower_ah,
            upper=estimate.upper_ah,
            **rests_on,
        ),
        SensorReport(
            type=quantities[1],
            uom="C62",
            value=estimate.state_of_health_fraction,
            lower=estimate.lower_fraction,
            upper=estimate.upper_fraction,
            **rests_on,
        ),
    ]


def _outcome(looked_at: Json, request_sha256: str, body: Json) -> ObjectEvent:
    source = body["test"]["source_sha256"] if body["test"] else request_sha256
    measured = SensorReport(
        type=_our("remaining_capacity"),
        value=float(body["remaining_capacity_ah"]),
        uom="AMH",
        capacity_definition=body["capacity_definition"],
    )
    element = SensorElement(sensor_metadata=SensorMetadata(raw_data=digest_uri(source)), sensor_report=[measured])
    return ObjectEvent(
        **looked_at,
        disposition=_our("capacity_measured"),
        sensor_element_list=[element],
        about_event=event_uri(body["decision_id"]),
    )


def _remark(looked_at: Json, kind: LeafKind, body: Json) -> ObjectEvent:
    """A correction or a refusal: that it was made; what a person wrote about it stays in the record."""
    if kind is LeafKind.CORRECTION:
        said, about = _our(_CORRECTED[body["action"]]), event_uri(body["decision_id"])
        return ObjectEvent(**looked_at, disposition=said, about_event=about)
    return ObjectEvent(**looked_at, disposition=_our("grading_refused"), reasons=[body["code"]])


def _association(common: Json, body: Json) -> AssociationEvent:
    return AssociationEvent(
        **common,
        action=body["action"],
        biz_step="assembling" if body["action"] == "ADD" else "disassembling",
        parent_id=battery_uri(body["parent"]),
        child_epcs=[battery_uri(child) for child in body["children"]],
    )


def _recoding(common: Json, body: Json) -> TransformationEvent:
    old = [battery_uri(code) for code in body["old_codes"]]
    return TransformationEvent(
        **common,
        biz_step=_our("recoding"),
        disposition=_our("recoded"),
        input_epc_list=old,
        output_epc_list=[battery_uri(body["new_code"])],
        ilmd=ProductData(rated_capacity_ah=float(body["rated_capacity_ah"]), former_ids=old),
        permitted_by=event_uri(body["decision_id"]),
    )
