"""How far what was given reaches: accuracy, interval, and which certificate needs how many batteries more."""

import math
from collections.abc import Iterator

import numpy as np

from features.feature_set import Method
from models.binomial import batteries_needed
from models.risk_levels import RiskRule
from training.onboarding import LearnedType, batteries_for_interval

SHOWN_SHARES = (0.20, 0.10, 0.05, 0.02, 0.01)
"""False shares the table of missing batteries is printed for."""


def reach(learned: LearnedType, quantile: float, coverage_fraction: float, rule: RiskRule) -> Iterator[str]:
    """Sentences on what was reached, for the terminal and the model card.

    Parameters
    ----------
    learned : LearnedType
        The type.
    quantile : float
        Quantile of the bundle's interval.
    coverage_fraction : float
        Promised coverage.
    rule : RiskRule
        What the policy asks of a certificate.
    """
    yield from _accuracy(learned)
    yield _interval(learned, quantile, coverage_fraction)
    yield _certificate(learned, coverage_fraction, rule)
    yield _levels(learned, rule)


def _accuracy(learned: LearnedType) -> Iterator[str]:
    error, of_mean = learned.mean_absolute_percentage_error, learned.mean_error_of_mean
    yield (
        f"{learned.key} was learned from {len(learned.facts.measured)} batteries ({learned.visit_count} of them "
        f"visits). With each left out in turn its capacity is off by {_percent(error)} on average; guessing the mean "
        f"of the others is off by {_percent(of_mean)}."
    )
    if error >= of_mean:
        yield (
            "The pulses tell nothing here that the mean of the type does not: measure its batteries by a capacity "
            "test, or give more of them."
        )


def _interval(learned: LearnedType, quantile: float, coverage_fraction: float) -> str:
    width, promised = _percent(float(np.mean(2.0 * quantile * learned.spread))), _percent(coverage_fraction, 0)
    count, needed = learned.visit_count, batteries_for_interval(coverage_fraction)
    if count < needed:
        return (
            f"An interval of {promised} needs {needed} visited batteries, {needed - count} more than there are. The "
            f"{width} of rated capacity it is wide until then are an indication from the other types, and no battery "
            "of the type is graded by pulses."
        )
    return (
        f"The {promised} interval is {width} of rated capacity wide on average, from the left-out errors of {count} "
        f"visits. So few fix it loosely: from one such draw of batteries to the next the coverage it will have varies "
        f"by about {_percent(_coverage_deviation(count, coverage_fraction))}."
    )


def _certificate(learned: LearnedType, coverage_fraction: float, rule: RiskRule) -> str:
    least, count = rule.least_batteries_per_type, learned.visit_count
    if count >= max(least, batteries_for_interval(coverage_fraction)):
        return (
            f"Under this policy the type joins the certificate of the calibration mix ({least} batteries are asked of "
            "a type); the promise is for the mix, not for this type alone."
        )
    missing = max(least, batteries_for_interval(coverage_fraction)) - count
    return (
        f"This policy asks {least} calibration batteries of a type before it grades it by {Method.PULSE_TEST.value}: "
        f"{missing} are missing. Until then such batteries are sent to the next test."
    )


def _levels(learned: LearnedType, rule: RiskRule) -> str:
    levels, count = rule.levels, learned.visit_count
    shares = {*SHOWN_SHARES, levels.max_false_accept_share, levels.max_false_reject_share}
    needed = {share: batteries_needed(share, levels.confidence) for share in sorted(shares, reverse=True)}
    shown = ", ".join(
        f"{100 * share:g} %: {'reached' if count >= each else f'{each - count} missing of {each}'}"
        for share, each in needed.items()
    )
    return (
        f"For a certificate of this type alone at {_percent(levels.confidence, 0)} confidence, false decisions at "
        f"most, if none of its batteries is decided wrongly: {shown}."
    )


def _coverage_deviation(count: int, coverage_fraction: float) -> float:
    """Standard deviation of a conformal interval's coverage over draws of its batteries.

    The coverage follows a beta law (Vovk, *Proceedings of Machine Learning Research* 25 (2012) 475).
    """
    rank = math.ceil(round(coverage_fraction * (count + 1), 9))
    beyond = count + 1 - rank
    return math.sqrt(rank * beyond / ((count + 1) ** 2 * (count + 2)))


def _percent(fraction: float, digits: int = 1) -> str:
    return f"{100 * fraction:.{digits}f} %"
