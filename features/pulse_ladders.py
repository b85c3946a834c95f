"""Which steps are pulses, and which pulses belong together.

Steps are told apart by length, charge and neighbours, and gathered by amplitude, width and rests; no row
number and no battery type decides. What a gathered train measured is read in `steps`.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from features.measurement import CanonicalTable, FloatArray
from features.step_detection import LONGEST_PULSE_SECOND
from features.vocabulary import StepType

BoolArray = npt.NDArray[np.bool_]

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


class Steps:
    """Columns of a step table and the kind of every row."""

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
        self.rest = table.words("step_type") == StepType.REST
        self.resolution_second = 0.1 if sampled else _WIDTH_RESOLUTION_SECOND
        self._hole_above = 1.5 * float(np.median(np.diff(self.index))) if table.row_count > 1 else math.inf
        short = ~self.rest & (self.duration <= LONGEST_PULSE_SECOND) & (self.duration > 0.0)
        negligible = np.zeros_like(short)
        if rated_capacity_ah is not None:
            negligible = short & (np.abs(self.current) < LOWEST_PULSE_C_RATE * rated_capacity_ah)
            short &= np.abs(self.current) * self.duration / 3600.0 <= LARGEST_PULSE_FRACTION * rated_capacity_ah
        self.pulse = short & ~negligible & ~self._part_of_longer_step(~self.rest & ~short)
        self.other = ~self.rest & ~self.pulse & ~negligible

    def _part_of_longer_step(self, long: BoolArray) -> BoolArray:
        """Rows next to a longer step in the same direction, such as the short CC part of a charge."""
        same = (np.sign(self.current[1:]) == np.sign(self.current[:-1])) & ~self.rest[1:] & ~self.rest[:-1]
        part = np.zeros(len(long), dtype=bool)
        part[1:] |= same & long[:-1]
        part[:-1] |= same & long[1:]
        return part

    def next_to(self, row: int, other: int) -> bool:
        """Whether `other` is a rest adjoining `row` with no step left out between them."""
        if not (0 <= other < len(self.index) and self.rest[other]):
            return False
        return not self.left_out_between(min(row, other), max(row, other))

    def left_out_between(self, first: int, last: int) -> bool:
        """Whether a number is missing in ``step_index`` from row `first` to row `last`."""
        return bool((np.diff(self.index[first : last + 1]) > self._hole_above).any())


def ladders(steps: Steps) -> Iterator[list[int]]:
    """Pulse rows between two boundaries, no amplitude twice in one direction."""
    usual = _usual_rest_second(steps)
    ladder: list[int] = []
    for row in np.flatnonzero(steps.pulse).tolist():
        if ladder and (_boundary(steps, ladder[-1], row, usual) or _repeats(steps, ladder, row)):
            yield ladder
            ladder = []
        ladder.append(row)
    if ladder:
        yield ladder


def _usual_rest_second(steps: Steps) -> float:
    inner = np.flatnonzero(steps.rest[1:-1] & steps.pulse[:-2] & steps.pulse[2:]) + 1
    return float(np.median(steps.duration[inner])) if len(inner) else math.inf


def _boundary(steps: Steps, before: int, after: int, usual_rest_second: float) -> bool:
    between = slice(before + 1, after)
    if steps.other[between].any():
        return True
    long = steps.rest[between] & (steps.duration[between] >= SHORTEST_REST_SECOND)
    if (long & (steps.duration[between] >= _LONG_REST_RATIO * usual_rest_second)).any():
        return True
    return any(_follows_other_step(steps, row) for row in range(before + 1, after))


def _follows_other_step(steps: Steps, row: int) -> bool:
    """Whether a rest comes after a left-out step that was no pulse: the rests around a pulse are alike."""
    if not steps.rest[row] or not steps.left_out_between(row - 1, row):
        return False
    apart = abs(steps.duration[row] - steps.duration[row - 1])
    return bool(not steps.rest[row - 1] or apart > _SAME_REST * steps.duration[row])


def _repeats(steps: Steps, ladder: Sequence[int], row: int) -> bool:
    apart = np.abs(steps.current[list(ladder)] - steps.current[row])
    return bool((apart <= _SAME_AMPLITUDE * abs(steps.current[row])).any())


def _same_width(steps: Steps, width_second: FloatArray, reference_second: float) -> BoolArray:
    tolerance = _SAME_WIDTH * reference_second + steps.resolution_second
    same: BoolArray = np.abs(width_second - reference_second) <= tolerance
    return same


def _common_width_second(steps: Steps, width_second: FloatArray) -> float:
    """Width most pulses have; of equally common ones the longest."""
    counts = [(int(_same_width(steps, width_second, width).sum()), width) for width in width_second.tolist()]
    return float(max(counts)[1])


def trains_of_one_width(steps: Steps, ladder: list[int]) -> Iterator[list[int]]:
    """Trains of one width; pulses ended by a limit stay where they are."""
    width = steps.duration[ladder]
    cut = ended_by_limit(steps, ladder)
    train: list[int] = []
    reference = math.nan
    for row, each, is_cut in zip(ladder, width.tolist(), cut.tolist(), strict=True):
        if not is_cut and not math.isnan(reference) and not _same_width(steps, np.array([each]), reference)[0]:
            yield train
            train, reference = [], math.nan
        if not is_cut and math.isnan(reference):
            reference = each
        train.append(row)
    yield train


def ended_by_limit(steps: Steps, rows: Sequence[int]) -> BoolArray:
    """Pulses that a limit or a hand ended; testers react late, so they may also outlast the common width."""
    at = np.array(rows)
    common = _common_width_second(steps, steps.duration[at])
    full = _same_width(steps, steps.duration[at], common)
    way = np.sign(steps.current[at])
    reach = way * steps.end[at]
    cut = np.zeros(len(at), dtype=bool)
    for i in np.flatnonzero(~full):
        farthest = reach[full & (way == way[i])].max(initial=-math.inf)
        at_limit = steps.duration[at[i]] < common and reach[i] >= farthest
        cut[i] = at_limit or bool(full[:i].any() and full[i + 1 :].any())
    return cut
