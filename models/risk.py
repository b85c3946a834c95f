"""Certified thresholds of one cut: Learn then Test with an exact binomial bound.

From calibration batteries (one visit each, scored by models that never saw them) to the thresholds
from which a battery is accepted and below which it is rejected, with a promise on the share of
false ones among **all** batteries presented. Where the batteries cannot support the promise, there
is a refusal and no threshold. Pure functions on arrays; no policy, no bundle, no file.

Sources: Angelopoulos, Bates, Candès, Jordan & Lei, *Learn then Test*, arXiv:2110.01052 (2021), fixed-
sequence testing. Conformal risk control (Angelopoulos et al., arXiv:2208.02814) bounds the risk in
the mean over calibration sets; this bounds it with confidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.errors import InvalidInput, Problem
from features.measurement import FloatArray
from models.binomial import batteries_needed, errors_allowed, upper_bound_share
from models.certificate import CannotPromise, Certificate, ErrorBudget, Names, TypeTally
from models.risk_levels import RiskLevels

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
    return _certificate(batteries, cut_fraction, levels, (accept_at_least, reject_below), (accepts, rejects))


def tightened(
    certificate: Certificate, batteries: CalibrationBatteries, accept_at_least: float, reject_below: float
) -> Certificate:
    """The certificate at stricter thresholds of the same sequence: they passed too, and their risk is smaller.

    Parameters
    ----------
    certificate : Certificate
        As certified.
    batteries : CalibrationBatteries
        Those it was certified on.
    accept_at_least, reject_below : float
        No looser than the certificate's own.

    Raises
    ------
    ValueError
        If a threshold is looser: nothing was certified there.
    """
    if accept_at_least < certificate.accept_at_least or reject_below > certificate.reject_below:
        shown = f"{accept_at_least} / {reject_below}"
        raise ValueError(f"Nothing was certified at {shown}, only up to {certificate}.")
    allowed = certificate.false_accepts.allowed, certificate.false_rejects.allowed
    thresholds = accept_at_least, reject_below
    return _certificate(batteries, certificate.cut_fraction, certificate.levels, thresholds, allowed)


def certify_by_type(
    batteries: CalibrationBatteries, cut_fraction: float, levels: RiskLevels
) -> tuple[Certificate | CannotPromise, ...]:
    """One certificate per type that has the batteries for it, and one for all other types together.

    Parameters
    ----------
    batteries, cut_fraction, levels
        As for `certify`.

    Returns
    -------
    tuple of Certificate or CannotPromise
        Every type of the calibration in exactly one of them; the others' is the last.

    Notes
    -----
    The other types are calibrated among themselves, without the types that left: a certificate over
    all types promises nothing about a part of them. With every group within its level, the whole is.
    """
    alone = [key for key, count in batteries.counts.items() if count >= _needed(levels)]
    rest = ~np.isin(batteries.type_keys.astype(str), alone)
    members = [batteries.type_keys == key for key in alone] + ([rest] if rest.any() else [])
    return tuple(certify(batteries.taken(rows), cut_fraction, levels) for rows in members)


def _certificate(
    batteries: CalibrationBatteries,
    cut_fraction: float,
    levels: RiskLevels,
    thresholds: tuple[float, float],
    errors: tuple[int, int],
) -> Certificate:
    """Certificate at an accept and a reject threshold, with the errors allowed of either kind."""
    (accept, reject), (accepts, rejects) = thresholds, errors
    below = batteries.measured_fraction < cut_fraction
    return Certificate(
        cut_fraction=cut_fraction,
        levels=levels,
        accept_at_least=accept,
        reject_below=reject,
        false_accepts=_budget(accepts, below & (batteries.score >= accept), levels),
        false_rejects=_budget(rejects, ~below & (batteries.score < reject), levels),
        types={key: _tally(batteries, key, cut_fraction, accept, reject) for key in batteries.counts},
    )


def _needed(levels: RiskLevels) -> int:
    strictest = min(levels.max_false_accept_share, levels.max_false_reject_share)
    return batteries_needed(strictest, levels.confidence)


def _accept_at_least(wrong_scores: FloatArray, allowed: int, cut_fraction: float) -> float:
    """Just above the first wrong battery that is one too many, and never under the cut."""
    if len(wrong_scores) <= allowed:
        return cut_fraction
    one_too_many = np.sort(wrong_scores)[::-1][allowed]
    return max(float(np.nextafter(one_too_many, np.inf)), cut_fraction)


def _reject_below(wrong_scores: FloatArray, allowed: int, cut_fraction: float) -> float:
    """At the first wrong battery that is one too many (it is not rejected), and never above the cut."""
    if len(wrong_scores) <= allowed:
        return cut_fraction
    return min(float(np.sort(wrong_scores)[allowed]), cut_fraction)


def _budget(allowed: int, wrong: BoolArray, levels: RiskLevels) -> ErrorBudget:
    found = int(np.count_nonzero(wrong))
    return ErrorBudget(allowed, found, upper_bound_share(found, len(wrong), levels.confidence))


def _tally(batteries: CalibrationBatteries, key: str, cut: float, accept: float, reject: float) -> TypeTally:
    of_type = batteries.taken(batteries.type_keys == key)
    accepted, rejected, below = of_type.score >= accept, of_type.score < reject, of_type.measured_fraction < cut
    counts = (accepted, rejected, accepted & below, rejected & ~below)
    return TypeTally(len(below), *(int(np.count_nonzero(mask)) for mask in counts))


def _calibration_problems(batteries: CalibrationBatteries) -> Iterator[Problem]:
    count = len(batteries.type_keys)
    for name in ("score", "measured_fraction"):
        column: FloatArray = getattr(batteries, name)
        if column.shape != (count,):
            yield Problem(name, f"must have one number per battery ({count})", str(column.shape))
        elif not np.isfinite(column).all():
            place = int(np.flatnonzero(~np.isfinite(column))[0])
            yield Problem(f"{name}[{place}]", "must be finite", str(column[place]))
