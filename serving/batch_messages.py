"""``POST /v1/grade/batch`` on the wire: several batteries asked at once, each with an answer of its own."""

from typing import Annotated

from pydantic import ConfigDict, Field

from serving.messages import ErrorDetail, GradeReply, GradeRequest, Reply, Request

MOST_BATTERIES = 256
"""Batteries of one request; more belong to ``packgrade batch``."""


class BatchItem(GradeRequest):
    """One battery, as in ``POST /v1/grade``, with a key of its own if the client likes."""

    idempotency_key: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description="Unless given, the request's key, a slash and the item's place from 0."
    )


class BatchGradeRequest(Request):
    """Body of ``POST /v1/grade/batch``; an item of the wrong shape spoils itself alone."""

    batteries: list[BatchItem] = Field(min_length=1, max_length=MOST_BATTERIES)


class BatchItemReply(Reply):
    """What ``POST /v1/grade`` would have answered for this battery."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = Field(description="200, or the status of the refusal.")
    idempotency_key: str
    decision: GradeReply | None = None
    error: ErrorDetail | None = None
    recorded_sequence: int | None = Field(None, description="Where the record tells of a refused measurement.")


class BatchGradeReply(Reply):
    """One result per battery, in the order asked; the counts add up to their number."""

    results: list[BatchItemReply]
    counts: dict[str, int] = Field(description="Decisions by outcome, and `error`.")
