"""The wire's strictness and its one error body. Knows JSON, not batteries and not HTTP servers.

JSON is read as RFC 8259 means it and no further: no NaN or infinities (also none by overflow), no
key twice in an object, no lone surrogates, at most `DEEPEST_NESTING` levels, `MOST_MEMBERS` members of
an object and `LARGEST_BODY` bytes. Every error that leaves the service is
``{"error": {"code", "message", "details": [{"where", "rule", "value"}]}}``, each text shortened.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

from features.errors import InvalidInput, PackGradeError, Problem

LARGEST_BODY = 8 * 1024 * 1024
"""Largest request body, in bytes."""

DEEPEST_NESTING = 16
MOST_MEMBERS = 1000
"""Members of one object: every unknown key is reported, and reporting a million takes a minute."""

WHO_AND_WHEN = ("operator", "person", "station_clock")
"""Members that say who sends a request and when, not what is asked; its digest leaves them out."""

_SHOWN_VALUE, _SHOWN_WHERE, _SHOWN_MESSAGE = 80, 160, 600
_SHOWN_DETAILS = 20


class Refusal(PackGradeError):  # noqa: N818 - reads as what it is: a refusal
    """A request the wire does not take, with its HTTP status.

    Parameters
    ----------
    status : int
        HTTP status of the answer.
    code, message, problems
        As in `PackGradeError`.
    headers : mapping of str to str, optional
        Headers the answer needs, such as ``Retry-After``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        problems: Iterable[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.headers = dict(headers or {})
        super().__init__(code, message, problems)


@dataclass(frozen=True, slots=True)
class StrictBody:
    """A body that was read strictly.

    Attributes
    ----------
    value : object
        The parsed JSON.
    sha256 : str
        Digest of its canonical form (sorted keys, no spaces): spelling and key order do not matter, nor do
        `WHO_AND_WHEN`. A digest over a person's name would let anyone try names against it.
    """

    value: Any
    sha256: str


def read_strictly(body: bytes) -> StrictBody:
    """Parse a request body.

    Parameters
    ----------
    body : bytes
        UTF-8 JSON.

    Raises
    ------
    InvalidInput
        ``INVALID_JSON``, naming place, rule and value.

    Examples
    --------
    >>> read_strictly(b'{"b": 1, "a": 2}').sha256 == read_strictly(b'{"a":2,"b":1}').sha256
    True
    """
    value = _parsed(body)
    _require_modest(value)
    asked = {k: v for k, v in value.items() if k not in WHO_AND_WHEN} if isinstance(value, dict) else value
    try:
        canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        path, number = next(_not_finite(value))
        raise _invalid_json(path, "must be a finite number", str(number)) from error
    return StrictBody(value, hashlib.sha256(canonical.encode("ascii")).hexdigest())


def canonical_sha256(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of a value that `read_strictly` let through."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def error_body(code: str, message: str, problems: Sequence[Problem] = ()) -> bytes:
    """Return the one error body, as UTF-8 JSON.

    Every text is shortened (values to 80 characters), at most 20 details are shown and the message
    says how many there are.
    """
    if len(problems) > _SHOWN_DETAILS:
        message = f"{message} The first {_SHOWN_DETAILS} of {len(problems)} problems are shown."
    details = [
        {
            "where": shortened(problem.where, _SHOWN_WHERE),
            "rule": shortened(problem.rule, _SHOWN_MESSAGE),
            "value": shortened(problem.value, _SHOWN_VALUE),
        }
        for problem in problems[:_SHOWN_DETAILS]
    ]
    written = {"error": {"code": code, "message": shortened(message, _SHOWN_MESSAGE), "details": details}}
    return json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def shortened(text: str, longest: int = _SHOWN_VALUE) -> str:
    """Return the text, or its beginning and an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def field_path(location: Sequence[str | int]) -> str:
    """Write a place in a JSON document as a path.

    Examples
    --------
    >>> field_path(("runs", 0, "table", "current_ampere", 3))
    'runs[0].table.current_ampere[3]'
    """
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{shortened(part)}" if path else shortened(part)
    return path


def value_at(document: Any, location: Sequence[str | int]) -> str:
    """Return the value at a place as text; empty where the document has nothing there."""
    for part in location:
        inside_object = isinstance(document, dict) and part in document
        inside_array = isinstance(document, list) and isinstance(part, int) and part < len(document)
        if not (inside_object or inside_array):
            return ""
        document = document[part]
    if isinstance(document, dict | list):
        return "an object" if isinstance(document, dict) else f"an array of {len(document)}"
    return shortened(document if isinstance(document, str) else repr(document))


def _parsed(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_object_without_doubled_keys, parse_constant=_refuse_constant)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise _invalid_json(
            f"byte {error.start}", "must be UTF-8", repr(body[error.start : error.start + 1])
        ) from error
    except UnicodeEncodeError as error:
        raise _invalid_json("", "must not hold half of a surrogate pair", repr(error.object[error.start])) from error
    except json.JSONDecodeError as error:
        shown = repr(error.doc[error.pos : error.pos + 20])
        raise _invalid_json(f"line {error.lineno} column {error.colno}", error.msg, shown) from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise _invalid_json("", "must not hold a number of thousands of digits") from error
    return value


def _object_without_doubled_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        doubled = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _invalid_json(doubled, "must appear once in its object", repr(doubled))
    return members


def _refuse_constant(word: str) -> NoReturn:
    raise _invalid_json("", "must be a finite number", word)


def _require_modest(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST_NESTING:
            raise _too_deep()
        if crowded := next((each for each in level if isinstance(each, dict) and len(each) > MOST_MEMBERS), None):
            rule = f"an object must have at most {MOST_MEMBERS} members"
            raise _invalid_json(next(iter(crowded)), rule, f"{len(crowded)} members")
        members = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [inner for each in members for inner in each if isinstance(inner, dict | list)]


def _not_finite(value: Any, location: tuple[str | int, ...] = ()) -> Iterator[tuple[str, float]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield field_path(location), value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _not_finite(inner, (*location, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _not_finite(inner, (*location, index))


def _too_deep() -> InvalidInput:
    return _invalid_json("", f"must not be nested deeper than {DEEPEST_NESTING} levels")


def _invalid_json(where: str, rule: str, value: str = "") -> InvalidInput:
    message = "The request body is not strict JSON. Nothing was graded."
    return InvalidInput(message, [Problem(where, rule, value)], code="INVALID_JSON")


def not_found(where: str, rule: str, value: str) -> Refusal:
    """Return the refusal of a request for what is not in the record."""
    message = f"Nothing is recorded under {shortened(value)!r}."
    return Refusal(HTTPStatus.NOT_FOUND, "NOT_FOUND", message, [Problem(where, rule, value)])
