"""Our words are few, closed, bilingual, and each of them is used."""

import json
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from models.decision import Outcome
from serving.trace import documents
from serving.trace.vocabulary import WordKind, parsed_vocabulary, shipped_vocabulary

WORDS = shipped_vocabulary().words

ONE_WORD = """
prefix = "packgrade"
namespace = "https://packgrade.example/voc/1#"
version = "1.0"
[disposition]
cascade = { en = "suited", zh = "适合" }
"""


def own_properties() -> Iterator[str]:
    """Properties of ours that some part of a document has."""
    for part in vars(documents).values():
        if isinstance(part, type) and issubclass(part, BaseModel):
            names = (field.alias or "" for field in part.model_fields.values())
            yield from (name.removeprefix("packgrade:") for name in names if name.startswith("packgrade:"))


def test_every_word_is_told_in_english_and_chinese() -> None:
    for word in WORDS:
        assert word.en.isascii(), word
        assert any("\u4e00" <= sign <= "\u9fff" for sign in word.zh), word


def test_every_outcome_of_a_decision_has_its_disposition() -> None:
    assert {outcome.value for outcome in Outcome} <= shipped_vocabulary().names(WordKind.DISPOSITION)


def test_every_property_of_a_document_is_a_word_and_every_such_word_a_property() -> None:
    assert set(own_properties()) == shipped_vocabulary().names(WordKind.PROPERTY)


def test_the_served_document_describes_every_word_and_types_every_property() -> None:
    served = json.loads(json.dumps(shipped_vocabulary().document()))
    described = {each["@id"] for each in served["@graph"]}
    assert described == {f"packgrade:{word.name}" for word in WORDS}
    context = served["@context"]
    assert context["packgrade:log_index"] == {
        "@id": "https://packgrade.example/voc/1#log_index",
        "@type": "xsd:nonNegativeInteger",
    }
    prefixes = {each["@type"].split(":")[0] for each in served["@graph"]} | {"xsd", "owl", "rdfs"}
    assert prefixes <= set(context)


def test_every_quantity_is_placed_under_one_of_gs1() -> None:
    assert {word.name: word.narrower_than for word in WORDS if word.kind is WordKind.MEASUREMENT} == {
        "remaining_capacity": "gs1:ElectricCharge",
        "state_of_health": "gs1:Dimensionless",
    }


def test_a_vocabulary_of_one_word_can_be_read() -> None:
    assert [word.name for word in parsed_vocabulary(ONE_WORD).words] == ["cascade"]


@pytest.mark.parametrize(
    "changed",
    [
        ONE_WORD.replace(', zh = "适合"', ""),
        ONE_WORD.replace("[disposition]", "[mood]"),
        ONE_WORD.replace('zh = "适合"', 'zh = "适合", fr = "apte"'),
        ONE_WORD.replace('version = "1.0"', ""),
        ONE_WORD + '[measurement]\ncascade = { en = "a", zh = "一" }\n',
    ],
)
def test_a_vocabulary_with_a_half_unknown_or_doubled_word_is_refused(changed: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        parsed_vocabulary(changed)
