"""What a batch leaves behind: results, a table of its errors, a table of its abstentions, and the counts.

Every file appears whole or not at all; the results come last, so that where they are, the others are.
Each battery is in exactly one count: the outcomes and the errors add up to the batteries.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from features.errors import InvalidInput, Problem
from models.decision import Outcome
from serving.batch.manifest import BatteryOrder
from serving.batch.result_row import ResultRow

RESULT_SUFFIXES = (".parquet", ".csv")
_ERROR_COLUMNS = ("battery_id", "manifest_rows", "sequence", "error")
_ABSTENTION_COLUMNS = ("battery_id", "decision_id", "sequence", "reasons", "next_test", "next_test_minutes")
_MINUTES_PER_HOUR = 60.0


@dataclass(frozen=True, slots=True)
class NeededTest:
    """Batteries that wait for one test.

    Attributes
    ----------
    battery_count : int
        How many.
    bench_hours : float
        How long that takes on one bench. [h]
    """

    battery_count: int
    bench_hours: float


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """Counts of a finished batch; outcomes and errors add up to the number of batteries.

    Attributes
    ----------
    battery_count : int
        Batteries of the manifest.
    outcomes : mapping of str to int
        Decisions per outcome.
    error_count : int
        Batteries that were not decided.
    refused_count : int
        Those of them whose measurement was refused, which the record tells.
    needed_tests : mapping of str to NeededTest
        What the abstentions ask for, by test; ``none`` where no test would tell.
    """

    battery_count: int
    outcomes: Mapping[str, int]
    error_count: int
    refused_count: int
    needed_tests: Mapping[str, NeededTest]

    @property
    def bench_hours(self) -> float:
        """Bench time of the cheapest next test of every abstention, in hours."""
        return sum((each.bench_hours for each in self.needed_tests.values()), 0.0)


def summary(rows: Sequence[ResultRow]) -> BatchSummary:
    """Count outcomes, errors and the tests the abstentions ask for."""
    outcomes = Counter(row.outcome for row in rows if row.outcome is not None)
    errors = [row for row in rows if row.error is not None]
    refused = sum(row.sequence is not None for row in errors)
    return BatchSummary(len(rows), dict(outcomes), len(errors), refused, _needed_tests(abstentions(rows)))


def abstentions(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Rows of the batteries nobody could decide yet."""
    return [row for row in rows if row.outcome == Outcome.RETEST]


def require_result_path(path: Path) -> None:
    """Refuse a result file nobody could write, before anything is graded.

    Raises
    ------
    InvalidInput
        If the suffix is neither ``.parquet`` nor ``.csv`` or the folder does not exist.
    """
    _require_path("--out", path, RESULT_SUFFIXES)


def require_report_path(path: Path) -> None:
    """Refuse a report nobody could write; see `require_result_path`."""
    _require_path("--report", path, (".html",))


def errors_path(out: Path) -> Path:
    """Return the file of the errors: ``results.csv`` has ``results.errors.csv``."""
    return out.with_name(f"{out.stem}.errors{out.suffix}")


def abstentions_path(out: Path) -> Path:
    """Return the file of the abstentions: ``results.csv`` has ``results.retest.csv``."""
    return out.with_name(f"{out.stem}.retest{out.suffix}")


def write_outputs(out: Path, orders: Sequence[BatteryOrder], rows: Sequence[ResultRow], cuts: Sequence[float]) -> None:
    """Write the results and, beside them, the errors and the abstentions."""
    _write(errors_path(out), _errors(orders, rows))
    waiting = [{name: getattr(row, name) for name in _ABSTENTION_COLUMNS} for row in abstentions(rows)]
    _write(abstentions_path(out), pd.DataFrame(waiting, columns=list(_ABSTENTION_COLUMNS)))
    write_results(out, rows, cuts)


def write_results(path: Path, rows: Sequence[ResultRow], cuts: Sequence[float]) -> None:
    """Write the result file in one step: it is there whole or not at all."""
    _write(path, pd.DataFrame([row.cells(cuts) for row in rows]))


def write_whole(path: Path, text: str) -> None:
    """Write a text file in one step: it is there whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _require_path(option: str, path: Path, suffixes: Sequence[str]) -> None:
    problems = [Problem(option, f"must end in {' or '.join(suffixes)}", path.name)] * (path.suffix not in suffixes)
    problems += [Problem(option, "folder must exist", path.parent.name)] * (not path.parent.is_dir())
    if problems:
        raise InvalidInput("The results cannot be written. Nothing was graded.", problems)


def _errors(orders: Sequence[BatteryOrder], rows: Sequence[ResultRow]) -> pd.DataFrame:
    """Return one line per battery that was not decided, with its rows in the manifest (header = row 1)."""
    lines = [
        (row.battery_id, ";".join(map(str, order.rows)), row.sequence, row.error)
        for order, row in zip(orders, rows, strict=True)
        if row.error is not None
    ]
    return pd.DataFrame(lines, columns=list(_ERROR_COLUMNS))


def _write(path: Path, table: pd.DataFrame) -> None:
    table["sequence"] = table["sequence"].astype("Int64")
    partial = path.with_name(f".{path.name}.partial")
    if path.suffix == ".parquet":
        table.to_parquet(partial, index=False)
    else:
        table.to_csv(partial, index=False)
    partial.replace(path)


def _needed_tests(waiting: Sequence[ResultRow]) -> dict[str, NeededTest]:
    minutes: dict[str, list[float]] = {}
    for row in waiting:
        minutes.setdefault(row.next_test or "none", []).append(row.next_test_minutes or 0.0)
    return {test: NeededTest(len(each), sum(each) / _MINUTES_PER_HOUR) for test, each in sorted(minutes.items())}
