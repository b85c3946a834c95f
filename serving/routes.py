"""What can be read over HTTP: recorded decisions, what is recorded of a battery, the API description.

These are plain Starlette routes mounted beside BentoML's. Reading shows what the record says and
decides nothing; the one route that grades, of posted files, is mounted here too.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from features.battery_code import known_battery_id
from serving.answers import answered
from serving.batch_routes import batch_routes
from serving.desk import Desk
from serving.file_routes import file_routes
from serving.messages import battery_reply, reply_from_entry
from serving.proof_routes import proof_routes
from serving.record.entry import Recorded
from serving.record.leaf import LeafKind
from serving.settings import software_version
from serving.trace_routes import trace_routes
from serving.wire import not_found

_DECISION_ID = re.compile(r"[0-9a-f]{32}")


def reading_app(described: Callable[[], Mapping[str, Any]]) -> Starlette:
    """Return the application of the plain routes; its ``state.desk`` must be set before the first request.

    Parameters
    ----------
    described : callable
        Returns the OpenAPI document.
    """

    async def docs(_: Request) -> Response:
        return JSONResponse(described())

    return Starlette(
        routes=[
            Route("/", _front, methods=["GET"]),
            Route("/v1/decisions/{decision_id}", _decision, methods=["GET"]),
            *trace_routes(),
            Route("/v1/batteries/{code:path}", _battery, methods=["GET"]),
            *proof_routes(),
            *file_routes(),
            *batch_routes(),
            Route("/docs.json", docs, methods=["GET"]),
        ]
    )


async def _front(_: Request) -> Response:
    """Say what this is; stands before BentoML's own page, which loads scripts from elsewhere."""
    return JSONResponse({"service": "packgrade", "version": software_version(), "description": "/docs.json"})


async def _decision(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    return await answered(partial(decision_shown, desk, request.path_params["decision_id"]))


async def _battery(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    return await answered(partial(battery_shown, desk, request.path_params["code"]))


def decision_shown(desk: Desk, decision_id: str) -> dict[str, Any]:
    """Return a recorded decision exactly as it was answered.

    Raises
    ------
    Refusal
        404 where no decision has this identifier.
    """
    entry = desk.ledger().by_event_id(decision_id) if _DECISION_ID.fullmatch(decision_id) else None
    if entry is None or entry.leaf.kind is not LeafKind.DECISION:
        raise not_found("decision_id", "no decision has this identifier", decision_id)
    return reply_from_entry(entry)


def battery_shown(desk: Desk, code: str) -> dict[str, Any]:
    """Return the battery as last declared, its decisions and what else is recorded of it, oldest first.

    Raises
    ------
    Refusal
        404 where nothing is recorded of this battery.
    """
    entries = [each.leaf for each in _entries(desk, code)]
    if not entries:
        raise not_found("code", "nothing was recorded for this battery", code)
    return battery_reply(entries)


def _entries(desk: Desk, code: str) -> list[Recorded]:
    """Return the entries under the identifier the battery is known by, else under the one that is written."""
    ledger = desk.ledger()
    return ledger.by_battery(known_battery_id(code)) or ledger.by_battery(code.strip())
