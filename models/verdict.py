"""A verdict on the way to a decision: an outcome with its reasons, and which of two is better.

Better means closer to use: a cascade use, then a retest, then recycling, then a hold.
"""

from dataclasses import dataclass

from features.findings import Finding
from models.decision import NextTest, Outcome

_BEST_FIRST = (Outcome.CASCADE, Outcome.RETEST, Outcome.RECYCLE, Outcome.HOLD)


@dataclass(frozen=True, slots=True)
class GradeBand:
    """One grade: the band of state of health it covers and what it may be used for."""

    name: str
    minimum_fraction: float
    below_fraction: float
    uses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome with its reasons.

    Attributes
    ----------
    outcome : Outcome
        What happens to the battery.
    reasons : tuple of Finding
        Why, the deciding one first.
    band : GradeBand or None
        Grade; only with `cascade`.
    next_test : NextTest or None
        Test a rule names itself; for the others the policy finds the cheapest.
    """

    outcome: Outcome
    reasons: tuple[Finding, ...]
    band: GradeBand | None = None
    next_test: NextTest | None = None

    @property
    def said(self) -> str:
        """The outcome with its grade, for a sentence."""
        return f"{self.outcome.value} {self.band.name}" if self.band else self.outcome.value


def is_better(outcome: Outcome, than: Outcome) -> bool:
    """Whether an outcome is closer to use than another.

    Examples
    --------
    >>> is_better(Outcome.RETEST, Outcome.HOLD), is_better(Outcome.HOLD, Outcome.HOLD)
    (True, False)
    """
    return _BEST_FIRST.index(outcome) < _BEST_FIRST.index(than)
