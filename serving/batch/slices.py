"""A batch cut into slices, and what an engine is: something that has slices graded, wherever that is.

A slice is small enough that a lost one costs little and that its measurements fit into memory
together, and large enough that its one commit is shared by many. No engine is named here: a loop, a
pool of processes or a cluster moves the slices and hands back their rows in any order.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Protocol

from features.readers.by_format import OpenFiles
from serving.batch.manifest import BatteryOrder, RunOrder
from serving.batch.result_row import ResultRow
from serving.batch.work import grade_slice
from serving.grading import Grader

LARGEST_SLICE = 256
"""Batteries; they share a commit, and one commit takes at most 512 entries."""
UNKNOWN_BYTES = 2**20
"""What a file behind an address counts, whose size is not asked. [B]"""
LARGEST_SLICE_BYTES = 8 * 2**20
"""Size of a slice's share of its files; one battery larger than this is a slice of its own. [B]"""
_SLICES_PER_WORKER = 4


@dataclass(frozen=True, slots=True)
class Terms:
    """What every battery of a batch is graded under.

    Attributes
    ----------
    station : str
        Station the decisions belong to.
    moment : datetime
        Grading moment. Aware.
    operator : str or None
        Pseudonym of who grades.
    """

    station: str
    moment: datetime
    operator: str | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """Neighbouring batteries of a batch, with their places in it.

    Attributes
    ----------
    places : tuple of int
        Place of each order in the batch, from 0.
    orders : tuple of BatteryOrder
        The batteries.
    """

    places: tuple[int, ...]
    orders: tuple[BatteryOrder, ...]

    def singles(self) -> "list[Slice]":
        """Every battery as a slice of its own."""
        return [Slice((place,), (order,)) for place, order in zip(self.places, self.orders, strict=True)]


@dataclass(frozen=True, slots=True)
class GradedSlice:
    """A slice with its rows, in order; every decision in them is recorded."""

    graded: Slice
    rows: tuple[ResultRow, ...]


class Engine(Protocol):
    """Has slices graded.

    Attributes
    ----------
    workers : int
        Slices it works on at a time.
    lost_workers : int
        Workers that ended before their slice was done; each such slice was graded again.
    """

    workers: int
    lost_workers: int

    def graded(self, slices: Sequence[Slice], terms: Terms) -> Iterator[GradedSlice]:
        """Yield every slice once, in any order.

        Raises
        ------
        PackGradeError
            If bundle, policy or record cannot be used: the batch stops.
        """


class InProcess:
    """The engine of one process: a loop.

    Parameters
    ----------
    grader : Grader
        Grader over bundle, policy and record.
    """

    def __init__(self, grader: Grader) -> None:
        self._grader = grader
        self.workers = 1
        self.lost_workers = 0

    def graded(self, slices: Sequence[Slice], terms: Terms) -> Iterator[GradedSlice]:
        """Yield every slice in order; files stay open over slices."""
        files = OpenFiles()
        for each in slices:
            yield graded_slice(self._grader, each, terms, files)


def graded_slice(grader: Grader, asked: Slice, terms: Terms, files: OpenFiles) -> GradedSlice:
    """One slice, graded and recorded.

    Raises
    ------
    PackGradeError
        If the record cannot be written: then nothing of this slice was decided.
    """
    rows = grade_slice(grader, asked.orders, terms.station, terms.moment, files, operator=terms.operator)
    return GradedSlice(asked, tuple(rows))


def slices_of(asked: Sequence[tuple[int, BatteryOrder]], workers: int) -> list[Slice]:
    """Cut a batch into slices: neighbours together, every worker several, heavy batteries few at a time.

    Parameters
    ----------
    asked : sequence of (int, BatteryOrder)
        Batteries with their places in the batch.
    workers : int
        Workers that share the slices.
    """
    most = min(LARGEST_SLICE, -(-len(asked) // (workers * _SLICES_PER_WORKER))) if workers > 1 else LARGEST_SLICE
    weights = _weights([order for _, order in asked])
    slices, gathered, weight = list[Slice](), list[tuple[int, BatteryOrder]](), 0.0
    for each, share in zip(asked, weights, strict=True):
        if gathered and (len(gathered) >= most or weight + share > LARGEST_SLICE_BYTES):
            slices.append(_slice(gathered))
            gathered, weight = [], 0.0
        gathered.append(each)
        weight += share
    return [*slices, _slice(gathered)] if gathered else slices


def _slice(gathered: Sequence[tuple[int, BatteryOrder]]) -> Slice:
    return Slice(tuple(place for place, _ in gathered), tuple(order for _, order in gathered))


def _weights(orders: Sequence[BatteryOrder]) -> list[float]:
    """Bytes of its files a battery stands for; a file of many batteries is shared equally."""
    sharing = Counter(_place(run) for order in orders for run in order.runs)
    size = cache(_size)
    return [sum(size(_place(run)) / sharing[_place(run)] for run in order.runs) for order in orders]


def _place(run: RunOrder) -> Path | str:
    return run.url or run.path


def _size(place: Path | str) -> int:
    try:
        return UNKNOWN_BYTES if isinstance(place, str) else place.stat().st_size
    except OSError:
        return 0
