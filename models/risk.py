"""Certified thresholds of one cut: Learn then Test with an exact binomial bound.

From calibration batteries (one visit each, scored by models that never saw them) to the thresholds
from which a battery is accepted and below which it is rejected, with a promise on the share of
false ones among **all** batteries presented. Where the batteries cannot support the promise, there
is a refusal and no threshold. Pure functions on arrays; no policy, no bundle, no file.

Sources: Angelopoulos, Bates, Candès, Jordan & Lei, *Learn then Test*, arXiv:2110.01052 (2021), fixed-
sequence testing; Clopper & Pearson, *Biometrika* 26 (1934) 404. Conformal risk control (Angelopoulos
et al., arXiv:2208.02814) bounds the mean over calibration sets; this bounds it with confidence.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.errors import InvalidInput, Problem
from features.measurement import FloatArray
from models.certificate import CannotPromise, Certificate, ErrorBudget, Names, RiskLevels, TypeCertificates, TypeTally

_BISECTIONS = 60
"""Halvings of [0, 1]: the bound is then exact to the last digit of a double."""

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CalibrationBatteries:
    """Batteries of known state of health with the scores of models that never saw them.

    Attributes
    ----------
    type_keys : ndarray of str, shape (n,)
        Type of each battery.
    score : ndarray, shape (n,)
        Held-out predicted state of health, higher is better.
    measured_fraction : ndarray, shape (n,)
        Measured state of health of the same visit.

    Raises
    ------
    InvalidInput
        ``CALIBRATION_NOT_SOUND`` if the columns differ in length or a number is not finite.

    Notes
    -----
    Each battery counts once: two visits of one battery are not two independent draws.
    """

    type_keys: Names
    score: FloatArray
    measured_fraction: FloatArray

    def __post_init__(self) -> None:
        problems = list(_calibration_problems(self))
        if problems:
            message = "These calibration batteries are not sound. Nothing was certified."
            raise InvalidInput(message, problems, code="CALIBRATION_NOT_SOUND")

    def taken(self, rows: BoolArray | npt.NDArray[np.int64]) -> "CalibrationBatteries":
        """Batteries by number or mask."""
        return CalibrationBatteries(self.type_keys[rows], self.score[rows], self.measured_fraction[rows])

    @property
    def counts(self) -> dict[str, int]:
        """Batteries per type key, by name."""
        keys, counts = np.unique(self.type_keys.astype(str), return_counts=True)
        return {str(key): int(count) for key, count in zip(keys, counts, strict=True)}


def binomial_tail(errors: int, battery_count: int, share: float) -> float:
    """P(at most `errors` of `battery_count`) when each errs with probability `share`.

    Parameters
    ----------
    errors, battery_count : int
        ``0 <= errors <= battery_count``.
    share : float
        In (0, 1).

    Returns
    -------
    float
        Sum of binomial terms through log-gamma; relative error below 1e-10 up to 100,000 batteries.

    Examples
    --------
    >>> round(binomial_tail(0, 149, 0.02), 4)
    0.0493
    """
    return min(math.fsum(_binomial_terms(errors, battery_count, share)), 1.0)


def upper_bound_share(errors: int, battery_count: int, confidence: float) -> float:
    """One-sided Clopper-Pearson bound of the true share of errors.

    Parameters
    ----------
    errors, battery_count : int
        ``0 <= errors <= battery_count``.
    confidence : float
        In (0, 1).

    Returns
    -------
    float
        Share at which seeing so few errors has probability ``1 - confidence``; 1 if all are errors.

    Examples
    --------
    >>> round(upper_bound_share(0, 149, 0.95), 4)
    0.0199
    """
    if errors == battery_count:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        too_low = binomial_tail(errors, battery_count, middle) > 1.0 - confidence
        low, high = (middle, high) if too_low else (low, middle)
    return high


def errors_allowed(battery_count: int, share: float, confidence: float) -> int | None:
    """Most errors with which 'the true share is at most `share`' can be said; None if not even without one.

    Examples
    --------
    >>> errors_allowed(159, 0.02, 0.95), errors_allowed(159, 0.05, 0.95), errors_allowed(212, 0.01, 0.95)
    (0, 3, None)
    """
    tails = itertools.accumulate(_binomial_terms(battery_count, battery_count, share))
    passed = sum(1 for _ in itertools.takewhile(lambda tail: tail <= 1.0 - confidence, tails))
    return passed - 1 if passed else None


def batteries_needed(share: float, confidence: float) -> int:
    """Fewest batteries, all without error, with which 'the true share is at most `share`' can be said.

    Examples
    --------
    >>> [batteries_needed(share, 0.95) for share in (0.01, 0.02, 0.05)]
    [299, 149, 59]
    """
    return math.ceil(math.log(1.0 - confidence) / math.log1p(-share))


def certify(batteries: CalibrationBatteries, cut_fraction: float, levels: RiskLevels) -> Certificate | CannotPromise:
    """Loosest thresholds of one cut whose risks are certified, or why there are none.

    Parameters
    ----------
    batteries : CalibrationBatteries
        One visit each.
    cut_fraction : float
        State of health the verdict is about.
    levels : RiskLevels
        What may be risked.

    Returns
    -------
    Certificate or CannotPromise

    Notes
    -----
    Thresholds are tested from the one that accepts (rejects) nobody towards the cut, and testing
    stops at the first that fails. The count of errors only grows on that way, so the last threshold
    that passes is known from the sorted scores of the wrong batteries, and no grid is needed. The
    sequence ends at the cut: nobody predicted below it is accepted, nobody above it rejected.
    """
    count = len(batteries.score)
    accepts = errors_allowed(count, levels.max_false_accept_share, levels.confidence) if count else None
    rejects = errors_allowed(count, levels.max_false_reject_share, levels.confidence) if count else None
    if accepts is None or rejects is None:
        return CannotPromise(cut_fraction, levels, _needed(levels), batteries.counts)
    below = batteries.measured_fraction < cut_fraction
    accept_at_least = _accept_at_least(batteries.score[below], accepts, cut_fraction)
    reject_below = _reject_below(batteries.score[~below], rejects, cut_fraction)
    false_accept, false_reject = below & (batteries.score >= accept_at_least), ~below & (batteries.score < reject_below)
    return Certificate(
        cut_fraction=cut_fraction,
        levels=levels,
        accept_at_least=accept_at_least,
        reject_below=reject_below,
        false_accepts=_budget(accepts, false_accept, levels),
        false_rejects=_budget(rejects, false_reject, levels),
        types={key: _tally(batteries, key, cut_fraction, accept_at_least, reject_below) for key in batteries.counts},
    )


def certify_by_type(batteries: CalibrationBatteries, cut_fraction: float, levels: RiskLevels) -> TypeCertificates:
    """One certificate per type that has the batteries for it, and one for all other types together.

    Parameters
    ----------
    batteries, cut_fraction, levels
        As for `certify`.

    Returns
    -------
    TypeCertificates
        Every type of the calibration in exactly one group.

    Notes
    -----
    The other types are calibrated among themselves, without the types that left: a certificate over
    all types promises nothing about a part of them. With every group within its level, the whole is.
    """
    alone = [key for key, count in batteries.counts.items() if count >= _needed(levels)]
    rest = ~np.isin(batteries.type_keys.astype(str), alone)
    members = [batteries.type_keys == key for key in alone] + ([rest] if rest.any() else [])
    return TypeCertificates(tuple(certify(batteries.taken(rows), cut_fraction, levels) for rows in members))
