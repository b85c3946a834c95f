"""Frames of one vehicle put side by side: one row per moment.

Frames of the same second belong together, whether they were sent again or carry the next part of a
long cell list. A value that is already there stays; live reports go before reissued ones. A frame without
the vehicle block belongs to the report at most a second before it. Cells and probes are numbered through,
subsystem after subsystem.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from features.errors import UnreadableFile
from features.measurement import FloatArray
from features.readers.gbt32960_samples import IntArray, Samples, cell_volts, probe_celsius
from features.readers.vehicle_export import LARGEST_VALUE_COUNT

JOIN_SECOND = 1
"""Later parts of one report carry the same or the next second (engineering value)."""
MOST_NUMBERED_COLUMNS = 999
_MOST_REPEATS_MERGED = 4
_OF_THE_WHOLE_VEHICLE = ("cell_voltage", "probe_temperature")


@dataclass
class Merged:
    """One vehicle's record as columns; current is the vehicle's, positive while discharging.

    Attributes
    ----------
    unix_second : ndarray, shape (n,)
        Moments, rising. [s]
    columns : dict of str to ndarray, shape (n,)
        Canonical columns but the time; NaN where no frame says.
    subsystem_cells : dict of int to int
        Cells of each subsystem, in the order of their columns.
    repeated_count, conflict_count, joined_count, misplaced_count : int
        Frames for a moment that was there already, rows in which they differ, frames joined to the second
        before, cell lists longer than their subsystem.
    """

    unix_second: FloatArray
    columns: dict[str, FloatArray]
    subsystem_cells: dict[int, int]
    repeated_count: int = 0
    conflict_count: int = 0
    joined_count: int = 0
    misplaced_count: int = 0


def merged_frames(samples: Sequence[Samples], file_name: str, subsystem: int | None = None) -> Merged:
    """Put the decoded frames of a vehicle into rows.

    Parameters
    ----------
    samples : sequence of Samples
        In order of arrival.
    file_name : str
        For the error.
    subsystem : int or None
        Take voltage, current and cells of this subsystem alone; None takes the whole vehicle.

    Raises
    ------
    UnreadableFile
        If there are more cells than the table can number, or more values than may be held.
    """
    live_first = sorted(samples, key=lambda each: each.reissued)
    moments, rows_of, joined_count = _rows(live_first)
    cells = {number: count for number, count in _cell_counts(samples).items() if subsystem in (None, number)}
    probes = {number: count for number, count in _probe_counts(samples).items() if subsystem in (None, number)}
    names = _number_names(samples, subsystem)
    _refuse_large(file_name, len(moments), len(names), sum(cells.values()), sum(probes.values()))
    filling = _Filling(len(moments))
    scalars = {name: filling.empty(1) for name in names}
    cell_table, probe_table = filling.empty(sum(cells.values())), filling.empty(sum(probes.values()))
    cell_places, probe_places = _places(cells), _places(probes)
    zero_based = {number for each in samples for number, start in each.cells if start == 0}
    misplaced = 0
    for each, rows in zip(live_first, rows_of, strict=True):
        for name, values in _scalars(each, subsystem).items():
            if name in scalars:
                filling.put(scalars[name], rows, 0, values[:, None])
        for (number, start), words in each.cells.items():
            first = start - (number not in zero_based)
            if number in cells and first + words.shape[1] > cells[number]:
                misplaced += len(words)
            elif number in cells:
                filling.put(cell_table, rows, cell_places[number] + first, cell_volts(words))
        for number, raw in each.probes.items():
            if number in probes:
                filling.put(probe_table, rows, probe_places[number], probe_celsius(raw[:, : probes[number]]))
    columns = {name: table[:, 0] for name, table in scalars.items()}
    columns |= {f"cell_voltage_{n + 1}_volt": cell_table[:, n] for n in range(cell_table.shape[1])}
    columns |= {f"probe_temperature_{n + 1}_celsius": probe_table[:, n] for n in range(probe_table.shape[1])}
    return Merged(
        moments.astype(np.float64),
        columns,
        cells,
        _repeated_count(samples),
        int(np.count_nonzero(filling.conflicts)),
        joined_count,
        misplaced,
    )


@dataclass
class _Filling:
    """Tables that are filled frame by frame; what is there stays."""

    row_count: int
    conflicts: "np.ndarray[tuple[int], np.dtype[np.bool_]]" = field(init=False)

    def __post_init__(self) -> None:
        self.conflicts = np.zeros(self.row_count, dtype=bool)

    def empty(self, width: int) -> FloatArray:
        return np.full((self.row_count, width), np.nan)

    def put(self, table: FloatArray, rows: IntArray, column: int, values: FloatArray) -> None:
        for _ in range(_MOST_REPEATS_MERGED):
            rising = bool((np.diff(rows) > 0).all())
            first = np.arange(len(rows)) if rising else np.unique(rows, return_index=True)[1]
            self._put_once(table[:, column : column + values.shape[1]], rows[first], values[first])
            if len(first) == len(rows):
                return
            rest = np.setdiff1d(np.arange(len(rows)), first, assume_unique=True)
            rows, values = rows[rest], values[rest]

    def _put_once(self, table: FloatArray, rows: IntArray, values: FloatArray) -> None:
        held = table[rows]
        vacant = np.isnan(held)
        if not vacant.all():
            differ = ~vacant & ~np.isnan(values) & (held != values)
            self.conflicts[rows[differ.any(axis=1)]] = True
        table[rows] = np.where(vacant, values, held)


def _rows(samples: Sequence[Samples]) -> tuple[IntArray, list[IntArray], int]:
    """Moments of the rows, the row of every frame, and how many moments were joined to the one before."""
    moments = np.unique(np.concatenate([each.unix_second for each in samples]))
    reports = [each.unix_second for each in samples if each.vehicle_current_ampere is not None]
    complete = np.isin(moments, np.concatenate(reports)) if reports else np.ones(len(moments), dtype=bool)
    joins = np.zeros(len(moments), dtype=bool)
    joins[1:] = ~complete[1:] & complete[:-1] & (np.diff(moments) <= JOIN_SECOND)
    row_of_moment = np.cumsum(~joins) - 1
    rows = [row_of_moment[np.searchsorted(moments, each.unix_second)] for each in samples]
    return moments[~joins], rows, int(np.count_nonzero(joins))


def _cell_counts(samples: Sequence[Samples]) -> dict[int, int]:
    """Cells of each subsystem: the total most frames state, or the last cell where none states one."""
    stated: dict[int, Counter[int]] = {}
    for each in samples:
        for number, total in each.subsystem_totals.items():
            stated.setdefault(number, Counter())[total] += len(each.unix_second)
    return {number: counter.most_common(1)[0][0] for number, counter in sorted(stated.items())}


def _probe_counts(samples: Sequence[Samples]) -> dict[int, int]:
    seen: dict[int, Counter[int]] = {}
    for each in samples:
        for number, raw in each.probes.items():
            seen.setdefault(number, Counter())[raw.shape[1]] += len(raw)
    return {number: counter.most_common(1)[0][0] for number, counter in sorted(seen.items())}


def _places(counts: dict[int, int]) -> dict[int, int]:
    begins = np.cumsum([0, *counts.values()])
    return {number: int(begin) for number, begin in zip(counts, begins, strict=False)}


def _number_names(samples: Sequence[Samples], subsystem: int | None) -> list[str]:
    names = dict.fromkeys(name for each in samples for name in _scalars(each, subsystem))
    return [name for name in names if subsystem is None or not name.startswith(_OF_THE_WHOLE_VEHICLE)]


def _scalars(samples: Samples, subsystem: int | None) -> dict[str, FloatArray]:
    if subsystem is None:
        return samples.numbers
    own = samples.packs.get(subsystem)
    others = {name: values for name, values in samples.numbers.items() if not name.startswith("pack_")}
    return others | ({} if own is None else {"pack_voltage_volt": own[0], "pack_current_ampere": own[1]})


def _repeated_count(samples: Sequence[Samples]) -> int:
    moments = [each.unix_second for each in samples if each.vehicle_current_ampere is not None]
    return sum(map(len, moments)) - len(np.unique(np.concatenate(moments))) if moments else 0


def _refuse_large(file_name: str, rows: int, numbers: int, cells: int, probes: int) -> None:
    if max(cells, probes) > MOST_NUMBERED_COLUMNS:
        rule = f"a table numbers at most {MOST_NUMBERED_COLUMNS} cells and probes; name one pack by its code"
        raise UnreadableFile(file_name, rule, f"{cells} cells, {probes} probes")
    values = rows * (numbers + cells + probes + 1)
    if values > LARGEST_VALUE_COUNT:
        raise UnreadableFile(file_name, f"at most {LARGEST_VALUE_COUNT} values are read", str(values))
