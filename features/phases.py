"""Charge, rest and discharge phases of a test, and the charge they move.

The same view of a step table and of a sampled record, for whoever asks what came before what. Nothing here
judges a phase. Current is positive while charging.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.measurement import CanonicalTable, FloatArray
from features.step_detection import current_states, runs
from features.vocabulary import StepType, TableFormat


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of one state: rows `first` to `stop` of the table."""

    state: int
    first: int
    stop: int
    duration_second: float
    begin_volt: float
    end_volt: float
    mean_ampere: float
    last_ampere: float


def discharging_capacity_ah(test_time_second: FloatArray, current_ampere: FloatArray) -> float:
    """Charge taken out of the battery over a discharge.

    Parameters
    ----------
    test_time_second : ndarray, shape (n,)
        Strictly increasing. [s]
    current_ampere : ndarray, shape (n,)
        Positive while charging; charging samples count as zero. [A]

    Returns
    -------
    float
        Never negative. [Ah]

    Raises
    ------
    ValueError
        If the arrays differ in length or hold fewer than two samples.

    Notes
    -----
    Trapezoidal rule; GB/T 34015-2017 integrates the current over at least 50 equal intervals.

    Examples
    --------
    >>> discharging_capacity_ah(np.array([0.0, 3600.0, 7200.0]), np.array([-5.0, -5.0, -5.0]))
    10.0
    """
    if test_time_second.shape != current_ampere.shape or test_time_second.size < 2:
        shapes = f"{test_time_second.shape} and {current_ampere.shape}"
        raise ValueError(f"time and current need the same length of 2 or more, got {shapes}")
    return float(np.trapezoid(np.maximum(-current_ampere, 0.0), test_time_second) / 3600.0)


def phases_of(table: CanonicalTable) -> list[Phase]:
    """List the phases of a ``step_table`` (one per step) or a ``timeseries`` (one per stretch of one state)."""
    return _step_phases(table) if table.format is TableFormat.STEP_TABLE else _sampled_phases(table)


def _step_phases(table: CanonicalTable) -> list[Phase]:
    states = {StepType.REST.value: 0, StepType.CHARGE.value: 1, StepType.DISCHARGE.value: -1}
    columns = ("step_duration_second", "voltage_begin_volt", "voltage_end_volt", "current_ampere")
    numbers = zip(*(table.floats(name).tolist() for name in columns), strict=True)
    return [
        Phase(states[str(word)], row, row + 1, duration, begin, end, current, current)
        for row, (word, (duration, begin, end, current)) in enumerate(
            zip(table.words("step_type"), numbers, strict=True)
        )
    ]


def _sampled_phases(table: CanonicalTable) -> list[Phase]:
    time, voltage = table.floats("test_time_second"), table.floats("voltage_volt")
    current = table.floats("current_ampere")
    states = current_states(current)
    return [
        Phase(
            state=int(states[first]),
            first=int(first),
            stop=int(stop),
            duration_second=float(time[stop - 1] - time[first]),
            begin_volt=float(voltage[first]),
            end_volt=float(voltage[stop - 1]),
            mean_ampere=float(current[first:stop].mean()),
            last_ampere=float(np.median(current[max(stop - 5, first) : stop])),
        )
        for first, stop in zip(*runs(states), strict=True)
    ]


def charge_before(phases: Sequence[Phase], discharge: int) -> int | None:
    """Last phase of the charge before a discharge, with nothing but rest between them."""
    before = discharge - 1
    while before >= 0 and phases[before].state == 0:
        before -= 1
    return before if before >= 0 and phases[before].state > 0 else None


def rest_before_second(phases: Sequence[Phase], discharge: int) -> float:
    """Sum the rests right before a phase. [s]."""
    second = 0.0
    while discharge > 0 and phases[discharge - 1].state == 0:
        discharge -= 1
        second += phases[discharge].duration_second
    return second
