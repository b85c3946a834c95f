"""Frames of a file, whether it is binary or text in hexadecimal.

Text has one frame per line; what stands before the frame (a time, a direction) is no matter, nor are
spaces. A line without a frame is counted. Nothing is unpacked here and no line or file is read that is
larger than a log can be.
"""

import binascii
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from features.errors import UnreadableFile
from features.readers.gbt32960_frames import HEADER_BYTES, Frame, FrameCounts, FrameScanner, header_is_possible
from features.readers.vehicle_export import LARGEST_BYTE_COUNT

LONGEST_LINE_BYTES = 4 << 20
_BLOCK_BYTES = 4 << 20
_LOOKED_AT_BYTES = 4096
_TEXT_CONTROLS = frozenset(b"\t\n\r\f")
_OTHER_THAN_HEX = bytes(0 if byte in b"0123456789abcdefABCDEF \t" else 1 for byte in range(256))
"""Translation that leaves 1 where a byte is no digit: the last such byte ends what stands before a frame."""
_AROUND_A_LINE = b" \t\r\n\"',;]"
_START = re.compile(rb"(?=2323|2424)")
_MOST_STARTS_TRIED = 64


def frames_of(path: Path, counts: FrameCounts) -> Iterator[Frame]:
    """Every whole frame of a file, in order.

    Parameters
    ----------
    path : Path
        Binary frames one after another, or text.
    counts : FrameCounts
        Where everything left out is counted.

    Raises
    ------
    UnreadableFile
        If the file is missing, empty, compressed or too large, or holds an endless line.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTE_COUNT:
            raise UnreadableFile(path.name, f"at most {LARGEST_BYTE_COUNT} bytes are read", str(size))
        with path.open("rb") as stream:
            begin = stream.read(_LOOKED_AT_BYTES)
            stream.seek(0)
            if not begin:
                raise UnreadableFile(path.name, "the file is empty")
            if begin.startswith((b"\x1f\x8b", b"PK\x03\x04")):
                raise UnreadableFile(path.name, "the file is compressed; unpack it first")
            yield from _text_frames(path, stream, counts) if _is_text(begin) else _binary_frames(path, stream, counts)
    except OSError as error:
        raise UnreadableFile(path.name, "the file cannot be opened", error.strerror or "") from error


def _is_text(begin: bytes) -> bool:
    """Frames hold control bytes (their command is one), text does not."""
    return all(byte >= 32 or byte in _TEXT_CONTROLS for byte in set(begin))


def _binary_frames(path: Path, stream: BinaryIO, counts: FrameCounts) -> Iterator[Frame]:
    scanner = FrameScanner(path.name, counts)
    while block := stream.read(_BLOCK_BYTES):
        yield from scanner.frames(block, last=False)
    yield from scanner.frames(b"", last=True)


def _text_frames(path: Path, stream: BinaryIO, counts: FrameCounts) -> Iterator[Frame]:
    scanner = FrameScanner(path.name, counts)
    while line := stream.readline(LONGEST_LINE_BYTES + 1):
        if len(line) > LONGEST_LINE_BYTES:
            raise UnreadableFile(path.name, f"a line is longer than {LONGEST_LINE_BYTES} bytes; one frame per line")
        written = frame_bytes(line)
        if written is None:
            counts.lines_without_frame += bool(line.strip())
            continue
        yield from scanner.frames(written, last=True)


def frame_bytes(line: bytes) -> bytes | None:
    r"""Bytes of the frame a line ends with; None where it holds none.

    Examples
    --------
    >>> frame_bytes(b"08:00:23 23 23 02 FE" + b" 30" * 17 + b" 01 00 01 FF 00")
    b'##\x02\xfe00000000000000000\x01\x00\x01\xff\x00'
    """
    line = line.strip(_AROUND_A_LINE)
    digits = line[line.translate(_OTHER_THAN_HEX).rfind(1) + 1 :].translate(None, b" \t")
    for found in islice(_START.finditer(digits), _MOST_STARTS_TRIED):
        start = found.start()
        header = digits[start : start + 2 * HEADER_BYTES]
        if len(header) == 2 * HEADER_BYTES and header_is_possible(binascii.unhexlify(header)):
            return binascii.unhexlify(digits[start : len(digits) - (len(digits) - start) % 2])
    return None
