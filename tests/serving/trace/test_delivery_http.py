"""The sender against servers that misbehave on the wire itself, below what a web framework can do."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from serving.trace.answer import Answer, Fate
from serving.trace.delivery import MOST_ANSWER_BYTE, Platform

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
EVENT_ID = "0" * 31 + "1"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer_to(talk: Talk, timeout_second: float = 2.0, token: str | None = None) -> Answer:
    """What one sending gives with a server that talks so."""

    async def sent() -> Answer:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with Platform(f"http://127.0.0.1:{port}/capture", token, timeout_second) as platform:
            answer = await platform.send(EVENT_ID, b'{"a": 1}', NOW)
        server.close()
        return answer

    return asyncio.run(sent())


def saying(*parts: bytes, heard: list[bytes] | None = None, pause_second: float = 0.0) -> Talk:
    """A server that says this and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b'{"a": 1}')
        if heard is not None:
            heard.append(request)
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause_second)
        writer.close()

    return talk


def test_a_document_goes_out_with_its_event_id_as_key_and_the_token_as_bearer():
    heard: list[bytes] = []
    answer = answer_to(saying(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", heard=heard), token="secret-1")
    assert answer == Answer(Fate.DELIVERED)
    (request,) = heard
    assert request.startswith(b"POST /capture HTTP/1.1\r\n")
    assert f"Idempotency-Key: {EVENT_ID}\r\n".encode() in request
    assert b"Authorization: Bearer secret-1\r\n" in request
    assert b"Content-Type: application/ld+json\r\n" in request
    assert b"GS1-EPCIS-Version: 2.0.0\r\n" in request


def test_a_redirect_is_not_followed_and_the_token_stays_here():
    heard: list[bytes] = []
    elsewhere = saying(b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", heard=heard)
    answer = answer_to(elsewhere, token="secret-1")
    assert (answer.fate, len(heard)) == (Fate.LATER, 1)
    assert "secret" not in answer.said


def test_an_answer_that_does_not_come_in_time_is_asked_for_again_later():
    began = time.monotonic()
    assert answer_to(saying(b"", pause_second=1.0), timeout_second=0.1) == Answer(Fate.LATER, "no answer within 0.1 s")
    assert time.monotonic() - began < 5.0


def test_an_answer_that_drips_does_not_hold_the_sender_longer_than_its_time():
    drips = saying(b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 50, pause_second=0.05)
    assert answer_to(drips, timeout_second=0.2).fate is Fate.LATER


@pytest.mark.parametrize("spoken", [b"", b"no http at all\r\n\r\n", b"HTTP/1.1 20", b"\x00\xff" * 100])
def test_a_connection_cut_before_the_status_is_asked_again_later(spoken):
    assert answer_to(saying(spoken)).fate is Fate.LATER


def test_a_body_cut_after_the_status_does_not_undo_the_status():
    assert answer_to(saying(b"HTTP/1.1 201 Created\r\nContent-Length: 900\r\n\r\nabc")).fate is Fate.DELIVERED
    assert answer_to(saying(b"HTTP/1.1 422 No\r\nContent-Length: 900\r\n\r\nabc")) == Answer(
        Fate.REFUSED, "HTTP 422: abc"
    )


def test_an_endless_answer_is_read_up_to_a_limit():
    read = 40 * MOST_ANSWER_BYTE
    endless = saying(b"HTTP/1.1 422 No\r\nContent-Length: %d\r\n\r\n" % read, *[b"x" * MOST_ANSWER_BYTE] * 40)
    answer = answer_to(endless)
    assert (answer.fate, len(answer.said)) == (Fate.REFUSED, 400)


def test_nobody_listening_is_asked_again_later():
    async def sent() -> Answer:
        async with Platform("http://127.0.0.1:9/capture", "secret-1", 2.0) as platform:
            return await platform.send(EVENT_ID, b"{}", NOW)

    answer = asyncio.run(sent())
    assert answer.fate is Fate.LATER
    assert answer.said.startswith("no connection: ")
    assert "secret" not in answer.said


def test_a_capture_job_is_asked_until_it_ends():
    answers = iter(
        [
            b"HTTP/1.1 202 Accepted\r\nLocation: /capture/17\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\nConnection: close\r\n\r\n{"running": true}',
            b'HTTP/1.1 200 OK\r\nContent-Length: 35\r\nConnection: close\r\n\r\n{"running": false, "success": true}',
        ]
    )

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(answers))
        writer.close()

    assert answer_to(talk) == Answer(Fate.DELIVERED, "", "17")
    assert next(answers, None) is None


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/capture/17", "//other.example/17", "http://[", "mailto:x"]
)
def test_a_capture_job_of_another_host_is_not_asked(location):
    accepted = saying(b"HTTP/1.1 202 A\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % location.encode())
    assert answer_to(accepted).fate is Fate.DELIVERED


def test_a_platform_that_tells_of_no_job_is_taken_at_its_word():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        status = b"202 Accepted" if asked.startswith(b"POST") else b"404 Not Found"
        writer.write(b"HTTP/1.1 %b\r\nLocation: /capture/17\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        writer.close()

    assert answer_to(talk) == Answer(Fate.DELIVERED, "", "17")
