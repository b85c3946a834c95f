"""Several methods measured one battery: one estimate results, and the decision names whose it is.

The best evidence decides alone: a bench measurement before numbers a BMS reported, a direct capacity
test before any model, then the narrowest calibrated interval. The errors of two methods on one
battery are not independent (both ask its resistance, or the same meter), so averaging them could
not be shown to narrow an interval; the others serve as a check instead. Where calibrated intervals
do not even touch, one of them is wrong and nobody knows which: the battery is tested again.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from features.feature_set import Method
from features.findings import Evidence, Finding, Message, Severity
from features.vocabulary import Provenance
from models.applicability import HIGHEST_PLAUSIBLE_FRACTION, METHOD_WORDS
from models.decision import AbstentionCode, Assessment, CapacityEstimate

METHOD_DECIDED = "METHOD_DECIDED"


def fused(assessments: Sequence[Assessment]) -> Assessment:
    """One assessment from those of every method measured.

    Parameters
    ----------
    assessments : sequence of Assessment
        At least one, the method that ranks best first.

    Returns
    -------
    Assessment
        Of the best evidence; with `METHODS_DISAGREE` where two calibrated intervals do not touch; and
        where none may grade, the one that says best why not.
    """
    usable = [each for each in assessments if each.usable]
    implausible = next((each for each in assessments if _plate_in_doubt(each)), None)
    if implausible is not None or not usable:
        return implausible or _most_telling(assessments)
    decided = min(usable, key=_evidence_order)
    others = [each for each in assessments if each is not decided]
    notes = (*decided.notes, *_method_notes(decided, usable), *_odd_looks(others))
    return replace(decided, abstentions=tuple(_disagreements(usable)), notes=notes)


def _evidence_order(assessment: Assessment) -> tuple[bool, bool, float]:
    estimate = _estimate(assessment)
    width = estimate.upper_ah - estimate.lower_ah
    reported = estimate.provenance is Provenance.BMS_REPORTED
    return reported, estimate.method is not Method.CAPACITY_TEST, width


def _plate_in_doubt(assessment: Assessment) -> bool:
    """More charge came out than the declared plate can hold: every other method leans on that plate."""
    estimate = assessment.estimate
    return (
        estimate is not None
        and estimate.method is Method.CAPACITY_TEST
        and estimate.state_of_health_fraction > HIGHEST_PLAUSIBLE_FRACTION
    )


def _most_telling(assessments: Sequence[Assessment]) -> Assessment:
    """First that could not grade for another reason than a missing calibration; else the first estimate."""
    uncalibrated = {AbstentionCode.METHOD_NOT_CALIBRATED.value}
    telling = (each for each in assessments if {reason.code for reason in each.abstentions} - uncalibrated)
    estimated = (each for each in assessments if each.estimate is not None)
    return next(itertools.chain(telling, estimated, assessments))


def _disagreements(usable: Sequence[Assessment]) -> Iterator[Finding]:
    estimates = [_estimate(each) for each in usable]
    for one, other in itertools.combinations(estimates, 2):
        if one.upper_ah < other.lower_ah or other.upper_ah < one.lower_ah:
            yield _methods_disagree(one, other)


def _method_notes(decided: Assessment, usable: Sequence[Assessment]) -> Iterator[Finding]:
    if len(usable) > 1:
        yield _method_decided(_estimate(decided), [_estimate(each) for each in usable if each is not decided])


def _odd_looks(others: Sequence[Assessment]) -> Iterator[Finding]:
    """Another measurement that does not look like its declared type is worth telling, whoever decides."""
    outside = AbstentionCode.OUTSIDE_KNOWN_RANGE.value
    return (reason for each in others for reason in each.abstentions if reason.code == outside)


def _estimate(assessment: Assessment) -> CapacityEstimate:
    if assessment.estimate is None:
        raise ValueError("An assessment without an estimate cannot be compared.")
    return assessment.estimate


def _range(estimate: CapacityEstimate) -> str:
    return f"{100 * estimate.lower_fraction:.1f}–{100 * estimate.upper_fraction:.1f} %"


def _evidence(estimates: Sequence[CapacityEstimate]) -> Evidence:
    return {
        f"{estimate.method.value}_{bound}_fraction": value
        for estimate in estimates
        for bound, value in (("lower", estimate.lower_fraction), ("upper", estimate.upper_fraction))
    }


def _methods_disagree(one: CapacityEstimate, other: CapacityEstimate) -> Finding:
    first, second = METHOD_WORDS[one.method], METHOD_WORDS[other.method]
    message = Message(
        f"The {first.en} says {_range(one)} state of health, the {second.en} {_range(other)}; both cannot be right. "
        "Check that both measured this battery, then test its capacity.",
        f"{first.zh}给出健康状态 {_range(one)},{second.zh}给出 {_range(other)},两者矛盾。"
        "请确认测的是同一块电池,再做容量测试。",
    )
    return Finding(AbstentionCode.METHODS_DISAGREE.value, Severity.CAUTION, message, _evidence((one, other)))


def _method_decided(decided: CapacityEstimate, others: Sequence[CapacityEstimate]) -> Finding:
    said_en = ", ".join(f"the {METHOD_WORDS[each.method].en} says {_range(each)}" for each in others)
    said_zh = ",".join(f"{METHOD_WORDS[each.method].zh} {_range(each)}" for each in others)
    words = METHOD_WORDS[decided.method]
    message = Message(
        f"The {words.en} decided ({_range(decided)}); {said_en}.",
        f"以{words.zh}为准({_range(decided)});{said_zh}。",
    )
    evidence = {"decided_by": decided.method.value, **_evidence((decided, *others))}
    return Finding(METHOD_DECIDED, Severity.NOTE, message, evidence)
