"""CDF@α, the certified decided fraction: how many batteries a certificate decides, and how often it is wrong.

Again and again three quarters of the batteries calibrate and the other quarter is presented once, every
battery with one row, whole physical cells on one side; scores are held-out predictions throughout. A
battery is decided if it is accepted or rejected at the cut instead of sent to another test. Shares are
of **all** batteries presented, pooled over the splits; splits share batteries, so no bound is printed
beside them. Figures of one type are observations: what is promised, is promised for the mix.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.certificate import CannotPromise, CutVerdict, Names
from models.certification import MethodCertification, certified_method
from models.risk import CalibrationBatteries
from models.risk_levels import RiskRule
from models.thresholds import Thresholds, certified_score
from training.calibrate import HeldOutFacts
from training.splits import Fold, calibration_splits

ALL_TYPES = "all"
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DecidedShares:
    """What presented batteries got at one cut; all shares of all of them.

    Attributes
    ----------
    battery_count : int
        Different batteries.
    decided : float
        Accepted or rejected: the certified decided fraction.
    accepted, rejected, undecided : float
        Together 1.
    false_accepts : float
        Accepted although measured below the cut.
    false_rejects : float
        Rejected although not below it.
    """

    battery_count: int
    decided: float
    accepted: float
    rejected: float
    undecided: float
    false_accepts: float
    false_rejects: float


@dataclass(frozen=True)
class CertifiedFraction:
    """CDF@α of one method at one cut.

    Attributes
    ----------
    cut_fraction : float
        State of health the verdict is about.
    rule : RiskRule
        What was asked; α is its share of false accepts.
    calibrating, presented : int
        Batteries on either side of a split.
    split_count : int
        Splits over which the shares are pooled.
    shares : mapping of str to DecidedShares
        Per type and ``all``; empty where no split could certify anything.
    refusals : tuple of CannotPromise
        What cannot be promised even with every battery calibrating, and how many are missing.
    """

    cut_fraction: float
    rule: RiskRule
    calibrating: int
    presented: int
    split_count: int
    shares: Mapping[str, DecidedShares]
    refusals: tuple[CannotPromise, ...]

    @property
    def holds(self) -> bool:
        """Whether the pooled shares of false decisions are within what is promised."""
        if ALL_TYPES not in self.shares:
            return False
        everyone, levels = self.shares[ALL_TYPES], self.rule.levels
        return (
            everyone.false_accepts <= levels.max_false_accept_share
            and everyone.false_rejects <= levels.max_false_reject_share
        )


def calibrating_batteries(facts: HeldOutFacts) -> CalibrationBatteries:
    """Batteries of held-out facts, one row each, as a bundle's certificate sees them."""
    scores = [certified_score(point) for point in facts.point.tolist()]
    return CalibrationBatteries(facts.type_keys.astype(str), np.array(scores, dtype=np.float64), facts.measured)


def thresholds_without_own_fold(
    facts: HeldOutFacts, fold_of_row: npt.NDArray[np.int64], cuts: Sequence[float], rule: RiskRule
) -> list[Thresholds | None]:
    """Thresholds in force for every row, certified on the calibrating batteries of the other folds.

    Parameters
    ----------
    facts : HeldOutFacts
        Every counted row.
    fold_of_row : ndarray of int, shape (n,)
        Fold that held the row out.
    cuts : sequence of float
        Cuts of the policy.
    rule : RiskRule
        What the policy asks for.

    Returns
    -------
    list of Thresholds or None
        None where nothing is certified for the type.
    """
    certifications = {
        number: certified_method(calibrating_batteries(facts.taken(facts.visits & (fold_of_row != number))), cuts, rule)
        for number in set(fold_of_row.tolist())
    }
    rows = zip(fold_of_row.tolist(), facts.type_keys.tolist(), strict=True)
    return [certifications[number].thresholds(str(key)) for number, key in rows]


def certified_fractions(
    batteries: CalibrationBatteries,
    physical_cells: npt.NDArray[np.object_],
    cut_fraction: float,
    rules: Sequence[RiskRule],
    splits: tuple[float, int, int],
) -> tuple[CertifiedFraction, ...]:
    """CDF@α of one method at one cut, for several rules on the same splits.

    Parameters
    ----------
    batteries : CalibrationBatteries
        Every battery once, with held-out scores.
    physical_cells : ndarray of str, shape (n,)
        Cell of each; a cell never calibrates what it is presented to.
    cut_fraction : float
        State of health the verdict is about.
    rules : sequence of RiskRule
        What is asked.
    splits : tuple of (float, int, int)
        Share of the cells of each type that calibrates, number of splits, seed of the draw.

    Returns
    -------
    tuple of CertifiedFraction
        One per rule.
    """
    drawn = calibration_splits(physical_cells, batteries.type_keys.astype(object), *splits)
    return tuple(certified_fraction(batteries, cut_fraction, rule, drawn) for rule in rules)


def certified_fraction(
    batteries: CalibrationBatteries, cut_fraction: float, rule: RiskRule, splits: Sequence[Fold]
) -> CertifiedFraction:
    """CDF@α on given splits; see `certified_fractions`.

    Parameters
    ----------
    batteries, cut_fraction, rule
        As for `certified_fractions`.
    splits : sequence of Fold
        Batteries that calibrate (`train`) and those presented (`held_out`), at least one split.
    """
    presented = np.concatenate([split.held_out for split in splits])
    said = np.concatenate([_presented(batteries, split, cut_fraction, rule) for split in splits])
    decided_any = bool((said != CutVerdict.UNDECIDED).any())
    everything = certified_method(batteries, (cut_fraction,), rule)
    return CertifiedFraction(
        cut_fraction=cut_fraction,
        rule=rule,
        calibrating=len(splits[0].train),
        presented=len(splits[0].held_out),
        split_count=len(splits),
        shares=dict(_shares(batteries, presented, said, cut_fraction)) if decided_any else {},
        refusals=tuple(refusal for group in everything.refused for refusal in group.refusals),
    )


def at_alpha(rule: RiskRule, alphas: Sequence[float]) -> tuple[RiskRule, ...]:
    """A rule at its own share of false accepts and at others, the strictest first."""
    levels = rule.levels
    shares = sorted({*alphas, levels.max_false_accept_share})
    return tuple(replace(rule, levels=replace(levels, max_false_accept_share=share)) for share in shares)


def verdicts(batteries: CalibrationBatteries, certification: MethodCertification, cut: float) -> Names:
    """`CutVerdict` of each battery by the thresholds in force for its type, shape (n,)."""
    said = np.full(len(batteries.score), CutVerdict.UNDECIDED.value, dtype="U9")
    for group in certification.groups:
        of_group = np.isin(batteries.type_keys, list(group.type_keys))
        for each in group.certificates:
            if each.cut_fraction == cut:
                said[of_group] = each.decide(batteries.score[of_group])
    return said


def _presented(batteries: CalibrationBatteries, split: Fold, cut: float, rule: RiskRule) -> Names:
    certification = certified_method(batteries.taken(split.train), (cut,), rule)
    return verdicts(batteries.taken(split.held_out), certification, cut)


def _shares(
    batteries: CalibrationBatteries, presented: npt.NDArray[np.int64], said: Names, cut: float
) -> Iterator[tuple[str, DecidedShares]]:
    below, keys = batteries.measured_fraction[presented] < cut, batteries.type_keys[presented]
    for key, count in batteries.counts.items():
        yield key, _decided(said[keys == key], below[keys == key], count)
    yield ALL_TYPES, _decided(said, below, len(batteries.score))


def _decided(said: Names, below: BoolArray, battery_count: int) -> DecidedShares:
    accepted, rejected = said == CutVerdict.ACCEPT, said == CutVerdict.REJECT
    decided = accepted | rejected
    parts = (decided, accepted, rejected, ~decided, accepted & below, rejected & ~below)
    return DecidedShares(battery_count, *(float(np.mean(part)) if len(part) else 0.0 for part in parts))
