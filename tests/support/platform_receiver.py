"""A platform that receives events: the reference for who builds one, and the other side of our tests.

``python -m tests.support.platform_receiver FILE PORT [--seed N]`` serves, on this machine only,

    POST /epcis/capture        an EPCIS 2.0 document; 202 with ``Location`` of a capture job (or 201 if asked)
    GET  /epcis/capture/{id}   what became of it: running, success, errors
    PUT  /trouble              from now on, fail so often in these ways (`Trouble`)

An event is stored once: its key is its event id and whether it carries an error declaration, because a
corrected event is told again under its id with one. The same event again is answered as if it were new.
"""

import argparse
import asyncio
import json
import random
import sqlite3
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

VALIDATION = "epcisException:ValidationException"
FAULT = "epcisException:ImplementationException"
_HANGS_SECOND = 3600.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, declared INTEGER NOT NULL,
    body TEXT NOT NULL, copies INTEGER NOT NULL DEFAULT 1, UNIQUE (event_id, declared));
CREATE TABLE IF NOT EXISTS capture (capture_id INTEGER PRIMARY KEY, errors TEXT NOT NULL);
"""


@dataclass
class Trouble:
    """How often, as a share of requests, and for whom the platform fails.

    `fault`: 500. `busy`: 503 with ``Retry-After: 0``. `hang`: no answer. `cut`: the connection ends before
    anything is stored. `lost`: it ends after it was stored. `refused`: batteries whose events are answered
    422 (any part of the EPC). `status`: every request gets this status,
    with a problem of `kind`. `created`: 201 instead of a job.
    `failing_job`: captures are accepted and fail afterwards.
    """

    fault: float = 0.0
    busy: float = 0.0
    hang: float = 0.0
    cut: float = 0.0
    lost: float = 0.0
    refused: list[str] = field(default_factory=list)
    status: int = 0
    kind: str = FAULT
    created: bool = False
    failing_job: bool = False

    def drawn(self, chance: random.Random) -> str:
        """What happens to a request."""
        draw = chance.random()
        for way in ("fault", "busy", "hang", "cut", "lost"):
            draw -= getattr(self, way)
            if draw < 0.0:
                return way
        return ""


class Refused(Exception):  # noqa: N818 - reads as what it is: a document is refused
    """A request is not done."""

    def __init__(self, status: HTTPStatus, detail: str, kind: str = VALIDATION) -> None:
        self.status, self.detail, self.kind = status, detail, kind
        super().__init__(detail)


class Events:
    """What was received, in one SQLite file that tests may read."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.executescript(_SCHEMA)

    def keep(self, events: list[dict[str, Any]]) -> str | None:
        """Store the new ones; returns the id of one that contradicts what was stored under its id before."""
        for event in events:
            key, body = (event["eventID"], "errorDeclaration" in event), json.dumps(event, sort_keys=True)
            stored = self._connection.execute("SELECT body FROM event WHERE event_id = ? AND declared = ?", key)
            known = stored.fetchone()
            if known is not None and known[0] != body:
                return str(event["eventID"])
            self._connection.execute(
                "INSERT INTO event (event_id, declared, body) VALUES (?, ?, ?) "
                "ON CONFLICT (event_id, declared) DO UPDATE SET copies = copies + 1",
                (*key, body),
            )
        return None

    def captured(self, errors: list[dict[str, Any]]) -> int:
        """Id of a new capture job that ended so."""
        row = self._connection.execute("INSERT INTO capture (errors) VALUES (?)", (json.dumps(errors),))
        return int(row.lastrowid or 0)

    def errors_of(self, capture_id: int) -> list[Any] | None:
        """How a capture job ended, or None if there is none."""
        found = self._connection.execute("SELECT errors FROM capture WHERE capture_id = ?", (capture_id,)).fetchone()
        return None if found is None else json.loads(found[0])


def receiver(events: Events, chance: random.Random, token: str | None = None) -> Any:
    """The platform as an ASGI application; cutting a connection needs uvicorn beneath it."""
    trouble = Trouble()

    async def capture(request: Request) -> Response:
        if token is not None and request.headers.get("Authorization") != f"Bearer {token}":
            raise Refused(HTTPStatus.UNAUTHORIZED, "no such token", "epcisException:SecurityException")
        if trouble.status:
            raise Refused(HTTPStatus(trouble.status), "as told", trouble.kind)
        way = trouble.drawn(chance)
        if way == "fault":
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "as told", FAULT)
        if way == "busy":
            return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": "0"})
        if way == "hang":
            await asyncio.sleep(_HANGS_SECOND)
        if way == "cut":
            request.scope["cut"]()
            return Response()
        answer = _captured(await request.body(), request, events, trouble)
        if way == "lost":
            request.scope["cut"]()
        return answer

    async def job(request: Request) -> Response:
        errors = events.errors_of(request.path_params["capture_id"])
        if errors is None:
            raise Refused(HTTPStatus.NOT_FOUND, "no such capture", "epcisException:NoSuchResourceException")
        told = {"captureID": str(request.path_params["capture_id"]), "running": False, "success": not errors}
        return JSONResponse(told | {"captureErrorBehaviour": "rollback", "errors": errors})

    async def make_trouble(request: Request) -> Response:
        trouble.__dict__.update(Trouble(**await request.json()).__dict__)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    routes = [
        Route("/epcis/capture", capture, methods=["POST"]),
        Route("/epcis/capture/{capture_id:int}", job, name="job"),
        Route("/trouble", make_trouble, methods=["PUT"]),
    ]
    return _able_to_cut(Starlette(routes=routes, exception_handlers={Refused: _problem}))


def _captured(body: bytes, request: Request, events: Events, trouble: Trouble) -> Response:
    told = _told(body)
    event_id = told[-1]["eventID"].removeprefix("urn:uuid:").replace("-", "")
    if request.headers.get("Idempotency-Key") != event_id:
        raise Refused(HTTPStatus.BAD_REQUEST, "the key is not the event id")
    about = json.dumps([{name: event.get(name) for name in ("epcList", "parentID")} for event in told])
    if any(battery in about for battery in trouble.refused):
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "unknown battery")
    if trouble.failing_job:
        return _accepted(request, events.captured([{"type": VALIDATION, "title": "unknown battery"}]))
    if (contradicted := events.keep(told)) is not None:
        raise Refused(HTTPStatus.CONFLICT, f"{contradicted} was otherwise")
    if trouble.created:
        return Response(status_code=HTTPStatus.CREATED, headers={"Location": f"/epcis/events/{event_id}"})
    return _accepted(request, events.captured([]))


def _told(body: bytes) -> list[dict[str, Any]]:
    try:
        document = json.loads(body)
        told: list[dict[str, Any]] = document["epcisBody"]["eventList"]
        sound = (document["type"], document["schemaVersion"]) == ("EPCISDocument", "2.0") and told[-1]["eventID"]
    except (ValueError, LookupError, TypeError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, repr(error)) from error
    if not sound:
        raise Refused(HTTPStatus.BAD_REQUEST, "no EPCIS 2.0 document")
    return told


def _accepted(request: Request, capture_id: int) -> Response:
    location = request.app.url_path_for("job", capture_id=capture_id)
    return Response(status_code=HTTPStatus.ACCEPTED, headers={"Location": str(location)})


async def _problem(request: Request, refused: Exception) -> Response:
    """Problem as RFC 7807 and EPCIS 2.0 write it."""
    assert isinstance(refused, Refused)
    status, kind = refused.status, refused.kind
    problem = {"type": kind, "title": status.phrase, "status": status.value, "detail": refused.detail}
    return JSONResponse(problem, status_code=status, media_type="application/problem+json")


def _able_to_cut(app: Starlette) -> Any:
    """Let a route end the connection under itself, as a failing network does."""

    async def cuttable(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["cut"] = send.__self__.transport.abort
        await app(scope, receive, send)

    return cuttable


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(description="A platform that receives EPCIS events.")
    parser.add_argument("file", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--token")
    options = parser.parse_args()
    app = receiver(Events(options.file), random.Random(options.seed), options.token)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
