"""A request body on its way in: its headers, its size, its JSON. Plain ASGI, nothing of batteries.

A JSON route takes ``application/json``, uncompressed, of at most `LARGEST_BODY` bytes, declared and
counted. What is refused is still read, up to four times the cap: a client that is cut off while
sending sees a broken connection instead of the answer.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from functools import partial
from http import HTTPStatus
from typing import Any

from anyio import move_on_after, to_thread

from features.errors import Problem
from serving.wire import LARGEST_BODY, Refusal, StrictBody, read_strictly

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

BODY_PATIENCE_SECOND = 60.0
"""How long a body may take to arrive. [s]"""

_READ_IN_THREAD_FROM = 64 * 1024
_READ_AND_DROPPED = 4 * LARGEST_BODY
_DRAIN_PATIENCE_SECOND = 2.0


class ClientGone(Exception):  # noqa: N818 - reads as what happened
    """The client left before its request was complete; there is nobody to answer."""


async def strict_body(body: bytes) -> StrictBody:
    """Read a body strictly, in a thread where it is large, so that the others go on."""
    if len(body) < _READ_IN_THREAD_FROM:
        return read_strictly(body)
    return await to_thread.run_sync(partial(read_strictly, body))


async def admitted_body(scope: Scope, receive: Receive) -> bytes:
    """Return the whole body after checking its headers.

    Raises
    ------
    Refusal
        415 for anything but plain ``application/json``, 413 for more than `LARGEST_BODY` bytes, 408 for
        a body that does not come.
    ClientGone
        If the client leaves.
    """
    headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    refusal = _unsupported(headers) or _declared_too_large(headers)
    with move_on_after(BODY_PATIENCE_SECOND):
        if refusal is None:
            return await _collected(receive)
        await drained(receive)
    raise refusal or _too_slow()


async def _collected(receive: Receive) -> bytes:
    collected: list[bytes] = []
    size = 0
    async for chunk in chunks(receive):
        size += len(chunk)
        if size > LARGEST_BODY:
            await drained(receive)
            raise _too_large(f"more than {LARGEST_BODY}")
        collected.append(chunk)
    return b"".join(collected)


async def drained(receive: Receive) -> None:
    """Read on and drop, as long as something comes and it is not too much."""
    size = 0
    coming = chunks(receive)
    while size < _READ_AND_DROPPED:
        with move_on_after(_DRAIN_PATIENCE_SECOND) as waiting:
            chunk = await anext(coming, None)
        if waiting.cancelled_caught or chunk is None:
            return
        size += len(chunk)


async def chunks(receive: Receive) -> AsyncIterator[bytes]:
    """Return the body as it comes, chunk by chunk.

    Raises
    ------
    ClientGone
        If the client leaves before its end.
    """
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _unsupported(headers: dict[bytes, str]) -> Refusal | None:
    content_type = headers.get(b"content-type", "")
    media_type, *parameters = [part.strip().lower() for part in content_type.split(";")]
    encoding = headers.get(b"content-encoding", "identity").strip().lower()
    problems = []
    if media_type != "application/json" or not set(parameters) <= {"", "charset=utf-8", 'charset="utf-8"'}:
        problems.append(Problem("content-type", "must be application/json in UTF-8", content_type))
    if encoding != "identity":
        problems.append(Problem("content-encoding", "must be absent: send the body uncompressed", encoding))
    if not problems:
        return None
    message = "The body must be plain JSON. Nothing was graded."
    return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message, problems)


def _declared_too_large(headers: dict[bytes, str]) -> Refusal | None:
    declared = headers.get(b"content-length", "")
    return _too_large(declared) if declared.isdigit() and int(declared) > LARGEST_BODY else None


def _too_large(size: str) -> Refusal:
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "BODY_TOO_LARGE",
        f"The body is larger than {LARGEST_BODY} bytes. Nothing was graded. Send fewer rows, or use packgrade batch.",
        [Problem("body", f"must be at most {LARGEST_BODY} bytes", f"{size} bytes")],
    )


def _too_slow() -> Refusal:
    message = f"The body was not complete after {BODY_PATIENCE_SECOND:g} s. Nothing was graded. Send it again."
    return Refusal(HTTPStatus.REQUEST_TIMEOUT, "BODY_TOO_SLOW", message)


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a receive that gives the body once and the connection's own events afterwards."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
