"""Nouns of a certified cut: certificate and refusal.

A certificate says below which score a battery is rejected, from which it is accepted, how many
batteries stand behind it and what is promised. A refusal says how many would be needed. Nothing is
computed from calibration data here: that is `risk`; the sentences are in `promise`. Shares are of
**all** batteries presented, never of the accepted ones; scores are predicted states of health, on
the scale of the cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from features.measurement import FloatArray
from models.risk_levels import RiskLevels

Names = npt.NDArray[np.str_]


class CutVerdict(StrEnum):
    """What a certificate says of one battery at its cut."""

    ACCEPT = "accept"
    REJECT = "reject"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """Errors of one kind on the calibration batteries.

    Attributes
    ----------
    allowed : int
        Errors with which the promise could still be given.
    found : int
        Errors at the certified threshold, never more than `allowed`.
    upper_bound_share : float
        Clopper-Pearson bound of the true share of such errors, given those found.
    """

    allowed: int
    found: int
    upper_bound_share: float


@dataclass(frozen=True, slots=True)
class TypeTally:
    """What the calibration batteries of one type would have got; an observation, not a promise."""

    batteries: int
    accepted: int
    rejected: int
    false_accepts: int
    false_rejects: int


@dataclass(frozen=True)
class Certificate:
    """Certified thresholds of one cut.

    Attributes
    ----------
    cut_fraction : float
        State of health the verdict is about.
    levels : RiskLevels
        What is promised at most, and with which confidence.
    accept_at_least, reject_below : float
        Thresholds on the score, ``reject_below <= cut_fraction <= accept_at_least``.
    false_accepts, false_rejects : ErrorBudget
        Errors allowed and found on the calibration batteries.
    types : mapping of str to TypeTally
        The calibration batteries per type key: the mix the promise holds for.

    Raises
    ------
    ValueError
        If the thresholds overlap or do not enclose the cut.
    """

    cut_fraction: float
    levels: RiskLevels
    accept_at_least: float
    reject_below: float
    false_accepts: ErrorBudget
    false_rejects: ErrorBudget
    types: Mapping[str, TypeTally]

    def __post_init__(self) -> None:
        if not self.reject_below <= self.cut_fraction <= self.accept_at_least:
            shown = f"{self.reject_below} / {self.cut_fraction} / {self.accept_at_least}"
            raise ValueError(f"A certificate needs reject_below <= cut <= accept_at_least, got {shown}.")

    @property
    def battery_count(self) -> int:
        """Calibration batteries in all."""
        return sum(tally.batteries for tally in self.types.values())

    def decide(self, score: FloatArray) -> Names:
        """Verdict on each battery of the mix.

        Parameters
        ----------
        score : ndarray, shape (n,)
            Predicted state of health, computed as for the calibration batteries.

        Returns
        -------
        ndarray of str, shape (n,)
            `CutVerdict` values.

        Raises
        ------
        ValueError
            If a score is not finite.
        """
        if not np.isfinite(score).all():
            place = int(np.flatnonzero(~np.isfinite(score))[0])
            raise ValueError(f"A verdict needs finite scores, got {score[place]} at position {place}.")
        rejected_or_not = np.where(score < self.reject_below, CutVerdict.REJECT.value, CutVerdict.UNDECIDED.value)
        return np.where(score >= self.accept_at_least, CutVerdict.ACCEPT.value, rejected_or_not)


@dataclass(frozen=True)
class CannotPromise:
    """Why no certificate exists: too few calibration batteries, even without a single error among them.

    Attributes
    ----------
    cut_fraction : float
        State of health the promise would be about.
    levels : RiskLevels
        What was asked.
    batteries_needed : int
        Fewest calibration batteries with which it could be given, if none of them is an error.
    types : mapping of str to int
        Calibration batteries there are, per type key.
    """

    cut_fraction: float
    levels: RiskLevels
    batteries_needed: int
    types: Mapping[str, int]

    @property
    def battery_count(self) -> int:
        """Calibration batteries there are."""
        return sum(self.types.values())

    @property
    def batteries_missing(self) -> int:
        """How many more are needed."""
        return self.batteries_needed - self.battery_count
