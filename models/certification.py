"""Where a bundle and a policy meet: which thresholds are in force, and for which types there are none.

Done once, at load, from the calibration batteries in the bundle and the policy's cuts and levels; the
same bundle and policy give the same thresholds bit for bit. Types with too few batteries are left out
before anything is calibrated: they are graded by nobody's certificate, so a type that was measured
often does not pay for a new one. Cuts are certified one by one and then nested: being stricter at a
cut than was certified only lowers its risk.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from features.errors import PackGradeError, Problem
from features.feature_set import Method
from features.findings import Message
from models.certificate import CannotPromise, Certificate
from models.decision import cut_key
from models.promise import refusal_in_words, too_few_in_words
from models.risk import CalibrationBatteries, certify, certify_by_type, tightened
from models.risk_levels import CalibrateBy, RiskRule, WhenNotCertifiable
from models.thresholds import SCORE_DECIMALS, CutThresholds, Thresholds


@dataclass(frozen=True)
class GroupCertification:
    """What was found for one group of types under one method.

    Attributes
    ----------
    certificates : tuple of Certificate
        Per cut, highest first, at the thresholds in force; empty where nothing could be promised.
    refusals : tuple of CannotPromise
        Per cut, highest first; empty where thresholds are in force.
    """

    certificates: tuple[Certificate, ...]
    refusals: tuple[CannotPromise, ...]

    @cached_property
    def type_keys(self) -> frozenset[str]:
        """Types of the group."""
        return frozenset((self.certificates or self.refusals)[0].types)

    @cached_property
    def thresholds(self) -> Thresholds | None:
        """In force; None where nothing could be promised."""
        if not self.certificates:
            return None
        counts = {key: tally.batteries for key, tally in self.certificates[0].types.items()}
        cuts = (CutThresholds(each.cut_fraction, each.accept_at_least, each.reject_below) for each in self.certificates)
        return Thresholds(self.certificates[0].levels, counts, tuple(cuts))


@dataclass(frozen=True)
class MethodCertification:
    """What was found for one trained method.

    Attributes
    ----------
    groups : tuple of GroupCertification
        Every type with enough batteries in exactly one of them.
    left_out : mapping of str to int
        Types with too few calibration batteries, and how many they have.
    """

    groups: tuple[GroupCertification, ...]
    left_out: Mapping[str, int]

    def group_of(self, type_key: str) -> GroupCertification | None:
        """Group a type belongs to; None for a type that was left out or never calibrated."""
        return next((each for each in self.groups if type_key in each.type_keys), None)

    def thresholds(self, type_key: str) -> Thresholds | None:
        """Thresholds in force for a battery of a type, if any."""
        group = self.group_of(type_key)
        return None if group is None else group.thresholds

    @property
    def refused(self) -> tuple[GroupCertification, ...]:
        """Groups for which nothing could be promised."""
        return tuple(each for each in self.groups if each.refusals)


@dataclass(frozen=True)
class Certification:
    """Everything certified for one bundle under one policy.

    Attributes
    ----------
    rule : RiskRule
        What the policy asked for.
    methods : mapping of Method to MethodCertification
        Every trained method of the bundle.
    """

    rule: RiskRule
    methods: Mapping[Method, MethodCertification]

    def thresholds(self, method: Method, type_key: str) -> Thresholds | None:
        """Thresholds in force for a method and a type, if any."""
        of_method = self.methods.get(method)
        return None if of_method is None else of_method.thresholds(type_key)

    def methods_for(self, type_key: str) -> frozenset[Method]:
        """Methods with thresholds in force for a type."""
        return frozenset(method for method, each in self.methods.items() if each.thresholds(type_key) is not None)

    def why_none(self, method: Method, type_key: str) -> Message:
        """Why no thresholds are in force for a method and a type."""
        of_method = self.methods.get(method)
        group = None if of_method is None else of_method.group_of(type_key)
        if group is not None and group.refusals:
            return refusal_in_words(group.refusals[0])
        count = 0 if of_method is None else of_method.left_out.get(type_key, 0)
        return too_few_in_words(type_key, count, self.rule.least_batteries_per_type)

    def require(self) -> None:
        """Refuse the pair if something cannot be promised and the policy does not put up with it.

        Raises
        ------
        PackGradeError
            ``RISK_NOT_CERTIFIABLE``, with how many batteries there are, how many are needed and missing.
        """
        refusals = [
            (method, refusal)
            for method, of_method in self.methods.items()
            for group in of_method.refused
            for refusal in group.refusals
        ]
        if refusals and self.rule.when_not_certifiable is WhenNotCertifiable.REFUSE:
            raise PackGradeError(
                "RISK_NOT_CERTIFIABLE",
                f"Bundle and policy do not go together. {refusal_in_words(refusals[0][1]).en} Nothing was graded. "
                'A policy that says when_not_certifiable = "retest" starts, and sends such batteries to the next test.',
                [_missing(method, refusal) for method, refusal in refusals],
            )


def certified(
    calibration: Mapping[Method, CalibrationBatteries], cuts: Sequence[float], rule: RiskRule
) -> Certification:
    """Certify every cut for every method that has calibration batteries.

    Parameters
    ----------
    calibration : mapping of Method to CalibrationBatteries
        Held-out scores of every trained method of a bundle.
    cuts : sequence of float
        Cuts of the policy, in state of health.
    rule : RiskRule
        What the policy asks for.

    Returns
    -------
    Certification
        With refusals where the batteries cannot support the promise; `Certification.require` makes
        them an error.
    """
    return Certification(
        rule, {method: certified_method(batteries, cuts, rule) for method, batteries in calibration.items()}
    )


def certified_method(batteries: CalibrationBatteries, cuts: Sequence[float], rule: RiskRule) -> MethodCertification:
    """Certify every cut for one method; see `certified`."""
    few = {key: count for key, count in batteries.counts.items() if count < rule.least_batteries_per_type}
    enough = batteries.taken(~np.isin(batteries.type_keys.astype(str), list(few)))
    found = _found(enough, sorted(cuts, reverse=True), rule)
    return MethodCertification(tuple(_group(each, enough) for each in found), few)


def _found(
    batteries: CalibrationBatteries, cuts: Sequence[float], rule: RiskRule
) -> Iterator[tuple[Certificate | CannotPromise, ...]]:
    """Per group, what was found at every cut; the groups depend on counts alone, so they are the same at every cut."""
    if rule.calibrate_by is CalibrateBy.MIX or not batteries.counts:
        yield tuple(certify(batteries, cut, rule.levels) for cut in cuts)
    else:
        yield from zip(*(certify_by_type(batteries, cut, rule.levels) for cut in cuts), strict=True)


def _group(found: tuple[Certificate | CannotPromise, ...], batteries: CalibrationBatteries) -> GroupCertification:
    certificates = [each for each in found if isinstance(each, Certificate)]
    refusals = tuple(each for each in found if isinstance(each, CannotPromise))
    if refusals:
        return GroupCertification((), refusals)
    of_group = batteries.taken(np.isin(batteries.type_keys.astype(str), list(certificates[0].types)))
    return GroupCertification(tuple(_nested(certificates, of_group)), ())


def _nested(certificates: Sequence[Certificate], batteries: CalibrationBatteries) -> Iterator[Certificate]:
    """Certificates whose thresholds fall with the cut: the strictest at this cut and at every lower (higher) one."""
    accept = [_on_score_grid(each.accept_at_least) for each in certificates]
    accepts = list(itertools.accumulate(reversed(accept), max))[::-1]
    rejects = itertools.accumulate((each.reject_below for each in certificates), min)
    for each, accept_at_least, reject_below in zip(certificates, accepts, rejects, strict=True):
        yield tightened(each, batteries, accept_at_least, reject_below)


def _on_score_grid(accept_at_least: float) -> float:
    """First score on the grid that is accepted; between it and the threshold no score can lie."""
    near = round(accept_at_least, SCORE_DECIMALS)
    return near if near >= accept_at_least else round(near + 10.0**-SCORE_DECIMALS, SCORE_DECIMALS)


def _missing(method: Method, refusal: CannotPromise) -> Problem:
    types = ", ".join(f"{key} {count}" for key, count in refusal.types.items()) or "no type with enough batteries"
    rule = f"needs {refusal.batteries_needed} calibration batteries, {refusal.batteries_missing} are missing"
    where = f"{method.value} at cut {cut_key(refusal.cut_fraction)}"
    return Problem(where, rule, f"{refusal.battery_count}: {types}")
