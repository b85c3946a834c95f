"""The signed head of the log over HTTP, and the proofs an auditor asks for; reading only."""

import base64
import re
from collections.abc import Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features.errors import InvalidInput, Problem
from serving.answers import answered
from serving.desk import Desk
from serving.messages import Reply
from serving.wire import not_found


class CheckpointReply(Reply):
    """The signed head of the log."""

    checkpoint: str


class InclusionReply(Reply):
    """Hashes that lead from an entry to the root of the tree over the first `size` leaves."""

    sequence: int
    size: int
    inclusion_proof: list[str]


class ConsistencyReply(Reply):
    """Hashes that show the tree of `new_size` leaves to begin with that of `old_size`."""

    old_size: int
    new_size: int
    consistency_proof: list[str]


def proof_routes() -> list[Route]:
    """Return the routes; the application's ``state.desk`` must be set before the first request."""
    return [
        Route("/v1/checkpoint", _checkpoint, methods=["GET"]),
        Route("/v1/proofs/inclusion", _inclusion, methods=["GET"]),
        Route("/v1/proofs/consistency", _consistency, methods=["GET"]),
    ]


async def _checkpoint(request: Request) -> Response:
    desk = request.app.state.desk
    return await answered(lambda: checkpoint_shown(desk).model_dump())


async def _inclusion(request: Request) -> Response:
    desk, asked = request.app.state.desk, request.query_params
    shown = partial(inclusion_shown, sequence=asked.get("sequence"), size=asked.get("size"))
    return await answered(lambda: shown(desk).model_dump())


async def _consistency(request: Request) -> Response:
    desk, asked = request.app.state.desk, request.query_params
    shown = partial(consistency_shown, old_size=asked.get("old_size"), new_size=asked.get("new_size"))
    return await answered(lambda: shown(desk).model_dump())


def checkpoint_shown(desk: Desk) -> CheckpointReply:
    """Return the signed head of the log.

    Raises
    ------
    Refusal
        404 while nothing is recorded.
    """
    note = desk.ledger().last_checkpoint()
    if note is None:
        raise not_found("checkpoint", "nothing was recorded yet", "checkpoint")
    return CheckpointReply(checkpoint=note)


def inclusion_shown(desk: Desk, sequence: str | None, size: str | None) -> InclusionReply:
    """Return the proof that an entry stands in the tree over the first `size` leaves.

    Raises
    ------
    InvalidInput
        If a number is missing or is none.
    Refusal
        404 where the log holds no such tree or entry.
    """
    index, leaves = _number("sequence", sequence), _number("size", size)
    proof = desk.ledger().inclusion_proof(index, leaves)
    if proof is None:
        raise not_found("sequence", "the log holds no such entry in a tree of this size", f"{index} of {leaves}")
    return InclusionReply(sequence=index, size=leaves, inclusion_proof=_base64(proof))


def consistency_shown(desk: Desk, old_size: str | None, new_size: str | None) -> ConsistencyReply:
    """Return the proof that one tree begins with another.

    Raises
    ------
    InvalidInput
        If a number is missing or is none.
    Refusal
        404 where the log holds no such trees.
    """
    old, new = _number("old_size", old_size), _number("new_size", new_size)
    proof = desk.ledger().consistency_proof(old, new)
    if proof is None:
        raise not_found("new_size", "the log holds no two trees of these sizes", f"{old} and {new}")
    return ConsistencyReply(old_size=old, new_size=new, consistency_proof=_base64(proof))


def _number(name: str, text: str | None) -> int:
    if text is None or not re.fullmatch(r"[0-9]{1,15}", text):
        raise InvalidInput("The proof was not made.", [Problem(name, "must be a whole number", text or "nothing")])
    return int(text)


def _base64(hashes: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(each).decode("ascii") for each in hashes]
