"""The HTTP service: BentoML serves it, this file only connects the door with the grader.

``POST /v1/grade`` and ``POST /v1/codes/parse`` are BentoML methods; reading routes are mounted
beside them. No adaptive batching: it would add ten milliseconds to every single battery. Waiting
decisions share a commit in the record's writer instead.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import bentoml
from anyio import to_thread
from pydantic import ValidationError
from starlette.responses import Response

from features.errors import PackGradeError
from serving import metrics
from serving.answers import answered
from serving.correction_messages import (
    CorrectionReply,
    CorrectionRequest,
    correction_from_request,
    correction_reply,
)
from serving.desk import Desk
from serving.events.corrections import record_correction
from serving.genealogy_messages import (
    AssociationReply,
    AssociationRequest,
    RecodingReply,
    RecodingRequest,
    association_reply,
    recoding_reply,
)
from serving.genealogy_requests import association_recorded, recoding_recorded
from serving.grading import GradingRequest, RecordedDecision
from serving.keyed import KEY, counted_reply, required_key
from serving.messages import CodeReply, CodeText, GradeReply, GradeRequest, code_reply
from serving.openapi import api_description
from serving.outcome_messages import OutcomeReply, OutcomeRequest, outcome_reply
from serving.record.derived import SALT_BYTE
from serving.routes import reading_app
from serving.settings import Settings, set_environment, settings_from_environment
from serving.station_requests import graded, outcome_recorded
from serving.wire_middleware import STRICT_BODY, WireMiddleware

TIMEOUT_SECOND = 300
"""After this BentoML gives up waiting; the decision may be recorded all the same."""

Json = dict[str, Any]

_JSON_PATHS = frozenset(
    {
        *("/v1/grade", "/v1/grade/batch", "/v1/codes/parse"),
        *("/v1/outcomes", "/v1/corrections", "/v1/associations", "/v1/recodings"),
    }
)


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
        if KEY.fullmatch(keys[0]):
            answer.headers["Idempotency-Key"] = keys[0]
        return _with_status(ctx, answer)

    @bentoml.api(route="/v1/outcomes", output_spec=OutcomeReply)  # type: ignore[untyped-decorator]  # BentoML does not type it
    async def report_outcome(self, request: OutcomeRequest, /, ctx: bentoml.Context) -> Any:
        """Record a capacity measured later on a graded battery; the decision stays as it is."""
        received = datetime.now(UTC)
        keys = ctx.request.headers.getlist("idempotency-key") or [uuid4().hex]
        sha256 = ctx.request.scope["state"][STRICT_BODY].sha256
        answer = await answered(partial(_outcome_recorded, self._desk, request, keys, sha256, received))
        if KEY.fullmatch(keys[0]):
            answer.headers["Idempotency-Key"] = keys[0]
        return _with_status(ctx, answer)

    @bentoml.api(route="/v1/corrections", output_spec=CorrectionReply)  # type: ignore[untyped-decorator]  # BentoML does not type it
    async def correct(self, request: CorrectionRequest, /, ctx: bentoml.Context) -> Any:
        """Record that a named person overrides an unsafe verdict or withdraws a decision, which stays as it is."""
        return await _answered_under_key(ctx, partial(_corrected, self._desk, request))

    @bentoml.api(route="/v1/associations", output_spec=AssociationReply)  # type: ignore[untyped-decorator]  # BentoML does not type it
    async def associate(self, request: AssociationRequest, /, ctx: bentoml.Context) -> Any:
        """Record that cells or modules came into a module or pack, or were taken out of it."""
        return await _answered_under_key(ctx, partial(_associated, self._desk, request))

    @bentoml.api(route="/v1/recodings", output_spec=RecodingReply)  # type: ignore[untyped-decorator]  # BentoML does not type it
    async def recode(self, request: RecodingRequest, /, ctx: bentoml.Context) -> Any:
        """Record that batteries became a cascade product under a new code; the old codes are kept."""
        return await _answered_under_key(ctx, partial(_recoded, self._desk, request))

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
        environment; what BentoML itself writes goes to a temporary folder and not to the user's home, and
        so does what is posted, which a worker that is killed leaves behind.

    Raises
    ------
    PackGradeError
        ``CANNOT_LISTEN`` if the address or port cannot be taken.
    """
    with tempfile.TemporaryDirectory(prefix="packgrade-") as bentoml_home:
        set_environment({**settings.as_environment(), "BENTOML_HOME": bentoml_home, "TMPDIR": bentoml_home})
        PackGrade.config["workers"] = settings.workers
        PackGrade.working_dir = str(Path(__file__).resolve().parent.parent)
        try:
            PackGrade.serve_http(host=settings.host, port=settings.port)
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            message = f"Cannot listen on {where}: {error.strerror}. Nothing is served. Name another port."
            raise PackGradeError("CANNOT_LISTEN", message) from error


def _graded(desk: Desk, request: GradeRequest, keys: list[str], sha256: str, received: datetime) -> Json:
    def recorded() -> RecordedDecision:
        asked = GradingRequest(desk.settings.station, required_key(keys), sha256, uuid4().hex, received)
        return graded(desk, request, asked)

    return counted_reply(recorded)


def _outcome_recorded(
    desk: Desk, request: OutcomeRequest, keys: list[str], sha256: str, received: datetime
) -> dict[str, Any]:
    """Record an outcome in a worker thread; the digest names the route too, so no grading answers to its key."""
    try:
        told = hashlib.sha256(f"POST /v1/outcomes {sha256}".encode()).hexdigest()
        asked = GradingRequest(desk.settings.station, required_key(keys), told, uuid4().hex, received)
        return outcome_reply(outcome_recorded(desk, request, asked))
    except PackGradeError as error:
        metrics.REFUSALS.labels(error.code).inc()
        raise


def _corrected(desk: Desk, request: CorrectionRequest, asked: Callable[[Desk, str], GradingRequest]) -> Json:
    correction, dates = correction_from_request(request), desk.grader().due_dates
    named = asked(desk, "/v1/corrections")
    return correction_reply(record_correction(desk.ledger(), correction, named, os.urandom(SALT_BYTE), dates))


def _associated(desk: Desk, request: AssociationRequest, asked: Callable[[Desk, str], GradingRequest]) -> Json:
    return association_reply(association_recorded(desk, request, asked(desk, "/v1/associations")))


def _recoded(desk: Desk, request: RecodingRequest, asked: Callable[[Desk, str], GradingRequest]) -> Json:
    return recoding_reply(recoding_recorded(desk, request, asked(desk, "/v1/recodings")))


async def _answered_under_key(
    ctx: bentoml.Context, work: Callable[[Callable[[Desk, str], GradingRequest]], Json]
) -> Response:
    """Answer work that is recorded under the request's key, and tell the key; every refusal is counted."""
    received = datetime.now(UTC)
    keys = ctx.request.headers.getlist("idempotency-key") or [uuid4().hex]
    sha256 = ctx.request.scope["state"][STRICT_BODY].sha256

    def asked(desk: Desk, route: str) -> GradingRequest:
        told = hashlib.sha256(f"POST {route} {sha256}".encode()).hexdigest()
        return GradingRequest(desk.settings.station, required_key(keys), told, uuid4().hex, received)

    answer = await answered(partial(_counted, partial(work, asked)))
    if KEY.fullmatch(keys[0]):
        answer.headers["Idempotency-Key"] = keys[0]
    return _with_status(ctx, answer)


def _counted(work: Callable[[], Json]) -> Json:
    try:
        return work()
    except PackGradeError as error:
        metrics.REFUSALS.labels(error.code).inc()
        raise


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
