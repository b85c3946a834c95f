"""What the record tells of a battery as EPCIS, and the words it uses; reading only.

``GET /v1/batteries/{code}/events`` answers in pages: ``perPage`` entries of the record at a time, the next
page under ``nextPageToken``, both named as in GS1's query interface. A battery under a new code is one
battery: its events under old codes and under later ones are told together, in the order of the log.
"""

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features.battery_code import known_battery_id
from features.errors import InvalidInput, Problem
from serving.answers import answered
from serving.desk import Desk
from serving.events.family import all_codes, is_known
from serving.genealogy_messages import genealogy_reply
from serving.record.derived import Relation
from serving.record.leaf import Leaf
from serving.record.store import Reader
from serving.trace.epcis import TOLD_KINDS, corrected_event_id, epcis_query_document
from serving.trace.vocabulary import shipped_vocabulary
from serving.wire import not_found

USUAL_PER_PAGE, MOST_PER_PAGE = 100, 1000


def trace_routes() -> list[Route]:
    """Return the routes; they must stand before the route of a battery, which takes every path below it."""
    return [
        Route("/v1/vocabulary", _vocabulary, methods=["GET"]),
        Route("/v1/batteries/{code:path}/events", _events, methods=["GET"]),
        Route("/v1/batteries/{code:path}/genealogy", _genealogy, methods=["GET"]),
    ]


async def _vocabulary(_: Request) -> Response:
    return await answered(shipped_vocabulary().document)


async def _events(request: Request) -> Response:
    desk, asked = request.app.state.desk, request.query_params
    page = {"per_page": asked.get("perPage"), "next_page_token": asked.get("nextPageToken")}
    return await answered(partial(events_shown, desk, request.path_params["code"], **page))


async def _genealogy(request: Request) -> Response:
    return await answered(partial(genealogy_shown, request.app.state.desk, request.path_params["code"]))


def events_shown(
    desk: Desk, code: str, per_page: str | None = None, next_page_token: str | None = None
) -> dict[str, Any]:
    """Return one page of a battery's events, oldest first, as an EPCIS query document.

    Parameters
    ----------
    desk : Desk
        The record.
    code : str
        Any code the battery bears or bore.
    per_page : str, optional
        Entries of the record on the page, 1 to 1000; 100 unless given.
    next_page_token : str, optional
        As the page before gave it: the index of the log the page begins at.

    Raises
    ------
    InvalidInput
        If one of the two is no such number.
    Refusal
        404 where the record does not know the battery.
    """
    at_most = _number("perPage", per_page or str(USUAL_PER_PAGE), 1, MOST_PER_PAGE)
    first = _number("nextPageToken", next_page_token or "0", 0, 10**15)
    with desk.ledger().reading() as reader:
        known = _known(reader, code)
        told = [leaf for leaf in _entries(reader, known) if leaf.sequence >= first]
        page, rest = told[:at_most], told[at_most:]
        corrected = [_corrected(reader, leaf) for leaf in page]
    created = page[-1].recorded_at if page else _EPOCH
    token = str(rest[0].sequence) if rest else None
    return epcis_query_document(list(zip(page, corrected, strict=True)), created, token)


def genealogy_shown(desk: Desk, code: str) -> dict[str, Any]:
    """Return where a battery stands among the others.

    Raises
    ------
    Refusal
        404 where the record does not know the battery.
    """
    with desk.ledger().reading() as reader:
        return genealogy_reply(reader, _known(reader, code))


_EPOCH = "1970-01-01T00:00:00.000000Z"
"""Moment of a page without events, so that equal pages are equal bytes."""


def _known(reader: Reader, code: str) -> str:
    for written in (known_battery_id(code), code.strip()):
        if is_known(reader, written):
            return written
    raise not_found("code", "nothing was recorded for this battery", code)


def _entries(reader: Reader, code: str) -> Iterable[Leaf]:
    """Entries about the battery under any of its codes, those that put it into a whole or took it out too."""
    found = dict[int, Leaf]()
    for each in all_codes(reader, code):
        found |= {leaf.sequence: leaf for leaf in reader.by_battery(each)}
        for link in reader.links_of_child(each, Relation.PART_OF):
            leaf = reader.by_sequence(link.sequence)
            found |= {} if leaf is None else {leaf.sequence: leaf}
    return (found[sequence] for sequence in sorted(found) if found[sequence].kind in TOLD_KINDS)


def _corrected(reader: Reader, leaf: Leaf) -> Leaf | None:
    wrong = corrected_event_id(leaf)
    return None if wrong is None else reader.by_event_id(wrong)


def _number(name: str, text: str, lowest: int, highest: int) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text) or not lowest <= int(text) <= highest:
        problem = Problem(name, f"must be a whole number from {lowest} to {highest}", text)
        raise InvalidInput("The events were not looked up.", [problem])
    return int(text)
