"""``POST /v1/grade/files``: measurement files as they are, graded by the same grader as everything else.

A plain Starlette route beside BentoML's. The upload lies in a temporary folder of its own until it is
answered, however it is answered. Digest of what is asked: the JSON part, and of every file its part's
name, its own name and the digest of its bytes.
"""

import tempfile
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import uuid4

from anyio import Semaphore
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features.errors import InvalidInput, PackGradeError, Problem
from serving.answers import answered, refusal_from, refused
from serving.desk import Desk
from serving.file_history import history_from_files
from serving.file_messages import FileGradeRequest
from serving.form_body import received_form
from serving.form_parts import REQUEST_PART, ReceivedForm
from serving.grading import GradingRequest, RecordedDecision
from serving.keyed import KEY, counted_reply, required_key
from serving.station_requests import graded_as_told
from serving.wire import Refusal, StrictBody, canonical_sha256, field_path, read_strictly, value_at
from serving.wire_body import ClientGone

UPLOADS_AT_A_TIME = 4
"""Uploads a worker takes in at a time; one more gets 429."""

READ_AT_A_TIME = 2
"""Uploads a worker reads and grades at a time: what bounds its memory."""


def file_routes() -> list[Route]:
    """Return the route; it grades on the ``state.desk`` of its application."""
    return [Route("/v1/grade/files", _FileGrading().answer, methods=["POST"])]


class _FileGrading:
    """Takes uploads, a bounded number at a time."""

    def __init__(self) -> None:
        self._active = 0
        self._reading = Semaphore(READ_AT_A_TIME)

    async def answer(self, request: Request) -> Response:
        """Answer one upload; nothing of it is left afterwards."""
        received = datetime.now(UTC)
        keys = request.headers.getlist("idempotency-key") or [uuid4().hex]
        headers = {"Idempotency-Key": keys[0]} if KEY.fullmatch(keys[0]) else {}
        self._active += 1
        try:
            if self._active > UPLOADS_AT_A_TIME:
                raise _too_many()
            with tempfile.TemporaryDirectory(prefix="packgrade-upload-") as folder:
                form = await received_form(request.scope, request.receive, Path(folder))
                work = partial(_graded, request.app.state.desk, form, keys, received)
                async with self._reading:
                    return await answered(partial(counted_reply, work), headers)
        except ClientGone:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        except Exception as error:
            return refused(refusal_from(error), headers)
        finally:
            self._active -= 1


def _graded(desk: Desk, form: ReceivedForm, keys: list[str], received: datetime) -> RecordedDecision:
    strict, key = read_strictly(form.request), required_key(keys)
    request = _file_grade_request(form.request, strict.value)
    asked = GradingRequest(desk.settings.station, key, _sha256(strict, form), uuid4().hex, received)
    return graded_as_told(desk, request, partial(history_from_files, request, form.files, received), asked)


def _file_grade_request(part: bytes, document: Any) -> FileGradeRequest:
    """Return the JSON part as a request of the right shape.

    Raises
    ------
    InvalidInput
        If it has another shape.
    """
    try:
        return FileGradeRequest.model_validate_json(part)
    except ValidationError as error:
        problems = [
            Problem(field_path((REQUEST_PART, *each["loc"])), each["msg"], value_at(document, each["loc"]))
            for each in error.errors()
        ]
        message = "The request does not have the required shape. Nothing was graded."
        raise InvalidInput(message, problems) from error


def _sha256(strict: StrictBody, form: ReceivedForm) -> str:
    files = {name: [each.path.name, each.sha256] for name, each in form.files.items()}
    return canonical_sha256(["POST /v1/grade/files", strict.sha256, files])


def _too_many() -> PackGradeError:
    message = (
        f"{UPLOADS_AT_A_TIME} uploads are being worked on. Nothing was graded. "
        "Send the request again with the same idempotency key."
    )
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", message, headers={"retry-after": "5"})
