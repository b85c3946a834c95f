"""``POST /v1/outcomes`` on a real server."""

from collections.abc import Iterator

import httpx
import pytest

from serving.messages import ErrorReply
from serving.outcome_messages import OutcomeReply
from tests.support.running_service import RunningService, running_service
from tests.support.untrained_bundle import untrained_bundle

DEFINITION = "1C discharge after CCCV, 25 °C"


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


@pytest.fixture
def decision_id(client: httpx.Client) -> str:
    battery = {"battery_id": "cell-1", "level": "cell", "chemistry": "LFP", "rated_capacity_ah": 35.0}
    document = {"battery": battery, "runs": [discharge(31.5)], "inspection": {"leakage": False, "swelling": False}}
    reply = client.post("/v1/grade", json=document, headers={"Idempotency-Key": "decision"}).json()
    return str(reply["decision_id"])


def an_outcome(decision_id: str, /, **changes: object) -> dict[str, object]:
    sound: dict[str, object] = {
        "decision_id": decision_id,
        "remaining_capacity_ah": 31.0,
        "capacity_definition": DEFINITION,
        "measured_at": "2026-01-02T03:04:05+08:00",
    }
    return {name: value for name, value in (sound | changes).items() if value is not None}


def reported(client: httpx.Client, document: object, key: str) -> httpx.Response:
    return client.post("/v1/outcomes", json=document, headers={"Idempotency-Key": key})


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, ErrorReply.model_validate_json(answer.content).error.code


def test_an_outcome_is_answered_with_its_place_in_the_record(client: httpx.Client, decision_id: str) -> None:
    before = client.get(f"/v1/decisions/{decision_id}").content
    answer = reported(client, an_outcome(decision_id, chosen_at_random=True, station="bench-2"), "outcome-1")
    reply = OutcomeReply.model_validate_json(answer.content)
    assert answer.status_code == 200
    assert (reply.decision_id, reply.battery_id, reply.remaining_capacity_ah) == (decision_id, "CELL-1", 31.0)
    assert reply.recorded.sequence >= 1
    assert len(reply.recorded.leaf_sha256) == 64
    assert client.get(f"/v1/decisions/{decision_id}").content == before


def test_the_same_key_and_content_give_the_same_bytes(client: httpx.Client, decision_id: str) -> None:
    first = reported(client, an_outcome(decision_id), "again")
    assert reported(client, an_outcome(decision_id), "again").content == first.content
    other = reported(client, an_outcome(decision_id, remaining_capacity_ah=30.0), "again")
    assert refusal(other) == (409, "IDEMPOTENCY_CONFLICT")


def test_a_key_that_named_a_grading_names_no_outcome(client: httpx.Client, decision_id: str) -> None:
    assert refusal(reported(client, an_outcome(decision_id), "decision")) == (409, "IDEMPOTENCY_CONFLICT")


def test_an_outcome_without_a_key_is_given_one(client: httpx.Client, decision_id: str) -> None:
    answer = client.post("/v1/outcomes", json=an_outcome(decision_id))
    assert len(answer.headers["Idempotency-Key"]) == 32
    again = reported(client, an_outcome(decision_id), answer.headers["Idempotency-Key"])
    assert again.content == answer.content


def test_a_capacity_test_is_evaluated_by_the_service(client: httpx.Client, decision_id: str) -> None:
    document = an_outcome(decision_id, remaining_capacity_ah=None, capacity_test=discharge(30.8))
    reply = OutcomeReply.model_validate_json(reported(client, document, "run").content)
    assert reply.remaining_capacity_ah == pytest.approx(30.8)


def test_an_unknown_decision_is_not_found(client: httpx.Client) -> None:
    assert refusal(reported(client, an_outcome("e" * 32), "unknown")) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "changes",
    [
        {"remaining_capacity_ah": "31.0"},
        {"remaining_capacity_ah": True},
        {"remaining_capacity_ah": None},
        {"capacity_test": discharge(30.8)},
        {"remaining_capacity_ah": None, "capacity_test": discharge(30.8) | {"kind": "pulse_test"}},
        {"remaining_capacity_ah": 3100.0},
        {"decision_id": "latest"},
        {"measured_at": "2026-01-02"},
        {"measured_at": "2226-01-02T00:00:00Z"},
        {"capacity_definition": ""},
        {"chosen_at_random": 1},
        {"soc": 0.5},
    ],
)
def test_what_breaks_a_rule_is_refused(client: httpx.Client, decision_id: str, changes: dict[str, object]) -> None:
    assert refusal(reported(client, an_outcome(decision_id, **changes), "broken")) == (422, "INVALID_INPUT")


def test_the_description_of_the_api_covers_the_route(client: httpx.Client, decision_id: str) -> None:
    document = client.get("/docs.json").json()
    described = document["paths"]["/v1/outcomes"]["post"]
    assert {"200", "404", "409", "413", "415", "422", "503"} <= set(described["responses"])
    example = described["requestBody"]["content"]["application/json"]["examples"]["measured capacity"]["value"]
    assert set(example) <= set(document["components"]["schemas"]["OutcomeRequest"]["properties"])
    taken = example | {"decision_id": decision_id, "measured_at": "2026-01-02T00:00:00Z"}
    assert reported(client, taken, "example").status_code == 200
