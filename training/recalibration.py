"""The arithmetic of recalibrating one method: new scales, a new quantile, the same models.

A battery's score is its error over its difficulty and the scale of its type, that scale made by the
other batteries, exactly as in `training.calibrate`. The difficulty of a battery that calibrated the
bundle is its stored spread; that of an outcome is the spread the bundle's own interval gives it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features.errors import InvalidInput
from features.measurement import FloatArray
from models.calibration_file import CalibratingBattery, CalibrationFile
from models.capacity import EstimatorDescription
from models.interval import ConformalInterval, TypeScale
from training.calibrate import conformal_quantile
from training.scale import scale_of_types, scale_without_own
from training.usable_outcomes import OutcomeFacts

SCALE_LEVEL, POOLING_BATTERIES = 0.80, 5.0
"""Quantile that is the scale of a type, and the batteries' worth of all types it is shrunk towards."""

_DECIMALS = 4
_SMALLEST_SPREAD = 1e-4


@dataclass(frozen=True)
class RecalibratedMethod:
    """Estimator and calibrating batteries of one method after a recalibration."""

    estimator: EstimatorDescription
    calibration: CalibrationFile


def recalibrated_method(
    estimator: EstimatorDescription, kept: Sequence[CalibratingBattery], facts: OutcomeFacts
) -> RecalibratedMethod:
    """Recalibrate one method.

    Parameters
    ----------
    estimator : EstimatorDescription
        As it is.
    kept : sequence of CalibratingBattery
        Batteries of the bundle that go on calibrating.
    facts : OutcomeFacts
        Outcomes that join them.

    Raises
    ------
    InvalidInput
        ``TOO_FEW_OUTCOMES``, naming how many batteries the promised coverage needs.
    """
    batteries = [*kept, *_as_batteries(facts)]
    coverage = estimator.interval.coverage_fraction
    _require_enough(batteries, coverage)
    keys = np.array([each.type for each in batteries], dtype=object)
    error = np.array([each.state_of_health - each.point for each in batteries])
    difficulty = np.maximum([each.spread for each in batteries], _SMALLEST_SPREAD)
    relative = np.abs(error) / difficulty
    spread = difficulty * scale_without_own(relative, keys, SCALE_LEVEL, POOLING_BATTERIES)
    quantile = conformal_quantile(np.abs(error) / spread, coverage)
    scales = scale_of_types(relative, keys, SCALE_LEVEL, POOLING_BATTERIES)
    update = {
        "interval": _rescaled(estimator.interval, scales, quantile),
        "calibration_scores": tuple(np.sort(error / spread).tolist()),
    }
    calibration = CalibrationFile(quantile=quantile, batteries=_with_spreads(batteries, spread))
    return RecalibratedMethod(estimator.model_copy(update=update), calibration)


def _rescaled(interval: ConformalInterval, scales: Mapping[str, float], quantile: float) -> ConformalInterval:
    """Interval with new scales; a type without a calibrating battery keeps the width it had."""
    unchanged = interval.quantile / quantile
    types = {
        key: TypeScale(
            scale_fraction=each.scale_fraction * scales.get(key, unchanged),
            typical_disagreement=each.typical_disagreement,
        )
        for key, each in interval.types.items()
    }
    return interval.model_copy(update={"quantile": quantile, "types": types})


def _as_batteries(facts: OutcomeFacts) -> list[CalibratingBattery]:
    columns = (facts.point, facts.spread, facts.lowest_member, facts.highest_member, facts.measured)
    names = ("point", "spread", "lowest_member", "highest_member", "state_of_health")
    rows = zip(*(column.round(_DECIMALS).tolist() for column in columns), strict=True)
    return [
        CalibratingBattery(type=str(key), **dict(zip(names, row, strict=True)))
        for key, row in zip(facts.type_keys, rows, strict=True)
    ]


def _with_spreads(batteries: Sequence[CalibratingBattery], spread: FloatArray) -> tuple[CalibratingBattery, ...]:
    """Batteries in an order that tells nothing."""
    changed = [
        each.model_copy(update={"spread": value})
        for each, value in zip(batteries, spread.round(_DECIMALS).tolist(), strict=True)
    ]
    return tuple(sorted(changed, key=lambda each: (each.type, each.point, each.spread, each.state_of_health)))


def _require_enough(batteries: Sequence[CalibratingBattery], coverage_fraction: float) -> None:
    needed = math.ceil(round(coverage_fraction / (1.0 - coverage_fraction), 9))
    if len(batteries) < needed:
        raise InvalidInput(
            f"{len(batteries)} batteries cannot calibrate an interval that covers {coverage_fraction:g}; {needed} are "
            "needed. Nothing was recalibrated. Report more, or let them join the bundle's (without --only-outcomes).",
            code="TOO_FEW_OUTCOMES",
        )
