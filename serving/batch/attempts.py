"""What becomes of a slice whose worker died, the same for every engine.

It is handed out again; after it cost two workers it is cut into single batteries; a battery that alone
costs two more is given up with an error row, so that one poisonous file cannot stop a fleet.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from features.errors import PackGradeError, Problem
from features.readers.by_format import OpenFiles
from serving.batch.result_row import error_row
from serving.batch.slices import GradedSlice, Slice, Terms, graded_slice
from serving.grading import Grader

MOST_TRIES = 2
"""Workers a slice may cost before it is cut, and a single battery before it is given up."""


@dataclass
class Attempt:
    """A slice to be graded, and how often it was handed out."""

    asked: Slice
    tries: int = 0


@dataclass(frozen=True)
class Stopped:
    """A fault that stops the batch, as plain values that cross from a worker."""

    code: str
    message: str
    problems: tuple[Problem, ...]

    @classmethod
    def by(cls, fault: PackGradeError) -> "Stopped":
        """Return a fault in the form that travels."""
        return cls(fault.code, fault.message, fault.problems)

    def fault(self) -> PackGradeError:
        """Return the fault again."""
        return PackGradeError(self.code, self.message, self.problems)


def graded_or_stopped(grader: Grader, asked: Slice, terms: Terms, files: OpenFiles) -> GradedSlice | Stopped:
    """Grade a slice in a worker; a fault of record, bundle or policy is an answer too."""
    try:
        return graded_slice(grader, asked, terms, files)
    except PackGradeError as fault:
        return Stopped.by(fault)


def after_loss(attempt: Attempt, waiting: deque[Attempt]) -> Iterator[GradedSlice]:
    """Put the slice of a dead worker back in front, whole or cut; yield the row of a battery that is given up."""
    if attempt.tries < MOST_TRIES:
        waiting.appendleft(attempt)
    elif len(attempt.asked.orders) > 1:
        waiting.extendleft(Attempt(each) for each in reversed(attempt.asked.singles()))
    else:
        yield GradedSlice(attempt.asked, (error_row(attempt.asked.orders[0].battery_id, _worker_lost()),))


def _worker_lost() -> PackGradeError:
    return PackGradeError(
        "WORKER_LOST",
        f"{MOST_TRIES} workers in a row died over this battery alone. It was not decided. "
        "Look for the reason in the system's log (memory?) and in its files.",
    )
