import json

import pytest

from features.errors import InvalidInput, Problem
from serving.wire import DEEPEST_NESTING, error_body, field_path, read_strictly, value_at


def refused(body: bytes) -> Problem:
    with pytest.raises(InvalidInput) as caught:
        read_strictly(body)
    assert caught.value.code == "INVALID_JSON"
    return caught.value.problems[0]


def test_plain_json_is_read_and_its_digest_ignores_key_order_and_spaces():
    read = read_strictly(b'{"b": [1, 2.5, null, true], "a": "\xe5\x90\x88"}')
    assert read.value == {"b": [1, 2.5, None, True], "a": "合"}
    assert read.sha256 == read_strictly('{"a":"合","b":[1,2.5,null,true]}'.encode()).sha256
    assert read.sha256 != read_strictly('{"a":"合","b":[2.5,1,null,true]}'.encode()).sha256


def test_who_asks_and_when_is_left_out_of_the_digest_at_the_top_alone():
    asked = read_strictly(b'{"a": 1}').sha256
    assert read_strictly(b'{"a": 1, "operator": "Li", "station_clock": "x", "person": "Wu"}').sha256 == asked
    assert read_strictly(b'{"a": {"operator": "Li"}}').sha256 != read_strictly(b'{"a": {"operator": "Wu"}}').sha256


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_for_numbers_are_refused(word):
    assert refused(f'{{"a": [1.0, {word}]}}'.encode()) == Problem("", "must be a finite number", word)


def test_a_number_that_overflows_is_refused_with_its_place():
    assert refused(b'{"runs": [{"table": {"voltage_volt": [3.2, 1e999]}}]}') == Problem(
        "runs[0].table.voltage_volt[1]", "must be a finite number", "inf"
    )


@pytest.mark.parametrize("body", [b'{"a": 1, "a": 1}', b'{"x": [{"a": 1, "b": 2, "a": 3}]}'])
def test_a_key_twice_in_an_object_is_refused_at_every_level(body):
    assert refused(body) == Problem("a", "must appear once in its object", "'a'")


def test_the_same_key_in_two_objects_is_allowed():
    assert read_strictly(b'[{"a": 1}, {"a": 2}]').value == [{"a": 1}, {"a": 2}]


def test_bytes_that_are_not_utf_8_are_refused_with_their_place():
    assert refused(b'{"a": "\xff"}') == Problem("byte 7", "must be UTF-8", "b'\\xff'")


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": 1,}', b"{'a': 1}", b'{"a": "\x00"}', b"\xef\xbb\xbf{}", b"{} {}"])
def test_text_that_is_not_json_is_refused_with_line_and_column(body):
    assert refused(body).where.startswith("line 1 column ")


def test_half_of_a_surrogate_pair_is_refused_and_a_whole_pair_is_read():
    assert "surrogate" in refused(b'{"a": "\\ud83d"}').rule
    assert read_strictly(b'{"a": "\\ud83d\\udd0b"}').value == {"a": "🔋"}


def test_nesting_is_allowed_to_the_limit_and_refused_beyond():
    beyond = DEEPEST_NESTING + 1
    read_strictly(b"[" * DEEPEST_NESTING + b"1" + b"]" * DEEPEST_NESTING)
    assert "nested" in refused(b"[" * beyond + b"1" + b"]" * beyond).rule
    assert "nested" in refused(b"[" * 1_000_000 + b"]" * 1_000_000).rule
    assert "nested" in refused(b'{"a":' * 100_000 + b"1" + b"}" * 100_000).rule


def test_an_object_of_a_thousand_members_is_read_and_of_one_more_refused():
    members = [f'"k{number}": 0' for number in range(1001)]
    read_strictly(("{" + ",".join(members[:1000]) + "}").encode())
    assert refused(("[{" + ",".join(members) + "}]").encode()).value == "1001 members"


def test_a_number_of_thousands_of_digits_is_refused():
    assert "digits" in refused(b'{"a": ' + b"9" * 5000 + b"}").rule


def test_every_error_has_one_body_and_its_texts_are_shortened():
    problems = [Problem("where" * 100, "a rule", "v" * 1000)] * 30
    error = json.loads(error_body("INVALID_INPUT", "Nothing was graded.", problems))["error"]
    assert list(error) == ["code", "message", "details"]
    assert error["message"] == "Nothing was graded. The first 20 of 30 problems are shown."
    assert len(error["details"]) == 20
    assert len(error["details"][0]["value"]) == 80
    assert len(error["details"][0]["where"]) == 160


def test_an_error_body_is_utf_8_whatever_the_value_holds():
    assert json.loads(error_body("X", "m", [Problem("w", "r", "\ud800\x00")]))["error"]["details"][0]["where"] == "w"


def test_a_place_is_written_as_a_path_and_leads_to_its_value():
    document = {"runs": [{"table": {"current_ampere": [0.0, "1.5"]}}]}
    location = ("runs", 0, "table", "current_ampere", 1)
    assert field_path(location) == "runs[0].table.current_ampere[1]"
    assert value_at(document, location) == "1.5"
    assert value_at(document, ("runs", 0)) == "an object"
    assert value_at(document, ("runs", 3, "kind")) == ""
