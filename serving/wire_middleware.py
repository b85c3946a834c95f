"""The door of the HTTP service as plain ASGI: what comes in, and the shape of every refusal.

A bounded number of JSON requests is worked on at a time, their bodies are admitted and read strictly
(`wire_body`, `wire`), and every answer from 400 on leaves with the one error body, whoever made it.
Nothing here knows batteries.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from features.errors import InvalidInput, PackGradeError, Problem
from serving.wire import Refusal, error_body, field_path, value_at
from serving.wire_body import ClientGone, Message, Receive, Scope, admitted_body, replayed, strict_body

Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

STRICT_BODY = "packgrade_strict_body"
"""Where the scope's state holds the `serving.wire.StrictBody` of a JSON request."""

_log = logging.getLogger("packgrade.wire")

_CODES = {
    HTTPStatus.NOT_FOUND: ("NOT_FOUND", "There is nothing at this address."),
    HTTPStatus.METHOD_NOT_ALLOWED: ("METHOD_NOT_ALLOWED", "This address does not take this method."),
    HTTPStatus.SERVICE_UNAVAILABLE: ("NOT_READY", "The service is not ready. Nothing was graded. Try again shortly."),
}


class WireMiddleware:
    """Checks JSON requests and gives every refusal the one error body.

    Parameters
    ----------
    app : ASGI application
        What stands behind the door.
    json_paths : frozenset of str
        Paths whose POST bodies are read strictly.
    concurrent_requests : int
        JSON requests taken in at a time; one more gets 429.
    """

    def __init__(self, app: App, json_paths: frozenset[str], concurrent_requests: int) -> None:
        self._app = app
        self._json_paths = json_paths
        self._concurrent_requests = concurrent_requests
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event of the server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _UniformAnswer(scope, send)
        try:
            await self._handled(scope, receive, answer)
        except ClientGone:
            # Nobody hears it, but BentoML waits for an answer before it lets go of the request.
            await answer.refuse(Refusal(HTTPStatus.BAD_REQUEST, "CLIENT_GONE", "The client left. Nothing was graded."))
        except PackGradeError as error:
            await answer.refuse(refusal_of(error))
        except Exception as error:
            await answer.refuse(internal_fault(error))

    async def _handled(self, scope: Scope, receive: Receive, answer: "_UniformAnswer") -> None:
        if scope["method"] != "POST" or scope["path"] not in self._json_paths:
            await self._app(scope, receive, answer)
        elif self._active >= self._concurrent_requests:
            raise Refusal(
                HTTPStatus.TOO_MANY_REQUESTS,
                "TOO_MANY_REQUESTS",
                f"{self._concurrent_requests} requests are being worked on. Nothing was graded. "
                "Send the request again with the same idempotency key.",
                headers={"retry-after": "1"},
            )
        else:
            await self._json_handled(scope, receive, answer)

    async def _json_handled(self, scope: Scope, receive: Receive, answer: "_UniformAnswer") -> None:
        self._active += 1
        try:
            body = await admitted_body(scope, receive)
            strict = await strict_body(body)
            scope.setdefault("state", {})[STRICT_BODY] = strict
            answer.document = strict.value
            await self._app(scope, replayed(body, receive), answer)
        finally:
            self._active -= 1


class _UniformAnswer:
    """Passes good answers on as they come and holds bad ones back until their body can be replaced."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._held: Message | None = None
        self._body = b""
        self._started = False
        self.document: Any = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] >= HTTPStatus.BAD_REQUEST:
                self._held = message
                return
            self._started = True
        elif self._held is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_uniform(self._held)
            return
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with a refusal, unless an answer is already on its way."""
        if not self._started:
            body = error_body(refusal.code, refusal.message, refusal.problems)
            await self._answer(refusal.status, body, [(k.encode(), v.encode()) for k, v in refusal.headers.items()])

    async def _send_uniform(self, start: Message) -> None:
        if _is_uniform(self._body):
            status, body = start["status"], self._body
        else:
            refusal = _refusal_from(start["status"], self._body, self._scope, self.document)
            status, body = refusal.status, error_body(refusal.code, refusal.message, refusal.problems)
        kept = [(k, v) for k, v in start["headers"] if k.lower() not in {b"content-type", b"content-length"}]
        await self._answer(status, body, kept)

    async def _answer(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self._started = True
        described = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": int(status), "headers": [*headers, *described]})
        sent = b"" if self._scope["method"] == "HEAD" else body
        await self._send({"type": "http.response.body", "body": sent, "more_body": False})


def refusal_of(error: PackGradeError) -> Refusal:
    """Return the refusal an error means on the wire; what the sender cannot mend is a fault of ours."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, InvalidInput):
        return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, error.message, error.problems)
    return internal_fault(error)


def internal_fault(error: Exception) -> Refusal:
    """Log a fault of ours under a fresh identifier; return a refusal that names nothing but it."""
    fault_id = uuid4().hex
    _log.error("internal fault %s", fault_id, exc_info=error)
    return Refusal(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "INTERNAL_FAULT",
        f"The service failed; the fault is ours and is logged as {fault_id}. Send the request again with the "
        "same idempotency key; if it fails again, tell the operator this number.",
    )


def _is_uniform(body: bytes) -> bool:
    try:
        written = json.loads(body)
    except ValueError:
        return False
    return isinstance(written, dict) and isinstance(written.get("error"), dict)


def _refusal_from(status: int, body: bytes, scope: Scope, document: Any) -> Refusal:
    """Return the refusal behind an answer that the framework made."""
    if status == HTTPStatus.BAD_REQUEST and (problems := _validation_problems(body, document)):
        return Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "INVALID_INPUT",
            "The request does not have the required shape. Nothing was graded.",
            problems,
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.SERVICE_UNAVAILABLE:
        return internal_fault(RuntimeError(f"{scope['method']} {scope['path']} was answered with {status}"))
    code, message = _CODES.get(HTTPStatus(status), ("REFUSED", "The request was refused."))
    problem = Problem(scope["path"], HTTPStatus(status).phrase.lower(), scope["method"])
    return Refusal(status, code, message, [problem])


def _validation_problems(body: bytes, document: Any) -> list[Problem]:
    """Return the problems in BentoML's report of a pydantic error; the values come from what was sent."""
    try:
        written = json.loads(body)
        reported = written["detail"]
        return [Problem(field_path(each["loc"]), each["msg"], value_at(document, each["loc"])) for each in reported]
    except (ValueError, KeyError, TypeError):
        return []
