import base64
import copy
import json
import math
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from serving.batch_messages import BatchGradeReply
from serving.correction_messages import CorrectionReply
from serving.genealogy_messages import AssociationReply, GenealogyReply, RecodingReply
from serving.messages import BatteryReply, CodeReply, ErrorReply, GradeReply
from serving.openapi_examples import LEAKING_PACK, PULSE_TEST
from serving.outcome_messages import OutcomeReply
from serving.proof_routes import CheckpointReply, ConsistencyReply, InclusionReply
from serving.record.checkpoint import opened_checkpoint
from serving.record.log_key import public_key
from serving.record.merkle import extends, includes
from serving.record.receipt import Receipt
from serving.record.sqlite import SqliteStore
from serving.trace.documents import EpcisQueryDocument
from serving.wire import LARGEST_BODY
from tests.support.running_service import running_service
from tests.support.untrained_bundle import untrained_bundle

MODELS = {
    each.__name__: each
    for each in (
        GradeReply,
        BatchGradeReply,
        OutcomeReply,
        CorrectionReply,
        AssociationReply,
        RecodingReply,
        GenealogyReply,
        EpcisQueryDocument,
        CodeReply,
        BatteryReply,
        CheckpointReply,
        InclusionReply,
        ConsistencyReply,
        ErrorReply,
    )
}


PERMITTED_ELSEWHERE = {"/v1/recodings", "/v1/grade/files"}
"""Routes whose example is sent elsewhere: after a cascade decision by `trace/test_routes.py`, with its file by
`test_posted_files.py`."""


def full_discharge(battery_id: str, capacity_ah: float) -> dict[str, object]:
    """A 1 C discharge of a 35 Ah cell after a rest at full charge, as a step table."""
    duration_second = capacity_ah / 35.0 * 3600.0
    return {
        "battery": {"battery_id": battery_id, "level": "cell", "chemistry": "LFP", "rated_capacity_ah": 35.0},
        "runs": [
            {
                "kind": "capacity_test",
                "format": "step_table",
                "table": {
                    "step_index": [0, 1, 2, 3],
                    "step_type": ["charge", "rest", "discharge", "rest"],
                    "step_duration_second": [3600.0, 3600.0, duration_second, 600.0],
                    "current_ampere": [17.5, 0.0, -35.0, 0.0],
                    "voltage_begin_volt": [3.2, 3.42, 3.3, 2.6],
                    "voltage_end_volt": [3.65, 3.42, 2.5, 2.8],
                },
            }
        ],
        "inspection": {"leakage": False, "swelling": False},
    }


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    bundle = untrained_bundle(folder / "bundle")
    with running_service(folder / "record.sqlite", environment={"PACKGRADE_BUNDLE": str(bundle)}) as running:
        yield running


@pytest.fixture
def client(service):
    with service.client() as client:
        yield client


def graded(client: httpx.Client, document: object, key: str | None = None) -> httpx.Response:
    return client.post("/v1/grade", json=document, headers={} if key is None else {"Idempotency-Key": key})


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, ErrorReply.model_validate_json(answer.content).error.code


def test_a_battery_is_graded_and_its_decision_can_be_read_again(client):
    answer = graded(client, full_discharge("cell-read", 31.5), "read-1")
    reply = answer.json()
    GradeReply.model_validate(reply)
    assert answer.status_code == 200
    assert (reply["outcome"], reply["grade"]) == ("cascade", "A")
    assert reply["capacity"]["remaining_capacity_ah"] == pytest.approx(31.5)
    assert client.get(f"/v1/decisions/{reply['decision_id']}").content == answer.content


def test_the_reply_has_the_documented_keys_in_their_order(client):
    reply = graded(client, full_discharge("cell-keys", 31.5)).json()
    assert list(reply) == [
        "decision_id",
        "recorded",
        "outcome",
        "grade",
        "suitable_uses",
        "capacity",
        "reasons",
        "next_test",
        "bundle",
        "policy",
        "input_sha256",
    ]
    assert list(reply["capacity"]) == [
        "method",
        "definition",
        "rated_capacity_ah",
        "remaining_capacity_ah",
        "lower_ah",
        "upper_ah",
        "coverage_fraction",
        "state_of_health_fraction",
        "probability_below_cut",
    ]


def test_the_same_request_gives_the_same_bytes_and_another_under_its_key_is_409(client):
    first = graded(client, full_discharge("cell-key", 30.0), "same-1")
    again = client.post(
        "/v1/grade",
        content=json.dumps(full_discharge("cell-key", 30.0), indent=3, sort_keys=True),
        headers={"Idempotency-Key": "same-1", "content-type": "application/json"},
    )
    assert again.content == first.content
    assert refusal(graded(client, full_discharge("cell-key", 30.1), "same-1")) == (409, "IDEMPOTENCY_CONFLICT")
    assert len(client.get("/v1/batteries/cell-key").json()["decisions"]) == 1


def test_a_request_without_a_key_gets_one_with_which_it_can_be_repeated(client):
    first = graded(client, LEAKING_PACK)
    key = first.headers["idempotency-key"]
    assert graded(client, LEAKING_PACK, key).content == first.content
    assert graded(client, LEAKING_PACK).json()["decision_id"] != first.json()["decision_id"]


@pytest.mark.parametrize("key", ["", "a key", "k" * 129])
def test_a_key_that_is_not_visible_ascii_of_at_most_128_characters_is_422(client, key):
    assert refusal(graded(client, LEAKING_PACK, key)) == (422, "INVALID_INPUT")


def test_two_keys_are_422_and_the_longest_key_is_taken(client):
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    assert refusal(client.post("/v1/grade", json=LEAKING_PACK, headers=headers)) == (422, "INVALID_INPUT")
    assert graded(client, LEAKING_PACK, "k" * 128).status_code == 200


def test_a_battery_without_runs_is_decided_on_its_inspection_and_recorded(client):
    reply = graded(client, LEAKING_PACK).json()
    assert (reply["outcome"], reply["grade"], reply["capacity"]) == ("hold", None, None)
    other = {**LEAKING_PACK["battery"], "battery_id": "PACK-0018"}
    sound = {**LEAKING_PACK, "battery": other, "inspection": {"leakage": False, "insulation_ohm_per_volt": 800.0}}
    assert graded(client, sound).json()["outcome"] == "retest"


def test_a_batterys_decisions_are_listed_oldest_first_under_its_normalised_code(client):
    document = copy.deepcopy(PULSE_TEST)
    first = graded(client, document).json()
    document["battery"]["battery_id"] = "04qcb76836300\njbc40000903"
    document["battery"]["type_designation"] = "LF35"
    second = graded(client, document).json()
    for written in ("04QCB76836300JBC40000903", "04qcb76836300jbc40000903", "04qcb76836300%20jbc40000903"):
        shown = client.get(f"/v1/batteries/{written}").json()
        assert [each["decision_id"] for each in shown["decisions"]][-2:] == [
            first["decision_id"],
            second["decision_id"],
        ]
        assert shown["battery"]["type_designation"] == "LF35"


def test_a_local_code_with_a_slash_is_found_when_it_is_escaped(client):
    document = copy.deepcopy(LEAKING_PACK)
    document["battery"]["battery_id"] = "rack 3/17"
    assert graded(client, document).status_code == 200
    assert client.get("/v1/batteries/rack%203%2F17").json()["battery"]["battery_id"] == "RACK3/17"


def decoded(hashes: list[str]) -> list[bytes]:
    return [base64.b64decode(each) for each in hashes]


def test_the_receipt_of_a_reply_proves_the_decision_to_whoever_has_the_public_key(client, service):
    recorded = graded(client, full_discharge("cell-proof", 31.5), "proof-1").json()["recorded"]
    receipt = Receipt.from_json({"sequence": recorded["sequence"], **recorded["receipt"]})
    key = public_key(service.record_file)
    with SqliteStore(service.record_file).reading() as reader:
        assert receipt.proves([key], reader.by_sequence(recorded["sequence"]))


def test_the_signed_head_is_read_and_proved_to_hold_an_entry_and_to_begin_with_an_older_head(client, service):
    earlier = graded(client, full_discharge("cell-head", 31.5), "head-1").json()["recorded"]
    graded(client, full_discharge("cell-head", 30.5), "head-2")
    key = public_key(service.record_file)
    older = opened_checkpoint(earlier["receipt"]["checkpoint"], [key])
    newer = opened_checkpoint(client.get("/v1/checkpoint").json()["checkpoint"], [key])
    asked = {"sequence": earlier["sequence"], "size": newer.size}
    proof = client.get("/v1/proofs/inclusion", params=asked).json()["inclusion_proof"]
    hashed = base64.b64decode(earlier["receipt"]["leaf_hash"])
    assert includes(hashed, earlier["sequence"], newer.size, decoded(proof), newer.root)
    asked = {"old_size": older.size, "new_size": newer.size}
    proof = client.get("/v1/proofs/consistency", params=asked).json()["consistency_proof"]
    assert extends(older.size, older.root, newer.size, newer.root, decoded(proof))


@pytest.mark.parametrize(
    ("route", "asked", "status"),
    [
        ("inclusion", {"sequence": 0, "size": 10**9}, 404),
        ("inclusion", {"sequence": 5, "size": 5}, 404),
        ("inclusion", {"sequence": "one", "size": 1}, 422),
        ("inclusion", {"sequence": 0}, 422),
        ("consistency", {"old_size": 0, "new_size": 1}, 404),
        ("consistency", {"old_size": 1, "new_size": 10**9}, 404),
        ("consistency", {"old_size": "-1", "new_size": 1}, 422),
    ],
)
def test_a_proof_of_what_is_not_there_is_refused(client, route, asked, status):
    graded(client, full_discharge("cell-head", 31.5), "head-1")
    answer = client.get(f"/v1/proofs/{route}", params=asked)
    assert answer.status_code == status
    ErrorReply.model_validate_json(answer.content)


def test_what_was_never_recorded_is_404(client):
    assert refusal(client.get("/v1/decisions/" + "0" * 32)) == (404, "NOT_FOUND")
    assert refusal(client.get("/v1/decisions/..%2f..%2fetc")) == (404, "NOT_FOUND")
    assert refusal(client.get("/v1/batteries/nobody")) == (404, "NOT_FOUND")
    assert refusal(client.get("/v1/nothing")) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/grade"), ("PUT", "/v1/grade"), ("POST", "/v1/decisions/x"), ("DELETE", "/v1/batteries/x")],
)
def test_a_method_an_address_does_not_take_is_405(client, method, path):
    assert refusal(client.request(method, path)) == (405, "METHOD_NOT_ALLOWED")


def test_rubbish_is_refused_in_the_one_body_and_only_a_batterys_refused_measurement_leaves_an_entry(client):
    before = graded(client, LEAKING_PACK, "count-a").json()["recorded"]["sequence"]
    good = json.dumps(full_discharge("cell-rubbish", 30.0))
    rubbish = {
        good.replace("3.42, 3.3,", "NaN, 3.3,"): (422, "INVALID_JSON"),
        good.replace("3.42, 3.3,", "1e999, 3.3,"): (422, "INVALID_JSON"),
        good.replace("3.42, 3.3,", '"3.42", 3.3,'): (422, "INVALID_INPUT"),
        good.replace("3.42, 3.3,", "true, 3.3,"): (422, "INVALID_INPUT"),
        good.replace("3.42, 3.3,", "null, 3.3,"): (422, "INVALID_INPUT"),
        good.replace("3.42, 3.3,", "3.3,"): (422, "INVALID_INPUT"),
        good.replace('"LFP"', '"lfp"'): (422, "INVALID_INPUT"),
        good.replace('"level"', '"Level"'): (422, "INVALID_INPUT"),
        good.replace('"inspection"', '"battery"'): (422, "INVALID_JSON"),
        good[:-1]: (422, "INVALID_JSON"),
        "[]": (422, "INVALID_INPUT"),
        "null": (422, "INVALID_INPUT"),
        '"text"': (422, "INVALID_INPUT"),
        "[" * 100_000: (422, "INVALID_JSON"),
        "": (422, "INVALID_JSON"),
    }
    answers = {
        body: client.post("/v1/grade", content=body, headers={"content-type": "application/json"}) for body in rubbish
    }
    assert {body: refusal(answer) for body, answer in answers.items()} == rubbish
    assert refusal(client.post("/v1/grade", content=good, headers={"content-type": "text/plain"}))[0] == 415
    recorded = {int(answer.headers.get("packgrade-recorded", -1)) for answer in answers.values()} - {-1}
    assert recorded == set(range(before + 1, before + 5))
    assert graded(client, LEAKING_PACK, "count-b").json()["recorded"]["sequence"] == before + 5


def test_a_refusal_names_place_rule_and_value(client):
    document = full_discharge("cell-named", 30.0)
    document["battery"]["rated_capacity_ah"] = "35 Ah"
    assert graded(client, document).json()["error"]["details"] == [
        {"where": "battery.rated_capacity_ah", "rule": "Input should be a valid number", "value": "35 Ah"}
    ]


def test_a_body_above_eight_mebibytes_is_413_declared_or_chunked(client):
    headers = {"content-type": "application/json"}
    assert refusal(client.post("/v1/grade", content=b" " * (LARGEST_BODY + 1), headers=headers)) == (
        413,
        "BODY_TOO_LARGE",
    )
    chunked = (b" " * (1 << 20) for _ in range(9))
    assert refusal(client.post("/v1/grade", content=chunked, headers=headers)) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({**LEAKING_PACK, "runs": [True] * 1_000_000}),
        json.dumps({**LEAKING_PACK, "runs": [{}] * 1_000_000}),
        "{" + ",".join(f'"k{number}":0' for number in range(600_000)) + "}",
        json.dumps({**LEAKING_PACK, "inspection": [[]] * 1_000_000}),
        json.dumps(
            {**LEAKING_PACK, "runs": [{"kind": "pulse_test", "format": "timeseries", "table": {"a": [True] * 10**6}}]}
        ),
    ],
)
def test_a_large_body_of_rubbish_gets_a_short_answer_within_seconds(client, body):
    answer = client.post("/v1/grade", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert len(answer.content) < 8192
    assert answer.elapsed.total_seconds() < 10.0


def test_a_connection_that_sends_half_a_request_disturbs_nobody(service, client):
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as half:
        half.sendall(
            b"POST /v1/grade HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        )
        assert graded(client, LEAKING_PACK).status_code == 200


def test_a_client_that_left_in_the_middle_does_not_hold_up_the_end_of_the_service(tmp_path):
    variables = {"PACKGRADE_BUNDLE": str(untrained_bundle(tmp_path / "bundle"))}
    head = b"POST /v1/grade HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    with running_service(tmp_path / "record.sqlite", environment=variables) as running:
        host, port = running.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as half:
            half.sendall(head)
        begin = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - begin < 10.0


def test_a_port_that_is_taken_is_named_and_nothing_is_served(service, tmp_path):
    port = service.url.rsplit(":", 1)[1]
    program = """
import sys
from pathlib import Path
from features.errors import PackGradeError
from serving.service import serve
from serving.settings import Settings
try:
    serve(Settings(record_file=Path(sys.argv[1]), port=int(sys.argv[2])))
except PackGradeError as error:
    print(error.code)
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "record.sqlite"), port],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout.strip().splitlines()[-1] == "CANNOT_LISTEN"


def test_forty_stations_at_once_get_forty_different_entries(service):
    def ask(number: int) -> dict[str, object]:
        with service.client() as own:
            answer = graded(own, full_discharge(f"cell-{number}", 20.0 + number / 4), f"parallel-{number}")
            while answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                answer = graded(own, full_discharge(f"cell-{number}", 20.0 + number / 4), f"parallel-{number}")
            return answer.json()

    with ThreadPoolExecutor(40) as pool:
        replies = list(pool.map(ask, range(40)))
    assert len({reply["recorded"]["sequence"] for reply in replies}) == 40


def test_one_key_sent_forty_times_at_once_gives_one_decision(service):
    def ask(_: int) -> bytes:
        with service.client() as own:
            answer = graded(own, full_discharge("cell-race", 29.0), "race")
            while answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                answer = graded(own, full_discharge("cell-race", 29.0), "race")
            return answer.content

    with ThreadPoolExecutor(40) as pool:
        assert len(set(pool.map(ask, range(40)))) == 1


def test_every_example_of_the_description_is_what_the_running_service_takes_and_gives(client):
    document = client.get("/docs.json").json()
    assert {"/v1/grade", "/v1/codes/parse", "/v1/decisions/{decision_id}", "/v1/batteries/{code}"} <= set(
        document["paths"]
    )
    assert {"/livez", "/readyz", "/metrics"} <= set(document["paths"])
    decision_id = graded(client, PULSE_TEST).json()["decision_id"]
    filled = {"/v1/decisions/{decision_id}": f"/v1/decisions/{decision_id}"}
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            for name, response in described["responses"].items():
                for shown in _examples(response):
                    _model_of(response).model_validate(shown), name
            address = filled.get(path, path.replace("{code}", PULSE_TEST["battery"]["battery_id"]))
            for shown in _examples(described.get("requestBody", {})) or [None]:
                if path in PERMITTED_ELSEWHERE:
                    continue
                body = shown | {"decision_id": decision_id} if shown and "decision_id" in shown else shown
                answer = client.request(method, address, json=body, params=_asked(described))
                assert answer.status_code == 200, (method, address, answer.text)
                if _examples(described["responses"]["200"]):
                    _model_of(described["responses"]["200"]).model_validate(answer.json())


def _asked(described: dict[str, object]) -> dict[str, int]:
    return {each["name"]: each["example"] for each in described.get("parameters", []) if each["in"] == "query"}


def _examples(described: dict[str, object]) -> list[object]:
    shown = described.get("content", {}).get("application/json", {}).get("examples", {})
    return [each["value"] for each in shown.values()]


def _model_of(described: dict[str, object]):
    return MODELS[described["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]]


def test_decisions_and_refusals_are_counted(client):
    def counted(sample: str) -> float:
        lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(sample)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    decisions = 'packgrade_decisions_total{method="capacity_test",outcome="cascade"}'
    before = counted(decisions), counted("packgrade_grade_seconds_count"), counted("packgrade_repeated_requests_total")
    graded(client, full_discharge("cell-counted", 31.5), "counted")
    graded(client, full_discharge("cell-counted", 31.5), "counted")
    after = counted(decisions), counted("packgrade_grade_seconds_count"), counted("packgrade_repeated_requests_total")
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 2, 1]
    assert not math.isnan(counted("packgrade_refusals_total"))


def test_the_front_page_loads_nothing_from_elsewhere(client):
    assert client.get("/").json()["service"] == "packgrade"


def test_an_outage_of_the_record_is_503_without_a_grade_and_ends_without_a_restart(tmp_path):
    folder = tmp_path / "disk"
    away = tmp_path / "unmounted"
    bundle = untrained_bundle(tmp_path / "bundle")
    with running_service(folder / "record.sqlite", environment={"PACKGRADE_BUNDLE": str(bundle)}) as running:
        with running.client() as client:
            first = graded(client, full_discharge("cell-out", 30.0), "before")
            folder.rename(away)
            answer = graded(client, full_discharge("cell-out", 31.0), "during")
            assert refusal(answer) == (503, "RECORD_UNAVAILABLE")
            assert "outcome" not in answer.text
            assert str(tmp_path) not in answer.text
            assert answer.headers["retry-after"] == "5"
            assert refusal(client.get("/readyz")) == (503, "NOT_READY")
            assert client.get("/livez").status_code == 200
            away.rename(folder)
            assert client.get("/readyz").status_code == 200
            assert graded(client, full_discharge("cell-out", 31.0), "during").status_code == 200
            assert graded(client, full_discharge("cell-out", 30.0), "before").content == first.content
        assert running.stop() == 0


def test_a_service_without_its_bundle_lives_but_is_not_ready_until_the_bundle_is_there(tmp_path):
    bundle = tmp_path / "bundle"
    variables = {"PACKGRADE_BUNDLE": str(bundle)}
    record_file = tmp_path / "record.sqlite"
    with running_service(record_file, awaited="/livez", environment=variables) as running, running.client() as client:
        assert refusal(client.get("/readyz")) == (503, "NOT_READY")
        assert refusal(graded(client, LEAKING_PACK, "early")) == (503, "NOT_READY")
        untrained_bundle(bundle)
        assert client.get("/readyz").status_code == 200
        assert graded(client, LEAKING_PACK, "early").status_code == 200


def test_two_workers_share_one_record_and_one_idempotency(tmp_path):
    variables = {"PACKGRADE_BUNDLE": str(untrained_bundle(tmp_path / "bundle")), "PACKGRADE_WORKERS": "2"}
    with running_service(tmp_path / "record.sqlite", environment=variables) as running:

        def ask(number: int) -> dict[str, object]:
            with running.client() as own:
                return graded(own, full_discharge(f"cell-{number % 10}", 30.0), f"shared-{number % 10}").json()

        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(ask, range(20)))
        assert len({reply["decision_id"] for reply in replies}) == 10
        bundle_and_policy = 2
        assert {reply["recorded"]["sequence"] for reply in replies} == set(range(bundle_and_policy, 12))


def test_grading_needs_neither_mlflow_nor_matplotlib(tmp_path):
    bundle = untrained_bundle(tmp_path / "bundle")
    program = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
import serving.service
from serving.desk import Desk
from serving.grading import GradingRequest
from serving.messages import GradeRequest
from serving.outcome_messages import OutcomeReply
from serving.proof_routes import CheckpointReply, ConsistencyReply, InclusionReply
from serving.record.checkpoint import opened_checkpoint
from serving.record.log_key import public_key
from serving.record.merkle import extends, includes
from serving.record.receipt import Receipt
from serving.record.sqlite import SqliteStore
from serving.openapi_examples import PULSE_TEST
from serving.settings import Settings
from serving.wire_history import history_from_request
desk = Desk(Settings(record_file=Path(sys.argv[1]), bundle_folder=Path(sys.argv[2])))
now = datetime.now(UTC)
history = history_from_request(GradeRequest.model_validate_json(json.dumps(PULSE_TEST)), now)
desk.grader().grade(history, GradingRequest("local", "k", "0" * 64, "0" * 32, now))
print([name for name in ("mlflow", "matplotlib", "mapie") if name in sys.modules])
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "record.sqlite"), str(bundle)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout.strip() == "[]"
