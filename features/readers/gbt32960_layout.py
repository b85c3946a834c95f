"""Where everything stands in the data unit of one report frame.

The blocks of a frame are walked once; the result fits every frame whose counts, list numbers and block
types are the same, so thousands of frames are then read as columns. A frame whose blocks do not end
where it ends has no layout: it is malformed and nothing of it is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from features.readers.gbt32960_tables import (
    FIRST_MAKER_BLOCK,
    LARGEST_LIST_COUNT_2016,
    LAST_MAKER_BLOCK,
    MAKER_BLOCK,
    Edition,
    Parts,
)

TIME_BYTES = 6
_ABNORMAL = {1: 0xFE, 2: 0xFFFE}


@dataclass(frozen=True, slots=True)
class CellList:
    """Cell voltages of one subsystem in one frame.

    Attributes
    ----------
    subsystem : int
        Number of the subsystem (2025: of the pack).
    begins_at : int
        First byte of the list's header in the data unit.
    values_at : int
        First byte of the values, two each.
    start, count : int
        Number of the first cell, as sent, and how many cells follow.
    total : int or None
        Cells of the subsystem; None where the vehicle does not say.
    """

    subsystem: int
    begins_at: int
    values_at: int
    start: int
    count: int
    total: int | None

    @property
    def has_place(self) -> bool:
        """Whether start, count and total fit each other."""
        return self.total is None or self.start + self.count - (self.start > 0) <= self.total


@dataclass(frozen=True, slots=True)
class ProbeList:
    """Temperatures of one subsystem in one frame: place of the values, one byte each."""

    subsystem: int
    values_at: int
    count: int


@dataclass(frozen=True)
class Layout:
    """Where the blocks of a frame stand.

    Attributes
    ----------
    edition : Edition
        Edition of the frame.
    blocks : dict of int to int
        First byte after the type byte, for blocks with numbers at fixed places.
    cells : tuple of CellList
    probes : tuple of ProbeList
    unread_block : int or None
        Type of a block of unknown length; nothing after it was read.
    signed : bool
        Whether a signature ends the frame.
    positions, values : ndarray, shape (m,)
        The bytes a frame must have in common with the one that was walked.
    """

    edition: Edition
    blocks: dict[int, int]
    cells: tuple[CellList, ...]
    probes: tuple[ProbeList, ...]
    unread_block: int | None
    signed: bool
    positions: npt.NDArray[np.intp]
    values: npt.NDArray[np.uint8]

    def fits(self, bodies: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Which of some data units of the same length have this layout."""
        same: npt.NDArray[np.bool_] = (bodies[:, self.positions] == self.values).all(axis=1)
        return same


def layout_of(body: bytes, edition: Edition) -> Layout | None:
    """Layout of one report; None when it is malformed.

    Parameters
    ----------
    body : bytes
        Data unit, beginning with the six bytes of time.
    edition : Edition
        Edition the frame's start bytes name.
    """
    walk = _Walk(body, edition)
    try:
        walk.all_blocks()
    except _MalformedError:
        return None
    positions = np.array(walk.positions, dtype=np.intp)
    values = np.frombuffer(body, dtype=np.uint8)[positions]
    return Layout(
        edition, walk.blocks, tuple(walk.cells), tuple(walk.probes), walk.unread_block, walk.signed, positions, values
    )


class _MalformedError(Exception):
    """A block runs past the end of its frame, or a list is longer than allowed."""


@dataclass
class _Walk:
    body: bytes
    edition: Edition
    at: int = TIME_BYTES
    positions: list[int] = field(default_factory=list)
    blocks: dict[int, int] = field(default_factory=dict)
    cells: list[CellList] = field(default_factory=list)
    probes: list[ProbeList] = field(default_factory=list)
    unread_block: int | None = None
    signed: bool = False

    def all_blocks(self) -> None:
        if len(self.body) < TIME_BYTES:
            raise _MalformedError
        while self.at < len(self.body) and self.unread_block is None and not self.signed:
            self._block(self._shared(1))

    def _block(self, block_type: int) -> None:
        edition = self.edition
        if block_type == edition.signature:
            self.signed = True
        elif block_type == edition.cells:
            self.cells.extend(self._cell_list() for _ in range(self._count(1)))
        elif block_type == edition.probes:
            self.probes.extend(self._probe_list() for _ in range(self._count(1)))
        elif block_type in edition.blocks:
            self.blocks.setdefault(block_type, self.at)
            self._skip_parts(edition.blocks[block_type].parts)
        elif FIRST_MAKER_BLOCK <= block_type <= LAST_MAKER_BLOCK:
            self._skip_parts(MAKER_BLOCK.parts)
        else:
            self.unread_block = block_type

    def _cell_list(self) -> CellList:
        begins_at = self.at
        subsystem = self._shared(1)
        self._skip(4)
        total = self._shared(2)
        known_total = total if total < _ABNORMAL[2] else None
        start, count = 1, known_total or 0
        if self.edition.splits_cell_lists:
            start, count = self._shared(2), self._count(1)
            if count > LARGEST_LIST_COUNT_2016:
                raise _MalformedError
        values_at = self.at
        self._skip(2 * count)
        return CellList(subsystem, begins_at, values_at, start, count, known_total)

    def _probe_list(self) -> ProbeList:
        subsystem, count = self._shared(1), self._count(2)
        values_at = self.at
        self._skip(count)
        return ProbeList(subsystem, values_at, count)

    def _skip_parts(self, parts: Parts) -> None:
        for part in parts:
            if isinstance(part, int):
                self._skip(part)
                continue
            for _ in range(self._count(part.count_bytes)):
                self._skip_parts(part.item)

    def _count(self, size: int) -> int:
        count = self._shared(size)
        return count if count < _ABNORMAL[size] else 0

    def _shared(self, size: int) -> int:
        begins_at = self.at
        self._skip(size)
        self.positions.extend(range(begins_at, self.at))
        return int.from_bytes(self.body[begins_at : self.at])

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self.body):
            raise _MalformedError


def battery_lists(layout: Layout) -> Iterator[CellList]:
    """Cell lists that hold cells and whose start, count and total fit each other."""
    return (each for each in layout.cells if each.count and each.has_place)
