"""A whole batch in one process: manifest in, result file out, progress on the way."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from features.errors import InvalidInput, Problem
from features.readers.by_format import OpenFiles
from serving.batch.manifest import BatteryOrder
from serving.batch.work import ResultRow, grade_slice
from serving.grading import Grader

SLICE_SIZE = 64
RESULT_SUFFIXES = (".parquet", ".csv")


@dataclass(frozen=True)
class BatchSummary:
    """Counts of a finished batch; they add up to the number of batteries."""

    battery_count: int
    outcomes: dict[str, int]
    error_count: int


def run_batch(
    grader: Grader,
    orders: Sequence[BatteryOrder],
    station: str,
    moment: datetime,
    progress: Callable[[int, Counter[str]], None] | None = None,
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
        Told the number of batteries done and the outcomes so far.

    Returns
    -------
    list of ResultRow
        One per order, in order.
    """
    files, rows, outcomes = OpenFiles(), list[ResultRow](), Counter[str]()
    for start in range(0, len(orders), SLICE_SIZE):
        done = grade_slice(grader, orders[start : start + SLICE_SIZE], station, moment, files)
        rows += done
        outcomes.update(row.outcome or "error" for row in done)
        if progress is not None:
            progress(len(rows), outcomes)
    return rows


def require_result_path(path: Path) -> None:
    """Refuse a result file nobody could write, before anything is graded.

    Raises
    ------
    InvalidInput
        If the suffix is neither ``.parquet`` nor ``.csv`` or the folder does not exist.
    """
    if path.suffix not in RESULT_SUFFIXES:
        problem = Problem("--out", f"must end in {' or '.join(RESULT_SUFFIXES)}", path.name)
        raise InvalidInput("The results cannot be written. Nothing was graded.", [problem])
    if not path.parent.is_dir():
        raise InvalidInput(
            "The results cannot be written. Nothing was graded.",
            [Problem("--out", "folder must exist", path.parent.name)],
        )


def write_results(path: Path, rows: Sequence[ResultRow], cuts: Sequence[float]) -> None:
    """Write the result file in one step: it is there whole or not at all."""
    table = pd.DataFrame([row.cells(cuts) for row in rows])
    table["sequence"] = table["sequence"].astype("Int64")
    partial = path.with_name(f".{path.name}.partial")
    if path.suffix == ".parquet":
        table.to_parquet(partial, index=False)
    else:
        table.to_csv(partial, index=False)
    partial.replace(path)


def summary(rows: Sequence[ResultRow]) -> BatchSummary:
    """Counts per outcome and errors."""
    outcomes = Counter(row.outcome for row in rows if row.outcome is not None)
    return BatchSummary(len(rows), dict(outcomes), sum(row.error is not None for row in rows))
