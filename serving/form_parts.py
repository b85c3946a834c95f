"""The parts of a multipart form, written as their bytes come: one kept, every other a file on disk.

The part ``request`` is kept as bytes; every other part becomes a file of a folder that the caller made
and removes. A client's file name never becomes a path: a name that holds a separator, begins with a
point or is not printable is refused, and the file lies in a folder of its own, named by a number.
"""

import hashlib
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from features.errors import InvalidInput, Problem
from features.vehicle_number import without_vehicle_numbers
from serving.wire import Refusal, shortened

LARGEST_REQUEST_PART = 1024 * 1024
"""Largest JSON part, in bytes."""

MOST_FILES = 16
REQUEST_PART = "request"
_LONGEST_NAME, _LONGEST_NAME_BYTES, _LONGEST_HEADER = 100, 200, 2048
_PART_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A part that lies on disk.

    Attributes
    ----------
    path : Path
        Where; its last component is the client's file name, vehicle numbers masked.
    sha256 : str
        Digest of its bytes, taken while they came.
    """

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class ReceivedForm:
    """A whole form: the bytes of its part ``request`` and its files by part name."""

    request: bytes
    files: dict[str, ReceivedFile]


@dataclass
class _OpenPart:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    path: Path | None = None
    stream: IO[bytes] | None = None
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)


class FormWriter:
    """Writes the parts of a form as its bytes come.

    Parameters
    ----------
    boundary : bytes
        What separates the parts.
    folder : Path
        An empty folder.

    Raises
    ------
    InvalidInput
        If the boundary is too long.
    """

    def __init__(self, boundary: bytes, folder: Path) -> None:
        self._folder = folder
        self._request: bytearray | None = None
        self._files: dict[str, ReceivedFile] = {}
        self._part = _OpenPart()
        self._field, self._value = b"", b""
        self._is_complete = False
        steps = {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._complete,
        }
        try:
            self._parser = MultipartParser(
                boundary,
                steps,  # type: ignore[arg-type]  # the names are those of its typed dictionary
                max_header_size=_LONGEST_HEADER,
            )
        except FormParserError as error:
            raise invalid_form("content-type", str(error)) from error

    def feed(self, block: bytes) -> None:
        """Take the next bytes; every rule of the form is checked as they come.

        Raises
        ------
        InvalidInput
            If the form is malformed, or a part's name or file name breaks a rule.
        Refusal
            413 for a part ``request`` that is too large, 507 where the disk is full.
        """
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise invalid_form("body", "must be a multipart form as RFC 7578 has it", str(error)) from error
        except OSError as error:
            message = "There is no room for the upload. Nothing was graded. Send it again later."
            raise Refusal(HTTPStatus.INSUFFICIENT_STORAGE, "NO_ROOM", message) from error

    def form(self) -> ReceivedForm:
        """Return the form after its last byte.

        Raises
        ------
        InvalidInput
            If the form was cut off or has no part ``request``.
        """
        if not self._is_complete:
            raise invalid_form("body", "must end with its closing boundary; the upload was cut off")
        if self._request is None:
            raise invalid_form(REQUEST_PART, "is required: the JSON that describes battery and runs")
        return ReceivedForm(bytes(self._request), self._files)

    def close(self) -> None:
        """Close a file that was being written."""
        if self._part.stream is not None:
            self._part.stream.close()

    def _begin(self) -> None:
        self._part = _OpenPart()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._part.headers[self._field.lower()] = self._value
        self._field, self._value = b"", b""

    def _headers_finished(self) -> None:
        kind, named = parse_options_header(self._part.headers.get(b"content-disposition"))
        name = named.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not _PART_NAME.fullmatch(name):
            raise invalid_form("part", f"must have a name of the form {_PART_NAME.pattern}", shortened(name))
        if name in self._files or (name == REQUEST_PART and self._request is not None):
            raise invalid_form(name, "must appear once")
        if b"content-transfer-encoding" in self._part.headers:
            raise invalid_form(name, "must not have a transfer encoding of its own")
        self._part.name = name
        if name == REQUEST_PART:
            self._request = bytearray()
        else:
            self._open_file(name, named.get(b"filename"))

    def _open_file(self, name: str, raw_name: bytes | None) -> None:
        if len(self._files) >= MOST_FILES:
            raise invalid_form(name, f"a form holds at most {MOST_FILES} files")
        inside = self._folder / str(len(self._files))
        inside.mkdir()
        self._part.path = inside / without_vehicle_numbers(_file_name(name, raw_name))
        self._part.stream = self._part.path.open("xb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        if self._part.stream is not None:
            self._part.stream.write(piece)
            self._part.digest.update(piece)
        elif self._request is not None:
            self._request += piece
            if len(self._request) > LARGEST_REQUEST_PART:
                raise too_large(f"more than {LARGEST_REQUEST_PART}", REQUEST_PART, LARGEST_REQUEST_PART)

    def _end(self) -> None:
        part = self._part
        if part.stream is not None and part.path is not None:
            part.stream.close()
            self._files[part.name] = ReceivedFile(part.path, part.digest.hexdigest())

    def _complete(self) -> None:
        self._is_complete = True


def _file_name(part: str, raw_name: bytes | None) -> str:
    """Return the client's file name if it is a plain name.

    Raises
    ------
    InvalidInput
        If it is missing, is or holds a path, is hidden, too long or not printable UTF-8.
    """
    name = "" if raw_name is None else raw_name.decode("utf-8", "replace")
    fits = 0 < len(name) <= _LONGEST_NAME and len(name.encode("utf-8", "replace")) <= _LONGEST_NAME_BYTES
    plain = name.isprintable() and not set(name) & set('/\\:"\ufffd') and not name.startswith((".", " "))
    if fits and plain:
        return name
    rule = f"needs a plain file name: 1 to {_LONGEST_NAME} printable characters, no path, no point in front"
    raise invalid_form(f"{part} filename", rule, shortened(repr(name)))


def too_large(size: str, where: str, largest: int) -> Refusal:
    """Return the refusal of a body or part above its cap."""
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "BODY_TOO_LARGE",
        f"The {where} is larger than {largest} bytes. Nothing was graded. Split the file, or use packgrade batch.",
        [Problem(where, f"must be at most {largest} bytes", f"{size} bytes")],
    )


def invalid_form(where: str, rule: str, value: str = "") -> InvalidInput:
    """Return the refusal of a form that breaks a rule."""
    message = "The body is not a form this route takes. Nothing was graded."
    return InvalidInput(message, [Problem(where, rule, value)], code="INVALID_FORM")
