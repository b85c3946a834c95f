"""Which two trains of a pulse test make a pair, and the charge put in between them.

The first train is the graded one. The second is a later train of the same pulse width; between them
the battery was charged, every step is on record and the charge is one the method is calibrated for.
Where several trains qualify, the charge nearest to ``WANTED_CHARGE_FRACTION`` decides. The charge is
counted from the run's own currents and durations, never from a reported state of charge. What the
pair says about the battery is `two_trains`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from features.findings import Finding, Message, Severity
from features.measurement import CanonicalTable, FloatArray
from features.pulse_ladders import SHORTEST_REST_SECOND, Steps
from features.steps import REFERENCE_TEMPERATURE_CELSIUS, FoundTrain, told_apart
from features.two_trains import TWO_TRAIN_FEATURE_NAMES, TrainPair, two_train_features
from features.vocabulary import TableFormat

MOVED_CHARGE_FRACTION = (0.145, 0.255)
"""Charge between the trains over rated capacity; published tests give pairs 15, 20 and 25 % apart.

Asked to judge a step it was not trained on, the method errs: 2.4 % instead of 1.9 % at 10 % (held-out cells).
"""

WANTED_CHARGE_FRACTION = 0.20
"""The step a station is asked to make, and the one accuracy is stated for."""

_SAME_WIDTH = 0.05


class Unpaired(StrEnum):
    """Why a later train, parted from the first one by a charge, does not make a pair."""

    NOT_ON_RECORD = "not_on_record"
    DISCHARGED = "discharged"
    CHARGE_OUT_OF_RANGE = "charge_out_of_range"
    REST_SHORT = "rest_short"
    TEMPERATURE = "temperature"
    PULSES_MISSING = "pulses_missing"


_IN_WORDS = {
    Unpaired.NOT_ON_RECORD: ("a step between them is not on record", "两组之间有工步缺失"),
    Unpaired.DISCHARGED: ("the battery was discharged between them", "两组之间进行过放电"),
    Unpaired.CHARGE_OUT_OF_RANGE: ("the charge between them is outside the range", "两组之间充入的电量超出范围"),
    Unpaired.REST_SHORT: ("the rest after the charge was too short", "充电后静置时间过短"),
    Unpaired.TEMPERATURE: ("it was not given near 25 °C", "第二组测试温度偏离 25 °C"),
    Unpaired.PULSES_MISSING: ("a pulse of one of them was cut short or is missing", "其中一组的脉冲缺失或被截断"),
}


@dataclass(frozen=True)
class _Later:
    """A later train, and what was moved before it."""

    number: int
    found: FoundTrain
    moved_charge_ah: float
    moved_fraction: float
    hindrance: Unpaired | None


def pair_features(
    table: CanonicalTable, rated_capacity_ah: float, train: int | None = None
) -> tuple[dict[str, float], tuple[Finding, ...]]:
    """Features of the graded train and its second train.

    Parameters
    ----------
    table : CanonicalTable
        A ``step_table``, or a ``timeseries`` of at least 10 Hz.
    rated_capacity_ah : float
        Rated capacity. [Ah]
    train : int, optional
        Which train is the first of the pair, counted from 1. None takes the first of the test.

    Returns
    -------
    dict of str to float
        Features of `two_trains`; all NaN where there is no second train that counts.
    tuple of Finding
        Which pair was used (``pulse.second_train``), or, after a charge, why there is none
        (``pulse.second_train_unused``); nothing is said about a test with one train.

    Raises
    ------
    InvalidInput
        If a timeseries is sampled too slowly.
    """
    if _charged_ah(table) < MOVED_CHARGE_FRACTION[0] * rated_capacity_ah:
        return _UNMEASURED, ()
    (steps, found), number = told_apart(table, rated_capacity_ah, hand_on=True), train or 1
    if not 1 <= number <= len(found):
        return _UNMEASURED, ()
    later = list(_later_trains(steps, found, number, rated_capacity_ah))
    usable = [each for each in later if each.hindrance is None]
    if not usable:
        return _UNMEASURED, tuple(_unused(number, each) for each in sorted(later, key=_off_wanted)[:1])
    second = min(usable, key=_off_wanted)
    values = two_train_features(
        TrainPair(found[number - 1].train, second.found.train, second.moved_charge_ah), rated_capacity_ah
    )
    if not all(map(math.isfinite, values.values())):
        return _UNMEASURED, (_unused(number, second, Unpaired.PULSES_MISSING),)
    return values, (_used(number, second),)


_UNMEASURED = dict.fromkeys(TWO_TRAIN_FEATURE_NAMES, math.nan)


def _charged_ah(table: CanonicalTable) -> float:
    """All charge put in during the test; a single train puts in next to nothing."""
    charging = np.maximum(table.floats("current_ampere"), 0.0)
    if table.format is TableFormat.TIMESERIES:
        return float(np.trapezoid(charging, table.floats("test_time_second")) / 3600.0)
    return float(charging @ table.floats("step_duration_second") / 3600.0)


def _later_trains(steps: Steps, found: Sequence[FoundTrain], number: int, rated_capacity_ah: float) -> Iterator[_Later]:
    """Trains of the first one's width that come after a charge."""
    charge_before = np.concatenate(([0.0], np.cumsum(steps.current * steps.duration)[:-1])) / 3600.0
    first = found[number - 1]
    begins = _row(steps, first)
    for later, each in enumerate(found[number:], start=number + 1):
        row = _row(steps, each)
        if not _same_width(first, each) or not (steps.other[begins:row] & (steps.current[begins:row] > 0.0)).any():
            continue
        moved = float(charge_before[row] - charge_before[begins])
        fraction = moved / rated_capacity_ah
        yield _Later(later, each, moved, fraction, _hindrance(steps, begins, row, fraction, each))


def _hindrance(steps: Steps, begins: int, row: int, fraction: float, second: FoundTrain) -> Unpaired | None:
    other = np.flatnonzero(steps.other[begins:row]) + begins
    lowest, highest = REFERENCE_TEMPERATURE_CELSIUS
    celsius = second.surface_temperature_celsius
    if steps.left_out_between(begins, row):
        return Unpaired.NOT_ON_RECORD
    if (steps.current[other] < 0.0).any():
        return Unpaired.DISCHARGED
    if not MOVED_CHARGE_FRACTION[0] <= fraction <= MOVED_CHARGE_FRACTION[1]:
        return Unpaired.CHARGE_OUT_OF_RANGE
    if steps.duration[other[-1] + 1 : row].sum() < SHORTEST_REST_SECOND:
        return Unpaired.REST_SHORT
    return Unpaired.TEMPERATURE if celsius < lowest or celsius > highest else None


def _row(steps: Steps, found: FoundTrain) -> int:
    """Row of a train's first pulse."""
    return int(np.searchsorted(steps.index, found.steps[0]))


def _same_width(first: FoundTrain, second: FoundTrain) -> bool:
    width, other = _width_second(first), _width_second(second)
    return abs(other - width) <= _SAME_WIDTH * width


def _width_second(found: FoundTrain) -> float:
    widths: FloatArray = np.array([pulse.duration_second for pulse in found.train.pulses])
    return float(np.median(widths))


def _off_wanted(later: _Later) -> float:
    return abs(later.moved_fraction - WANTED_CHARGE_FRACTION)


def _used(number: int, second: _Later) -> Finding:
    share = f"{second.moved_fraction:.1%}"
    return Finding(
        "pulse.second_train",
        Severity.NOTE,
        Message(
            f"Trains {number} and {second.number} are read together: {share} of the rated charge was put in between "
            "them. Tests of this kind are known from the laboratory only, not from batteries arriving at a station.",
            f"第 {number} 组与第 {second.number} 组脉冲合并判读,其间充入额定电量的 {share}。"
            "此类测试目前仅有实验室数据,尚无到站电池的实测。",
        ),
        _evidence(number, second),
    )


def _unused(number: int, second: _Later, hindrance: Unpaired | None = None) -> Finding:
    reason = hindrance or second.hindrance or Unpaired.PULSES_MISSING
    english, chinese = _IN_WORDS[reason]
    lowest, highest = MOVED_CHARGE_FRACTION
    return Finding(
        "pulse.second_train_unused",
        Severity.NOTE,
        Message(
            f"Train {second.number} was not read together with train {number}: {english} (counted: "
            f"{second.moved_fraction:.1%} of the rated charge, range {lowest:.1%} to {highest:.1%}).",
            f"第 {second.number} 组未与第 {number} 组合并判读:{chinese}"
            f"(计得额定电量的 {second.moved_fraction:.1%},允许 {lowest:.1%} 至 {highest:.1%})。",
        ),
        {**_evidence(number, second), "reason": reason.value},
    )


def _evidence(number: int, second: _Later) -> dict[str, float | str]:
    return {"train": number, "second_train": second.number, "moved_charge_fraction": round(second.moved_fraction, 4)}
