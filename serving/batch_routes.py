"""``POST /v1/grade/batch``: several batteries, one commit, an answer for each.

A plain Starlette route beside BentoML's. Each item has an idempotency key of its own, so a request sent
again gives the same decisions, and one that was half refused can be sent again once corrected. What
concerns one battery is answered in its item; what concerns all (the body, the record) refuses the request.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features.errors import InvalidInput, PackGradeError, Problem
from features.measurement import BatteryHistory
from serving.answers import answered, refusal_from
from serving.batch_messages import MOST_BATTERIES, BatchItem
from serving.desk import Desk
from serving.events.refusals import record_refusals
from serving.grading import GradingRequest, RecordedDecision
from serving.keyed import KEY, counted_reply, required_key
from serving.station_requests import battery_named, told_request
from serving.wire import WHO_AND_WHEN, canonical_sha256, error_body, field_path, value_at
from serving.wire_history import history_from_request
from serving.wire_middleware import STRICT_BODY

ROUTE = "/v1/grade/batch"


@dataclass(frozen=True)
class _Item:
    """One battery as it was asked: its history, or why there is none."""

    key: str
    battery_id: str | None = None
    told: GradingRequest | None = None
    history: BatteryHistory | None = None
    fault: PackGradeError | None = None


def batch_routes() -> list[Route]:
    """Return the route; it grades on the ``state.desk`` of its application."""
    return [Route(ROUTE, _answer, methods=["POST"])]


async def _answer(request: Request) -> Response:
    received = datetime.now(UTC)
    keys = request.headers.getlist("idempotency-key") or [uuid4().hex]
    headers = {"Idempotency-Key": keys[0]} if KEY.fullmatch(keys[0]) else {}
    body = request.scope["state"][STRICT_BODY].value
    return await answered(partial(batch_reply, request.app.state.desk, body, keys, received), headers)


def batch_reply(desk: Desk, body: Any, keys: list[str], received: datetime) -> dict[str, Any]:
    """Grade the batteries of a request and return the reply.

    Parameters
    ----------
    desk : Desk
        Grader and record.
    body : object
        The parsed JSON.
    keys : list of str
        Idempotency keys of the request; there must be one.
    received : datetime
        Moment of receipt, which is the grading moment.

    Raises
    ------
    InvalidInput
        If the body is no list of 1 to `MOST_BATTERIES` batteries or the key breaks its rule.
    PackGradeError
        If the record cannot be written; what of the request was decided is found again under the same key.
    """
    key, documents = required_key(keys), _documents(body)
    items = [_item(desk, place, document, key, received) for place, document in enumerate(documents)]
    answers = _graded(desk, items)
    places = _recorded_refusals(desk, answers)
    results = [_result(item.key, answer, places.get(place)) for place, (item, answer) in enumerate(answers)]
    counts = Counter(result["decision"]["outcome"] if "decision" in result else "error" for result in results)
    return {"results": results, "counts": dict(counts)}


def _documents(body: Any) -> list[Any]:
    sound = isinstance(body, dict) and list(body) == ["batteries"] and isinstance(body["batteries"], list)
    if not (sound and 1 <= len(body["batteries"]) <= MOST_BATTERIES):
        rule = f"must be the body's one member, a list of 1 to {MOST_BATTERIES} batteries"
        problem = Problem("batteries", rule, value_at(body, ("batteries",)))
        raise InvalidInput("The request does not have the required shape. Nothing was graded.", [problem])
    documents: list[Any] = body["batteries"]
    return documents


def _item(desk: Desk, place: int, document: Any, key: str, received: datetime) -> _Item:
    """Return one battery as it was asked; what is wrong with it stands in the item."""
    own = document.get("idempotency_key") if isinstance(document, dict) else None
    item = _Item(own if isinstance(own, str) else f"{key}/{place}")
    try:
        request = _shaped(place, document)
        asked = GradingRequest(
            desk.settings.station, required_key([item.key]), _sha256(document), uuid4().hex, received
        )
        battery_id = battery_named(request)
        told = asked if battery_id is None else told_request(desk, request, asked)
    except InvalidInput as fault:
        return _Item(item.key, fault=fault)
    try:
        return _Item(item.key, battery_id, told, history_from_request(request, received))
    except InvalidInput as fault:
        return _Item(item.key, battery_id, told, fault=fault)


def _shaped(place: int, document: Any) -> BatchItem:
    try:
        return BatchItem.model_validate_json(json.dumps(document))
    except ValidationError as error:
        problems = [
            Problem(field_path(("batteries", place, *each["loc"])), each["msg"], value_at(document, each["loc"]))
            for each in error.errors()
        ]
        message = "The battery does not have the required shape. It was not graded."
        raise InvalidInput(message, problems) from error


def _sha256(document: Mapping[str, Any]) -> str:
    left_out = (*WHO_AND_WHEN, "idempotency_key")
    return canonical_sha256([f"POST {ROUTE}", {name: document[name] for name in document if name not in left_out}])


def _graded(desk: Desk, items: Sequence[_Item]) -> list[tuple[_Item, RecordedDecision | PackGradeError]]:
    """Grade all sound items in one commit; pair every item with its answer."""
    grader = desk.grader()
    asked = [(item.history, item.told) for item in items if item.history is not None and item.told is not None]
    decided = iter(grader.grade_many(asked))
    return [(item, item.fault or next(decided)) for item in items]


def _recorded_refusals(
    desk: Desk, answers: Sequence[tuple[_Item, RecordedDecision | PackGradeError]]
) -> dict[int, int]:
    """Record the refused measurements of sound batteries in one commit; return their places by item."""
    refused = dict(_refused(answers))
    recorded = record_refusals(desk.ledger(), list(refused.values()))
    return {place: each.leaf.sequence for place, each in zip(refused, recorded, strict=True)}


def _refused(
    answers: Sequence[tuple[_Item, RecordedDecision | PackGradeError]],
) -> Iterator[tuple[int, tuple[str, InvalidInput, GradingRequest]]]:
    for place, (item, answer) in enumerate(answers):
        if isinstance(answer, InvalidInput) and item.battery_id is not None and item.told is not None:
            yield place, (item.battery_id, answer, item.told)


def _result(key: str, answer: RecordedDecision | PackGradeError, recorded_sequence: int | None) -> dict[str, Any]:
    try:
        return {
            "status": HTTPStatus.OK.value,
            "idempotency_key": key,
            "decision": counted_reply(partial(_told, answer)),
        }
    except PackGradeError as fault:
        refusal = refusal_from(fault)
        error = json.loads(error_body(refusal.code, refusal.message, refusal.problems))
        place = {} if recorded_sequence is None else {"recorded_sequence": recorded_sequence}
        return {"status": int(refusal.status), "idempotency_key": key, **error, **place}


def _told(answer: RecordedDecision | PackGradeError) -> RecordedDecision:
    if isinstance(answer, PackGradeError):
        raise answer
    return answer
