"""What a platform's answer to one event means. Pure: status, header and body in, one of three fates out.

    2xx, and 409 saying that the event is there already     delivered
    408, 425, 429, 5xx, no answer                           not served: again later
    401, 403, 404, 405, 407 and 3xx                         the address or the token is wrong, for every event
                                                            alike: again later, and said aloud
    any other 4xx                                           refused: this event, until somebody looks at it

A capture job (EPCIS 2.0, 202 with a ``Location``) says the same later, in its own words.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from serving.trace.schedule import retry_after_second

_MOST_QUOTED = 400
_MOST_ID = 200
_OK, _REDIRECT, _CLIENT_FAULT, _CONFLICT, _SERVER_FAULT = 200, 300, 400, 409, 500
_ASKED_LATER = {408, 425, 429}
_WRONG_DOOR = {401, 403, 404, 405, 407}
_EXISTS = "ResourceAlreadyExists"
"""Part of the problem type EPCIS 2.0 gives an event whose id is known."""


class Fate(StrEnum):
    """What became of one attempt."""

    DELIVERED = "delivered"
    LATER = "later"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the platform made of an event.

    Attributes
    ----------
    fate : Fate
        What became of the attempt.
    said : str
        Why, in one line; empty where it was delivered.
    answer_id : str
        What the platform calls the capture, empty if it does not say.
    retry_after_second : float or None
        How long it asks everybody to wait. [s]
    """

    fate: Fate
    said: str = ""
    answer_id: str = ""
    retry_after_second: float | None = None


def answer_of(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Answer:
    """What the answer to a capture means; see the module.

    Parameters
    ----------
    status : int
        HTTP status.
    headers : mapping of str to str
        Header fields under their usual spelling.
    body : bytes
        Beginning of the body.
    now : datetime
        Moment of the answer; aware.

    Examples
    --------
    >>> from datetime import UTC
    >>> answer_of(422, {}, b"no such battery", datetime(2026, 11, 22, tzinfo=UTC)).said
    'HTTP 422: no such battery'
    """
    text = body.decode("utf-8", "replace")
    if _OK <= status < _REDIRECT or (status == _CONFLICT and _EXISTS in text):
        return Answer(Fate.DELIVERED, answer_id=_answer_id(headers, body))
    said = one_line(f"HTTP {status}: {text}" if text.strip() else f"HTTP {status}")
    wait_second = retry_after_second(headers.get("Retry-After"), now)
    if status >= _SERVER_FAULT or status in _ASKED_LATER:
        return Answer(Fate.LATER, said, retry_after_second=wait_second)
    if status < _CLIENT_FAULT or status in _WRONG_DOOR:
        return Answer(Fate.LATER, f"address or token refused: {said}", retry_after_second=wait_second)
    return Answer(Fate.REFUSED, said)


def answer_of_job(job: Mapping[str, Any], answer_id: str) -> Answer | None:
    """What a capture job says, or None while it runs.

    Parameters
    ----------
    job : mapping
        ``running``, ``success`` and ``errors`` as EPCIS 2.0 has them.
    answer_id : str
        Its ``captureID``.

    Examples
    --------
    >>> answer_of_job({"running": False, "success": False, "errors": [{"detail": "no such code"}]}, "17").said
    'capture 17 failed: [{"detail": "no such code"}]'
    """
    if job.get("running"):
        return None
    errors = json.dumps(job.get("errors", []), ensure_ascii=False)
    if job.get("success") or _EXISTS in errors:
        return Answer(Fate.DELIVERED, answer_id=answer_id)
    return Answer(Fate.REFUSED, one_line(f"capture {answer_id} failed: {errors}"))


def one_line(text: str) -> str:
    r"""Text as it may be printed and kept: one line, no control characters, not long.

    Examples
    --------
    >>> one_line("bad\nluck\x1b[0m")
    'bad luck [0m'
    """
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(printable.split())[:_MOST_QUOTED]


def _answer_id(headers: Mapping[str, str], body: bytes) -> str:
    """What the platform calls the capture: the last part of ``Location``, or ``captureID`` of the body."""
    location = headers.get("Location", "").rstrip("/").rpartition("/")[2]
    if location:
        return one_line(location)[:_MOST_ID]
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    named = said.get("captureID") if isinstance(said, dict) else None
    return one_line(named)[:_MOST_ID] if isinstance(named, str) else ""
