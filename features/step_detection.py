"""From sampled current to a tester's steps.

A step is a stretch in which the tester keeps its state (rest, charge, discharge) and its current.
It is found in the current alone, with tolerance for noise and for single samples caught on an edge;
never by row numbers. A constant-voltage phase, whose current glides, stays one step. Nothing here
judges what a step is for.
"""

import numpy as np
import numpy.typing as npt

from features.errors import InvalidInput, Problem
from features.measurement import CanonicalTable, FloatArray
from features.vocabulary import StepType, TableFormat

IntArray = npt.NDArray[np.int64]

REST_FRACTION = 0.02
"""Current below this fraction of the largest current of the record counts as rest (sensor offset and noise)."""

JUMP_FRACTION = 0.1
"""Current that jumps by this fraction of the largest between two samples begins a new step."""

SLOWEST_PULSE_SAMPLE_SECOND = 0.1
"""A pulse test is sampled at 10 Hz or faster while current flows (canonical table ``timeseries``)."""

LONGEST_PULSE_SECOND = 60.0
"""A step under current that lasts longer is no pulse."""

_TIME_TOLERANCE = 1.05


def current_states(current_ampere: FloatArray) -> npt.NDArray[np.int8]:
    """State of every sample: 1 charging, -1 discharging, 0 resting.

    Parameters
    ----------
    current_ampere : ndarray, shape (n,)
        Positive while charging. [A]

    Returns
    -------
    ndarray of int8, shape (n,)

    Examples
    --------
    >>> current_states(np.array([0.0, 0.01, 5.0, -5.0])).tolist()
    [0, 0, 1, -1]
    """
    rest_below = REST_FRACTION * float(np.abs(current_ampere).max(initial=0.0))
    return np.where(np.abs(current_ampere) > rest_below, np.sign(current_ampere), 0.0).astype(np.int8)


def runs(labels: npt.NDArray[np.int8], breaks: npt.NDArray[np.bool_] | None = None) -> tuple[IntArray, IntArray]:
    """First and past-the-last index of every stretch of equal labels.

    Parameters
    ----------
    labels : ndarray, shape (n,)
        At least one label.
    breaks : ndarray of bool, shape (n - 1,), optional
        True where a new stretch begins although the label stays.

    Returns
    -------
    tuple of two ndarrays of int, shape (stretches,)

    Examples
    --------
    >>> first, stop = runs(np.array([0, 0, 1], dtype=np.int8))
    >>> first.tolist(), stop.tolist()
    ([0, 2], [2, 3])
    """
    changes = labels[1:] != labels[:-1]
    if breaks is not None:
        changes = changes | breaks
    inner = np.flatnonzero(changes) + 1
    return np.concatenate(([0], inner)), np.concatenate((inner, [labels.shape[0]]))


def step_table(timeseries: CanonicalTable) -> CanonicalTable:
    """Find the steps of a sampled test.

    Parameters
    ----------
    timeseries : CanonicalTable
        Format ``timeseries``. A ``step_table`` is handed back as it is.

    Returns
    -------
    CanonicalTable
        Format ``step_table``; ``step_index`` counts from 0. A step's current is the mean of its
        samples; a step lasts until the first sample of the next one.

    Raises
    ------
    InvalidInput
        If the table is neither of the two, or a pulse (60 s or shorter) is sampled more slowly
        than 10 Hz, so that its first voltage is not the voltage right after the edge.

    Notes
    -----
    A single sample whose current lies between those of its neighbours was caught on the edge and
    belongs to no step.
    """
    if timeseries.format is TableFormat.STEP_TABLE:
        return timeseries
    if timeseries.format is not TableFormat.TIMESERIES:
        problem = Problem("format", "steps are found in a timeseries or a step_table", timeseries.format.value)
        raise InvalidInput("The table holds no steps.", [problem])
    time, current = timeseries.floats("test_time_second"), timeseries.floats("current_ampere")
    states = current_states(current)
    jumps = (np.abs(np.diff(current)) > JUMP_FRACTION * np.abs(current).max()) & (states[1:] != 0)
    first, stop = _without_edge_samples(current, *runs(states, jumps))
    _refuse_slow_pulses(time, states, first, stop)
    return _table_of(timeseries, states, first, stop)


def _without_edge_samples(current: FloatArray, first: IntArray, stop: IntArray) -> tuple[IntArray, IntArray]:
    level = np.array([np.median(current[a:b]) for a, b in zip(first, stop, strict=True)])
    caught = np.zeros(len(level), dtype=bool)
    before, here, after = level[:-2], level[1:-1], level[2:]
    caught[1:-1] = (np.minimum(before, after) < here) & (here < np.maximum(before, after))
    caught &= stop - first == 1
    return first[~caught], stop[~caught]


def _end_times(time: FloatArray, first: IntArray) -> FloatArray:
    """End time of every step: where the next begins; the last is credited one more sampling interval."""
    last_interval = float(np.diff(time[-2:]).sum())
    return np.append(time[first[1:]], time[-1] + last_interval)


def _refuse_slow_pulses(time: FloatArray, states: npt.NDArray[np.int8], first: IntArray, stop: IntArray) -> None:
    ends = _end_times(time, first)
    for a, b, end in zip(first, stop, ends, strict=True):
        if states[a] == 0 or end - time[a] > LONGEST_PULSE_SECOND:
            continue
        interval = float(np.median(np.diff(np.append(time[a:b], end))))
        if interval > SLOWEST_PULSE_SAMPLE_SECOND * _TIME_TOLERANCE:
            rule = (
                f"a pulse must be sampled every {SLOWEST_PULSE_SAMPLE_SECOND:g} s or faster, so that begin and end show"
            )
            raise InvalidInput(
                "The record is sampled too slowly for a pulse test.",
                [Problem(f"test_time_second[{a}]", rule, f"{interval:g} s")],
            )


def _table_of(
    timeseries: CanonicalTable, states: npt.NDArray[np.int8], first: IntArray, stop: IntArray
) -> CanonicalTable:
    time, voltage = timeseries.floats("test_time_second"), timeseries.floats("voltage_volt")
    words = {0: StepType.REST.value, 1: StepType.CHARGE.value, -1: StepType.DISCHARGE.value}
    columns: dict[str, FloatArray | npt.NDArray[np.str_]] = {
        "step_index": np.arange(len(first), dtype=np.float64),
        "step_type": np.array([words[int(states[a])] for a in first]),
        "step_duration_second": _end_times(time, first) - time[first],
        "current_ampere": _means(timeseries.floats("current_ampere"), first, stop),
        "voltage_begin_volt": voltage[first],
        "voltage_end_volt": voltage[stop - 1],
    }
    if "surface_temperature_celsius" in timeseries:
        columns["surface_temperature_celsius"] = timeseries.floats("surface_temperature_celsius")[first]
    return CanonicalTable(TableFormat.STEP_TABLE, columns)


def _means(values: FloatArray, first: IntArray, stop: IntArray) -> FloatArray:
    return np.array([values[a:b].mean() for a, b in zip(first, stop, strict=True)])
