import gzip
import json
import logging

import anyio
import pytest

from serving import wire_body
from serving.wire import LARGEST_BODY
from serving.wire_middleware import STRICT_BODY, WireMiddleware

JSON = {"content-type": "application/json"}


class Inner:
    """An application behind the door that echoes what it got, or answers as told."""

    def __init__(self, status=200, body=None, raises=None):
        self.status, self.body, self.raises = status, body, raises
        self.bodies = []

    async def __call__(self, scope, receive, send):
        if self.raises is not None:
            raise self.raises
        if scope["method"] == "POST":
            message = await receive()
            self.bodies.append(message["body"])
            self.strict = scope["state"][STRICT_BODY]
        headers = [(b"content-type", b"text/plain"), (b"allow", b"POST"), (b"content-length", b"999")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        body = self.body if self.body is not None else b"done"
        await send({"type": "http.response.body", "body": body[:2], "more_body": True})
        await send({"type": "http.response.body", "body": body[2:]})


class Answer:
    def __init__(self, sent):
        assert sent[0]["type"] == "http.response.start"
        self.status = sent[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        self.body = b"".join(message.get("body", b"") for message in sent[1:])

    @property
    def error(self):
        assert self.headers["content-type"] == "application/json"
        assert int(self.headers["content-length"]) == len(self.body)
        written = json.loads(self.body)
        assert set(written) == {"error"}
        assert set(written["error"]) == {"code", "message", "details"}
        return written["error"]


def asked(door, body=b"{}", *, method="POST", path="/v1/grade", headers=None, chunks=None):
    async def run():
        given = list(chunks) if chunks is not None else [body]
        sent = []

        async def receive():
            if not given:
                await anyio.sleep_forever()
            part = given.pop(0)
            if part is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": part, "more_body": bool(given)}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(k.encode(), v.encode()) for k, v in (JSON if headers is None else headers).items()],
        }
        await door(scope, receive, send)
        return sent

    return anyio.run(run)


def door(inner, concurrent_requests=4):
    return WireMiddleware(inner, json_paths=frozenset({"/v1/grade"}), concurrent_requests=concurrent_requests)


def test_a_good_request_passes_with_its_bytes_and_its_strict_reading():
    inner = Inner()
    answer = Answer(asked(door(inner), chunks=[b'{"a"', b": 1}"]))
    assert (answer.status, answer.body, inner.bodies) == (200, b"done", [b'{"a": 1}'])
    assert inner.strict.value == {"a": 1}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/vnd.bentoml+pickle"},
        {"content-type": "application/json; charset=gbk"},
        {**JSON, "content-encoding": "gzip"},
    ],
)
def test_anything_but_plain_json_is_415(headers):
    inner = Inner()
    answer = Answer(asked(door(inner), gzip.compress(b"{}"), headers=headers))
    assert (answer.status, answer.error["code"], inner.bodies) == (415, "UNSUPPORTED_MEDIA_TYPE", [])


def test_json_with_its_charset_named_is_taken():
    assert Answer(asked(door(Inner()), headers={"content-type": "application/json; charset=utf-8"})).status == 200


def test_a_body_declared_too_large_is_413_before_it_is_kept():
    answer = Answer(asked(door(Inner()), b" ", headers={**JSON, "content-length": str(LARGEST_BODY + 1)}))
    assert (answer.status, answer.error["code"]) == (413, "BODY_TOO_LARGE")
    assert answer.error["details"] == [
        {"where": "body", "rule": "must be at most 8388608 bytes", "value": "8388609 bytes"}
    ]


def test_a_body_that_turns_out_too_large_is_413_without_any_declaration():
    inner = Inner()
    answer = Answer(asked(door(inner), chunks=[b" " * (1 << 20)] * 9))
    assert (answer.status, answer.error["code"], inner.bodies) == (413, "BODY_TOO_LARGE", [])


def test_a_body_of_exactly_the_cap_is_read():
    assert Answer(asked(door(Inner()), b"{}" + b" " * (LARGEST_BODY - 2))).status == 200


def test_a_body_that_never_ends_is_408(monkeypatch):
    monkeypatch.setattr(wire_body, "BODY_PATIENCE_SECOND", 0.05)

    async def run():
        sent = []

        async def receive():
            await anyio.sleep_forever()

        async def send(message):
            sent.append(message)

        headers = [(b"content-type", b"application/json")]
        await door(Inner())({"type": "http", "method": "POST", "path": "/v1/grade", "headers": headers}, receive, send)
        return sent

    answer = Answer(anyio.run(run))
    assert (answer.status, answer.error["code"]) == (408, "BODY_TOO_SLOW")


def test_a_request_whose_client_left_is_closed_and_reaches_nobody():
    inner = Inner()
    assert Answer(asked(door(inner), chunks=[b'{"a"', None])).error["code"] == "CLIENT_GONE"
    assert inner.bodies == []


def test_json_that_is_not_strict_is_422():
    answer = Answer(asked(door(Inner()), b'{"a": 1, "a": 2}'))
    assert (answer.status, answer.error["code"]) == (422, "INVALID_JSON")


def test_a_validation_report_becomes_422_with_the_values_that_were_sent():
    detail = [{"loc": ["battery", "rated_capacity_ah"], "msg": "Input should be a valid number", "type": "float_type"}]
    inner = Inner(400, json.dumps({"error": "1 validation error", "detail": detail}).encode())
    answer = Answer(asked(door(inner), b'{"battery": {"rated_capacity_ah": "35.0"}}'))
    assert (answer.status, answer.error["code"]) == (422, "INVALID_INPUT")
    assert answer.error["details"] == [
        {"where": "battery.rated_capacity_ah", "rule": "Input should be a valid number", "value": "35.0"}
    ]


@pytest.mark.parametrize(("status", "code"), [(404, "NOT_FOUND"), (405, "METHOD_NOT_ALLOWED"), (503, "NOT_READY")])
def test_a_plain_text_refusal_of_the_framework_gets_the_uniform_body_and_keeps_its_headers(status, code):
    answer = Answer(asked(door(Inner(status, b"Not Found")), method="GET", path="/nope"))
    assert (answer.status, answer.error["code"], answer.headers["allow"]) == (status, code, "POST")


def test_a_uniform_body_is_left_as_it_is():
    body = b'{"error":{"code":"RECORD_UNAVAILABLE","message":"m","details":[]}}'
    answer = Answer(asked(door(Inner(503, body))))
    assert (answer.status, answer.body) == (503, body)


def test_a_fault_inside_is_500_with_a_number_and_nothing_else(caplog):
    with caplog.at_level(logging.ERROR):
        answer = Answer(asked(door(Inner(raises=RuntimeError("secret /etc/path")))))
    assert (answer.status, answer.error["code"]) == (500, "INTERNAL_FAULT")
    assert b"secret" not in answer.body
    assert "secret" in caplog.text
    fault_id = answer.error["message"].split("logged as ")[1][:32]
    assert fault_id in caplog.text


def test_a_request_above_the_limit_is_429_and_the_place_is_free_again_afterwards():
    async def run():
        release = anyio.Event()

        async def slow(scope, receive, send):
            await release.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        guarded = door(slow, concurrent_requests=1)
        statuses = []

        async def ask():
            async def receive():
                return {"type": "http.request", "body": b"{}", "more_body": False}

            async def send(message):
                if message["type"] == "http.response.start":
                    statuses.append((message["status"], dict(message["headers"]).get(b"retry-after")))

            headers = [(b"content-type", b"application/json")]
            await guarded({"type": "http", "method": "POST", "path": "/v1/grade", "headers": headers}, receive, send)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(0.01)
            await ask()
            release.set()
        await ask()
        return statuses

    assert anyio.run(run) == [(429, b"1"), (200, None), (200, None)]
