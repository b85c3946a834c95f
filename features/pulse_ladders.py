"""Which steps are pulses, and which pulses belong together.

Steps are told apart by length, charge and neighbours, and gathered by amplitude, width and rests; no row
number and no battery type decides. What a gathered train measured is read in `steps`.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from features.measurement import CanonicalTable, FloatArray
from features.step_detection import LONGEST_PULSE_SECOND
from features.vocabulary import StepType

BoolArray = npt.NDArray[np.bool_]
Seconds = TypeVar("Seconds", float, FloatArray)

LARGEST_PULSE_FRACTION = 0.03
"""A pulse moves at most this fraction of the rated charge; more is a change of the state of charge."""

LOWEST_PULSE_C_RATE = 0.2
"""Short steps below this rate are contact checks or noise and are passed over. [1/h]"""

SHORTEST_REST_SECOND = 300.0
"""A rest before the train shorter than this is pointed out; the published tests rest 600 s. [s]"""

_SAME_AMPLITUDE = 0.1

_SAME_WIDTH = 0.05

_WIDTH_RESOLUTION_SECOND = 0.0101

_LONG_REST_RATIO = 3.0
_SAME_REST = 0.1


class Step(NamedTuple):
    """One row of a step table, in plain numbers; a test has few rows, and they are asked one at a time."""

    current_ampere: float
    duration_second: float
    begin_volt: float
    end_volt: float
    rest: bool
    pulse: bool
    other: bool


class Steps:
    """Columns of a step table and the kind of every row.

    Attributes
    ----------
    rows : list of Step
        The same, row by row.
    """

    def __init__(self, table: CanonicalTable, rated_capacity_ah: float | None, sampled: bool) -> None:
        self.index = table.floats("step_index")
        self.current = table.floats("current_ampere")
        self.duration = table.floats("step_duration_second")
        self.begin = table.floats("voltage_begin_volt")
        self.end = table.floats("voltage_end_volt")
        has_temperature = "surface_temperature_celsius" in table
        self.temperature = (
            table.floats("surface_temperature_celsius") if has_temperature else np.full(table.row_count, np.nan)
        )
        self.rest = table.words("step_type") == StepType.REST.value
        self.resolution_second = 0.1 if sampled else _WIDTH_RESOLUTION_SECOND
        short = ~self.rest & (self.duration <= LONGEST_PULSE_SECOND) & (self.duration > 0.0)
        negligible = np.zeros_like(short)
        if rated_capacity_ah is not None:
            magnitude = np.abs(self.current)
            negligible = short & (magnitude < LOWEST_PULSE_C_RATE * rated_capacity_ah)
            short &= magnitude * self.duration / 3600.0 <= LARGEST_PULSE_FRACTION * rated_capacity_ah
        self.pulse = short & ~negligible & ~self._part_of_longer_step(~self.rest & ~short)
        self.other = ~self.rest & ~self.pulse & ~negligible
        self.rows = self._row_by_row()
        self._holes_before = _holes_before(self.index)

    def _part_of_longer_step(self, long: BoolArray) -> BoolArray:
        """Rows next to a longer step in the same direction, such as the short CC part of a charge."""
        part = np.zeros(len(long), dtype=bool)
        if not long.any():
            return part
        same = (np.sign(self.current[1:]) == np.sign(self.current[:-1])) & ~self.rest[1:] & ~self.rest[:-1]
        part[1:] |= same & long[:-1]
        part[:-1] |= same & long[1:]
        return part

    def _row_by_row(self) -> list[Step]:
        columns = (self.current, self.duration, self.begin, self.end, self.rest, self.pulse, self.other)
        return [Step(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def next_to(self, row: int, other: int) -> bool:
        """Whether `other` is a rest adjoining `row` with no step left out between them."""
        if not (0 <= other < len(self.rows) and self.rows[other].rest):
            return False
        return not self.left_out_between(min(row, other), max(row, other))

    def left_out_between(self, first: int, last: int) -> bool:
        """Whether a number is missing in ``step_index`` from row `first` to row `last`."""
        return self._holes_before[last] > self._holes_before[first]


def _holes_before(index: FloatArray) -> list[int]:
    """How many numbers are missing in ``step_index`` before each row."""
    apart = (index[1:] - index[:-1]).tolist()
    if not apart or max(apart) <= min(apart):
        return [0] * len(index)
    hole_above = 1.5 * median(apart)
    return list(itertools.accumulate((each > hole_above for each in apart), initial=0))


def ladders(steps: Steps) -> Iterator[list[int]]:
    """Pulse rows between two boundaries, no amplitude twice in one direction."""
    usual = _usual_rest_second(steps)
    ladder: list[int] = []
    for row, step in enumerate(steps.rows):
        if not step.pulse:
            continue
        if ladder and (_boundary(steps, ladder[-1], row, usual) or _repeats(steps, ladder, row)):
            yield ladder
            ladder = []
        ladder.append(row)
    if ladder:
        yield ladder


def _usual_rest_second(steps: Steps) -> float:
    inner = steps.rest[1:-1] & steps.pulse[:-2] & steps.pulse[2:]
    return median(steps.duration[1:-1][inner].tolist()) if inner.any() else math.inf


def _boundary(steps: Steps, before: int, after: int, usual_rest_second: float) -> bool:
    long_second = max(SHORTEST_REST_SECOND, _LONG_REST_RATIO * usual_rest_second)
    for row in range(before + 1, after):
        step = steps.rows[row]
        long_rest = step.rest and step.duration_second >= long_second
        if step.other or long_rest or _follows_other_step(steps, row):
            return True
    return False


def _follows_other_step(steps: Steps, row: int) -> bool:
    """Whether a rest comes after a left-out step that was no pulse: the rests around a pulse are alike."""
    before, step = steps.rows[row - 1], steps.rows[row]
    if not step.rest or not steps.left_out_between(row - 1, row):
        return False
    return not before.rest or abs(step.duration_second - before.duration_second) > _SAME_REST * step.duration_second


def _repeats(steps: Steps, ladder: Sequence[int], row: int) -> bool:
    current = steps.rows[row].current_ampere
    near = _SAME_AMPLITUDE * abs(current)
    return any(abs(steps.rows[earlier].current_ampere - current) <= near for earlier in ladder)


def _same_width(steps: Steps, width_second: FloatArray, reference_second: FloatArray) -> BoolArray:
    same: BoolArray = np.abs(width_second - reference_second) <= _tolerated_second(steps, reference_second)
    return same


def _tolerated_second(steps: Steps, width_second: Seconds) -> Seconds:
    """How far widths may lie apart and still be one width."""
    return _SAME_WIDTH * width_second + steps.resolution_second


def _common_width_second(steps: Steps, width_second: FloatArray) -> float:
    """Width most pulses have; of equally common ones the longest."""
    counts = _same_width(steps, width_second, width_second[:, None]).sum(axis=1)
    return float(max(zip(counts.tolist(), width_second.tolist(), strict=True))[1])


def trains_of_one_width(steps: Steps, ladder: list[int]) -> Iterator[list[int]]:
    """Trains of one width; pulses ended by a limit stay where they are."""
    cut = ended_by_limit(steps, ladder)
    train: list[int] = []
    reference = math.nan
    for row, is_cut in zip(ladder, cut.tolist(), strict=True):
        width = steps.rows[row].duration_second
        if not is_cut and abs(width - reference) > _tolerated_second(steps, reference):
            yield train
            train, reference = [], math.nan
        if not is_cut and math.isnan(reference):
            reference = width
        train.append(row)
    yield train


def ended_by_limit(steps: Steps, rows: Sequence[int]) -> BoolArray:
    """Pulses that a limit or a hand ended; testers react late, so they may also outlast the common width."""
    cut = np.zeros(len(rows), dtype=bool)
    seconds = [steps.rows[row].duration_second for row in rows]
    if max(seconds) - min(seconds) <= steps.resolution_second:
        return cut
    at, duration = np.array(rows), np.array(seconds)
    common = _common_width_second(steps, duration)
    full = _same_width(steps, duration, np.array(common))
    way = np.sign(steps.current[at])
    reach = way * steps.end[at]
    for i in np.flatnonzero(~full):
        farthest = reach[full & (way == way[i])].max(initial=-math.inf)
        at_limit = duration[i] < common and reach[i] >= farthest
        cut[i] = at_limit or bool(full[:i].any() and full[i + 1 :].any())
    return cut
