"""Every event of a battery becomes an EPCIS 2.0 document: valid for GS1, closed for us, the same for ever."""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from features.errors import InvalidInput
from models.decision import Outcome
from serving.events.relations import Action
from serving.record.canonical import canonical_json
from serving.record.leaf import Leaf, LeafKind, leaf_sha256
from serving.record.ledger import Ledger
from serving.trace.documents import SensorReport, document_bytes, require_profile
from serving.trace.epcis import TOLD_KINDS, corrected_event_id, epcis_document, epcis_query_document
from serving.trace.identifiers import NotToBeTold, battery_uri, digest_uri, event_uri
from serving.trace.vocabulary import WordKind, shipped_vocabulary
from tests.support.cases import MOMENT
from tests.support.decided import CASCADE_CELL, CELL, MODULE, PACK, asked, associated, decided, recoded

ORIGIN = "https://packgrade.example"
_A_MEASUREMENT = shipped_vocabulary().written(min(shipped_vocabulary().names(WordKind.MEASUREMENT)))
RECORDED_AT = "2026-11-20T09:00:00.000000Z"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "record.sqlite", "test") as opened:
        yield opened


@pytest.fixture(scope="session")
def gs1(data_dir: Path) -> jsonschema.Draft7Validator:
    """GS1's own schema, its URIs and moments checked too."""
    file = data_dir.parent / "schemas" / "epcis-2.0" / "EPCIS-JSON-Schema.json"
    if not file.is_file():
        pytest.skip(f"GS1's schema absent: {file.name} is not beside PACKGRADE_DATA_DIR")
    formats = jsonschema.FormatChecker(())
    formats.checks("uri")(_is_uri)
    formats.checks("date-time")(lambda text: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text) is not None)
    return jsonschema.Draft7Validator(json.loads(file.read_text(encoding="utf-8")), format_checker=formats)


def _is_uri(text: object) -> bool:
    """RFC 3986: a scheme, then only characters a URI may have."""
    return (
        not isinstance(text, str)
        or re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+", text) is not None
    )


def every_event(ledger: Ledger) -> list[tuple[Leaf, Leaf | None]]:
    """One entry of each kind and shape, with the entry it corrects."""
    graded = decided(ledger, CELL)
    decided(ledger, MODULE, Outcome.RETEST, estimated=False)
    decided(ledger, "cell 7/电芯", Outcome.HOLD)
    outcome = {
        "decision_id": graded.leaf.event_id,
        "remaining_capacity_ah": 27.9,
        "capacity_definition": "1C discharge after CCCV, 25 °C",
        "measured_by": "bench of Li Wei",
        "test": None,
        "upload_due_on": "2026-12-31",
    }
    ledger.append(asked("outcome").entry(LeafKind.OUTCOME, CELL, outcome))
    tested = {**outcome, "test": {"values": {}, "source_sha256": "d" * 64}}
    ledger.append(asked("tested").entry(LeafKind.OUTCOME, CELL, tested))
    refusal = {"code": "INVALID_INPUT", "problems": [{"where": "runs[0]", "rule": "r", "value": "1.5"}]}
    ledger.append(asked("refusal").entry(LeafKind.REFUSAL, CELL, refusal))
    associated(ledger, PACK, MODULE)
    associated(ledger, PACK, MODULE, action=Action.DELETE)
    recoded(ledger, CASCADE_CELL, CELL)
    for action in ("override", "withdraw"):
        correction = {"decision_id": graded.leaf.event_id, "action": action, "reason": "Li Wei saw a leak"}
        ledger.append(asked(action).entry(LeafKind.CORRECTION, CELL, correction))
    return [(entry.leaf, _corrected(ledger, entry.leaf)) for entry in ledger]


def _corrected(ledger: Ledger, leaf: Leaf) -> Leaf | None:
    wrong = corrected_event_id(leaf)
    found = None if wrong is None else ledger.by_event_id(wrong)
    return None if found is None else found.leaf


def documents(ledger: Ledger) -> list[dict[str, Any]]:
    return [epcis_document(*each) for each in every_event(ledger)]


def event_of(document: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return document["epcisBody"]["eventList"][index]


def graded_event(ledger: Ledger, **more: Any) -> dict[str, Any]:
    return event_of(epcis_document(decided(ledger, CELL, **more).leaf))


@pytest.mark.real_data
def test_gs1_accepts_every_document(ledger: Ledger, gs1: jsonschema.Draft7Validator) -> None:
    told = every_event(ledger)
    assert {leaf.kind for leaf, _ in told} == TOLD_KINDS
    for each in told:
        assert [error.message for error in gs1.iter_errors(epcis_document(*each))] == []
    answer = epcis_query_document(told, RECORDED_AT, "12")
    assert [error.message for error in gs1.iter_errors(answer)] == []


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("place", "invented"),
    [
        ("bizStep", "https://packgrade.example/voc/1#polishing"),
        ("bizStep", "receiving"),
        ("disposition", "packgrade:as_good_as_new"),
        ("disposition", "https://elsewhere.example/graded"),
        ("packgrade:owner", "Li Wei"),
        ("elsewhere:grade", "A+"),
        ("packgrade:grade_a", "B"),
    ],
)
def test_what_gs1_lets_pass_and_we_did_not_define_is_refused_by_our_profile(
    ledger: Ledger, gs1: jsonschema.Draft7Validator, place: str, invented: str
) -> None:
    document = epcis_document(decided(ledger, CELL).leaf)
    event_of(document)[place] = invented
    assert gs1.is_valid(document)
    with pytest.raises(InvalidInput, match=re.escape(place)):
        require_profile(document)


def test_every_document_keeps_our_profile_read_back_from_its_bytes_too(ledger: Ledger) -> None:
    for document in documents(ledger):
        require_profile(document)
        require_profile(json.loads(document_bytes(document)))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda document: event_of(document).pop("packgrade:log_index"), "log_index"),
        (lambda document: event_of(document).update(action="ADD"), "action"),
        (lambda document: event_of(document).update(eventTime="2026-11-20T17:00:00+08:00"), "eventTime"),
        (lambda document: event_of(document).update(epcList=["urn:epc:id:sgtin:1.2.3"]), "epcList"),
        (lambda document: event_of(document)["sensorElementList"][0]["sensorReport"][0].update(uom="KWH"), "uom"),
        (lambda document: event_of(document)["sensorElementList"][0]["sensorReport"][0].update(value=99.0), "interval"),
        (lambda document: event_of(document)["sensorElementList"][0].update(rows=[1.0]), "rows"),
        (lambda document: document.update(sender="Li Wei"), "sender"),
        (lambda document: document["@context"].append({"more": "https://elsewhere.example/"}), "@context"),
        (lambda document: document.update(schemaVersion="1.2"), "schemaVersion"),
    ],
)
def test_a_document_with_anything_else_or_less_is_refused(ledger: Ledger, change: Any, place: str) -> None:
    document = epcis_document(decided(ledger, CELL).leaf)
    require_profile(document)
    change(document)
    with pytest.raises(InvalidInput, match=place):
        require_profile(document)


def test_equal_entries_give_equal_bytes_and_another_entry_gives_others(ledger: Ledger) -> None:
    leaf = decided(ledger, CELL).leaf
    first = document_bytes(epcis_document(leaf))
    again = ledger.by_event_id(leaf.event_id)
    assert again is not None
    assert document_bytes(epcis_document(again.leaf)) == first == canonical_json(epcis_document(leaf))
    assert document_bytes(epcis_document(decided(ledger, CELL, name="again").leaf)) != first


def test_a_grading_is_an_inspection_that_points_to_input_policy_and_model(ledger: Ledger) -> None:
    leaf = decided(ledger, CELL).leaf
    event = event_of(epcis_document(leaf))
    assert (event["type"], event["action"], event["bizStep"]) == ("ObjectEvent", "OBSERVE", "inspecting")
    assert event["disposition"] == "packgrade:cascade"
    assert event["epcList"] == [f"{ORIGIN}/obj/gbt34014/{CELL}"]
    assert event["sensorElementList"][0]["sensorMetadata"] == {
        "rawData": digest_uri(leaf.request_sha256),
        "bizRules": digest_uri("c" * 64),
        "dataProcessingMethod": digest_uri("b" * 64),
    }
    assert (event["packgrade:grade"], event["packgrade:suitable_uses"]) == ("B", ["stationary_storage"])
    assert event["packgrade:reasons"] == ["grade.cleared"]


def test_capacity_and_state_of_health_come_with_unit_interval_and_definition(ledger: Ledger) -> None:
    capacity, health = graded_event(ledger)["sensorElementList"][0]["sensorReport"]
    assert (capacity["type"], capacity["uom"]) == ("packgrade:remaining_capacity", "AMH")
    assert [capacity[name] for name in ("packgrade:lower", "value", "packgrade:upper")] == pytest.approx(
        [26.25, 28, 29.75]
    )
    assert (health["type"], health["uom"]) == ("packgrade:state_of_health", "C62")
    assert [health[name] for name in ("packgrade:lower", "value", "packgrade:upper")] == pytest.approx(
        [0.75, 0.8, 0.85]
    )
    for report in (capacity, health):
        assert report["packgrade:coverage_fraction"] == 0.9
        assert report["packgrade:capacity_definition"] == "1C discharge after CCCV, 25 °C"


def test_a_battery_nothing_honest_can_be_said_about_has_no_value(ledger: Ledger) -> None:
    event = graded_event(ledger, outcome=Outcome.RETEST, estimated=False)
    assert event["disposition"] == "packgrade:retest"
    assert event["packgrade:next_test"] == "capacity_test"
    assert "packgrade:grade" not in event
    assert event["sensorElementList"][0]["sensorReport"] == [
        {"type": "packgrade:remaining_capacity", "exception": "packgrade:not_estimated"},
        {"type": "packgrade:state_of_health", "exception": "packgrade:not_estimated"},
    ]


def test_the_time_is_the_moment_of_recording_and_the_order_is_the_index(ledger: Ledger) -> None:
    decided(ledger, MODULE)
    leaf = decided(ledger, CELL).leaf
    document = epcis_document(leaf)
    event = event_of(document)
    assert (event["eventTime"], event["eventTimeZoneOffset"]) == (RECORDED_AT, "+00:00")
    assert document["creationDate"] == RECORDED_AT
    assert (event["packgrade:log_index"], event["packgrade:battery_sequence"]) == (1, 0)
    assert event["packgrade:leaf_sha256"] == leaf_sha256(leaf)
    assert document["id"] == digest_uri(leaf_sha256(leaf))
    assert event["eventID"] == event_uri(leaf.event_id)
    assert event["readPoint"] == {"id": f"{ORIGIN}/loc/station-1"}


def test_a_withdrawn_decision_is_told_again_unchanged_with_what_corrects_it(ledger: Ledger) -> None:
    told = every_event(ledger)
    withdrawal, wrong = told[-1]
    assert wrong is not None
    before = event_of(epcis_document(wrong))
    document = epcis_document(withdrawal, wrong)
    declared, correction = event_of(document, 0), event_of(document, 1)
    assert declared.pop("errorDeclaration") == {
        "declarationTime": withdrawal.recorded_at,
        "reason": "packgrade:withdrawn",
        "correctiveEventIDs": [event_uri(withdrawal.event_id)],
    }
    assert declared == before
    assert correction["eventID"] == event_uri(withdrawal.event_id)
    assert correction["disposition"] == "packgrade:decision_withdrawn"
    assert correction["packgrade:about_event"] == before["eventID"]


def test_an_overridden_verdict_was_no_error(ledger: Ledger) -> None:
    override, wrong = every_event(ledger)[-2]
    assert wrong is None
    document = epcis_document(override)
    assert len(document["epcisBody"]["eventList"]) == 1
    assert event_of(document)["disposition"] == "packgrade:verdict_overridden"


def test_a_withdrawal_cannot_be_told_without_or_with_another_decision(ledger: Ledger) -> None:
    told = every_event(ledger)
    for other in (None, told[1][0]):
        with pytest.raises(ValueError, match="only be told together with"):
            epcis_document(told[-1][0], other)


def test_a_module_put_into_a_pack_is_an_association_and_taken_out_its_end(ledger: Ledger) -> None:
    put, taken = (event_of(each) for each in documents(ledger)[6:8])
    assert (put["type"], put["action"], put["bizStep"]) == ("AssociationEvent", "ADD", "assembling")
    assert (taken["type"], taken["action"], taken["bizStep"]) == ("AssociationEvent", "DELETE", "disassembling")
    for event in (put, taken):
        assert (event["parentID"], event["childEPCs"]) == (battery_uri(PACK), [battery_uri(MODULE)])


def test_a_new_cascade_code_is_a_transformation_that_keeps_the_old_one(ledger: Ledger) -> None:
    event = event_of(documents(ledger)[8])
    assert (event["type"], event["bizStep"]) == ("TransformationEvent", "packgrade:recoding")
    assert event["inputEPCList"] == [f"{ORIGIN}/obj/gbt34014/{CELL}"]
    assert event["outputEPCList"] == [f"{ORIGIN}/obj/gbt34014_cascade/{CASCADE_CELL}"]
    assert event["ilmd"] == {"packgrade:rated_capacity_ah": 28.0, "packgrade:former_ids": event["inputEPCList"]}
    assert event["packgrade:permitted_by"].startswith("urn:uuid:")


def test_a_capacity_measured_later_names_its_decision_and_its_source(ledger: Ledger) -> None:
    told = every_event(ledger)
    event, tested = (event_of(epcis_document(leaf)) for leaf, _ in told[3:5])
    assert event["disposition"] == "packgrade:capacity_measured"
    assert event["packgrade:about_event"] == event_uri(told[0][0].event_id)
    assert event["packgrade:upload_due_on"] == "2026-12-31"
    element = event["sensorElementList"][0]
    assert element["sensorReport"][0]["value"] == 27.9
    assert element["sensorMetadata"] == {"rawData": digest_uri(told[3][0].request_sha256)}
    assert tested["sensorElementList"][0]["sensorMetadata"] == {"rawData": digest_uri("d" * 64)}


def test_no_person_no_row_and_no_free_text_leaves_the_record(ledger: Ledger) -> None:
    sent = b"".join(document_bytes(document) for document in documents(ledger)).decode()
    assert "Li Wei" not in sent
    for name in ("operator", "idempotency", "key-", "evidence", "values", "1.5"):
        assert name not in sent, name


@pytest.mark.parametrize("kind", sorted(set(LeafKind) - TOLD_KINDS))
def test_what_concerns_the_deployment_is_not_told(ledger: Ledger, kind: LeafKind) -> None:
    leaf = replace(decided(ledger, CELL).leaf, kind=kind, battery_id=None, battery_sequence=None)
    with pytest.raises(NotToBeTold, match="concerns the deployment"):
        epcis_document(leaf)


def test_a_battery_named_by_a_vehicle_is_not_told(ledger: Ledger) -> None:
    with pytest.raises(NotToBeTold) as told:
        battery_uri("1M8GDM9AXKP042788")
    assert "1M8GDM9AXKP042788" not in str(told.value)
    assert battery_uri("1M8GDM9A1KP042788").endswith("/obj/local/1M8GDM9A1KP042788")


def test_documents_of_a_query_are_those_of_the_entries(ledger: Ledger) -> None:
    told = every_event(ledger)
    answer = epcis_query_document(told, RECORDED_AT, None)
    require_profile(answer)
    results = answer["epcisBody"]["queryResults"]
    assert "packgrade:next_page_token" not in results
    one_by_one = [event for each in told for event in epcis_document(*each)["epcisBody"]["eventList"]]
    assert results["resultsBody"]["eventList"] == one_by_one
    assert copy.deepcopy(answer) == answer
    assert MOMENT.isoformat() not in json.dumps(answer)


@pytest.mark.parametrize(
    ("value", "bounds"), [(0.5, {"upper": 0.0}), (-0.1, {"lower": 0.0}), (0.5, {"lower": 0.6}), (0.5, {"upper": 0.4})]
)
def test_a_value_outside_a_bound_is_refused_and_a_bound_of_zero_is_a_bound(
    value: float, bounds: dict[str, float]
) -> None:
    with pytest.raises(ValueError, match="must lie within its interval"):
        SensorReport(type=_A_MEASUREMENT, value=value, uom="C62", **bounds)


@pytest.mark.parametrize(("value", "bounds"), [(-0.1, {}), (-0.1, {"upper": 0.0}), (0.0, {"lower": 0.0, "upper": 0.0})])
def test_a_bound_that_is_not_given_bounds_nothing(value: float, bounds: dict[str, float]) -> None:
    assert SensorReport(type=_A_MEASUREMENT, value=value, uom="C62", **bounds).value == value
