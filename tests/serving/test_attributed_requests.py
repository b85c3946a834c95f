"""Operator, station clock, refused measurements and a battery's events, on a real server."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from serving.messages import BatteryReply, ErrorReply
from serving.record.leaf import Leaf, LeafKind
from serving.record.sqlite import SqliteStore
from serving.record.store import leaves
from serving.record.verify import verify_record
from tests.support.running_service import RunningService, running_service
from tests.support.untrained_bundle import untrained_bundle

VEHICLE = "1M8GDM9AXKP042788"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("service")
    bundle = untrained_bundle(folder / "bundle")
    variables = {"PACKGRADE_BUNDLE": str(bundle), "PACKGRADE_WORKERS": "2"}
    with running_service(folder / "record.sqlite", environment=variables) as running:
        yield running


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def a_discharge(current_ampere: float = -35.0) -> dict[str, object]:
    table = {
        "step_index": [0, 1, 2, 3],
        "step_type": ["charge", "rest", "discharge", "rest"],
        "step_duration_second": [3600.0, 3600.0, 3000.0, 600.0],
        "current_ampere": [17.5, 0.0, current_ampere, 0.0],
        "voltage_begin_volt": [3.2, 3.42, 3.3, 2.6],
        "voltage_end_volt": [3.65, 3.42, 2.5, 2.8],
    }
    return {"kind": "capacity_test", "format": "step_table", "table": table}


def a_request(battery_id: str, run: dict[str, object] | None = None, **told: object) -> dict[str, object]:
    battery = {"battery_id": battery_id, "level": "cell", "chemistry": "LFP", "rated_capacity_ah": 35.0}
    return {"battery": battery, "runs": [run or a_discharge()], **told}


def sent(client: httpx.Client, document: object, key: str, route: str = "/v1/grade") -> httpx.Response:
    return client.post(route, json=document, headers={"Idempotency-Key": key})


def recorded(service: RunningService, key: str) -> Leaf:
    with SqliteStore(service.record_file).reading() as reader:
        leaf = reader.find("local", key)
    assert leaf is not None
    return leaf


def files_holding(folder: Path, text: str) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.is_file() and text.encode() in file.read_bytes())


def test_workers_that_start_together_record_one_activation_of_each_kind(service: RunningService) -> None:
    kinds = [leaf.kind for leaf in leaves(SqliteStore(service.record_file))]
    assert kinds[:2] == [LeafKind.BUNDLE_ACTIVATED, LeafKind.POLICY_ACTIVATED]
    assert kinds.count(LeafKind.BUNDLE_ACTIVATED) == kinds.count(LeafKind.POLICY_ACTIVATED) == 1


def test_the_entry_of_a_decision_has_the_operators_pseudonym_and_the_stations_clock(
    client: httpx.Client, service: RunningService
) -> None:
    told = {"operator": "Zhang San 张三", "station_clock": "2001-01-01T08:00:00+08:00"}
    reply = sent(client, a_request("op-1", **told), "operator").json()
    leaf = recorded(service, "operator")
    assert leaf.operator is not None
    assert leaf.station_clock == "2001-01-01T00:00:00.000000Z"
    assert leaf.body["station_clock_note"]["ahead_second"] < -7e8
    assert "张三" not in str(reply)
    with SqliteStore(service.record_file).reading() as reader:
        assert reader.erasable_value(leaf.operator) == "Zhang San 张三"


def test_who_asks_and_when_is_no_part_of_what_is_asked(client: httpx.Client) -> None:
    first = sent(client, a_request("op-2", operator="A", station_clock="2026-01-01T00:00:00Z"), "same")
    again = sent(client, a_request("op-2", operator="B", station_clock="2026-01-01T00:00:09Z"), "same")
    silent = sent(client, a_request("op-2"), "same")
    assert first.content == again.content == silent.content
    assert sent(client, a_request("op-3"), "same").status_code == 409


def test_a_clock_that_agrees_with_ours_is_only_written_down(client: httpx.Client, service: RunningService) -> None:
    clock = datetime.now(UTC) + timedelta(seconds=60)
    sent(client, a_request("op-4", station_clock=clock.isoformat()), "clock")
    leaf = recorded(service, "clock")
    assert leaf.station_clock == f"{clock:%Y-%m-%dT%H:%M:%S.%fZ}"
    assert "station_clock_note" not in leaf.body


@pytest.mark.parametrize(
    "told",
    [
        {"operator": ""},
        {"operator": "x" * 65},
        {"operator": "a\nb"},
        {"operator": 7},
        {"station_clock": "2026-01-01T00:00:00"},
        {"station_clock": "0001-01-01T00:00:00+23:59"},
        {"station_clock": 1.7e9},
    ],
)
def test_what_is_no_operator_or_clock_is_refused(client: httpx.Client, told: dict[str, object]) -> None:
    answer = sent(client, a_request("op-5", **told), "told")
    assert answer.status_code == 422
    assert ErrorReply.model_validate_json(answer.content).error.details[0].where == next(iter(told))


def test_a_refused_measurement_is_answered_as_before_with_its_place_in_the_record(
    client: httpx.Client, service: RunningService
) -> None:
    broken = a_request("re-1", a_discharge(current_ampere=35.0), operator="Zhang San 张三")
    answer = sent(client, broken, "refused")
    again, elsewhere = sent(client, broken, "refused"), sent(client, broken, "refused-2")
    assert answer.status_code == 422
    assert answer.content == again.content == elsewhere.content
    places = {each.headers["PackGrade-Recorded"] for each in (answer, again, elsewhere)}
    assert len(places) == 1
    with SqliteStore(service.record_file).reading() as reader:
        leaf = reader.by_sequence(int(places.pop()))
    assert leaf is not None
    assert (leaf.kind, leaf.battery_id, leaf.body["asked_under"]) == (LeafKind.REFUSAL, "RE-1", "refused")
    assert leaf.operator is not None
    assert leaf.body["problems"][0]["where"] == answer.json()["error"]["details"][0]["where"]
    corrected = sent(client, a_request("re-1"), "refused")
    assert corrected.status_code == 200


def test_an_outcome_whose_test_is_refused_is_recorded_for_its_battery(client: httpx.Client) -> None:
    decision_id = sent(client, a_request("re-2"), "decided").json()["decision_id"]
    outcome = {
        "decision_id": decision_id,
        "capacity_definition": "1C discharge after CCCV, 25 °C",
        "measured_at": "2026-01-02T03:04:05+08:00",
        "capacity_test": a_discharge(current_ampere=35.0),
        "operator": "Zhang San 张三",
    }
    answer = sent(client, outcome, "outcome", "/v1/outcomes")
    assert (answer.status_code, answer.headers["PackGrade-Recorded"].isdecimal()) == (422, True)
    sound = sent(client, outcome | {"capacity_test": a_discharge()}, "outcome", "/v1/outcomes")
    assert sound.status_code == 200
    shown = BatteryReply.model_validate_json(client.get("/v1/batteries/re-2").content)
    assert [(each.kind, each.names) for each in shown.events] == [("refusal", None), ("outcome", decision_id)]
    assert [each.decision_id for each in shown.decisions] == [decision_id]
    assert shown.events[0].sequence == int(answer.headers["PackGrade-Recorded"])


def test_a_battery_that_was_only_refused_shows_its_refusal(client: httpx.Client) -> None:
    sent(client, a_request("re-3", a_discharge(current_ampere=35.0)), "only-refused")
    shown = BatteryReply.model_validate_json(client.get("/v1/batteries/re-3").content)
    assert (shown.battery, shown.decisions, len(shown.events)) == (None, [], 1)
    assert client.get("/v1/batteries/re-4").status_code == 404


@pytest.mark.parametrize(
    ("document", "key"),
    [
        (a_request(VEHICLE), "vin"),
        (a_request(VEHICLE.lower(), a_discharge(current_ampere=35.0)), "vin"),
        (a_request("re-5") | {"battery": {**a_request("re-5")["battery"], "type_designation": VEHICLE}}, "vin"),  # type: ignore[dict-item]
        (a_request("re-5"), VEHICLE),
    ],
)
def test_a_vehicle_number_is_refused_and_stands_in_no_file_of_the_record(
    client: httpx.Client, service: RunningService, document: dict[str, object], key: str
) -> None:
    answer = sent(client, document, key)
    assert answer.status_code == 422
    assert "vehicle number" in answer.text
    assert VEHICLE not in answer.text
    assert "PackGrade-Recorded" not in answer.headers
    assert files_holding(service.record_file.parent, VEHICLE) == []


def test_the_record_with_all_of_this_is_whole(service: RunningService) -> None:
    assert verify_record(service.record_file).is_intact
