"""The engine of one machine: worker processes that grade and record, and are replaced when one dies.

Every worker opens its own grader on the one record, which lets several processes write. The parent
hands out one slice at a time and takes the rows back. A worker that dies (killed, out of memory) loses
nothing: what it recorded is found again under the same content keys when its slice is graded once more.
Workers end when the parent does.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait

from features.errors import PackGradeError
from features.readers.by_format import OpenFiles
from serving.batch.attempts import Attempt, Stopped, after_loss, graded_or_stopped
from serving.batch.deployment import Deployment
from serving.batch.slices import GradedSlice, Slice, Terms

MOST_FALSE_STARTS = 3
"""Workers that may die in a row before they are ready."""
_START = multiprocessing.get_context("forkserver")
_START.set_forkserver_preload([__name__])  # libraries are loaded once for all workers, not by each
_PATIENCE_SECOND = 10.0


@dataclass(frozen=True)
class _Ready:
    """A worker's first word."""


class _Died(Exception):  # noqa: N818 - reads as what happened
    """The worker is gone."""


class _Worker:
    """One process, as its parent sees it."""

    def __init__(self, deployment: Deployment, terms: Terms) -> None:
        self.connection, other_end = _START.Pipe()
        self.attempt: Attempt | None = None
        self.is_ready = False
        self._process = _START.Process(target=_work, args=(other_end, deployment, terms), daemon=True)
        self._process.start()
        other_end.close()

    def hand(self, attempt: Attempt) -> None:
        """Give it a slice; that it died in the meantime is heard later."""
        self.attempt = attempt
        attempt.tries += 1
        with suppress(OSError):
            self.connection.send(attempt.asked)

    def answer(self) -> GradedSlice | None:
        """Return what it graded, None for its first word."""
        try:
            told = self.connection.recv()
        except (EOFError, OSError) as gone:
            raise _Died from gone
        if isinstance(told, Stopped):
            raise told.fault()
        self.is_ready, self.attempt = True, None
        return told if isinstance(told, GradedSlice) else None

    def end(self) -> None:
        self._process.terminate()
        self._process.join(_PATIENCE_SECOND)
        self.connection.close()


class LocalPool:
    """The engine of one machine.

    Parameters
    ----------
    deployment : Deployment
        What every worker opens.
    workers : int
        Processes.
    """

    def __init__(self, deployment: Deployment, workers: int) -> None:
        self._deployment = deployment
        self.workers = workers
        self.lost_workers = 0

    def graded(self, slices: Sequence[Slice], terms: Terms) -> Iterator[GradedSlice]:
        """Yield every slice once, as they are done; a slice that had to be cut comes as its batteries.

        Raises
        ------
        PackGradeError
            What stopped a worker: its bundle, policy or record; ``WORKER_CANNOT_START`` where workers die
            before they are ready.
        """
        waiting, crew = deque(Attempt(each) for each in slices), list[_Worker]()
        start = partial(_Worker, self._deployment, terms)
        false_starts = 0
        try:
            crew += [start() for _ in range(min(self.workers, len(slices)))]
            while waiting or any(worker.attempt for worker in crew):
                for worker in _heard(crew):
                    try:
                        graded = worker.answer()
                    except _Died:
                        false_starts = _counted(worker, false_starts)
                        if worker.attempt:
                            self.lost_workers += 1
                            yield from after_loss(worker.attempt, waiting)
                        worker.end()
                        crew[crew.index(worker)] = start()
                    else:
                        false_starts = 0
                        yield from [graded] if graded else ()
                _hand_out(crew, waiting)
        finally:
            for worker in crew:
                worker.end()


def begin_loading() -> None:
    """Have the libraries of coming workers loaded beside whatever is done meanwhile."""
    forkserver.ensure_running()


def _heard(crew: Sequence[_Worker]) -> list[_Worker]:
    """Wait until some workers answered or died; return them."""
    spoke = set(map(id, wait([worker.connection for worker in crew])))
    return [worker for worker in crew if id(worker.connection) in spoke]


def _hand_out(crew: Sequence[_Worker], waiting: deque[Attempt]) -> None:
    for worker in crew:
        if waiting and worker.is_ready and worker.attempt is None:
            worker.hand(waiting.popleft())


def _counted(died: _Worker, false_starts: int) -> int:
    if died.is_ready:
        return 0
    if false_starts + 1 >= MOST_FALSE_STARTS:
        raise PackGradeError(
            "WORKER_CANNOT_START",
            f"{MOST_FALSE_STARTS} workers in a row died before they were ready. What is in the record stays. "
            "Look for the reason in the system's log (memory?), then run the batch again with --resume.",
        )
    return false_starts + 1


def _work(connection: Connection, deployment: Deployment, terms: Terms) -> None:
    """Grade slices until the parent is gone; the life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal interrupts the parent, which ends the workers
    with suppress(EOFError, OSError):
        try:
            grader, files = deployment.opened(), OpenFiles()
            connection.send(_Ready())
            while True:
                connection.send(graded_or_stopped(grader, connection.recv(), terms, files))
        except PackGradeError as fault:
            connection.send(Stopped.by(fault))
