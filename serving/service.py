"""The HTTP service: BentoML serves it, this file only connects the door with the grader.

``POST /v1/grade`` and ``POST /v1/codes/parse`` are BentoML methods; reading routes are mounted
beside them. No adaptive batching: it would add ten milliseconds to every single battery. Waiting
decisions share a commit in the record's writer instead.
"""

import hashlib
import logging
import re
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import bentoml
from anyio import to_thread
from pydantic import ValidationError
from starlette.responses import Response

from features.errors import InvalidInput, PackGradeError, Problem
from serving import metrics
from serving.answers import answered
from serving.desk import Desk
from serving.events.outcomes import record_outcome
from serving.grading import GradingRequest
from serving.messages import CodeReply, CodeText, GradeReply, GradeRequest, code_reply, reply_from_record
from serving.openapi import api_description
from serving.outcome_messages import OutcomeReply, OutcomeRequest, outcome_from_request, outcome_reply
from serving.routes import reading_app
from serving.settings import Settings, set_environment, settings_from_environment
from serving.wire_history import history_from_request
from serving.wire_middleware import STRICT_BODY, WireMiddleware

TIMEOUT_SECOND = 300
"""After this BentoML gives up waiting; the decision may be recorded all the same."""

_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_JSON_PATHS = frozenset({"/v1/grade", "/v1/codes/parse", "/v1/outcomes"})


class GradingMethods:
    """Grades retired traction batteries; every decision is in the record before it is answered."""

    def __init__(self) -> None:
        _log_for_operators()
        self._desk = Desk(settings_from_environment())
        READING.state.desk = self._desk

    @bentoml.api(route="/v1/grade", output_spec=GradeReply)  # type: ignore[untyped-decorator]  # BentoML does not type it
    async def grade(self, request: GradeRequest, /, ctx: bentoml.Context) -> Any:
        """Grade one battery. The same Idempotency-Key and body give the same decision, byte for byte."""
        received = datetime.now(UTC)
        keys = ctx.request.headers.getlist("idempotency-key") or [uuid4().hex]
        sha256 = ctx.request.scope["state"][STRICT_BODY].sha256
        answer = await answered(partial(_graded, self._desk, request, keys, sha256, received))
        if _KEY.fullmatch(keys[0]):
            answer.headers["Idempotency-Key"] = keys[0]
        return _with_status(ctx, answer)

    @bentoml.api(route="/v1/outcomes", output_spec=OutcomeReply)  # type: ignore[untyped-decorator]  # BentoML does not type it
    async def report_outcome(self, request: OutcomeRequest, /, ctx: bentoml.Context) -> Any:
        """Record a capacity measured later on a graded battery; the decision stays as it is."""
        received = datetime.now(UTC)
        keys = ctx.request.headers.getlist("idempotency-key") or [uuid4().hex]
        sha256 = ctx.request.scope["state"][STRICT_BODY].sha256
        answer = await answered(partial(_outcome_recorded, self._desk, request, keys, sha256, received))
        if _KEY.fullmatch(keys[0]):
            answer.headers["Idempotency-Key"] = keys[0]
        return _with_status(ctx, answer)

    @bentoml.api(route="/v1/codes/parse", output_spec=CodeReply)  # type: ignore[untyped-decorator]  # BentoML does not type it
    async def parse_code(self, request: CodeText, /, ctx: bentoml.Context) -> Any:
        """Read a battery code position by position; a code that breaks a rule is answered with its problems."""
        return _with_status(ctx, await answered(partial(code_reply, request.text)))

    async def __is_ready__(self) -> bool:
        """Whether a battery can be graded and recorded now."""
        return await to_thread.run_sync(self._desk.is_ready)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # BentoML does not type it
    def close(self) -> None:
        """Write what is waiting."""
        self._desk.close()


@cache
def _described() -> Mapping[str, Any]:
    return api_description(PackGrade.openapi_spec.asdict())


READING = reading_app(_described)
PackGrade = bentoml.service(
    name="packgrade",
    traffic={"timeout": TIMEOUT_SECOND},
    logging={"access": {"enabled": False}},
    http={"host": "127.0.0.1"},
)(GradingMethods)
PackGrade.mount_asgi_app(READING, path="/")
PackGrade.add_asgi_middleware(
    WireMiddleware,
    json_paths=_JSON_PATHS,
    concurrent_requests=settings_from_environment().concurrent_requests,
)


def serve(settings: Settings) -> None:
    """Serve in the foreground until SIGTERM or SIGINT; workers finish what they have taken in.

    Parameters
    ----------
    settings : Settings
        The deployment. BentoML starts the workers in processes of their own, which read it from their
        environment; what BentoML itself writes goes to a temporary folder and not to the user's home.

    Raises
    ------
    PackGradeError
        ``CANNOT_LISTEN`` if the address or port cannot be taken.
    """
    with tempfile.TemporaryDirectory(prefix="packgrade-") as bentoml_home:
        set_environment({**settings.as_environment(), "BENTOML_HOME": bentoml_home})
        PackGrade.config["workers"] = settings.workers
        PackGrade.working_dir = str(Path(__file__).resolve().parent.parent)
        try:
            PackGrade.serve_http(host=settings.host, port=settings.port)
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            message = f"Cannot listen on {where}: {error.strerror}. Nothing is served. Name another port."
            raise PackGradeError("CANNOT_LISTEN", message) from error


def _graded(desk: Desk, request: GradeRequest, keys: list[str], sha256: str, received: datetime) -> dict[str, Any]:
    """Grade in a worker thread; every refusal and every decision is counted."""
    begin = time.perf_counter()
    try:
        asked = GradingRequest(desk.settings.station, _required_key(keys), sha256, uuid4().hex, received)
        recorded = desk.grader().grade(history_from_request(request, received), asked)
    except PackGradeError as error:
        metrics.REFUSALS.labels(error.code).inc()
        raise
    reply = reply_from_record(recorded)
    metrics.GRADE_SECONDS.observe(time.perf_counter() - begin)
    if recorded.repeated:
        metrics.REPEATED.inc()
    else:
        metrics.DECISIONS.labels(reply["outcome"], (reply["capacity"] or {}).get("method", "none")).inc()
    return reply


def _outcome_recorded(
    desk: Desk, request: OutcomeRequest, keys: list[str], sha256: str, received: datetime
) -> dict[str, Any]:
    """Record an outcome in a worker thread; the digest names the route too, so no grading answers to its key."""
    try:
        told = hashlib.sha256(f"POST /v1/outcomes {sha256}".encode()).hexdigest()
        asked = GradingRequest(desk.settings.station, _required_key(keys), told, uuid4().hex, received)
        outcome = outcome_from_request(request, desk.settings.station, received)
        return outcome_reply(record_outcome(desk.ledger(), outcome, asked))
    except PackGradeError as error:
        metrics.REFUSALS.labels(error.code).inc()
        raise


def _required_key(keys: list[str]) -> str:
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        rule = "must be given once, as 1 to 128 visible ASCII characters"
        problem = Problem("Idempotency-Key", rule, ", ".join(keys))
        raise InvalidInput("The idempotency key is not valid. Nothing was graded.", [problem])
    return keys[0]


def _with_status(ctx: bentoml.Context, answer: Response) -> Response:
    """Return the answer after telling BentoML its status, which otherwise replaces it by 200."""
    ctx.response.status_code = answer.status_code
    return answer


def _log_for_operators() -> None:
    """Log our own lines from INFO on; a request of the wrong shape is answered, not logged with its values."""
    logging.getLogger("packgrade").setLevel(logging.INFO)
    logging.getLogger("bentoml._internal.server.http_app").addFilter(_is_no_validation_error)


def _is_no_validation_error(line: logging.LogRecord) -> bool:
    return not (line.exc_info and isinstance(line.exc_info[1], ValidationError))
