"""Thresholds in force: from which score a method accepts at each cut, and below which it rejects.

What a decision needs of a certificate, and what the record keeps of it; how they come about is
`certification`. A score is a predicted state of health on a fixed grid: calibration and service
round alike, so that no last digit of a machine ever moves a verdict.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from models.risk_levels import RiskLevels

SCORE_DECIMALS = 4
"""Scores are compared to a hundredth of a percent of state of health, far below any error."""


def certified_score(state_of_health_fraction: float) -> float:
    """Score of a predicted state of health, as calibration batteries and graded ones are compared.

    Examples
    --------
    >>> certified_score(0.851649)
    0.8516
    """
    return round(state_of_health_fraction, SCORE_DECIMALS)


@dataclass(frozen=True, slots=True)
class CutThresholds:
    """Thresholds of one cut, ``reject_below <= cut_fraction <= accept_at_least``."""

    cut_fraction: float
    accept_at_least: float
    reject_below: float

    def __post_init__(self) -> None:
        if not self.reject_below <= self.cut_fraction <= self.accept_at_least:
            shown = f"{self.reject_below} / {self.cut_fraction} / {self.accept_at_least}"
            raise ValueError(f"Thresholds need reject_below <= cut <= accept_at_least, got {shown}.")


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of one method for the batteries of one certificate.

    Attributes
    ----------
    levels : RiskLevels
        What they promise at most.
    calibration_batteries : mapping of str to int
        Batteries behind them per type key: the mix the promise holds for.
    cuts : tuple of CutThresholds
        Highest cut first; whoever is accepted at a cut is accepted at every lower one, and whoever is
        rejected at a cut at every higher one.

    Raises
    ------
    ValueError
        If the cuts do not fall or the thresholds do not nest.
    """

    levels: RiskLevels
    calibration_batteries: Mapping[str, int]
    cuts: tuple[CutThresholds, ...]

    def __post_init__(self) -> None:
        for higher, lower in itertools.pairwise(self.cuts):
            nested = higher.accept_at_least >= lower.accept_at_least and higher.reject_below >= lower.reject_below
            if not (higher.cut_fraction > lower.cut_fraction and nested):
                raise ValueError(f"Thresholds must fall with the cut, got {higher} above {lower}.")

    def at(self, cut_fraction: float) -> CutThresholds:
        """Thresholds of one cut.

        Raises
        ------
        KeyError
            If nothing was certified at this cut.
        """
        for each in self.cuts:
            if each.cut_fraction == cut_fraction:
                return each
        raise KeyError(f"No threshold is in force at {cut_fraction:g}.")
