"""What an estimate proves at a cut: by its own interval, or by a certified threshold on its score.

A direct measurement knows its uncertainty, so its interval clears a cut or lies below it. A trained
method is graded by the thresholds certified for it, because an interval per battery says nothing about
the share of wrong decisions. Both answer the same two questions, and both nest: what clears a cut
clears every lower one, what lies below a cut lies below every higher one.
"""

from dataclasses import dataclass
from typing import Protocol

from features.findings import Evidence, Finding, Message, Severity
from models.decision import AbstentionCode, CapacityEstimate, cut_key
from models.thresholds import CutThresholds, Thresholds, certified_score


class Proof(Protocol):
    """What is known about a battery at the cuts of a policy."""

    def clears(self, cut: float) -> bool:
        """Whether the battery may be taken to be at least as good as the cut."""

    def lies_below(self, cut: float) -> bool:
        """Whether the battery may be taken to be worse than the cut."""

    def cleared(self, cut: float, grade: str) -> Finding:
        """Why the battery has this grade."""

    def below(self, cut: float) -> Finding:
        """Why the battery lies below the cut."""

    def undecided(self, cut: float) -> Finding:
        """Why nothing can be said at the cut."""


@dataclass(frozen=True, slots=True)
class MeasuredInterval:
    """A direct measurement with its interval.

    Attributes
    ----------
    estimate : CapacityEstimate
        What was measured.
    maximum_probability_below_cut : float
        A cut is cleared only if P(state of health < cut) is at most this.
    """

    estimate: CapacityEstimate
    maximum_probability_below_cut: float

    def clears(self, cut: float) -> bool:
        """Whether the lower bound and the probability clear the cut."""
        probable = self.estimate.probability_below_cut[cut_key(cut)] <= self.maximum_probability_below_cut
        return self.estimate.lower_fraction >= cut and probable

    def lies_below(self, cut: float) -> bool:
        """Whether the upper bound lies below the cut."""
        return self.estimate.upper_fraction < cut

    def cleared(self, cut: float, grade: str) -> Finding:
        """The lower bound clears the cut of a grade."""
        lower, shown = percent(self.estimate.lower_fraction), percent(cut)
        message = Message(
            f"State of health is at least {lower}, which clears the cut of grade {grade} ({shown}).",
            f"健康状态下限 {lower},达到 {grade} 级门槛({shown})。",
        )
        return Finding("CLEARS_CUT", Severity.NOTE, message, self._evidence(cut))

    def below(self, cut: float) -> Finding:
        """The upper bound lies below the lowest cut."""
        upper, shown = percent(self.estimate.upper_fraction), percent(cut)
        message = Message(
            f"State of health is at most {upper}, below the lowest cut ({shown}).",
            f"健康状态上限 {upper},低于最低门槛({shown})。",
        )
        return Finding("BELOW_LOWEST_CUT", Severity.NOTE, message, self._evidence(cut))

    def undecided(self, cut: float) -> Finding:
        """The interval spans the cut."""
        lower, upper = percent(self.estimate.lower_fraction), percent(self.estimate.upper_fraction)
        message = Message(
            f"State of health lies between {lower} and {upper}; that does not decide the cut at {percent(cut)}.",
            f"健康状态在 {lower} 与 {upper} 之间,无法判定 {percent(cut)} 门槛。",
        )
        return Finding(AbstentionCode.UNDECIDED_AT_CUT.value, Severity.CAUTION, message, self._evidence(cut))

    def _evidence(self, cut: float) -> Evidence:
        return {
            "cut_fraction": cut,
            "lower_fraction": self.estimate.lower_fraction,
            "upper_fraction": self.estimate.upper_fraction,
            "probability_below_cut": self.estimate.probability_below_cut[cut_key(cut)],
        }


@dataclass(frozen=True, slots=True)
class CertifiedScore:
    """An estimate of a trained method under the thresholds in force for its type.

    Attributes
    ----------
    estimate : CapacityEstimate
        What the method says.
    thresholds : Thresholds
        In force.
    maximum_probability_below_cut : float
        A cut is cleared only if P(state of health < cut) is at most this; being stricter than was certified
        only lowers the certified risk of false accepts.
    """

    estimate: CapacityEstimate
    thresholds: Thresholds
    maximum_probability_below_cut: float

    @property
    def score(self) -> float:
        """`certified_score` of the predicted state of health."""
        return certified_score(self.estimate.state_of_health_fraction)

    def clears(self, cut: float) -> bool:
        """Whether the score reaches the accept threshold, and the battery itself is unlikely to miss the cut."""
        probable = self.estimate.probability_below_cut[cut_key(cut)] <= self.maximum_probability_below_cut
        return self.score >= self.thresholds.at(cut).accept_at_least and probable

    def lies_below(self, cut: float) -> bool:
        """Whether the score lies below the reject threshold."""
        return self.score < self.thresholds.at(cut).reject_below

    def cleared(self, cut: float, grade: str) -> Finding:
        """The score reaches the threshold that accepts at the cut of a grade."""
        at_cut, levels = self.thresholds.at(cut), self.thresholds.levels
        score, accept, shown = _score(self.score), _score(at_cut.accept_at_least), percent(cut)
        share, confidence = f"{100 * levels.max_false_accept_share:g} %", f"{100 * levels.confidence:g} %"
        message = Message(
            f"The predicted state of health of {score} reaches {accept}, from where grade {grade} (cut {shown}) is "
            f"given with at most {share} false accepts among all batteries presented ({confidence} confidence).",
            f"预测健康状态 {score},达到 {grade} 级(门槛 {shown})的接收阈值 {accept};"
            f"全部受检电池中误收不超过 {share}(置信度 {confidence})。",
        )
        return Finding("CLEARS_CUT", Severity.NOTE, message, self._evidence(at_cut))

    def below(self, cut: float) -> Finding:
        """The score lies below the threshold that rejects at the lowest cut."""
        at_cut, levels = self.thresholds.at(cut), self.thresholds.levels
        score, reject, shown = _score(self.score), _score(at_cut.reject_below), percent(cut)
        share, confidence = f"{100 * levels.max_false_reject_share:g} %", f"{100 * levels.confidence:g} %"
        message = Message(
            f"The predicted state of health of {score} lies under {reject}, below which the lowest cut ({shown}) is "
            f"missed with at most {share} false rejects among all batteries presented ({confidence} confidence).",
            f"预测健康状态 {score},低于最低门槛({shown})的拒收阈值 {reject};"
            f"全部受检电池中误拒不超过 {share}(置信度 {confidence})。",
        )
        return Finding("BELOW_LOWEST_CUT", Severity.NOTE, message, self._evidence(at_cut))

    def undecided(self, cut: float) -> Finding:
        """The score lies between the thresholds of the cut."""
        at_cut = self.thresholds.at(cut)
        score, shown = _score(self.score), percent(cut)
        reject, accept = _score(at_cut.reject_below), _score(at_cut.accept_at_least)
        below, most = percent(self._probability(cut)), f"{100 * self.maximum_probability_below_cut:g} %"
        message = Message(
            f"The predicted state of health of {score} does not decide the cut at {shown}: batteries are accepted from "
            f"{accept} if they miss it with at most {most} probability (here {below}), and rejected below {reject}.",
            f"预测健康状态 {score},无法判定 {shown} 门槛:接收阈值 {accept},且低于门槛的概率不超过 {most}"
            f"(此处 {below});"
            f"拒收阈值 {reject}。",
        )
        return Finding(AbstentionCode.UNDECIDED_AT_CUT.value, Severity.CAUTION, message, self._evidence(at_cut))

    def _evidence(self, at_cut: CutThresholds) -> Evidence:
        return {
            "cut_fraction": at_cut.cut_fraction,
            "score_fraction": self.score,
            "accept_at_least_fraction": at_cut.accept_at_least,
            "reject_below_fraction": at_cut.reject_below,
            "probability_below_cut": self._probability(at_cut.cut_fraction),
        }

    def _probability(self, cut: float) -> float:
        return self.estimate.probability_below_cut[cut_key(cut)]


def percent(fraction: float) -> str:
    """A fraction in words, to a tenth of a percent."""
    return f"{100 * fraction:.1f} %"


def _score(fraction: float) -> str:
    """A score in words, with every digit it is compared with."""
    return f"{100 * fraction:.2f} %"
