"""Whole GB/T 32960.3 frames out of a stream of bytes, whatever lies between them.

A frame is accepted when its header is possible and the XOR of everything after the two start bytes,
check byte included, is zero. Where that fails, the search goes on two bytes later, so a damaged or cut
frame never hides the next one. Every byte and frame that is not handed on is counted. The vehicle's
identification number serves to keep vehicles apart while reading and is handed to nobody.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from features.errors import UnreadableFile

_Bytes = npt.NDArray[np.uint8]

HEADER_BYTES = 24
_VIN_BEGINS, _ENCRYPTION, _LENGTH_BEGINS = 4, 21, 22
_HEADER = re.compile(rb"(?s)(?:##|\$\$)[\x01-\x0c\x80-\xfe][\x01-\x0f\xfe].{17}[\x01-\x06\xfe\xff]..")
_MARKERS = (b"##", b"$$")
_EXAMINED_PER_BYTE = 16
_EXAMINED_FREE = 4 << 20


def header_is_possible(header: bytes) -> bool:
    """Whether 24 bytes can begin a frame: start bytes, command, answer and encryption byte."""
    return _HEADER.match(header) is not None


def _frame_end(stream: bytes, begin: int) -> int:
    return begin + HEADER_BYTES + 1 + int.from_bytes(stream[begin + _LENGTH_BEGINS : begin + HEADER_BYTES])


@dataclass
class FrameCounts:
    """What was seen in a file, and what was left out of it and why.

    Attributes
    ----------
    commands : Counter of (str, int)
        Frames by marker and command, accepted ones only.
    checksum_failed, truncated, dropped_bytes : int
        Frames with a wrong check byte or without their end, and all bytes that belong to no accepted frame.
    encrypted, replies, malformed : int
        Accepted frames that carry nothing to read: encrypted, answers of the platform, blocks that do not
        fit their length.
    lines_without_frame : int
        Lines of a text file in which no frame was found.
    """

    commands: Counter[tuple[int, int]] = field(default_factory=Counter)
    checksum_failed: int = 0
    truncated: int = 0
    dropped_bytes: int = 0
    encrypted: int = 0
    replies: int = 0
    malformed: int = 0
    lines_without_frame: int = 0

    @property
    def frame_count(self) -> int:
        """Accepted frames."""
        return sum(self.commands.values())


@dataclass(frozen=True, slots=True)
class Frame:
    """One accepted frame without its header.

    Attributes
    ----------
    marker : bytes
        ``##`` or ``$$``.
    command, answer, encryption : int
        The three bytes that say what it is.
    vin : bytes
        Only to keep vehicles apart while reading.
    body : bytes
        The data unit.
    """

    marker: bytes
    command: int
    answer: int
    encryption: int
    vin: bytes
    body: bytes


class FrameScanner:
    """Finds frames in blocks of bytes; a frame may begin in one block and end in the next.

    Parameters
    ----------
    file_name : str
        For the error.
    counts : FrameCounts
        Where everything is counted.
    """

    def __init__(self, file_name: str, counts: FrameCounts) -> None:
        self._file_name = file_name
        self._counts = counts
        self._kept = b""
        self._given_bytes = 0
        self._examined_bytes = 0

    def frames(self, block: bytes, *, last: bool) -> Iterator[Frame]:
        """Frames that end in this block.

        Parameters
        ----------
        block : bytes
            The next bytes.
        last : bool
            Whether nothing follows: then a frame without its end is counted as truncated.

        Raises
        ------
        UnreadableFile
            If damaged frames overlap so much that the search would not end in reasonable time.
        """
        self._given_bytes += len(block)
        stream = self._kept + block if self._kept else block
        numbers = np.frombuffer(stream, dtype=np.uint8)
        position, damaged_until, size = 0, 0, len(stream)
        while True:
            header = _HEADER.search(stream, position)
            if header is None:
                position = self._drop(position, size if last else max(position, size - HEADER_BYTES + 1))
                break
            begin = self._drop(position, header.start())
            end = _frame_end(stream, begin)
            if end > size and not last:
                position = begin
                break
            if end <= size and self._sound(numbers[begin + 2 : end]) and not self._hides(stream, numbers, begin, end):
                yield self._accepted(stream, begin, end)
                position = end
                continue
            if begin >= damaged_until:
                self._counts.truncated += end > size
                self._counts.checksum_failed += end <= size
                damaged_until = min(end, size)
            position = self._drop(begin, begin + 2)
        self._kept = stream[position:]

    def _drop(self, begin: int, end: int) -> int:
        self._counts.dropped_bytes += end - begin
        return end

    def _sound(self, checked: _Bytes) -> bool:
        self._examined_bytes += len(checked)
        if self._examined_bytes > _EXAMINED_FREE + _EXAMINED_PER_BYTE * self._given_bytes:
            raise UnreadableFile(self._file_name, "holds damaged frames inside damaged frames without end")
        return not np.bitwise_xor.reduce(checked)

    def _hides(self, stream: bytes, numbers: _Bytes, begin: int, end: int) -> bool:
        """Whether a frame that broke off fits its check byte by chance (1 in 256) over the whole frame after it."""
        if end == len(stream) or stream[end : end + 2] in _MARKERS:
            return False
        inner = _HEADER.search(stream, begin + 2, end + HEADER_BYTES - 1)
        if inner is None:
            return False
        ends_at = _frame_end(stream, inner.start())
        return ends_at > end and ends_at <= len(stream) and self._sound(numbers[inner.start() + 2 : ends_at])

    def _accepted(self, stream: bytes, begin: int, end: int) -> Frame:
        marker, command = stream[begin : begin + 2], stream[begin + 2]
        self._counts.commands[marker[0], command] += 1
        return Frame(
            marker,
            command,
            stream[begin + 3],
            stream[begin + _ENCRYPTION],
            stream[begin + _VIN_BEGINS : begin + _ENCRYPTION],
            stream[begin + HEADER_BYTES : end - 1],
        )
