"""What every recorded request has: an idempotency key that obeys its rule, and a place in the figures."""

import re
import time
from collections.abc import Callable
from typing import Any

from features.errors import InvalidInput, PackGradeError, Problem
from features.vehicle_number import vehicle_number_problems
from serving import metrics
from serving.grading import RecordedDecision
from serving.messages import reply_from_record

KEY = re.compile(r"[\x21-\x7e]{1,128}")


def required_key(keys: list[str]) -> str:
    """Return the one idempotency key of a request.

    Raises
    ------
    InvalidInput
        If there are several, or it breaks its rule.
    """
    if len(keys) != 1 or not KEY.fullmatch(keys[0]):
        rule = "must be given once, as 1 to 128 visible ASCII characters"
        problem = Problem("Idempotency-Key", rule, ", ".join(keys))
        raise InvalidInput("The idempotency key is not valid. Nothing was graded.", [problem])
    if problems := vehicle_number_problems([("Idempotency-Key", keys[0])]):
        raise InvalidInput("The idempotency key is not valid. Nothing was graded.", problems)
    return keys[0]


def counted_reply(work: Callable[[], RecordedDecision]) -> dict[str, Any]:
    """Return the reply of a grading; every refusal and every decision is counted.

    Raises
    ------
    PackGradeError
        As `work`.
    """
    begin = time.perf_counter()
    try:
        recorded = work()
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
