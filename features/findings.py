"""Findings: what we noticed about a battery, with the evidence.

A finding is data, not an exception: it travels with the feature vector into the decision and the
record. Severity says what it may do: a NOTE informs, a CAUTION is shown to the worker, a
DISQUALIFYING finding forbids cascade use whatever the model says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """What a finding may do to a decision."""

    NOTE = "note"
    CAUTION = "caution"
    DISQUALIFYING = "disqualifying"


@dataclass(frozen=True, slots=True)
class Message:
    """One sentence in the two languages of the station."""

    en: str
    zh: str


Evidence = Mapping[str, bool | int | float | str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation about a battery.

    Attributes
    ----------
    code : str
        Stable identifier such as ``quality.current_gap``.
    severity : Severity
        What it may do to a decision.
    message : Message
        What was seen, with values and allowed values.
    evidence : mapping of str to number, bool or str
        The values behind the sentence, names ending in their unit.
    """

    code: str
    severity: Severity
    message: Message
    evidence: Evidence = field(default_factory=dict)

    @property
    def disqualifies(self) -> bool:
        """Whether this finding forbids cascade use."""
        return self.severity is Severity.DISQUALIFYING
