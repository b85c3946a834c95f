"""The words our EPCIS documents use beside GS1's own: a closed list, read from ``vocabulary.toml``.

GS1's schema takes any business step and any disposition that looks like a URI; ours takes the words
listed here and no other. The list is also served as a JSON-LD document, so that a receiver can read
what each word means, in English and Chinese.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

_SHIPPED = Path(__file__).with_suffix(".toml")
_PREFIXES = {
    "epcis": "https://ref.gs1.org/epcis/",
    "gs1": "https://gs1.org/voc/",
    "owl": "http://www.w3.org/2002/07/owl#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}


class WordKind(StrEnum):
    """Where in a document a word may stand."""

    DISPOSITION = "disposition"
    BUSINESS_STEP = "business_step"
    ERROR_REASON = "error_reason"
    SENSOR_EXCEPTION = "sensor_exception"
    MEASUREMENT = "measurement"
    PROPERTY = "property"


_CLASSES = {
    WordKind.DISPOSITION: "epcis:Disposition",
    WordKind.BUSINESS_STEP: "epcis:BizStep",
    WordKind.ERROR_REASON: "epcis:ErrorReason",
    WordKind.SENSOR_EXCEPTION: "epcis:SensorAlertType",
    WordKind.MEASUREMENT: "gs1:MeasurementType",
    WordKind.PROPERTY: "rdf:Property",
}


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the vocabulary.

    Attributes
    ----------
    name : str
        Without prefix.
    kind : WordKind
        Where it may stand.
    en, zh : str
        What it means.
    range : str or None
        Type of a property's value, ``@id`` for a URI; None where it is an object.
    narrower_than : str or None
        GS1's word for a quantity of this kind.
    """

    name: str
    kind: WordKind
    en: str
    zh: str
    range: str | None = None
    narrower_than: str | None = None


@dataclass(frozen=True)
class Vocabulary:
    """The closed list.

    Attributes
    ----------
    prefix, namespace, version : str
        Short and full form of its URIs, and which list it is.
    words : tuple of Word
        In the order of the file.
    """

    prefix: str
    namespace: str
    version: str
    words: tuple[Word, ...]

    def names(self, kind: WordKind) -> frozenset[str]:
        """Words of one kind, without prefix."""
        return frozenset(word.name for word in self.words if word.kind is kind)

    def written(self, name: str) -> str:
        """A word as documents write it.

        Examples
        --------
        >>> shipped_vocabulary().written("cascade")
        'packgrade:cascade'
        """
        return f"{self.prefix}:{name}"

    def document(self) -> dict[str, Any]:
        """JSON-LD: a context that types every property, and every word with its labels."""
        typed = {self.written(word.name): self._typed(word) for word in self.words if word.kind is WordKind.PROPERTY}
        return {
            "@context": {**_PREFIXES, self.prefix: self.namespace, **typed},
            "@id": self.namespace.rstrip("#"),
            "@type": "owl:Ontology",
            "owl:versionInfo": self.version,
            "@graph": [self._described(word) for word in self.words],
        }

    def _typed(self, word: Word) -> dict[str, str]:
        named = {"@id": self.namespace + word.name}
        return {**named, "@type": word.range} if word.range else named

    def _described(self, word: Word) -> dict[str, Any]:
        labels = [{"@language": "en", "@value": word.en}, {"@language": "zh", "@value": word.zh}]
        kept = {"rdfs:subClassOf": {"@id": word.narrower_than}} if word.narrower_than else {}
        return {"@id": self.written(word.name), "@type": _CLASSES[word.kind], "rdfs:label": labels, **kept}


@cache
def shipped_vocabulary() -> Vocabulary:
    """The vocabulary of this release."""
    return parsed_vocabulary(_SHIPPED.read_text(encoding="utf-8"))


def parsed_vocabulary(text: str) -> Vocabulary:
    """Read a vocabulary written as TOML.

    Raises
    ------
    TypeError, ValueError, KeyError
        If a part is missing or unknown, a word lacks a language, or one name stands for two words of a kind.
    """
    written: Mapping[str, Any] = tomllib.loads(text)
    head = {name: written[name] for name in ("prefix", "namespace", "version")}
    sections = {WordKind(name): words for name, words in written.items() if name not in head}
    words = tuple(Word(name, kind, **said) for kind, listed in sections.items() for name, said in listed.items())
    if len({word.name for word in words}) != len(words):
        raise ValueError("a word stands for two things: every name must be used once")
    return Vocabulary(**head, words=words)
