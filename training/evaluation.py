"""The figures a recipe is judged by, as values; how they come about is `evaluate`'s work."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from models.decision import Outcome
from training.certified import CertifiedFraction
from training.crossfit import SplitCoverage
from training.metrics import PointErrors, Share, SuitabilityScores
from training.misdeclared import MisdeclaredFigures

ALL_TYPES = "all"


@dataclass(frozen=True, slots=True)
class CutFigures:
    """What was decided at one cut.

    Attributes
    ----------
    accepted, rejected, undecided : Share
        Batteries graded at or above the cut, certainly below it, and neither.
    false_accepts, false_rejects : Share
        Wrong ones among the accepted and among the rejected.
    suitability : SuitabilityScores
        How good P(state of health < cut) is.
    predictive_alone : SuitabilityScores
        How good it would be without a classifier.
    """

    accepted: Share
    rejected: Share
    undecided: Share
    false_accepts: Share
    false_rejects: Share
    suitability: SuitabilityScores
    predictive_alone: SuitabilityScores


@dataclass(frozen=True)
class TypeFigures:
    """Figures of one battery type, or of all, on visits (one row per battery).

    Attributes
    ----------
    errors : PointErrors
        Of state of health.
    covered : Share
        Batteries whose measured capacity lies in the interval.
    mean_width : float
        Mean width of the interval as a fraction of rated capacity.
    outcomes : mapping of Outcome to Share
        What the policy decided.
    cuts : mapping of str to CutFigures
        Per cut of the policy.
    """

    errors: PointErrors
    covered: Share
    mean_width: float
    outcomes: Mapping[Outcome, Share]
    cuts: Mapping[str, CutFigures]


@dataclass(frozen=True, slots=True)
class GridFigures:
    """Figures of one battery type, or of all, on grid rows: over rows, and over batteries beside it."""

    errors: PointErrors
    mean_absolute_percentage_error_per_battery: float
    covered: Share
    mean_width: float


@dataclass(frozen=True)
class Evaluation:
    """Everything a recipe is judged by.

    Attributes
    ----------
    coverage_fraction : float
        Promised coverage.
    visits : mapping of str to TypeFigures
        Per type and ``all``.
    grid : mapping of str to GridFigures
        Per type and ``all``; empty without grid rows.
    coverage_over_splits : mapping of str to SplitCoverage
        Per type and ``all``.
    unseen_types_retested : mapping of str to Share
        Batteries sent to `retest` when their type was left out of training.
    misdeclared : mapping of str to mapping of str to MisdeclaredFigures
        Per type left out of training and ``all``, and per `training.misdeclared.Reading`: tests declared
        as each known type.
    reliability : mapping of str to list
        Mean forecast, observed share and count per bin, per cut.
    booster_weights : mapping of str to float
        Weight of the classifier in the log odds, calibrated on all visits, per cut that has one; 0
        where the predictive distribution is better alone.
    certified : mapping of str to mapping of str to CertifiedFraction
        CDF@α per cut of the policy and share of false accepts.
    policy : mapping of str to str
        Identifier and version of the policy that decided.
    """

    coverage_fraction: float
    visits: Mapping[str, TypeFigures]
    grid: Mapping[str, GridFigures]
    coverage_over_splits: Mapping[str, SplitCoverage]
    unseen_types_retested: Mapping[str, Share]
    misdeclared: Mapping[str, Mapping[str, MisdeclaredFigures]]
    reliability: Mapping[str, list[list[float]]]
    booster_weights: Mapping[str, float]
    certified: Mapping[str, Mapping[str, CertifiedFraction]]
    policy: Mapping[str, str]

    def plain(self) -> dict[str, Any]:
        """Everything as JSON values; shares carry fraction and bounds, what does not exist is None."""
        held: dict[str, Any] = _plain(self)
        return held

    def metrics(self) -> dict[str, float]:
        """Every number by its path, such as ``visits.LFP20.errors.mean_absolute_error``."""
        return dict(_numbers("", self.plain()))


def _plain(value: Any) -> Any:
    if isinstance(value, Share):
        return _plain(
            {"count": value.count, "total": value.total, "fraction": value.fraction, "bounds": list(value.bounds)}
        )
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and math.isnan(plain) else plain


def _numbers(prefix: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _numbers(f"{prefix}.{key}".lstrip("."), each)
    elif isinstance(value, int | float):
        yield prefix, float(value)
