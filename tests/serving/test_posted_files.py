import contextlib
import gzip
import json
import os
import socket
import time
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import httpx
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.vocabulary import Chemistry, Level
from serving.file_routes import UPLOADS_AT_A_TIME
from serving.form_body import LARGEST_UPLOAD
from serving.messages import ErrorReply, GradeReply
from serving.openapi_examples import PULSE_TEST
from serving.settings import Settings
from serving.single import grade_files
from tests.support.running_service import running_service
from tests.support.simulated_battery import SimulatedBattery
from tests.support.simulated_vehicle import Vehicle

PACK = SimulatedBattery(150.0, 129.0, Chemistry.NMC, "posted-pack", Level.PACK, series_count=12)
CELL = SimulatedBattery(20.0, 15.1, Chemistry.LFP, "POSTED-CELL")
TELEMETRY = {"kind": "field_telemetry", "format": "telemetry", "file": "log"}
CAPACITY_TEST = {"kind": "capacity_test", "format": "step_table", "file": "bench"}


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    """Where the service keeps its temporary files."""
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def service(tmp_path_factory, uploads):
    record_file = tmp_path_factory.mktemp("service") / "record.sqlite"
    with running_service(record_file, environment={"TMPDIR": str(uploads)}) as running:
        yield running


@pytest.fixture
def client(service):
    with service.client() as client:
        yield client


@pytest.fixture
def telemetry(tmp_path):
    path = tmp_path / "pack.parquet"
    pq.write_table(pa.table(dict(PACK.telemetry(Vehicle(day_count=2)).columns)), path)
    return path


@pytest.fixture
def bench(tmp_path):
    path = tmp_path / "bench.csv"
    pd.DataFrame(dict(CELL.capacity_test().columns)).to_csv(path, index=False)
    return path


def described(battery: SimulatedBattery, *runs: object, **more: object) -> dict[str, object]:
    plate = battery.identity
    declared = {
        "battery_id": plate.battery_id,
        "level": plate.level.value,
        "chemistry": plate.chemistry.value,
        "rated_capacity_ah": plate.rated_capacity_ah,
        "series_count": plate.series_count,
    }
    return {"battery": declared, "runs": list(runs), "inspection": {"leakage": False, "swelling": False}, **more}


def posted(
    client: httpx.Client, request: object, files: dict[str, tuple[str, bytes]], key: str | None = None
) -> httpx.Response:
    parts = {"request": (None, json.dumps(request).encode(), "application/json"), **files}
    return client.post("/v1/grade/files", files=parts, headers={} if key is None else {"Idempotency-Key": key})


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, ErrorReply.model_validate_json(answer.content).error.code


def left_behind(uploads: Path) -> list[str]:
    """Folders of uploads; one that goes away while it is looked at is gone."""
    return [name for _, folders, _ in os.walk(uploads) for name in folders if name.startswith("packgrade-upload-")]


def without_place(reply: dict[str, object]) -> dict[str, object]:
    return {name: reply[name] for name in ("outcome", "grade", "capacity", "reasons", "next_test", "bundle", "policy")}


def test_posted_telemetry_gets_the_decision_the_command_line_gives(client, telemetry, tmp_path, uploads):
    answer = posted(client, described(PACK, TELEMETRY), {"log": (telemetry.name, telemetry.read_bytes())})
    GradeReply.model_validate(answer.json())
    battery_file = tmp_path / "battery.json"
    whole = described(PACK)
    battery_file.write_text(json.dumps({name: whole[name] for name in ("battery", "inspection")}))
    run = f"kind=field_telemetry,format=telemetry,path={telemetry}"
    told = grade_files(Settings(tmp_path / "record.sqlite"), battery_file, [run], datetime.now(UTC))
    assert without_place(answer.json()) == without_place(told)
    assert answer.json()["capacity"] is not None or answer.json()["outcome"] != "cascade"
    assert client.get(f"/v1/decisions/{answer.json()['decision_id']}").content == answer.content
    assert left_behind(uploads) == []


def test_the_described_example_gets_the_decision_its_table_gets_as_json(client):
    described_body = client.get("/docs.json").json()["paths"]["/v1/grade/files"]["post"]["requestBody"]
    (example,) = described_body["content"]["multipart/form-data"]["examples"].values()
    table = pd.DataFrame(PULSE_TEST["runs"][0]["table"]).to_csv(index=False).encode()
    answer = posted(client, example["value"]["request"], {"train": ("train.csv", table)})
    assert without_place(answer.json()) == without_place(client.post("/v1/grade", json=PULSE_TEST).json())


def test_several_files_of_one_battery_are_graded_together(client, tmp_path):
    tables = {"bench": PACK.capacity_test(), "log": PACK.telemetry(Vehicle(alarm_level=3))}
    files = {}
    for name, table in tables.items():
        pq.write_table(pa.table(dict(table.columns)), tmp_path / f"{name}.parquet")
        files[name] = (f"{name}.parquet", (tmp_path / f"{name}.parquet").read_bytes())
    alone = posted(client, described(PACK, CAPACITY_TEST), {"bench": files["bench"]}).json()
    together = posted(client, described(PACK, CAPACITY_TEST, TELEMETRY), files).json()
    assert together["capacity"]["remaining_capacity_ah"] == pytest.approx(129.0, rel=0.02)
    assert together["capacity"]["method"] == "capacity_test"
    assert (alone["outcome"] == "hold", together["outcome"]) == (False, "hold")


def test_the_same_upload_gives_the_same_bytes_and_another_file_under_its_key_is_409(client, bench):
    content, request = bench.read_bytes(), described(CELL, CAPACITY_TEST)
    first = posted(client, request, {"bench": (bench.name, content)}, "posted-same")
    again = posted(client, {**request, "operator": "Li"}, {"bench": (bench.name, content)}, "posted-same")
    assert (first.status_code, again.content) == (200, first.content)
    assert again.headers["Idempotency-Key"] == "posted-same"
    other = posted(client, request, {"bench": (bench.name, content + b"\n")}, "posted-same")
    assert refusal(other) == (409, "IDEMPOTENCY_CONFLICT")


def test_the_key_of_an_upload_is_not_free_for_a_json_request(client, bench):
    request = described(CELL, CAPACITY_TEST)
    posted(client, request, {"bench": (bench.name, bench.read_bytes())}, "posted-once")
    answer = client.post("/v1/grade", json={**request, "runs": []}, headers={"Idempotency-Key": "posted-once"})
    assert refusal(answer) == (409, "IDEMPOTENCY_CONFLICT")


@pytest.mark.parametrize(
    "name",
    ["../escape.csv", "/etc/passwd.csv", "..\\escape.csv", ".hidden.csv", "a\x00b.csv", "a\u202eb.csv", "", "x" * 101],
)
def test_a_file_name_that_is_no_plain_name_is_refused(client, bench, uploads, name):
    disposition = f'form-data; name="bench"; filename="{name}"'.encode()
    body = (
        b'--edge\r\nContent-Disposition: form-data; name="request"\r\n\r\n'
        + json.dumps(described(CELL, CAPACITY_TEST)).encode()
        + b"\r\n--edge\r\nContent-Disposition: "
        + disposition
        + b"\r\n\r\n"
        + bench.read_bytes()
        + b"\r\n--edge--\r\n"
    )
    answer = client.post(
        "/v1/grade/files", content=body, headers={"content-type": "multipart/form-data; boundary=edge"}
    )
    assert refusal(answer) == (422, "INVALID_FORM")
    assert left_behind(uploads) == []


def test_a_file_name_in_chinese_is_kept_and_a_vehicle_number_in_one_is_not(client, bench):
    kept = posted(client, described(CELL, CAPACITY_TEST), {"bench": ("容量测试.csv", bench.read_bytes())})
    assert kept.status_code == HTTPStatus.OK
    broken = posted(client, described(CELL, CAPACITY_TEST), {"bench": ("1M8GDM9AXKP042788.csv", b"nothing")})
    assert refusal(broken)[0] == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "1M8GDM9AXKP042788" not in broken.text
    assert "[vehicle number].csv" in broken.text


def test_a_refused_file_is_recorded_and_nothing_of_it_stays(client, uploads):
    answer = posted(client, described(CELL, CAPACITY_TEST), {"bench": ("broken.parquet", b"PAR1 but no Parquet")})
    detail = answer.json()["error"]["details"][0]
    assert refusal(answer) == (422, "INVALID_INPUT")
    assert (detail["where"], detail["rule"]) == ("runs[0].broken.parquet", "is not a whole Parquet file")
    assert int(answer.headers["PackGrade-Recorded"]) > 0
    assert left_behind(uploads) == []


@pytest.mark.parametrize(
    ("line", "line_count", "broken_cap"),
    [(b"0,3.3," + b"0" * 2**20 + b"\n", 600, "MiB"), (b"0,3.3,0\n", 6_000_000, "rows")],
)
def test_a_harmless_looking_file_that_unpacks_beyond_a_cap_is_refused(client, uploads, line, line_count, broken_cap):
    bomb = gzip.compress(b"test_time_second,voltage_volt,current_ampere\n" + line * line_count, compresslevel=1)
    assert len(bomb) < 2**23
    run = {"kind": "capacity_test", "format": "timeseries", "file": "bench"}
    answer = posted(client, described(CELL, run), {"bench": ("harmless.csv.gz", bomb)})
    assert refusal(answer) == (422, "INVALID_INPUT")
    assert broken_cap in answer.json()["error"]["details"][0]["rule"]
    assert left_behind(uploads) == []


def test_uploads_beyond_those_taken_in_at_a_time_are_told_to_come_again(service, client, bench, uploads):
    request, file = described(CELL, CAPACITY_TEST), (bench.name, bench.read_bytes())
    with contextlib.ExitStack() as held:
        for _ in range(UPLOADS_AT_A_TIME):
            held.enter_context(connection(service)).sendall(head(1_000_000) + b"--e\r\n")
        awaited(lambda: len(left_behind(uploads)) == UPLOADS_AT_A_TIME)
        answer = posted(client, request, {"bench": file})
        assert refusal(answer) == (429, "TOO_MANY_REQUESTS")
        assert answer.headers["Retry-After"] == "5"
    awaited(lambda: left_behind(uploads) == [])
    assert posted(client, request, {"bench": file}).status_code == HTTPStatus.OK


def test_an_upload_above_the_cap_is_refused_by_its_declared_length(service, uploads):
    with connection(service) as sent:
        sent.sendall(head(LARGEST_UPLOAD + 1) + b"--e\r\n")
        assert b" 413 " in sent.recv(4096).split(b"\r\n")[0]
    assert left_behind(uploads) == []


def test_an_upload_above_the_cap_is_refused_while_it_comes(client, uploads):
    def chunks():
        yield b'--e\r\nContent-Disposition: form-data; name="bench"; filename="a.csv"\r\n\r\n'
        for _ in range(LARGEST_UPLOAD // 2**20 + 1):
            yield bytes(2**20)

    answer = client.post(
        "/v1/grade/files", content=chunks(), headers={"content-type": "multipart/form-data; boundary=e"}, timeout=120.0
    )
    assert refusal(answer) == (413, "BODY_TOO_LARGE")
    assert left_behind(uploads) == []


def test_an_upload_that_is_cut_off_leaves_nothing_behind(service, client, uploads):
    before = len(client.get("/v1/batteries/POSTED-CELL").json().get("decisions", []))
    part = b'--e\r\nContent-Disposition: form-data; name="bench"; filename="a.csv"\r\n\r\n'
    with connection(service) as sent:
        sent.sendall(head(4_000_000) + part + bytes(3_000_000))
        awaited(lambda: left_behind(uploads) != [])
    awaited(lambda: left_behind(uploads) == [])
    assert len(client.get("/v1/batteries/POSTED-CELL").json().get("decisions", [])) == before


def test_a_form_without_its_end_is_refused(client):
    body = b'--e\r\nContent-Disposition: form-data; name="request"\r\n\r\n{}'
    answer = client.post("/v1/grade/files", content=body, headers={"content-type": "multipart/form-data; boundary=e"})
    assert refusal(answer) == (422, "INVALID_FORM")
    assert "cut off" in answer.text


def test_only_an_uncompressed_form_is_taken(client):
    assert refusal(client.post("/v1/grade/files", json={})) == (415, "UNSUPPORTED_MEDIA_TYPE")
    headers = {"content-type": "multipart/form-data; boundary=e", "content-encoding": "gzip"}
    assert refusal(client.post("/v1/grade/files", content=b"x", headers=headers)) == (415, "UNSUPPORTED_MEDIA_TYPE")
    headers = {"content-type": "multipart/form-data"}
    assert refusal(client.post("/v1/grade/files", content=b"x", headers=headers)) == (422, "INVALID_FORM")
    assert client.get("/v1/grade/files").status_code == HTTPStatus.METHOD_NOT_ALLOWED


@pytest.mark.parametrize(
    ("run", "where"),
    [
        ({**TELEMETRY, "file": "absent"}, "runs[0].file"),
        ({**TELEMETRY, "format": "word"}, "runs[0].format"),
        ({**TELEMETRY, "format": "bms", "mapping": "../../etc/passwd"}, "runs[0].mapping"),
        ({**TELEMETRY, "format": "bms", "mapping": "car9"}, "runs[0].mapping"),
        ({**TELEMETRY, "format": "bms"}, "runs[0].mapping"),
        ({**TELEMETRY, "mapping": "car3"}, "runs[0].mapping"),
        ({**TELEMETRY, "started_at": "2999-01-01T00:00:00Z"}, "runs[0].started_at"),
        ({**TELEMETRY, "path": "/etc/passwd"}, "request.runs[0].path"),
        ({**TELEMETRY, "file": "../log"}, "request.runs[0].file"),
    ],
)
def test_a_run_that_breaks_a_rule_is_refused_with_its_place(client, telemetry, run, where):
    answer = posted(client, described(PACK, run), {"log": (telemetry.name, telemetry.read_bytes())})
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert where in [each["where"] for each in answer.json()["error"]["details"]]


def test_the_json_part_is_read_as_strictly_as_a_body(client, bench):
    part = json.dumps(described(CELL, CAPACITY_TEST)).replace('"POSTED-CELL"', '"a", "battery_id": "b"').encode()
    files = {"request": (None, part), "bench": (bench.name, bench.read_bytes())}
    assert refusal(client.post("/v1/grade/files", files=files)) == (422, "INVALID_JSON")
    unused = {"bench": (bench.name, bench.read_bytes()), "other": ("other.csv", b"1")}
    answer = posted(client, described(CELL, CAPACITY_TEST), unused)
    assert ("other", "belongs to no run") in [(d["where"], d["rule"]) for d in answer.json()["error"]["details"]]


def test_a_large_upload_is_never_whole_in_memory(service, client):
    before = highest_resident_mib(service)

    def chunks():
        yield b'--e\r\nContent-Disposition: form-data; name="bench"; filename="a.csv"\r\n\r\n'
        for _ in range(100):
            yield b"0,3.3,0\n" * 2**17
        yield b"\r\n--e--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=e"}
    answer = client.post("/v1/grade/files", content=chunks(), headers=headers, timeout=120.0)
    assert refusal(answer) == (422, "INVALID_FORM")
    assert highest_resident_mib(service) < before + 40.0


@pytest.mark.real_data
def test_a_vehicle_export_is_read_with_a_mapping_that_ships(client, data_dir):
    export = data_dir / "field_bms" / "car3.parquet"
    pack = SimulatedBattery(150.0, 130.0, Chemistry.NMC, "posted-car", Level.PACK, series_count=88)
    run = {"kind": "field_telemetry", "format": "bms", "file": "log", "mapping": "car3"}
    answer = posted(client, described(pack, run), {"log": (export.name, export.read_bytes())})
    GradeReply.model_validate(answer.json())
    assert "consistency.weak_cell" not in {each["code"] for each in answer.json()["reasons"]}


def highest_resident_mib(service) -> float:
    """Most memory a process of the service ever held, over its processes. [MiB]"""
    processes = psutil.Process(service.process.pid)
    statuses = [Path(f"/proc/{each.pid}/status") for each in (processes, *processes.children(recursive=True))]
    lines = [line for status in statuses for line in status.read_text().splitlines()]
    return max(int(line.split()[1]) / 1024.0 for line in lines if line.startswith("VmHWM"))


def head(content_length: int) -> bytes:
    lines = (
        "POST /v1/grade/files HTTP/1.1",
        "Host: packgrade",
        "Content-Type: multipart/form-data; boundary=e",
        f"Content-Length: {content_length}",
    )
    return "\r\n".join([*lines, "", ""]).encode()


def connection(service) -> socket.socket:
    url = httpx.URL(service.url)
    return socket.create_connection((url.host, url.port), timeout=30.0)


def awaited(happened) -> None:
    deadline = time.monotonic() + 20.0
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
