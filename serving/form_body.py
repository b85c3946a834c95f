"""A multipart body on its way in: its headers, its size, its end. Plain ASGI, nothing of batteries.

``multipart/form-data`` (RFC 7578), uncompressed, of at most `LARGEST_UPLOAD` bytes, declared and
counted; what `form_parts` makes of it lies on disk, and never more than about a megabyte in memory.
"""

from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from pathlib import Path

from anyio import move_on_after, to_thread
from python_multipart.multipart import parse_options_header

from features.errors import InvalidInput, Problem
from serving.form_parts import FormWriter, ReceivedForm, invalid_form, too_large
from serving.wire import Refusal
from serving.wire_body import Message, Receive, Scope, chunks, drained

LARGEST_UPLOAD = 128 * 1024 * 1024
"""Largest multipart body, in bytes."""

UPLOAD_PATIENCE_SECOND = 240.0
"""How long an upload may take to arrive. [s]"""

_BLOCK_BYTES = 1024 * 1024


async def received_form(scope: Scope, receive: Receive, folder: Path) -> ReceivedForm:
    """Return the form of a request once it is complete.

    Parameters
    ----------
    scope, receive
        The request, as ASGI gives it.
    folder : Path
        An empty folder; the caller removes it, whatever happens.

    Raises
    ------
    Refusal
        415 for anything but plain ``multipart/form-data``, 413 for more than `LARGEST_UPLOAD` bytes, 408
        for a body that does not come, 507 where the disk is full.
    InvalidInput
        ``INVALID_FORM`` for a form that is cut off, malformed or breaks a rule above.
    ClientGone
        If the client leaves.
    """
    headers = {name.lower(): value for name, value in scope["headers"]}
    refused = _unsupported(headers) or _declared_too_large(headers)
    coming = _Coming(receive)
    with move_on_after(UPLOAD_PATIENCE_SECOND):
        try:
            if refused is not None:
                raise refused
            return await _written(coming, FormWriter(_boundary(headers), folder))
        except (InvalidInput, Refusal):
            if not coming.has_ended:
                await drained(coming)
            raise
    message = f"The upload was not complete after {UPLOAD_PATIENCE_SECOND:g} s. Nothing was graded. Send it again."
    raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "BODY_TOO_SLOW", message)


class _Coming:
    """A receive that knows whether the body has ended: waiting for more of it would be in vain."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.has_ended = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.has_ended = not message.get("more_body", False)
        return message


async def _written(coming: _Coming, writer: FormWriter) -> ReceivedForm:
    try:
        async for block in _blocks(coming):
            await to_thread.run_sync(partial(writer.feed, block))
        return writer.form()
    finally:
        writer.close()


async def _blocks(receive: Receive) -> AsyncIterator[bytes]:
    """The body in pieces of about a megabyte, refused as soon as it is too large."""
    waiting, size = bytearray(), 0
    async for chunk in chunks(receive):
        size += len(chunk)
        if size > LARGEST_UPLOAD:
            raise too_large(f"more than {LARGEST_UPLOAD}", "body", LARGEST_UPLOAD)
        waiting += chunk
        if len(waiting) >= _BLOCK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _boundary(headers: dict[bytes, bytes]) -> bytes:
    _, named = parse_options_header(headers[b"content-type"])
    if not named.get(b"boundary"):
        raise invalid_form("content-type", "must name the boundary of the form")
    return named[b"boundary"]


def _unsupported(headers: dict[bytes, bytes]) -> Refusal | None:
    written = headers.get(b"content-type", b"").decode("latin-1")
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    problems = []
    if written.partition(";")[0].strip().lower() != "multipart/form-data":
        problems.append(Problem("content-type", "must be multipart/form-data", written))
    if encoding != "identity":
        problems.append(Problem("content-encoding", "must be absent: send the body uncompressed", encoding))
    if not problems:
        return None
    message = "The body must be a multipart form. Nothing was graded."
    return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message, problems)


def _declared_too_large(headers: dict[bytes, bytes]) -> Refusal | None:
    declared = headers.get(b"content-length", b"").decode("latin-1")
    is_too_large = declared.isdigit() and int(declared) > LARGEST_UPLOAD
    return too_large(declared, "body", LARGEST_UPLOAD) if is_too_large else None
