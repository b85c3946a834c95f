"""The reference receiver in a process of its own, and what it has received."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.running_service import free_port

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class RunningPlatform:
    """A platform that answers.

    Attributes
    ----------
    address : str
        Where it listens.
    file : Path
        What it stored.
    """

    address: str
    file: Path

    @property
    def url(self) -> str:
        """Where documents are posted."""
        return f"{self.address}/epcis/capture"

    def trouble(self, **ways: Any) -> None:
        """Fail so from now on."""
        httpx.put(f"{self.address}/trouble", json=ways, timeout=10.0).raise_for_status()

    def received(self) -> list[dict[str, Any]]:
        """Events in the order of their arrival, each once."""
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT body FROM event ORDER BY arrival").fetchall()
        return [json.loads(body) for (body,) in rows]

    def copies(self) -> int:
        """How often an event came, all events together."""
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT coalesce(sum(copies), 0) FROM event").fetchone()[0])


@contextlib.contextmanager
def running_platform(folder: Path, seed: int = 0, *more: str) -> Iterator[RunningPlatform]:
    """Receive until the block is left."""
    port, file = free_port(), folder / "platform.sqlite"
    command = [
        sys.executable,
        "-m",
        "tests.support.platform_receiver",
        str(file),
        str(port),
        "--seed",
        str(seed),
        *more,
    ]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    platform = RunningPlatform(f"http://127.0.0.1:{port}", file)
    try:
        _await(platform, process)
        yield platform
    finally:
        process.kill()
        process.wait()


def _await(platform: RunningPlatform, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            platform.trouble()
            return
        time.sleep(0.02)
    raise RuntimeError("the receiver did not start")
