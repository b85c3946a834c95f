"""A service of one's own on this machine: started as a process, asked over HTTP, stopped again.

For the demo. The process is the command an operator would run, ``packgrade serve``, with the shipped
bundle and policy; what it writes goes to a log file. The standard library is HTTP client enough.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from features.errors import PackGradeError
from models.policy_file import SHIPPED_POLICY
from serving.settings import SHIPPED_BUNDLE

HOST = "127.0.0.1"
STOPS_WITHIN_SECOND = 20.0
ANSWERS_WITHIN_SECOND = 30.0
_POLL_SECOND = 0.1
_SHOWN_LOG_LINES = 20
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy of the environment must not come between two processes of one machine."""


@dataclass(frozen=True)
class LocalService:
    """A service that answers.

    Attributes
    ----------
    url : str
        Where it listens.
    record_file : Path
        Its record.
    log_file : Path
        What it writes.
    process : subprocess.Popen
        The process, leader of its group.
    """

    url: str
    record_file: Path
    log_file: Path
    process: "subprocess.Popen[bytes]"

    def grade(self, body: bytes, idempotency_key: str) -> dict[str, Any]:
        """Reply of ``POST /v1/grade``.

        Raises
        ------
        PackGradeError
            ``REQUEST_REFUSED`` with the service's own words, ``SERVICE_SILENT`` if there is no answer.
        """
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        return self._asked(urllib.request.Request(f"{self.url}/v1/grade", body, headers))

    def grade_file(self, request: bytes, file: Path, idempotency_key: str) -> dict[str, Any]:
        """Reply of ``POST /v1/grade/files`` to one file, which the request calls ``log``; raises as `grade` does."""
        mark = uuid.uuid4().hex
        parts = (('name="request"', request), (f'name="log"; filename="{file.name}"', file.read_bytes()))
        form = [f"--{mark}\r\nContent-Disposition: form-data; {named}\r\n\r\n".encode() + part for named, part in parts]
        body = b"\r\n".join([*form, f"--{mark}--\r\n".encode()])
        headers = {"Content-Type": f"multipart/form-data; boundary={mark}", "Idempotency-Key": idempotency_key}
        return self._asked(urllib.request.Request(f"{self.url}/v1/grade/files", body, headers))

    def decision(self, decision_id: str) -> dict[str, Any]:
        """Reply of ``GET /v1/decisions/{id}``; raises as `grade` does."""
        return self._asked(urllib.request.Request(f"{self.url}/v1/decisions/{decision_id}"))

    def is_ready(self) -> bool:
        """Whether ``/readyz`` answers 200."""
        try:
            with _NO_PROXY.open(f"{self.url}/readyz", timeout=ANSWERS_WITHIN_SECOND) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except OSError:
            return False

    def log_tail(self) -> str:
        """Last lines of the log."""
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_SHOWN_LOG_LINES:])

    def _asked(self, request: urllib.request.Request) -> dict[str, Any]:
        try:
            with _NO_PROXY.open(request, timeout=ANSWERS_WITHIN_SECOND) as answer:
                reply: dict[str, Any] = json.load(answer)
                return reply
        except urllib.error.HTTPError as refused:
            said = refused.read().decode("utf-8", "replace")
            raise PackGradeError(
                "REQUEST_REFUSED", f"{request.selector} was refused with {refused.code}: {said}"
            ) from None
        except OSError as silent:
            message = f"{request.selector} was not answered ({silent}). The end of the log:\n{self.log_tail()}"
            raise PackGradeError("SERVICE_SILENT", message) from silent


@contextlib.contextmanager
def local_service(folder: Path, starts_within_second: float = 60.0) -> Iterator[LocalService]:
    """Serve until the block is left; record and log lie in `folder`.

    Parameters
    ----------
    folder : Path
        An empty folder.
    starts_within_second : float, optional
        How long to wait until it can grade. [s]

    Raises
    ------
    PackGradeError
        ``SERVICE_NOT_READY`` with the end of its log, if it does not come up.
    """
    port = _free_port()
    record_file, log_file = folder / "record.sqlite", folder / "service.log"
    options = {"--host": HOST, "--port": port, "--workers": 1, "--record": record_file}
    artifacts = {"--bundle": SHIPPED_BUNDLE, "--policy": SHIPPED_POLICY}
    named = [str(word) for option in (options | artifacts).items() for word in option]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.cli", "serve", *named],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    service = LocalService(f"http://{HOST}:{port}", record_file, log_file, process)
    try:
        _await_ready(service, starts_within_second)
        yield service
    finally:
        _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _await_ready(service: LocalService, within_second: float) -> None:
    deadline = time.monotonic() + within_second
    while time.monotonic() < deadline and service.process.poll() is None:
        if service.is_ready():
            return
        time.sleep(_POLL_SECOND)
    ended = service.process.poll()
    what = f"ended with exit code {ended}" if ended is not None else f"was not ready after {within_second:g} s"
    message = f"The service {what}. Nothing was graded. The end of its log:\n{service.log_tail()}"
    raise PackGradeError("SERVICE_NOT_READY", message)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Let it finish what it has taken in; end what is left of its group then."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOPS_WITHIN_SECOND)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
