"""Pulse trains in a tester's steps.

A train is a rested battery and the short pulses given to it: rest, pulse, rest, pulse, … in any
order of amplitude and direction. Here the steps of a file are told apart (rest, pulse, anything
else) and pulses are gathered into trains; what a train says about the battery is `pulse`. Voltages
that the file does not hold are NaN, never a neighbour's value. Current is positive while charging.

`pulse_part` is all that a ``pulse_test`` may read of a file: charging from empty and full
discharges are left out, for readers and for `extract` alike; a charge between two trains stays.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np

from features.errors import InvalidInput, Problem
from features.findings import Finding, Message, Severity
from features.measurement import CanonicalTable
from features.pulse import Pulse, PulseTrain
from features.pulse_ladders import (
    LARGEST_PULSE_FRACTION,
    SHORTEST_REST_SECOND,
    Steps,
    ended_by_limit,
    ladders,
    trains_of_one_width,
)
from features.step_detection import LONGEST_PULSE_SECOND, step_table
from features.vocabulary import TableFormat

REFERENCE_TEMPERATURE_CELSIUS = (20.0, 30.0)
"""Pulse resistances compare near 25 °C only, the temperature of the published tests. [°C]"""


@dataclass(frozen=True)
class FoundTrain:
    """A pulse train and how it was found.

    Attributes
    ----------
    train : PulseTrain
        What `pulse` computes from.
    rows : tuple of int
        Its rows in the step table, the rests that belong to it included.
    steps : tuple of float
        ``step_index`` of its pulses.
    truncated_steps : tuple of float
        Pulses that a voltage limit or a hand ended, not their width.
    unrested_steps : tuple of float
        Pulses without a rest before or after them.
    surface_temperature_celsius : float
        Median over the pulses, NaN if not measured. [°C]
    """

    train: PulseTrain
    rows: tuple[int, ...]
    steps: tuple[float, ...]
    truncated_steps: tuple[float, ...]
    unrested_steps: tuple[float, ...]
    surface_temperature_celsius: float


def pulse_trains(table: CanonicalTable, rated_capacity_ah: float | None) -> tuple[PulseTrain, ...]:
    """Find all pulse trains of a test, in its order; see `found_trains`."""
    return tuple(found.train for found in found_trains(table, rated_capacity_ah))


def found_trains(table: CanonicalTable, rated_capacity_ah: float | None) -> tuple[FoundTrain, ...]:
    """Find all pulse trains of a test and where each one lies.

    Parameters
    ----------
    table : CanonicalTable
        A ``step_table``, or a ``timeseries`` of at least 10 Hz.
    rated_capacity_ah : float or None
        Rated capacity. None, where a reader does not know the battery, judges steps by their
        length alone. [Ah]

    Returns
    -------
    tuple of FoundTrain
        Empty if the test holds no pulse.

    Raises
    ------
    InvalidInput
        If a timeseries is sampled too slowly.

    Notes
    -----
    A pulse lasts at most 60 s, moves at most 3 % of the rated charge and is not the end of a longer
    step in the same direction. A new train begins

    - after any other step under current, also where it was left out and its rest is not like those
      between pulses, and after a rest of 5 min that is three times as long as those usually are,
    - when an amplitude comes back in the same direction: the ladder starts again,
    - when the pulse width changes. A pulse of another width between pulses of the common one, or a
      shorter one whose end voltage no full pulse of its direction exceeds, was ended by a limit or by
      hand and stays in its train. (Testers react late: 0.17 s of a 0.1 s pulse were seen.)

    A number missing in ``step_index`` is a step that was left out: voltages are not carried over it.
    Open-circuit voltage is the end of the rest right before the first pulse; the published U1 is that
    voltage too, for every width, also where only the last rest of the previous width lies before.
    """
    return told_apart(table, rated_capacity_ah).trains


class ToldApart(NamedTuple):
    """Steps of a test and the pulse trains among them."""

    steps: Steps
    trains: tuple[FoundTrain, ...]


class _HandedOn:
    """What one method of a run found, for the next method of the same run; taken once.

    Invariants: a table never changes, so what was found in the very same table holds. The three are
    replaced together: threads at work on two tests do not mix them, one of them finds its own again.
    """

    def __init__(self) -> None:
        self.found: tuple[CanonicalTable, float | None, ToldApart] | None = None


_HANDED_ON = _HandedOn()


def told_apart(table: CanonicalTable, rated_capacity_ah: float | None, *, hand_on: bool = False) -> ToldApart:
    """Tell the steps of a test apart and find its pulse trains; see `found_trains`.

    With `hand_on` the next call about the same table does not search again.
    """
    handed, _HANDED_ON.found = _HANDED_ON.found, None
    if handed is not None and handed[0] is table and handed[1] == rated_capacity_ah:
        found = handed[2]
    else:
        steps = Steps(step_table(table), rated_capacity_ah, table.format is TableFormat.TIMESERIES)
        trains = [rows for ladder in ladders(steps) for rows in trains_of_one_width(steps, ladder)]
        found = ToldApart(steps, tuple(_found(steps, rows) for rows in trains))
    if hand_on:
        _HANDED_ON.found = (table, rated_capacity_ah, found)
    return found


def pulse_part(table: CanonicalTable, rated_capacity_ah: float | None = None) -> CanonicalTable | None:
    """Cut out what a pulse test may read of a file: the pulses, the rests next to them, the charges between trains.

    Parameters
    ----------
    table : CanonicalTable
        A ``step_table``, or a ``timeseries`` of at least 10 Hz.
    rated_capacity_ah : float, optional
        Rated capacity, where it is known. [Ah]

    Returns
    -------
    CanonicalTable or None
        A step table; its ``step_index`` shows where steps were left out. Without pulses the rests
        alone, None if there are none either.

    Notes
    -----
    What charges the battery before the first train, or between two trains together with a discharge,
    is left out: charge counted from empty would tell the capacity. A charge alone between two trains
    is part of the test (`train_pairs`).
    """
    whole, (steps, found) = step_table(table), told_apart(table, rated_capacity_ah)
    rows = sorted({*(row for each in found for row in each.rows), *_charges_between(steps, found)})
    rows = rows or np.flatnonzero(steps.rest).tolist()
    if not rows:
        return None
    return CanonicalTable(TableFormat.STEP_TABLE, {name: values[rows] for name, values in whole.columns.items()})


def graded_train(
    table: CanonicalTable, rated_capacity_ah: float, train: int | None = None
) -> tuple[FoundTrain | None, tuple[Finding, ...]]:
    """Choose the train a grading rests on, and say what is to be said about it.

    Parameters
    ----------
    table : CanonicalTable
        A ``step_table``, or a ``timeseries`` of at least 10 Hz.
    rated_capacity_ah : float
        Rated capacity. [Ah]
    train : int, optional
        Which train, counted from 1. None takes the first.

    Returns
    -------
    FoundTrain or None
        None, with the finding ``pulse.no_train``, if the test holds no pulse.
    tuple of Finding

    Raises
    ------
    InvalidInput
        If there are fewer trains than asked for, or a timeseries is sampled too slowly.
    """
    found = found_trains(table, rated_capacity_ah)
    if not found:
        return None, (_no_train(),)
    number = train or 1
    if not 1 <= number <= len(found):
        rule = f"the test holds {len(found)} pulse train{'s' if len(found) > 1 else ''}, counted from 1"
        raise InvalidInput(f"Pulse train {number} does not exist.", [Problem("train", rule, str(number))])
    return found[number - 1], tuple(_findings(found[number - 1], number, found))


def _charges_between(steps: Steps, found: Sequence[FoundTrain]) -> Iterator[int]:
    """Rows between neighbouring trains where nothing but charging parts them."""
    for one, following in itertools.pairwise(found):
        between = range(one.rows[-1] + 1, following.rows[0])
        if all(steps.rows[row].current_ampere > 0.0 for row in between if steps.rows[row].other):
            yield from between


def _found(steps: Steps, rows: list[int]) -> FoundTrain:
    cut = dict(zip(rows, ended_by_limit(steps, rows).tolist(), strict=True))
    before = list(_rests_before(steps, rows[0]))
    rests_beside = (near for row in rows for near in (row - 1, row + 1) if _is_rest(steps, near))
    number = dict(zip(rows, steps.index[rows].tolist(), strict=True))
    rested = {row: (steps.next_to(row, row - 1), steps.next_to(row, row + 1)) for row in rows}
    return FoundTrain(
        train=PulseTrain(
            open_circuit_voltage_volt=steps.rows[rows[0] - 1].end_volt if before else math.nan,
            rest_before_second=float(steps.duration[before].sum()) if before else math.nan,
            pulses=tuple(_pulse(steps, row, *rested[row], cut[row]) for row in rows),
        ),
        rows=tuple(sorted({*before, *rows, *rests_beside})),
        steps=tuple(number.values()),
        truncated_steps=tuple(number[row] for row in rows if cut[row]),
        unrested_steps=tuple(number[row] for row in rows if not all(rested[row])),
        surface_temperature_celsius=_median_celsius(steps, rows),
    )


def _median_celsius(steps: Steps, rows: list[int]) -> float:
    known = [celsius for celsius in steps.temperature[rows].tolist() if not math.isnan(celsius)]
    return median(known) if known else math.nan


def _is_rest(steps: Steps, row: int) -> bool:
    return 0 <= row < len(steps.rows) and steps.rows[row].rest


def _rests_before(steps: Steps, row: int) -> Iterator[int]:
    while steps.next_to(row, row - 1):
        row -= 1
        yield row


def _pulse(steps: Steps, row: int, rested_before: bool, rested_after: bool, cut: bool) -> Pulse:
    step = steps.rows[row]
    relaxation = steps.rows[row + 1] if rested_after and not cut else None
    return Pulse(
        current_ampere=step.current_ampere,
        duration_second=step.duration_second,
        rest_before_volt=steps.rows[row - 1].end_volt if rested_before else math.nan,
        begin_volt=step.begin_volt,
        end_volt=math.nan if cut else step.end_volt,
        relaxation_begin_volt=relaxation.begin_volt if relaxation else math.nan,
        relaxation_end_volt=relaxation.end_volt if relaxation else math.nan,
        relaxation_duration_second=relaxation.duration_second if relaxation else math.nan,
    )


_MOST_SHOWN_WIDTHS = 12


def _no_train() -> Finding:
    return Finding(
        "pulse.no_train",
        Severity.CAUTION,
        Message(
            f"The test holds no pulse: no step under current of at most {LONGEST_PULSE_SECOND:g} s "
            f"and {LARGEST_PULSE_FRACTION:.0%} of the rated charge.",
            f"测试中没有脉冲：没有不超过 {LONGEST_PULSE_SECOND:g} s "
            f"且不超过额定电量 {LARGEST_PULSE_FRACTION:.0%} 的电流工步。",
        ),
    )


def _findings(found: FoundTrain, number: int, every: Sequence[FoundTrain]) -> Iterator[Finding]:
    count = len(every)
    if count > 1:
        widths = _first_train_of_each_width(every)
        yield Finding(
            "pulse.several_trains",
            Severity.NOTE,
            Message(
                f"The test holds {count} pulse trains; train {number}, from step {found.steps[0]:g}, is graded. "
                f"First train of each pulse width: {widths}.",
                f"测试包含 {count} 组脉冲；评定依据第 {number} 组（自工步 {found.steps[0]:g} 起）。"
                f"各脉宽首组：{widths}。",
            ),
            {"train": number, "train_count": count, "first_step": found.steps[0], "first_train_of_width": widths},
        )
    if found.truncated_steps:
        yield _about_steps(
            "pulse.truncated_by_protection",
            found.truncated_steps,
            "pulses were not ended by their width, as at a voltage limit; their end and relaxation are not used",
            "个脉冲未按设定脉宽结束（如触及电压保护）；其终止电压与弛豫电压不予使用",
        )
    if found.unrested_steps:
        yield _about_steps(
            "pulse.rest_missing",
            found.unrested_steps,
            "pulses have no rest right before or after them; the voltages of that rest are not used",
            "个脉冲前后缺少静置工步；缺失静置的电压不予使用",
        )
    yield from _condition_findings(found)


def _first_train_of_each_width(every: Sequence[FoundTrain]) -> str:
    first: dict[str, int] = {}
    for number, found in enumerate(every, start=1):
        width_second = median(pulse.duration_second for pulse in found.train.pulses)
        first.setdefault(f"{width_second:.1g} s", number)
    shown = [f"{width} train={number}" for width, number in list(first.items())[:_MOST_SHOWN_WIDTHS]]
    return ", ".join(shown) + (" …" if len(first) > _MOST_SHOWN_WIDTHS else "")


def _about_steps(code: str, steps: tuple[float, ...], english: str, chinese: str) -> Finding:
    shown = ", ".join(f"{step:g}" for step in steps[:10]) + (" …" if len(steps) > 10 else "")
    return Finding(
        code,
        Severity.CAUTION,
        Message(f"{len(steps)} {english} (steps {shown}).", f"{len(steps)} {chinese}（工步 {shown}）。"),
        {"pulse_count": len(steps), "steps": shown},
    )


def _condition_findings(found: FoundTrain) -> Iterator[Finding]:
    rest_second, celsius = found.train.rest_before_second, found.surface_temperature_celsius
    if rest_second < SHORTEST_REST_SECOND:
        yield Finding(
            "pulse.rest_short",
            Severity.CAUTION,
            Message(
                f"The rest before the pulse train lasted {rest_second:g} s "
                f"(expected: {SHORTEST_REST_SECOND:g} s or more).",
                f"脉冲前静置 {rest_second:g} s（应不少于 {SHORTEST_REST_SECOND:g} s）。",
            ),
            {"rest_second": rest_second, "expected_second": SHORTEST_REST_SECOND},
        )
    lowest, highest = REFERENCE_TEMPERATURE_CELSIUS
    if celsius < lowest or celsius > highest:
        yield Finding(
            "pulse.temperature_off_reference",
            Severity.CAUTION,
            Message(
                f"The pulses were given at {celsius:.1f} °C (comparable: {lowest:g} to {highest:g} °C).",
                f"脉冲测试温度 {celsius:.1f} °C（可比范围 {lowest:g} 至 {highest:g} °C）。",
            ),
            {"surface_temperature_celsius": celsius, "lowest_celsius": lowest, "highest_celsius": highest},
        )
