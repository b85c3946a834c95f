"""Genealogy and EPCIS on a real server."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serving.genealogy_messages import AssociationReply, GenealogyReply, RecodingReply
from serving.messages import ErrorReply
from serving.trace.documents import require_profile
from tests.support.decided import CASCADE_CELL, CELL, MODULE, PACK
from tests.support.running_service import RunningService, running_service
from tests.support.untrained_bundle import untrained_bundle


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("service")
    bundle = untrained_bundle(folder / "bundle")
    with running_service(folder / "record.sqlite", environment={"PACKGRADE_BUNDLE": str(bundle)}) as running:
        yield running


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def numbered(code: str, number: int) -> str:
    """The same type with another serial number, so that no test meets another's batteries."""
    return f"{code[:17]}{number:07d}"


def graded(client: httpx.Client, code: str, key: str = "") -> str:
    """A battery whose full discharge says 31.5 of 35 Ah: a cascade decision."""
    table = {
        "step_index": [0, 1, 2, 3],
        "step_type": ["charge", "rest", "discharge", "rest"],
        "step_duration_second": [3600.0, 3600.0, 3240.0, 600.0],
        "current_ampere": [17.5, 0.0, -35.0, 0.0],
        "voltage_begin_volt": [3.2, 3.42, 3.3, 2.6],
        "voltage_end_volt": [3.65, 3.42, 2.5, 2.8],
    }
    battery = {"battery_id": code, "level": "cell", "chemistry": "LFP", "rated_capacity_ah": 35.0}
    document = {
        "battery": battery,
        "runs": [{"kind": "capacity_test", "format": "step_table", "table": table}],
        "inspection": {"leakage": False, "swelling": False},
    }
    reply = client.post("/v1/grade", json=document, headers={"Idempotency-Key": key or f"grade-{code}"}).json()
    assert reply["outcome"] == "cascade", reply
    return str(reply["decision_id"])


def associated(client: httpx.Client, parent: str, *children: str, action: str = "ADD", key: str = "") -> httpx.Response:
    document = {"parent": parent, "children": list(children), "action": action}
    return client.post("/v1/associations", json=document, headers={"Idempotency-Key": key} if key else {})


def recoding(old: str, decision_id: str, new: str = CASCADE_CELL) -> dict[str, Any]:
    return {"old_codes": [old], "new_code": new, "rated_capacity_ah": 30.5, "decision_id": decision_id}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, ErrorReply.model_validate_json(answer.content).error.code


def events(client: httpx.Client, code: str, **asked: object) -> dict[str, Any]:
    answer = client.get(f"/v1/batteries/{code}/events", params=asked)
    assert answer.status_code == 200, answer.text
    require_profile(answer.json())
    return dict(answer.json()["epcisBody"]["queryResults"])


def kinds(results: dict[str, Any]) -> list[str]:
    return [event["packgrade:kind"] for event in results["resultsBody"]["eventList"]]


def test_an_association_is_answered_with_its_place_in_the_record_and_its_due_date(client: httpx.Client) -> None:
    cell, pack = numbered(CELL, 1), numbered(PACK, 1)
    graded(client, cell)
    answer = associated(client, pack.lower(), cell, key="put-1")
    reply = AssociationReply.model_validate_json(answer.content)
    assert (answer.status_code, reply.parent, reply.children) == (200, pack, [cell])
    assert reply.upload_due_on is not None
    assert len(reply.recorded.leaf_sha256) == 64
    assert associated(client, pack.lower(), cell, key="put-1").content == answer.content
    assert refusal(associated(client, pack, cell, action="DELETE", key="put-1")) == (409, "IDEMPOTENCY_CONFLICT")


def test_what_the_record_forbids_is_refused_with_the_reason(client: httpx.Client) -> None:
    cell = numbered(CELL, 2)
    graded(client, cell)
    assert associated(client, numbered(PACK, 2), cell).status_code == 200
    answer = associated(client, numbered(PACK, 3), cell)
    assert refusal(answer) == (422, "GENEALOGY_REFUSED")
    (detail,) = answer.json()["error"]["details"]
    assert detail == {
        "where": "children[0]",
        "rule": f"must be part of nothing; it is part of {numbered(PACK, 2)}",
        "value": cell,
    }
    assert client.get(f"/v1/batteries/{numbered(PACK, 3)}/events").status_code == 404


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "OBSERVE"},
        {"children": []},
        {"children": "04QCB76836300JBC40000903"},
        {"parent": None},
        {"parent": ""},
        {"vin": "1M8GDM9AXKP042788"},
        {"parent": "1M8GDM9AXKP042788"},
    ],
)
def test_an_association_of_the_wrong_shape_is_refused(client: httpx.Client, changes: dict[str, object]) -> None:
    sound = {"parent": PACK, "children": [CELL], "action": "ADD"}
    assert refusal(client.post("/v1/associations", json=sound | changes)) == (422, "INVALID_INPUT")


def test_a_cell_under_its_new_code_is_one_battery_seen_from_either_code(client: httpx.Client) -> None:
    cell, new = numbered(CELL, 4), "04QCB76GB10000004RC"
    decision_id = graded(client, cell)
    answer = client.post("/v1/recodings", json=recoding(cell, decision_id, new), headers={"Idempotency-Key": "recode"})
    reply = RecodingReply.model_validate_json(answer.content)
    assert (reply.old_codes, reply.new_code, reply.rated_capacity_ah) == ([cell], new, 30.5)
    assert answer.headers["Idempotency-Key"] == "recode"
    assert kinds(events(client, new)) == kinds(events(client, cell)) == ["decision", "recoding"]
    before = GenealogyReply.model_validate_json(client.get(f"/v1/batteries/{cell}/genealogy").content)
    after = GenealogyReply.model_validate_json(client.get(f"/v1/batteries/{new}/genealogy").content)
    assert (before.became, before.current_code, after.old_codes) == (new, new, [cell])
    again = client.post("/v1/recodings", json=recoding(cell, decision_id, new), headers={"Idempotency-Key": "recode"})
    assert again.content == answer.content


@pytest.mark.parametrize("changes", [{"rated_capacity_ah": "30.5"}, {"decision_id": "latest"}, {"new_code": CELL}])
def test_a_recoding_of_the_wrong_shape_is_refused(client: httpx.Client, changes: dict[str, object]) -> None:
    assert refusal(client.post("/v1/recodings", json=recoding(CELL, "e" * 32) | changes)) == (422, "INVALID_INPUT")


def test_a_recoding_nothing_permits_is_refused(client: httpx.Client) -> None:
    cell = numbered(CELL, 5)
    graded(client, cell)
    answer = client.post("/v1/recodings", json=recoding(cell, "e" * 32, "04QCB76GB10000005RC"))
    assert refusal(answer) == (422, "GENEALOGY_REFUSED")


def test_events_are_told_in_the_order_of_the_log_page_by_page(client: httpx.Client) -> None:
    cell, pack = numbered(CELL, 6), numbered(PACK, 6)
    for number in range(3):
        graded(client, cell, key=f"page-{number}")
    associated(client, pack, cell)
    associated(client, pack, cell, action="DELETE")
    whole = events(client, cell)["resultsBody"]["eventList"]
    assert kinds(events(client, cell)) == ["decision"] * 3 + ["association"] * 2
    indices = [event["packgrade:log_index"] for event in whole]
    assert indices == sorted(indices)
    found, token = list[Any](), "0"
    while token:
        page = events(client, cell, perPage=2, nextPageToken=token)
        assert len(page["resultsBody"]["eventList"]) <= 2
        found += page["resultsBody"]["eventList"]
        token = page.get("packgrade:next_page_token", "")
    assert found == whole


def test_the_same_events_are_the_same_bytes(client: httpx.Client) -> None:
    cell = numbered(CELL, 7)
    graded(client, cell)
    first = client.get(f"/v1/batteries/{cell}/events").content
    assert client.get(f"/v1/batteries/{cell.lower()}/events").content == first


def test_a_page_beyond_the_last_event_is_empty(client: httpx.Client) -> None:
    cell = numbered(CELL, 8)
    graded(client, cell)
    assert kinds(events(client, cell, nextPageToken="999999")) == []


@pytest.mark.parametrize(
    "asked",
    [{"perPage": "0"}, {"perPage": "1001"}, {"perPage": "all"}, {"nextPageToken": "-1"}, {"nextPageToken": "x"}],
)
def test_a_page_that_is_none_is_refused(client: httpx.Client, asked: dict[str, str]) -> None:
    cell = numbered(CELL, 9)
    graded(client, cell)
    assert refusal(client.get(f"/v1/batteries/{cell}/events", params=asked)) == (422, "INVALID_INPUT")


@pytest.mark.parametrize("what", ["events", "genealogy"])
def test_of_an_unknown_battery_nothing_is_told(client: httpx.Client, what: str) -> None:
    assert refusal(client.get(f"/v1/batteries/{numbered(MODULE, 99)}/{what}")) == (404, "NOT_FOUND")


def test_a_local_identifier_may_hold_a_slash(client: httpx.Client) -> None:
    graded(client, "shelf 3/cell 7", key="slash")
    assert kinds(events(client, "shelf%203%2Fcell%207")) == ["decision"]
    assert client.get("/v1/batteries/shelf%203%2Fcell%207").status_code == 200


def test_the_vocabulary_is_served_as_json_ld(client: httpx.Client) -> None:
    served = client.get("/v1/vocabulary").json()
    assert served["@context"]["packgrade"] == "https://packgrade.example/voc/1#"
    labels = {each["@id"]: each["rdfs:label"] for each in served["@graph"]}
    assert [label["@language"] for label in labels["packgrade:cascade"]] == ["en", "zh"]


def test_the_description_of_the_api_covers_the_routes_and_its_examples_are_taken(client: httpx.Client) -> None:
    described = client.get("/docs.json").json()["paths"]
    assert {"get"} == set(described["/v1/vocabulary"]) == set(described["/v1/batteries/{code}/genealogy"])
    cell = numbered(CELL, 10)
    decision_id = graded(client, cell)
    for route, changes in (
        ("/v1/associations", {"children": [cell]}),
        ("/v1/associations", {"children": [cell], "action": "DELETE"}),
        ("/v1/recodings", {"old_codes": [cell], "decision_id": decision_id}),
    ):
        shown = described[route]["post"]["requestBody"]["content"]["application/json"]["examples"]
        (example,) = (each["value"] for each in shown.values())
        answer = client.post(route, json=example | changes)
        assert answer.status_code == 200, answer.text
    answered = described["/v1/batteries/{code}/events"]["get"]["responses"]["200"]["content"]["application/json"]
    require_profile(answered["examples"]["events"]["value"])
