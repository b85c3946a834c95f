"""From work to an HTTP answer: run it beside the event loop, turn what goes wrong into a refusal.

Work may block (it waits for the disk), so it runs in a thread; several waiting decisions then share
one commit. Every route answers through `answered`.
"""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from anyio import to_thread
from starlette.responses import Response

from features.errors import PackGradeError
from serving.desk import NotReady
from serving.events.outcomes import UnknownDecision
from serving.messages import json_bytes
from serving.record.entry import IdempotencyConflict
from serving.record.store import RecordUnavailable
from serving.wire import Refusal, error_body
from serving.wire_middleware import internal_fault, refusal_of

_RETRY_SECOND = "5"
_log = logging.getLogger("packgrade.answers")


async def answered(work: Callable[[], Mapping[str, Any]], headers: Mapping[str, str] | None = None) -> Response:
    """Run work in a thread and return its answer.

    Parameters
    ----------
    work : callable
        Returns the reply as plain JSON.
    headers : mapping of str to str, optional
        Headers of the answer, good or bad.
    """
    try:
        reply = json_bytes(await to_thread.run_sync(work))
        return Response(reply, media_type="application/json", headers=headers)
    except Exception as error:
        return refused(refusal_from(error), headers)


def refused(refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
    """Return a refusal as an answer."""
    body = error_body(refusal.code, refusal.message, refusal.problems)
    sent = {**(headers or {}), **refusal.headers}
    return Response(body, status_code=refusal.status, media_type="application/json", headers=sent)


def refusal_from(error: Exception) -> Refusal:
    """Return the refusal an error of the core means; paths and causes go to the log, not to the client."""
    if isinstance(error, IdempotencyConflict):
        return Refusal(HTTPStatus.CONFLICT, error.code, error.message, error.problems)
    if isinstance(error, UnknownDecision):
        return Refusal(HTTPStatus.NOT_FOUND, error.code, error.message, error.problems)
    if isinstance(error, RecordUnavailable):
        _log.error("record unavailable: %s", error)
        return _try_later(error.code, "The record cannot be read or written now. Nothing was graded.")
    if isinstance(error, NotReady):
        _log.error("not ready: %s", error)
        return _try_later("NOT_READY", "Bundle or policy could not be loaded. Nothing was graded.")
    return refusal_of(error) if isinstance(error, PackGradeError) else internal_fault(error)


def _try_later(code: str, what_happened: str) -> Refusal:
    message = f"{what_happened} Send the request again with the same idempotency key."
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, code, message, headers={"retry-after": _RETRY_SECOND})
