"""What the record already says about a battery when it is graded again. Values only.

A grader reads it from the record, a policy decides with it, and the decision keeps it: so a decision
can be replayed without the record. Counting and comparing goes by the log's index, never by a clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from models.decision import Outcome


@dataclass(frozen=True, slots=True)
class PastDecision:
    """An earlier decision on the battery that nobody withdrew.

    Attributes
    ----------
    decision_id : str
        Its identifier.
    sequence : int
        Its index in the log.
    outcome : Outcome
        What its own measurements said, before an earlier verdict or a part held it back.
    closed_gates : tuple of str
        Codes of the findings that closed its gates; empty unless it is a hold.
    releases : bool
        Whether it overrode the verdicts before it (its reasons say `VERDICT_RELEASED`).
    overridden : bool
        Whether a named person overrode it.
    """

    decision_id: str
    sequence: int
    outcome: Outcome
    closed_gates: tuple[str, ...] = ()
    releases: bool = False
    overridden: bool = False


@dataclass(frozen=True, slots=True)
class StandingVerdict:
    """The unsafe verdict that stands.

    Attributes
    ----------
    decision_id : str
        The earliest of the worst decisions nobody overrode.
    sequence : int
        Its index in the log.
    outcome : Outcome
        What it said.
    open_gates : tuple of str
        Codes of the gate findings of all verdicts that stand, in the order they were recorded.
    graded_since : int
        How often the battery was graded after it.
    """

    decision_id: str
    sequence: int
    outcome: Outcome
    open_gates: tuple[str, ...] = ()
    graded_since: int = 0


@dataclass(frozen=True, slots=True)
class PartVerdict:
    """What was last decided on a module or cell that is part of the battery.

    Attributes
    ----------
    battery_id : str
        The part.
    decision_id : str or None
        Its last decision; None if it was never graded.
    outcome : Outcome or None
        What that decision said.
    grade : str or None
        Its grade; only with `cascade`.
    gated : bool
        Whether the part was judged at all; one that was not limits nothing.

    Raises
    ------
    ValueError
        If a judged part has no outcome.
    """

    battery_id: str
    decision_id: str | None
    outcome: Outcome | None
    grade: str | None
    gated: bool

    def __post_init__(self) -> None:
        if self.gated and self.outcome is None:
            raise ValueError(f"Part {self.battery_id} was judged but has no outcome.")


@dataclass(frozen=True, slots=True)
class RecordedPast:
    """What the record says before a decision.

    Attributes
    ----------
    standing : StandingVerdict or None
        The unsafe verdict that stands; None without any.
    parts : tuple of PartVerdict
        Its modules or cells.
    """

    standing: StandingVerdict | None = None
    parts: tuple[PartVerdict, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, as a decision keeps it."""
        standing = self.standing
        return {
            "standing": standing
            and {
                "decision_id": standing.decision_id,
                "sequence": standing.sequence,
                "outcome": standing.outcome.value,
                "open_gates": list(standing.open_gates),
                "graded_since": standing.graded_since,
            },
            "parts": [
                {
                    "battery_id": part.battery_id,
                    "decision_id": part.decision_id,
                    "outcome": part.outcome and part.outcome.value,
                    "grade": part.grade,
                    "gated": part.gated,
                }
                for part in self.parts
            ],
        }

    @classmethod
    def from_json(cls, written: Mapping[str, Any] | None) -> Self:
        """The past a decision keeps; a decision older than this rule keeps none.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it was not written by `as_json`.
        """
        if written is None:
            return cls()
        standing, parts = written["standing"], written["parts"]
        return cls(
            standing and StandingVerdict(**_named(standing) | {"open_gates": tuple(standing["open_gates"])}),
            tuple(PartVerdict(**_named(part)) for part in parts),
        )


NOTHING_PAST = RecordedPast()
"""A battery the record has never seen."""


def _named(written: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a verdict, its outcome as the noun it is."""
    outcome = written["outcome"]
    return {**written, "outcome": None if outcome is None else Outcome(outcome)}
