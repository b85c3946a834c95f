"""Nouns of a certified cut: risk levels, certificate, refusal, and the words they are told in.

A certificate says below which score a battery is rejected, from which it is accepted, how many
batteries stand behind it and what is promised. A refusal says how many would be needed. Nothing is
computed from calibration data here: that is `risk`. Shares are of **all** batteries presented, never
of the accepted ones; scores are predicted states of health, on the scale of the cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from features.errors import InvalidInput, Problem
from features.findings import Message
from features.measurement import FloatArray

Names = npt.NDArray[np.str_]


class CutVerdict(StrEnum):
    """What a certificate says of one battery at its cut."""

    ACCEPT = "accept"
    REJECT = "reject"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class RiskLevels:
    """What a policy is willing to risk at a cut.

    Attributes
    ----------
    max_false_accept_share : float
        Largest share of all presented batteries that are accepted although below the cut, in (0, 1).
    max_false_reject_share : float
        Largest share of all presented batteries that are rejected although not below it, in (0, 1).
    confidence : float
        Probability, over the draw of calibration batteries, with which each of the two holds, in (0, 1).

    Raises
    ------
    InvalidInput
        ``RISK_LEVELS_NOT_SOUND``, naming every level outside (0, 1).
    """

    max_false_accept_share: float
    max_false_reject_share: float
    confidence: float

    def __post_init__(self) -> None:
        levels = {name: float(getattr(self, name)) for name in self.__slots__}
        problems = [
            Problem(name, "must lie between 0 and 1, both excluded", f"{level:g}")
            for name, level in levels.items()
            if not 0.0 < level < 1.0
        ]
        if problems:
            message = "These risk levels are no risk levels. Nothing was certified."
            raise InvalidInput(message, problems, code="RISK_LEVELS_NOT_SOUND")


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

    @property
    def promise(self) -> Message:
        """What is promised, with which confidence, and for what."""
        levels, cut = self.levels, percent(self.cut_fraction)
        accepts, rejects = percent(levels.max_false_accept_share), percent(levels.max_false_reject_share)
        confidence, mix, count = percent(levels.confidence), mix_of(self.types), self.battery_count
        return Message(
            f"Of all batteries presented at the cut of {cut} state of health, at most {accepts} are accepted although "
            f"below it, and at most {rejects} are rejected although not below it, each with {confidence} confidence, "
            f"calibrated on {count} batteries ({mix}). {_only_for(self.types).en}",
            f"在健康状态 {cut} 门槛处,全部受检电池中低于门槛却被接收的不超过 {accepts},"
            f"不低于门槛却被拒收的不超过 {rejects},置信度各为 {confidence},"
            f"依据 {count} 块校准电池({mix})。{_only_for(self.types).zh}",
        )


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

    @property
    def message(self) -> Message:
        """What cannot be promised, and what it would take."""
        levels, cut = self.levels, percent(self.cut_fraction)
        accepts, rejects = percent(levels.max_false_accept_share), percent(levels.max_false_reject_share)
        confidence, count, needed = percent(levels.confidence), self.battery_count, self.batteries_needed
        mix, missing = mix_of(self.types), self.batteries_missing
        return Message(
            f"At most {accepts} false accepts and {rejects} false rejects at the cut of {cut} cannot be promised with "
            f"{confidence} confidence: {count} batteries calibrate it ({mix}), at least {needed} without an error are "
            f"needed, {missing} are missing. Nothing is certified. Measure more batteries on arrival, or risk more.",
            f"无法以 {confidence} 置信度承诺 {cut} 门槛处误收不超过 {accepts}、误拒不超过 {rejects}:"
            f"现有校准电池 {count} 块({mix}),至少需要 {needed} 块且无一出错,尚缺 {missing} 块。"
            "未作任何认证。请增加到站实测电池,或放宽风险水平。",
        )


@dataclass(frozen=True)
class TypeCertificates:
    """One certificate or refusal for each type, so that no type pays for another.

    Attributes
    ----------
    groups : tuple of Certificate or CannotPromise
        Types with enough batteries on their own, one each; the other types together, last.
    """

    groups: tuple[Certificate | CannotPromise, ...]

    def of_type(self, type_key: str) -> Certificate | CannotPromise | None:
        """The group a type belongs to; None if no battery of the type calibrated anything."""
        return next((group for group in self.groups if type_key in group.types), None)

    def decide(self, type_keys: Names, score: FloatArray) -> Names:
        """Verdict on each battery by its type's own group; `undecided` where nothing could be promised.

        Parameters
        ----------
        type_keys : ndarray of str, shape (n,)
            Declared types.
        score : ndarray, shape (n,)
            Predicted state of health.

        Returns
        -------
        ndarray of str, shape (n,)
            `CutVerdict` values.

        Raises
        ------
        ValueError
            If a score that a certificate decides on is not finite.
        """
        verdicts = np.full(len(score), CutVerdict.UNDECIDED.value)
        for group in self.groups:
            if isinstance(group, Certificate):
                of_group = np.isin(type_keys.astype(str), list(group.types))
                verdicts[of_group] = group.decide(score[of_group])
        return verdicts


def percent(fraction: float) -> str:
    """A share as people read it.

    Examples
    --------
    >>> percent(0.02), percent(0.995)
    ('2 %', '99.5 %')
    """
    return f"{100 * fraction:.4g} %"


def mix_of(types: Mapping[str, TypeTally | int]) -> str:
    """How many batteries of which type, by name: ``LFP20 71, LMO10 65``."""
    counts = {key: each if isinstance(each, int) else each.batteries for key, each in types.items()}
    return ", ".join(f"{key} {count}" for key, count in sorted(counts.items()))


def _only_for(types: Mapping[str, TypeTally]) -> Message:
    if len(types) == 1:
        (name,) = types
        return Message(f"This holds for batteries of type {name} only.", f"此承诺仅适用于 {name} 类型的电池。")
    return Message(
        "This holds for the calibration mix of types only, not for any single type.",
        "此承诺仅适用于校准样本的类型构成,不适用于任何单一类型。",
    )
