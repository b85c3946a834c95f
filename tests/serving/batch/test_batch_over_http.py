"""``POST /v1/grade/batch`` on a real server, beside a single request and ``packgrade batch``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.batch.local import run_batch
from serving.batch.manifest import read_manifest
from serving.batch_messages import MOST_BATTERIES, BatchGradeReply
from serving.grading import Grader
from serving.record.ledger import Ledger
from tests.support.batch_fleet import simulated_cells, written_fleet
from tests.support.cases import MOMENT
from tests.support.running_service import RunningService, running_service
from tests.support.simulated_battery import SimulatedBattery

CELLS = simulated_cells(6)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with running_service(tmp_path_factory.mktemp("service") / "record.sqlite") as running:
        yield running


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def document(cell: SimulatedBattery, **changes: Any) -> dict[str, Any]:
    battery = {"battery_id": cell.battery_id, "level": "cell", "chemistry": "LFP", "rated_capacity_ah": 35.0}
    table = {name: np.asarray(values).tolist() for name, values in cell.pulse_train().columns.items()}
    return {"battery": battery, "runs": [{"kind": "pulse_test", "format": "step_table", "table": table}], **changes}


def asked(client: httpx.Client, batteries: list[Any], key: str) -> dict[str, Any]:
    answer = client.post("/v1/grade/batch", json={"batteries": batteries}, headers={"Idempotency-Key": key})
    assert answer.status_code == 200, answer.text
    BatchGradeReply.model_validate(answer.json())
    return answer.json()


def said(decision: dict[str, Any]) -> tuple[object, ...]:
    capacity = decision["capacity"]
    bounds = capacity["remaining_capacity_ah"], capacity["lower_ah"], capacity["upper_ah"]
    reasons = ";".join(reason["code"] for reason in decision["reasons"])
    return decision["outcome"], decision["grade"], *bounds, capacity["probability_below_cut"], reasons


def test_batch_over_http_single_and_command_decide_alike(client: httpx.Client, tmp_path: Path) -> None:
    together = [item["decision"] for item in asked(client, [document(cell) for cell in CELLS], "alike")["results"]]
    alone = [
        client.post("/v1/grade", json=document(cell), headers={"Idempotency-Key": f"alone-{n}"}).json()
        for n, cell in enumerate(CELLS)
    ]
    assert [said(each) for each in together] == [said(each) for each in alone]
    with Ledger.open(tmp_path / "record.sqlite", "test") as ledger:
        grader = Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)
        rows = run_batch(grader, read_manifest(written_fleet(tmp_path, CELLS)), "fleet", MOMENT)
    by_command = [
        (
            *(row.outcome, row.grade, row.remaining_capacity_ah, row.remaining_capacity_lower_ah),
            *(row.remaining_capacity_upper_ah, row.probability_below_cut, row.reasons),
        )
        for row in rows
    ]
    assert by_command == [said(each) for each in together]


def test_the_same_request_again_gives_the_same_decisions(client: httpx.Client) -> None:
    batteries = [document(cell) for cell in CELLS[:3]]
    assert asked(client, batteries, "twice") == asked(client, batteries, "twice")


def test_each_item_is_refused_for_itself_and_a_refused_measurement_is_recorded(client: httpx.Client) -> None:
    broken = document(CELLS[1])
    broken["runs"][0]["table"]["step_duration_second"][0] = -1.0
    shapeless = document(CELLS[2]) | {"soc_percent": 50}
    nameless = document(CELLS[3])
    nameless["battery"]["rated_capacity_ah"] = -35.0
    reply = asked(client, [document(CELLS[0]), broken, shapeless, nameless, 7], "mixed")
    assert [item["status"] for item in reply["results"]] == [200, 422, 422, 422, 422]
    assert [item.get("recorded_sequence") is not None for item in reply["results"]] == [False, True, *[False] * 3]
    assert "batteries[2].soc_percent" in reply["results"][2]["error"]["details"][0]["where"]
    assert sum(reply["counts"].values()) == 5
    assert reply["counts"]["error"] == 4


def test_a_key_used_for_another_battery_is_a_conflict_of_its_item_alone(client: httpx.Client) -> None:
    asked(client, [document(CELLS[0], idempotency_key="mine")], "first")
    reply = asked(client, [document(CELLS[1], idempotency_key="mine"), document(CELLS[0])], "second")
    assert [item["status"] for item in reply["results"]] == [409, 200]
    assert [item["idempotency_key"] for item in reply["results"]] == ["mine", "second/1"]


@pytest.mark.parametrize(
    "body", [{}, {"batteries": []}, {"batteries": [{}] * (MOST_BATTERIES + 1)}, {"batteries": [{}], "more": 1}, [1]]
)
def test_a_body_that_is_no_bounded_list_is_refused_as_a_whole(client: httpx.Client, body: object) -> None:
    answer = client.post("/v1/grade/batch", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID_INPUT")
