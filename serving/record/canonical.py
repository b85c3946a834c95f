"""The one form a JSON object takes in the record: RFC 8785, written and strictly read back.

Two equal bodies give equal bytes, and bytes that are not the one form of what they say are refused,
so a digest names a meaning and not a spelling. Nothing here knows what a leaf is.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import rfc8785
from pydantic_core import to_json

from features.errors import PackGradeError, Problem

LARGEST_INTEGER = 2**53 - 1

_WRITTEN_ALIKE = {str, bool, type(None)}

_ORDERED = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER

_SMALL_FLOATS = (1e-6, 1e-5)
"""From here to there the fast writer uses an exponent and RFC 8785 does not."""

_MINUS_ZEROS = (b"-0,", b"-0]", b"-0}")

_PLAIN = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS

_WHOLE_FLOAT = re.compile(rb"\.0[],}]")


class UnrecordableEntry(PackGradeError):  # noqa: N818 - reads as what it is: the entry cannot be recorded
    """An entry holds something the record cannot keep. Nothing was recorded."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("UNRECORDABLE_ENTRY", "The entry breaks a rule of the record. Nothing was recorded.", problems)


class MalformedLeaf(PackGradeError):  # noqa: N818 - reads as what it is: the leaf is malformed
    """Stored bytes are not a canonical leaf this release can read."""

    def __init__(self, rule: str, problems: tuple[Problem, ...] = ()) -> None:
        self.rule = rule
        super().__init__("MALFORMED_LEAF", f"The stored bytes are not a leaf of the record: {rule}.", problems)


def canonical_json(body: Mapping[str, object]) -> bytes:
    """Return a JSON object in the one form of RFC 8785.

    Minus zero becomes zero and ``5.0`` becomes ``5``, as the RFC asks.

    Raises
    ------
    UnrecordableEntry
        If a number is not finite, an integer is beyond 2**53 - 1, text is not Unicode, or a value
        is not JSON; every such place is named.

    Examples
    --------
    >>> canonical_json({"upper_ah": 30.0, "lower_ah": 26.9})
    b'{"lower_ah":26.9,"upper_ah":30}'
    """
    written = _surely_canonical_json(body)
    if written is not None:
        return written
    try:
        return to_json(_in_order(dict(body)))
    except (_NotSurelyCanonical, ValueError, RecursionError):
        return _exactly_canonical_json(body)


def _surely_canonical_json(body: Mapping[str, object]) -> bytes | None:
    """Write plain JSON with whole floats as integers; None where that may not be the RFC's form, or not the same."""
    try:
        written = _WHOLE_FLOAT.sub(_without_fraction, orjson.dumps(body, option=_ORDERED | _PLAIN))
        same = orjson.loads(written) == body
    except (ValueError, TypeError, RecursionError):
        return None
    doubtful = any(zero in written for zero in _MINUS_ZEROS) or _is_doubtful(written)
    return written if same and not doubtful else None


def _without_fraction(whole_float: re.Match[bytes]) -> bytes:
    return whole_float[0][-1:]


def _exactly_canonical_json(body: Mapping[str, object]) -> bytes:
    try:
        return rfc8785.dumps(dict(body))  # type: ignore[arg-type]
    except RecursionError as error:
        raise UnrecordableEntry([Problem("body", "must not be nested this deeply")]) from error
    except ValueError as error:
        raise UnrecordableEntry(list(_unrecordable("body", dict(body)))) from error


def canonical_object(stored: bytes) -> dict[str, Any]:
    """Read a JSON object, refusing bytes that are not its one form.

    Raises
    ------
    MalformedLeaf
        If the bytes are not JSON, or order, spacing, escapes, doubled keys or the form of a number
        are not those of RFC 8785.
    """
    value = _surely_canonical(stored)
    if value is None:
        value = _exactly_canonical(stored)
    if not isinstance(value, dict):
        raise MalformedLeaf("not a JSON object")
    return value


def _surely_canonical(stored: bytes) -> Any:
    """Read JSON that another writer, with keys in order, gives back byte for byte.

    None means only that the slow, exact comparison must decide: wherever that writer and the RFC may differ, which
    is in whole and in very large or small floats, in integers beyond 2**53 - 1, and in the order of characters beyond
    the basic plane.
    """
    try:
        value = orjson.loads(stored)
        alike = orjson.dumps(value, option=_ORDERED) == stored
    except (ValueError, TypeError):
        return None
    return value if alike and not _is_doubtful(stored) else None


def _is_doubtful(stored: bytes) -> bool:
    """Whether bytes may hold large or whole floats, those from 1e-6 to 1e-5, or characters beyond the basic plane."""
    return (
        b"e+" in stored
        or b"e-6" in stored
        or b"\xf0" in stored
        or b"\xf1" in stored
        or b"\xf2" in stored
        or b"\xf3" in stored
        or b"\xf4" in stored
        or _WHOLE_FLOAT.search(stored) is not None
    )


def _exactly_canonical(stored: bytes) -> Any:
    try:
        value = json.loads(stored.decode(), parse_int=_number, parse_constant=_no_number)
        if rfc8785.dumps(value) != stored:
            raise ValueError("order, spacing, escapes, doubled keys or the form of a number")
    except (ValueError, RecursionError) as error:
        raise MalformedLeaf(f"not canonical JSON ({error})") from error
    return value


class _NotSurelyCanonical(Exception):  # noqa: N818 - reads as what it is
    """The fast writer may write this otherwise than RFC 8785."""


def _in_order(value: Any) -> Any:
    """Return plain JSON that the fast writer writes as RFC 8785 does: keys in order, whole floats as integers."""
    kind = type(value)
    if kind in _WRITTEN_ALIKE:
        return value
    if kind is float:
        return value if 1e-5 <= abs(value) < 1e15 and not value.is_integer() else _plain_number(value)
    if kind is int and -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        return value
    if kind is dict and all(type(name) is str and name.isascii() for name in value):
        return {
            name: each if type(each := value[name]) in _WRITTEN_ALIKE else _in_order(each) for name in sorted(value)
        }
    if kind is list or kind is tuple:
        return [_in_order(each) for each in value]
    raise _NotSurelyCanonical


def _plain_number(value: float) -> int | float:
    if not math.isfinite(value) or _SMALL_FLOATS[0] <= abs(value) < _SMALL_FLOATS[1]:
        raise _NotSurelyCanonical
    if not value.is_integer():
        return value
    if abs(value) > LARGEST_INTEGER:
        raise _NotSurelyCanonical
    return int(value)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _number(digits: str) -> int | float:
    """Return an integer, or the double whose canonical form has that many digits."""
    return int(digits) if len(digits) < 18 and abs(int(digits)) <= LARGEST_INTEGER else float(digits)


def _unrecordable(where: str, value: object) -> Iterator[Problem]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if not (isinstance(name, str) and _is_writable(name)):
                yield Problem(where, "keys must be Unicode text", f"{name!r:.80}")
            yield from _unrecordable(f"{where}.{name}", inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _unrecordable(f"{where}[{index}]", inner)
    elif not _is_writable(value):
        rule = "must be JSON: Unicode text, true, false, null, a finite number, an integer below 2**53"
        yield Problem(where, rule, f"{value!r:.80}")


def _is_writable(value: object) -> bool:
    try:
        rfc8785.dumps(value)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True
