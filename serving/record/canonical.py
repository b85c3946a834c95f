"""The one form a JSON object takes in the record: RFC 8785, written and strictly read back.

Two equal bodies give equal bytes, and bytes that are not the one form of what they say are refused,
so a digest names a meaning and not a spelling. Nothing here knows what a leaf is.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import rfc8785
from pydantic_core import from_json, to_json

from features.errors import PackGradeError, Problem

LARGEST_INTEGER = 2**53 - 1

_WHOLE_FLOAT = re.compile(rb"\.0[],}]")
_EXPONENT = re.compile(rb"e[-+]\d")


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
    try:
        value = json.loads(stored.decode(), parse_int=_number, parse_constant=_no_number)
        if not _is_surely_canonical(stored) and rfc8785.dumps(value) != stored:
            raise ValueError("order, spacing, escapes, doubled keys or the form of a number")
    except (ValueError, RecursionError) as error:
        raise MalformedLeaf(f"not canonical JSON ({error})") from error
    if not isinstance(value, dict):
        raise MalformedLeaf("not a JSON object")
    return value


def _is_surely_canonical(stored: bytes) -> bool:
    """Whether a fast reader and writer give back the very bytes, and nothing in them is special to RFC 8785.

    The fast writer keeps the order of keys and differs from the RFC in whole floats, exponents and
    large integers alone. A no means only that the slow, exact comparison must decide.
    """
    try:
        value = from_json(stored, allow_inf_nan=False)
    except ValueError:
        return False
    if to_json(value) != stored or _WHOLE_FLOAT.search(stored) or _EXPONENT.search(stored):
        return False
    return _is_in_order(value)


def _is_in_order(value: object) -> bool:
    if isinstance(value, dict):
        names = list(value)
        return names == sorted(names) and "".join(names).isascii() and all(map(_is_in_order, value.values()))
    if isinstance(value, list):
        return all(map(_is_in_order, value))
    return not isinstance(value, int) or abs(value) <= LARGEST_INTEGER


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
