"""A real server in a process of its own, on a free port, with a record in a folder of the test."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

STARTS_WITHIN_SECOND = 60.0
STOPS_WITHIN_SECOND = 30.0

_PROGRAM = "from serving.service import serve; from serving.settings import settings_from_environment as s; serve(s())"


@dataclass(frozen=True)
class RunningService:
    """A server that answers.

    Attributes
    ----------
    url : str
        Where it listens.
    record_file : Path
        Its record.
    process : subprocess.Popen
        The server's process, group leader of its workers.
    log_file : Path
        What it and its workers wrote.
    """

    url: str
    record_file: Path
    process: subprocess.Popen[bytes]
    log_file: Path

    def client(self) -> httpx.Client:
        """Return a client of this server."""
        return httpx.Client(base_url=self.url, timeout=30.0)

    def stop(self) -> int:
        """Stop it as an operator would; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOPS_WITHIN_SECOND)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_service(
    record_file: Path, *, awaited: str = "/readyz", environment: Mapping[str, str] | None = None
) -> Iterator[RunningService]:
    """Serve until the block is left.

    Parameters
    ----------
    record_file : Path
        Record; its folder gets the log as well.
    awaited : str, optional
        Path that must answer 200 before the block is entered.
    environment : mapping of str to str, optional
        Further ``PACKGRADE_…`` variables.
    """
    port = free_port()
    log_file = record_file.with_suffix(".log")
    log_file.parent.mkdir(parents=True, exist_ok=True)
    variables = {
        **os.environ,
        "PACKGRADE_RECORD": str(record_file),
        "PACKGRADE_PORT": str(port),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        **(environment or {}),
    }
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], env=variables, stdout=log, stderr=log, start_new_session=True
        )
    service = RunningService(f"http://127.0.0.1:{port}", record_file, process, log_file)
    try:
        _await(service, awaited)
        yield service
    finally:
        _end(service)


def _await(service: RunningService, path: str) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_SECOND
    while time.monotonic() < deadline and service.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(service.url + path, timeout=5.0).status_code == httpx.codes.OK:
                return
        time.sleep(0.05)
    raise RuntimeError(f"The service did not answer {path}:\n{service.log_file.read_text(errors='replace')[-4000:]}")


def _end(service: RunningService) -> None:
    """Stop it; whatever of its process group is left then is ended too."""
    if service.process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.stop()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(service.process.pid, signal.SIGKILL)
    service.process.wait()
