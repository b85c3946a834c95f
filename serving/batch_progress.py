"""How far a batch is: a bar on a terminal, plain lines elsewhere, nothing when quiet.

Rate and remaining time count what this run did; batteries taken over from an interrupted run are done
but not fast.
"""

import sys
import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from serving.batch.slices import Engine

LINE_EVERY_SECOND = 2.0
"""Plain lines come no more often than this, but for the last."""


class BatchProgress:
    """Tells the progress of one batch.

    Parameters
    ----------
    console : Console
        Where the bar is drawn; plain lines go to stderr.
    total : int
        Batteries of the batch.
    engine : Engine
        Whose lost workers are told.
    quiet : bool
        Whether nothing is told.
    """

    def __init__(self, console: Console, total: int, engine: Engine, *, quiet: bool) -> None:
        self._total, self._engine, self._quiet = total, engine, quiet
        self._draws = console.is_terminal and not quiet
        columns = (TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=console, disable=not self._draws)
        self._task = self._bar.add_task("", total=total)
        self._begun = self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def tell(self, done: int, outcomes: Counter[str], newly: int) -> None:
        """Tell that `done` batteries are done, `newly` of them by this run, with these outcomes."""
        line = told_line(self._total - done, outcomes, newly / max(time.monotonic() - self._begun, 1e-9))
        if self._engine.lost_workers:
            line += f"; {self._engine.lost_workers} worker(s) died, their slices are graded again"
        self._bar.update(self._task, completed=done, description=line)
        is_due = time.monotonic() - self._last_line >= LINE_EVERY_SECOND or done == self._total
        if is_due and not (self._draws or self._quiet):
            self._last_line = time.monotonic()
            print(f"{done}/{self._total} graded: {line}", file=sys.stderr)


def told_line(left: int, outcomes: Counter[str], rate: float) -> str:
    """Counts, rate and remaining time in one line.

    Parameters
    ----------
    left : int
        Batteries still to grade.
    outcomes : Counter of str
        Batteries per outcome so far.
    rate : float
        Batteries graded in a second. [1/s]

    Examples
    --------
    >>> told_line(90, Counter(cascade=7, retest=3), 5.0)
    '7 cascade, 3 retest; 5.0/s, 18 s left'
    """
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"{counts}; {rate:.1f}/s, {left / rate:.0f} s left" if rate else counts
