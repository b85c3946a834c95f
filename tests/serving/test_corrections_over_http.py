"""``POST /v1/corrections`` on a real server."""

from collections.abc import Iterator

import httpx
import pytest

from serving.correction_messages import CorrectionReply
from serving.messages import ErrorReply
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


def discharge(capacity_ah: float) -> dict[str, object]:
    """A 1 C discharge of a 35 Ah cell after a full charge."""
    table = {
        "step_index": [0, 1, 2, 3],
        "step_type": ["charge", "rest", "discharge", "rest"],
        "step_duration_second": [3600.0, 3600.0, capacity_ah / 35.0 * 3600.0, 600.0],
        "current_ampere": [17.5, 0.0, -35.0, 0.0],
        "voltage_begin_volt": [3.2, 3.42, 3.3, 2.6],
        "voltage_end_volt": [3.65, 3.42, 2.5, 2.8],
    }
    return {"kind": "capacity_test", "format": "step_table", "table": table}


def graded(
    client: httpx.Client, key: str, battery_id: str, capacity_ah: float, **inspection: bool
) -> dict[str, object]:
    battery = {"battery_id": battery_id, "level": "cell", "chemistry": "LFP", "rated_capacity_ah": 35.0}
    document = {"battery": battery, "runs": [discharge(capacity_ah)], "inspection": inspection}
    answer = client.post("/v1/grade", json=document, headers={"Idempotency-Key": key})
    assert answer.status_code == 200
    return dict(answer.json())


def corrected(client: httpx.Client, key: str, decision_id: object, /, **changes: object) -> httpx.Response:
    sound = {"decision_id": decision_id, "action": "override", "reason": "cooling water", "person": "Li Wei"}
    return client.post("/v1/corrections", json=sound | changes, headers={"Idempotency-Key": key})


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, ErrorReply.model_validate_json(answer.content).error.code


def test_a_held_battery_is_graded_afresh_after_a_named_person_overrode_the_hold(client: httpx.Client) -> None:
    held = graded(client, "h1", "cell-h", 33.0, leakage=True)
    blocked = graded(client, "h2", "cell-h", 33.0)
    assert (held["outcome"], blocked["outcome"], blocked["grade"]) == ("hold", "hold", None)
    assert blocked["reasons"][0]["code"] == "VERDICT_STANDS"
    assert blocked["next_test"]["test_id"] == "overriding_capacity_test"
    reply = CorrectionReply.model_validate_json(corrected(client, "c1", held["decision_id"]).content)
    assert (reply.decision_id, reply.battery_id) == (held["decision_id"], "CELL-H")
    assert reply.recorded.sequence > blocked["recorded"]["sequence"]
    assert graded(client, "h3", "cell-h", 33.0)["grade"] == "A"
    assert graded(client, "h2", "cell-h", 33.0) == blocked
    assert client.get(f"/v1/decisions/{held['decision_id']}").json() == held


def test_the_name_is_nowhere_in_the_reply(client: httpx.Client) -> None:
    held = graded(client, "n1", "cell-n", 33.0, leakage=True)
    answer = corrected(client, "n2", held["decision_id"], person="Zhang San")
    assert answer.status_code == 200
    assert "Zhang" not in answer.text
    assert len(answer.json()["operator"]) == 32


def test_the_same_key_and_content_give_the_same_bytes(client: httpx.Client) -> None:
    held = graded(client, "s1", "cell-s", 33.0, leakage=True)
    first = corrected(client, "again", held["decision_id"])
    assert corrected(client, "again", held["decision_id"]).content == first.content
    other = corrected(client, "again", held["decision_id"], reason="another reason")
    assert refusal(other) == (409, "IDEMPOTENCY_CONFLICT")


def test_an_unknown_decision_is_not_found(client: httpx.Client) -> None:
    assert refusal(corrected(client, "u", "e" * 32)) == (404, "NOT_FOUND")


def test_what_is_no_unsafe_decision_is_refused(client: httpx.Client) -> None:
    safe = graded(client, "safe", "cell-safe", 33.0)
    assert refusal(corrected(client, "x1", safe["decision_id"])) == (422, "INVALID_INPUT")
    withdrawn = corrected(client, "x2", safe["decision_id"], action="withdraw").json()
    assert refusal(corrected(client, "x3", withdrawn["correction_id"])) == (422, "INVALID_INPUT")


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "delete"},
        {"person": ""},
        {"person": "  "},
        {"person": None},
        {"person": "x" * 65},
        {"reason": ""},
        {"reason": "x" * 1001},
        {"decision_id": "latest"},
        {"soc": 0.5},
    ],
)
def test_what_breaks_a_rule_is_refused(client: httpx.Client, changes: dict[str, object]) -> None:
    assert refusal(corrected(client, "broken", "e" * 32, **changes)) == (422, "INVALID_INPUT")


def test_the_description_of_the_api_covers_the_route(client: httpx.Client) -> None:
    document = client.get("/docs.json").json()
    described = document["paths"]["/v1/corrections"]["post"]
    assert {"200", "404", "409", "413", "415", "422", "503"} <= set(described["responses"])
    example = described["requestBody"]["content"]["application/json"]["examples"]["withdrawal"]["value"]
    assert set(example) == set(document["components"]["schemas"]["CorrectionRequest"]["properties"])
    held = graded(client, "d1", "cell-d", 33.0, leakage=True)
    taken = client.post("/v1/corrections", json=example | {"decision_id": held["decision_id"]})
    assert taken.status_code == 200
