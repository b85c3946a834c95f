"""A whole batch: its orders through an engine, its rows in the order of the manifest, progress on the way."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from serving.batch.journal import Journal
from serving.batch.manifest import BatteryOrder
from serving.batch.result_row import ResultRow
from serving.batch.slices import Engine, InProcess, Terms, slices_of
from serving.grading import Grader

Progress = Callable[[int, Counter[str], int], None]


def run_batch(
    grader: Grader,
    orders: Sequence[BatteryOrder],
    station: str,
    moment: datetime,
    progress: Progress | None = None,
    *,
    operator: str | None = None,
    engine: Engine | None = None,
    journal: Journal | None = None,
) -> list[ResultRow]:
    """Grade every order, a slice at a time.

    Parameters
    ----------
    grader : Grader
        Grader over bundle, policy and record.
    orders : sequence of BatteryOrder
        Batteries of the manifest.
    station : str
        Station the decisions belong to.
    moment : datetime
        Grading moment.
    progress : callable, optional
        Told how many batteries are done, with which outcomes, and how many of them this run did.
    operator : str, optional
        Pseudonym of who grades.
    engine : Engine, optional
        Where the slices are graded; this process unless given.
    journal : Journal, optional
        What an earlier run did, and where this one notes its slices.

    Returns
    -------
    list of ResultRow
        One per order, in order.

    Raises
    ------
    PackGradeError
        If bundle, policy or record cannot be used; what is recorded stays.
    """
    chosen = engine or InProcess(grader)
    rows = journal.standing(grader) if journal else {}
    taken_over = len(rows)
    outcomes = Counter(row.outcome or "error" for row in rows.values())
    left = [(place, order) for place, order in enumerate(orders) if place not in rows]
    for done in chosen.graded(slices_of(left, chosen.workers), Terms(station, moment, operator)):
        rows.update(zip(done.graded.places, done.rows, strict=True))
        outcomes.update(row.outcome or "error" for row in done.rows)
        if journal is not None:
            journal.keep(done)
        if progress is not None:
            progress(len(rows), outcomes, len(rows) - taken_over)
    return [rows[place] for place in range(len(orders))]
