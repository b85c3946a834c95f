"""One entry of the record as bytes: what it says, where it stands in the chain, its digest.

A leaf is canonical JSON (RFC 8785) of everything an entry says plus its place: index in the whole
log, index within its battery and its station, and the digests of the leaves before it. Nothing here
opens a file or looks at a clock. All three indices count from 0 and an absent predecessor is null;
a number that does not exist is null too, because JSON has no NaN. Format 2 adds who worked at the
station and what the station's clock said; leaves of format 1 are read as they were written, for ever.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic_core import to_json

from features.errors import Problem
from serving.record.canonical import LARGEST_INTEGER, MalformedLeaf, UnrecordableEntry, canonical_object

FORMAT_VERSION = 2
"""Format of new leaves."""

_TEXT = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,255}")
_SHORT_TEXT = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_EVENT_ID = re.compile(r"[0-9a-f]{32}")
_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


class LeafKind(StrEnum):
    """What an entry is about."""

    DECISION = "decision"
    CORRECTION = "correction"
    OUTCOME = "outcome"
    REFUSAL = "refusal"
    KEY_CHANGE = "key_change"
    BUNDLE_ACTIVATED = "bundle_activated"
    POLICY_ACTIVATED = "policy_activated"
    ASSOCIATION = "association"
    RECODING = "recoding"


def _is_utc_moment(text: str) -> bool:
    try:
        return _UTC.fullmatch(text) is not None and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _counts(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_INTEGER


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


_RULES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "format_version": (
        f"must be 1 or {FORMAT_VERSION}",
        lambda value: type(value) is int and 1 <= value <= FORMAT_VERSION,
    ),
    "sequence": ("must be a whole number from 0", _counts),
    "event_id": ("must be 32 lower-case hexadecimal digits", lambda value: _matches(_EVENT_ID, value)),
    "kind": (f"must be one of {', '.join(LeafKind)}", lambda value: isinstance(value, LeafKind)),
    "battery_id": (
        "must be 1 to 64 printable characters, or null",
        lambda value: value is None or _matches(_SHORT_TEXT, value),
    ),
    "battery_sequence": (
        "must be a whole number from 0, or null without a battery",
        lambda value: value is None or _counts(value),
    ),
    "battery_previous_leaf_sha256": (
        "must be a SHA-256 in lower-case hex, or null",
        lambda value: value is None or _matches(_SHA256, value),
    ),
    "station": ("must be 1 to 64 printable characters", lambda value: _matches(_SHORT_TEXT, value)),
    "station_sequence": ("must be a whole number from 0", _counts),
    "idempotency_key": ("must be 1 to 255 printable characters", lambda value: _matches(_TEXT, value)),
    "request_sha256": ("must be a SHA-256 in lower-case hex", lambda value: _matches(_SHA256, value)),
    "recorded_at": (
        "must be a UTC moment such as 2026-11-22T08:30:00.000000Z",
        lambda value: isinstance(value, str) and _is_utc_moment(value),
    ),
    "previous_leaf_sha256": (
        "must be a SHA-256 in lower-case hex, or null",
        lambda value: value is None or _matches(_SHA256, value),
    ),
    "software_version": ("must be 1 to 64 printable characters", lambda value: _matches(_SHORT_TEXT, value)),
    "operator": (
        "must be a pseudonym, 32 lower-case hexadecimal digits, or null",
        lambda value: value is None or _matches(_EVENT_ID, value),
    ),
    "station_clock": (
        "must be a UTC moment such as 2026-11-22T08:30:00.000000Z, or null",
        lambda value: value is None or (isinstance(value, str) and _is_utc_moment(value)),
    ),
}

_SINCE_FORMAT_2 = ("operator", "station_clock")
_FIELDS = {1: sorted(_RULES.keys() - set(_SINCE_FORMAT_2)), 2: sorted(_RULES)}
_BEFORE_BODY = {version: [name for name in names if name < "body"] for version, names in _FIELDS.items()}
_AFTER_BODY = {version: [name for name in names if name > "body"] for version, names in _FIELDS.items()}


def broken_rules(values: Mapping[str, object]) -> list[Problem]:
    """Return a problem for every leaf field among `values` that breaks its rule."""
    return [
        Problem(name, rule, f"{value!r:.80}")
        for name, (rule, holds) in _RULES.items()
        if name in values and not holds(value := values[name])
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One entry in its place.

    Attributes
    ----------
    sequence : int
        Index in the whole log, from 0; the order of events.
    event_id : str
        UUID of the entry as 32 hexadecimal digits.
    kind : LeafKind
        What the entry is about.
    battery_id : str or None
        The battery concerned; None for entries about the deployment itself.
    battery_sequence : int or None
        Index among the entries of this battery, from 0; None without a battery.
    battery_previous_leaf_sha256 : str or None
        Digest of this battery's previous leaf.
    station : str
        Who asked.
    station_sequence : int
        Index among the entries of this station, from 0.
    idempotency_key : str
        Names the request at its station, for ever.
    request_sha256 : str
        Digest of everything that makes two requests the same one.
    recorded_at : str
        The caller's clock, UTC, ISO 8601 ending in ``Z``; informs, never orders.
    previous_leaf_sha256 : str or None
        Digest of the leaf before it in the log.
    software_version : str
        Release that wrote the entry.
    body_json : bytes
        The body as canonical JSON.
    operator : str or None
        Pseudonym of the person who worked at the station; the name behind it can be erased.
    station_clock : str or None
        What the station's own clock said, written as `recorded_at`; informs, never orders.
    format_version : int
        Version of this layout.

    Raises
    ------
    UnrecordableEntry
        If a field breaks its rule.
    """

    sequence: int
    event_id: str
    kind: LeafKind
    battery_id: str | None
    battery_sequence: int | None
    battery_previous_leaf_sha256: str | None
    station: str
    station_sequence: int
    idempotency_key: str
    request_sha256: str
    recorded_at: str
    previous_leaf_sha256: str | None
    software_version: str
    body_json: bytes
    operator: str | None = None
    station_clock: str | None = None
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        problems = broken_rules({name: getattr(self, name) for name in _RULES})
        if (self.battery_id is None) != (self.battery_sequence is None):
            problems.append(Problem("battery_sequence", "must stand exactly where a battery does"))
        if self.format_version == 1 and (self.operator, self.station_clock) != (None, None):
            problems.append(Problem("format_version", "must be 2 to name an operator or a station clock"))
        if problems:
            raise UnrecordableEntry(problems)

    @property
    def body(self) -> dict[str, Any]:
        """The body as a fresh JSON object; changing it changes nothing here."""
        return canonical_object(self.body_json)


def canonical_bytes(leaf: Leaf) -> bytes:
    """Return the leaf as it is stored, hashed and handed to auditors."""
    opening, closing = _around_body({name: getattr(leaf, name) for name in _FIELDS[leaf.format_version]})
    return opening + leaf.body_json + closing


def leaf_sha256(leaf: Leaf) -> str:
    """Return the SHA-256 of the canonical bytes, lower-case hex."""
    return hashlib.sha256(canonical_bytes(leaf)).hexdigest()


def parse_leaf(stored: bytes) -> Leaf:
    """Read the leaf behind stored bytes, which must be its one canonical form.

    Raises
    ------
    MalformedLeaf
        If the bytes are not JSON, not canonical (order, spacing, number form, doubled keys), have
        other fields than a leaf, or a field breaks its rule.
    """
    return parsed_leaf(stored)[0]


def parsed_leaf(stored: bytes) -> tuple[Leaf, dict[str, Any]]:
    """Read the leaf behind stored bytes together with its body, which is then not parsed twice.

    Raises
    ------
    MalformedLeaf
        As `parse_leaf`.
    """
    values = canonical_object(stored)
    body = values.pop("body", None)
    version: Any = values.get("format_version")
    known = type(version) is int and version in _FIELDS
    if not isinstance(body, dict) or not known or set(values) != set(_FIELDS[version]):
        raise MalformedLeaf(f"its fields are not those of a leaf of format {' or '.join(map(str, _FIELDS))}")
    opening, closing = _around_body(values)
    if values["kind"] in tuple(LeafKind):
        values["kind"] = LeafKind(values["kind"])
    try:
        return Leaf(**values, body_json=stored[len(opening) : len(stored) - len(closing)]), body
    except UnrecordableEntry as error:
        raise MalformedLeaf("a field breaks its rule", error.problems) from error


def _around_body(values: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Write the fields on either side of the body; without fractions the fast writer is canonical."""
    version = values["format_version"]
    before = to_json({name: values[name] for name in _BEFORE_BODY[version]})
    after = to_json({name: values[name] for name in _AFTER_BODY[version]})
    return before[:-1] + b',"body":', b"," + after[1:]
