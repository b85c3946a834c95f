"""The engine of a Ray cluster: slices as tasks, on this machine or on many.

Ray moves slices and rows and nothing else; grader, record and rules are the same as everywhere. Every
machine needs this release, bundle and policy under the same paths, and a record it can reach, which over
several machines is a database. The driver hands out as many slices as it was given workers, so that
rows come back while others are graded, and hands the slice of a dead worker out again itself: then it is
counted, and cut as the local pool does.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from features.errors import InvalidInput, PackGradeError, Problem
from features.readers.by_format import OpenFiles
from serving.batch.attempts import Attempt, Stopped, after_loss, graded_or_stopped
from serving.batch.deployment import Deployment
from serving.batch.slices import GradedSlice, Slice, Terms
from serving.grading import Grader
from serving.record.location import is_database
from serving.settings import set_environment


class RayEngine:
    """The engine of a Ray cluster.

    Parameters
    ----------
    deployment : Deployment
        What every worker opens.
    workers : int
        Slices handed out at a time; one CPU each.
    address : str, optional
        Of a running cluster; without it Ray is started on this machine and ended with the batch.

    Raises
    ------
    InvalidInput
        If Ray is not installed, or a cluster is to write a record that is a file.
    """

    def __init__(self, deployment: Deployment, workers: int, address: str | None = None) -> None:
        if address is not None and not is_database(deployment.settings.record_file):
            problem = Problem("--record", "must be a postgresql:// URL that every machine of the cluster reaches")
            raise InvalidInput("A cluster cannot share a record in a file. Nothing was graded.", [problem])
        self._ray = _ray()
        self._deployment = deployment
        self._address = address
        self.workers = workers
        self.lost_workers = 0

    def graded(self, slices: Sequence[Slice], terms: Terms) -> Iterator[GradedSlice]:
        """Yield every slice once, as they are done; a slice that had to be cut comes as its batteries.

        Raises
        ------
        PackGradeError
            What stopped a worker: its bundle, policy or record; ``CLUSTER_UNREACHABLE`` without a cluster.
        """
        self._connect()
        try:
            yield from self._graded(deque(Attempt(each) for each in slices), terms)
        finally:
            self._ray.shutdown()

    def _connect(self) -> None:
        set_environment({"RAY_USAGE_STATS_ENABLED": "0"})
        here = {"num_cpus": self.workers, "include_dashboard": False} if self._address is None else {}
        try:
            self._ray.init(address=self._address or "local", log_to_driver=False, logging_level="ERROR", **here)
        except Exception as error:  # every kind of cluster has errors of its own
            message = f"Ray at {self._address or 'this machine'} cannot be used: {error}. Nothing was graded."
            raise PackGradeError("CLUSTER_UNREACHABLE", message[:500]) from error

    def _graded(self, waiting: deque[Attempt], terms: Terms) -> Iterator[GradedSlice]:
        task = self._ray.remote(_task).options(num_cpus=1, max_retries=0)
        running = dict[Any, Attempt]()
        while waiting or running:
            while waiting and len(running) < self.workers:
                attempt = waiting.popleft()
                attempt.tries += 1
                running[task.remote(self._deployment, attempt.asked, terms)] = attempt
            (done, *_), _ = self._ray.wait(list(running))
            yield from self._answer(done, running.pop(done), waiting)

    def _answer(self, done: Any, attempt: Attempt, waiting: deque[Attempt]) -> Iterator[GradedSlice]:
        gone = self._ray.exceptions
        try:
            told = self._ray.get(done)
        except (gone.WorkerCrashedError, gone.NodeDiedError, gone.OutOfMemoryError, gone.RayTaskError):
            self.lost_workers += 1
            yield from after_loss(attempt, waiting)
            return
        if isinstance(told, Stopped):
            raise told.fault()
        yield told


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415 - an extra, and slow to load
    except ImportError as error:
        problem = Problem("--engine", "ray needs the extra packgrade[ray]", "ray")
        raise InvalidInput("Ray is not installed. Nothing was graded.", [problem]) from error
    return ray


def _task(deployment: Deployment, asked: Slice, terms: Terms) -> GradedSlice | Stopped:
    """Grade a slice in a worker process of Ray, which keeps its grader for the next one."""
    try:
        grader, files = _opened(deployment)
    except PackGradeError as fault:
        return Stopped.by(fault)
    return graded_or_stopped(grader, asked, terms, files)


@cache
def _opened(deployment: Deployment) -> tuple[Grader, OpenFiles]:
    return deployment.opened(), OpenFiles()
