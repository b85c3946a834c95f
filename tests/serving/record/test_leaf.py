import json
import math
from dataclasses import replace
from hashlib import sha256

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.record.canonical import MalformedLeaf, UnrecordableEntry, canonical_json, canonical_object
from serving.record.leaf import Leaf, LeafKind, canonical_bytes, leaf_sha256, parse_leaf

LEAF = Leaf(
    sequence=17,
    event_id="7f3c" * 8,
    kind=LeafKind.DECISION,
    battery_id="04QCB76836300JBC40000903",
    battery_sequence=1,
    battery_previous_leaf_sha256="ab" * 32,
    station="chongqing-3",
    station_sequence=9,
    idempotency_key='7f3c,"body":",',
    request_sha256="cd" * 32,
    recorded_at="2026-11-22T08:30:00.000000Z",
    previous_leaf_sha256="ef" * 32,
    software_version="0.1.0",
    body_json=canonical_json({"estimate": {"lower_ah": 26.9, "upper_ah": 30.0}, "unmeasured": None, "note": "余能"}),
    operator="0a" * 16,
    station_clock="2026-11-22T08:31:07.000000Z",
)
FORMAT_1 = replace(LEAF, operator=None, station_clock=None, format_version=1)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(1e-7, 1e-3) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
json_objects = st.dictionaries(st.text(max_size=4), json_values, max_size=5)


def test_a_leaf_is_the_canonical_json_of_its_fields_with_the_body_inside() -> None:
    said = json.loads(canonical_bytes(LEAF))
    assert said["body"] == {"estimate": {"lower_ah": 26.9, "upper_ah": 30}, "unmeasured": None, "note": "余能"}
    assert (said["sequence"], said["kind"], said["format_version"]) == (17, "decision", 2)
    assert (said["operator"], said["station_clock"]) == ("0a" * 16, "2026-11-22T08:31:07.000000Z")
    assert rfc8785.dumps(said) == canonical_bytes(LEAF)
    assert len(said) == 17


def test_a_leaf_of_format_1_is_still_read_and_written_as_it_was() -> None:
    said = json.loads(canonical_bytes(LEAF)) | {"format_version": 1}
    del said["operator"], said["station_clock"]
    written = rfc8785.dumps(said)
    leaf = parse_leaf(written)
    assert (leaf.format_version, leaf.operator, leaf.station_clock) == (1, None, None)
    assert canonical_bytes(leaf) == written
    assert parse_leaf(canonical_bytes(FORMAT_1)) == FORMAT_1


def test_a_leaf_of_format_1_names_no_operator_and_no_station_clock_in_memory_or_in_bytes() -> None:
    with pytest.raises(UnrecordableEntry, match="must be 2 to name an operator"):
        replace(LEAF, format_version=1)
    with pytest.raises(MalformedLeaf, match="format 1 or 2"):
        parse_leaf(_spelled(json.loads(canonical_bytes(LEAF)) | {"format_version": 1}))
    with pytest.raises(MalformedLeaf, match="format 1 or 2"):
        parse_leaf(_spelled(json.loads(canonical_bytes(FORMAT_1)) | {"format_version": 2}))


def test_the_digest_is_the_sha256_of_exactly_the_stored_bytes() -> None:
    assert leaf_sha256(LEAF) == sha256(canonical_bytes(LEAF)).hexdigest()


def test_a_leaf_read_back_is_the_same_leaf_and_gives_the_same_bytes() -> None:
    assert parse_leaf(canonical_bytes(LEAF)) == LEAF
    deployment_event = replace(
        LEAF, kind=LeafKind.POLICY_ACTIVATED, battery_id=None, battery_sequence=None, battery_previous_leaf_sha256=None
    )
    assert parse_leaf(canonical_bytes(deployment_event)) == deployment_event


def test_changing_a_body_that_was_read_changes_no_leaf() -> None:
    LEAF.body["estimate"]["lower_ah"] = 99.0
    assert LEAF.body["estimate"]["lower_ah"] == 26.9


@settings(max_examples=150, deadline=None)
@given(json_objects)
def test_every_json_object_is_written_as_the_rfc_says_and_read_back_with_the_same_bytes(
    body: dict[str, object],
) -> None:
    written = canonical_json(body)
    assert written == rfc8785.dumps(body)  # type: ignore[arg-type]
    assert canonical_json(canonical_object(written)) == written
    assert parse_leaf(canonical_bytes(replace(LEAF, body_json=written))).body_json == written


@settings(max_examples=150, deadline=None)
@given(json_objects, st.booleans(), st.booleans())
def test_other_spellings_of_an_object_are_accepted_exactly_where_they_are_the_canonical_one(
    body: dict[str, object], ascii_only: bool, in_order: bool
) -> None:
    spelled = json.dumps(body, ensure_ascii=ascii_only, sort_keys=in_order, separators=(",", ":")).encode()
    if spelled == canonical_json(body):
        assert canonical_object(spelled) is not None
    else:
        with pytest.raises(MalformedLeaf):
            canonical_object(spelled)


@pytest.mark.parametrize(
    "spelled",
    [
        b'{"a": 1}', b'{"a":1 }', b'{"a":1}\n', b'{"b":1,"a":2}', b'{"a":1,"a":1}', b'{"a":1,"a":2}',
        b'{"a":1.0}', b'{"a":1e2}', b'{"a":0.10}', b'{"a":-0}', b'{"a":-0.0}', b'{"a":1E-7}', b'{"a":1e-07}',
        b'{"a":5e-05}',
        b'{"a":9007199254740993}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":1e999}',
        b'{"a":"\\u0041"}', b'{"a":"\\/"}', b'{"a":"\\ud800"}', b'{"a":"\xff"}', b"\xef\xbb\xbf{}",
        b"[1]", b"null", b"", b"\x00" * 20, b'{"a":' + b"9" * 5000 + b"}", b'{"a":' * 100_000,
    ],
)  # fmt: skip
def test_bytes_that_are_not_the_one_canonical_form_are_refused(spelled: bytes) -> None:
    with pytest.raises(MalformedLeaf, match="MALFORMED_LEAF"):
        canonical_object(spelled)


def test_keys_outside_the_basic_plane_stand_in_utf16_order() -> None:
    canonical = '{"\U0001f600":1,"\ue000":2}'.encode()
    assert canonical_json({"\ue000": 2, "\U0001f600": 1}) == canonical
    assert canonical_object(canonical) == {"\ue000": 2, "\U0001f600": 1}
    with pytest.raises(MalformedLeaf):
        canonical_object('{"\ue000":2,"\U0001f600":1}'.encode())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**53, -(2**53), "\ud800", b"bytes", {1, 2}])
def test_what_json_cannot_hold_is_refused_naming_its_place(value: object) -> None:
    with pytest.raises(UnrecordableEntry, match=r"Nothing was recorded") as refused:
        canonical_json({"vector": {"values": [1.0, value]}})
    assert refused.value.problems[0].where == "body.vector.values[1]"


def test_a_key_that_is_not_text_is_refused_naming_its_place() -> None:
    with pytest.raises(UnrecordableEntry, match=r"body\.cuts: keys must be Unicode text \(got 0\.8\)"):
        canonical_json({"cuts": {0.8: 0.27}})
    with pytest.raises(UnrecordableEntry, match="keys must be Unicode text"):
        canonical_json({"\ud800": 1})


def test_a_body_nested_without_end_is_refused_and_not_a_crash() -> None:
    body: dict[str, object] = {}
    body["again"] = body
    with pytest.raises(UnrecordableEntry, match="nested"):
        canonical_json(body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence", -1), ("sequence", True), ("sequence", 2**53), ("sequence", 1.5), ("sequence", "17"),
        ("event_id", "7F3C" * 8), ("event_id", "7f"), ("kind", "decision?"), ("kind", ["decision"]),
        ("battery_id", ""), ("battery_id", "a" * 65), ("battery_id", "a\nb"), ("battery_sequence", None),
        ("battery_previous_leaf_sha256", "ab"), ("station", ""), ("station", None), ("station_sequence", "9"),
        ("idempotency_key", "k" * 256), ("idempotency_key", "\ud800"), ("request_sha256", "CD" * 32),
        ("recorded_at", "2026-11-22T08:30:00+08:00"), ("recorded_at", "2026-13-22T08:30:00Z"), ("recorded_at", "now"),
        ("previous_leaf_sha256", ""), ("software_version", ""), ("format_version", 3), ("format_version", True),
        ("operator", "Li Wei"), ("operator", ""), ("station_clock", "2026-11-22 08:31"), ("station_clock", 0),
    ],
)  # fmt: skip
def test_a_field_that_breaks_its_rule_is_refused_naming_it_in_memory_and_in_bytes(field: str, value: object) -> None:
    with pytest.raises(UnrecordableEntry) as refused:
        replace(LEAF, **{field: value})
    assert refused.value.problems[0].where == field
    with pytest.raises(MalformedLeaf):
        parse_leaf(_spelled(json.loads(canonical_bytes(LEAF)) | {field: value}))


def test_a_leaf_with_a_field_too_many_or_too_few_is_refused() -> None:
    said = json.loads(canonical_bytes(LEAF))
    for changed in (said | {"vin": "L"}, {name: said[name] for name in said if name != "station"}, said | {"body": []}):
        with pytest.raises(MalformedLeaf, match="fields are not those of a leaf of format 1 or 2"):
            parse_leaf(canonical_json(changed))


def _spelled(said: dict[str, object]) -> bytes:
    written = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return written.encode(errors="surrogatepass")
