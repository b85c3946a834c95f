"""Many waiting writes, one commit: the writer thread of a process.

A durable commit costs milliseconds however much is in it, so everything that waits when the store's
turn comes goes into one transaction. A caller's future is answered only after that commit returned.
Nothing here knows what is written; a write is a function of the store's `Writer`.
"""

import os
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Generic, TypeVar

from features.errors import PackGradeError
from serving.record.store import Asked, Head, RecordUnavailable, Store, Writer

LARGEST_GROUP = 512
"""Writes after which no further waiting ones join a commit, so that other processes get their turn."""

T = TypeVar("T")
Seal = Callable[[Writer, list[Any]], list[Any]]


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    write: Callable[[Writer], T]
    asked: Asked | None = None
    answer: Future[T] = field(default_factory=Future)


class GroupCommit:
    """Runs writes in the order they come, as many per transaction as are waiting.

    A write that raises a `PackGradeError` has appended nothing and fails alone. Any other fault,
    and every `RecordUnavailable`, fails all writes of the transaction and those waiting behind it.

    Parameters
    ----------
    store : Store
        Prepared place of the leaves.
    seal : callable
        Given the writer and the outcomes of a transaction after the last write and before the commit;
        returns the outcomes as they are answered.
    """

    def __init__(self, store: Store, seal: Seal) -> None:
        self._store = store
        self._seal = seal
        self._queue: queue.SimpleQueue[list[_Waiting[Any]] | None] = queue.SimpleQueue()
        self._process_id = os.getpid()
        self._last_commit: Head | None = None
        self._thread = threading.Thread(target=self._run, name="record-writer", daemon=True)
        self._closed = False
        self._thread.start()

    def hand_over(self, writes: Sequence[Callable[[Writer], T]], asked: Sequence[Asked | None] = ()) -> list[Future[T]]:
        """Queue writes that belong into one transaction; one future each, answered after the commit.

        Parameters
        ----------
        writes : sequence of callable
            Each is given the writer.
        asked : sequence of Asked or None
            What each will look up, as far as it is known.

        Raises
        ------
        RecordUnavailable
            If the ledger was closed, or opened before this process was forked.
        """
        if self._closed or os.getpid() != self._process_id:
            raise RecordUnavailable("The ledger is closed, or was opened by another process.", what_to_do="Open it.")
        group = [_Waiting(write, each) for write, each in zip_longest(writes, asked)]
        self._queue.put(group)
        return [waiting.answer for waiting in group]

    def close(self, patience_second: float) -> None:
        """Write what is waiting, then stop the thread and let go of the store."""
        self._closed = True
        self._queue.put(None)
        self._thread.join(patience_second)

    def _run(self) -> None:
        while (group := self._queue.get()) is not None:
            try:
                outcomes = self._committed(group)
            except Exception as error:
                _fail(group + self._also_waiting(0), error)
            else:
                _answer(outcomes)
        self._store.close()

    def _committed(self, group: list[_Waiting[Any]]) -> list[tuple[Future[Any], Any]]:
        """Run the group and all who join it before it is signed; return only after the commit."""
        answers, outcomes = list[Future[Any]](), list[Any]()
        with self._store.writing() as writer:
            self._require_last_commit(writer)
            group.extend(self._also_waiting(len(group)))
            joined = list(group)
            while joined:
                running = [waiting for waiting in joined if waiting.answer.set_running_or_notify_cancel()]
                writer.announce([waiting.asked for waiting in running if waiting.asked is not None])
                outcomes += [_outcome(waiting.write, writer) for waiting in running]
                answers += [waiting.answer for waiting in running]
                joined = self._also_waiting(len(group))
                group.extend(joined)
            outcomes = self._seal(writer, outcomes)
            head = writer.head()
        self._last_commit = head
        return list(zip(answers, outcomes, strict=True))

    def _also_waiting(self, joined_already: int) -> list[_Waiting[Any]]:
        joined: list[_Waiting[Any]] = []
        while joined_already + len(joined) < LARGEST_GROUP:
            try:
                group = self._queue.get_nowait()
            except queue.Empty:
                break
            if group is None:
                self._queue.put(None)
                break
            joined.extend(group)
        return joined

    def _require_last_commit(self, writer: Writer) -> None:
        last = self._last_commit
        if last is not None and writer.digest_at(last.sequence) != last.leaf_sha256:
            raise RecordUnavailable(
                f"The record no longer holds entry {last.sequence} ({last.leaf_sha256[:12]}…), which was committed: "
                "it was rolled back or exchanged.",
                what_to_do="Stop the service, keep both files and verify them.",
            )


def awaited(answer: Future[T], patience_second: float) -> T:
    """Wait for an answer.

    Raises
    ------
    RecordUnavailable
        If it does not come in time; the message says whether the write may still happen.
    PackGradeError
        What the write raised.
    """
    try:
        return answer.result(patience_second)
    except TimeoutError:
        if answer.cancel():
            raise RecordUnavailable(f"The record's turn did not come within {patience_second:g} s.") from None
        if answer.done():
            return answer.result()
        raise RecordUnavailable(
            f"The commit did not return within {patience_second:g} s.", "Whether it took place is not known."
        ) from None


def _outcome(write: Callable[[Writer], T], writer: Writer) -> T | PackGradeError:
    try:
        return write(writer)
    except RecordUnavailable:
        raise
    except PackGradeError as error:
        return error


def _answer(outcomes: list[tuple[Future[Any], Any]]) -> None:
    for answer, outcome in outcomes:
        if isinstance(outcome, PackGradeError):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)


def _fail(group: list[_Waiting[Any]], error: Exception) -> None:
    for answer in (waiting.answer for waiting in group):
        if answer.running() or (not answer.cancelled() and answer.set_running_or_notify_cancel()):
            answer.set_exception(error)
