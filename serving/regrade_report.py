"""A regrade on a terminal and as a CSV file: how many would get what, and which decisions would change."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from features.errors import InvalidInput, Problem
from features.spreadsheet_text import spreadsheet_safe
from serving.regrade import Regraded

CHANGED = (
    "sequence",
    "decision_id",
    "battery_id",
    "station",
    "recorded_at",
    "old_outcome",
    "old_grade",
    "old_uses",
    "old_reasons",
    "old_bundle_sha256",
    "old_policy_sha256",
    "new_outcome",
    "new_grade",
    "new_uses",
    "new_reasons",
    "new_bundle_sha256",
    "new_policy_sha256",
)
"""Columns of the file of changed decisions, in order."""

SHOWN_CHANGES = 20
"""Changed decisions printed without a file; the others are counted."""

_ORDER = ("cascade", "retest", "recycle", "hold")


class _Rows(Protocol):
    def writerow(self, row: dict[str, Any], /) -> object: ...


class RegradeSummary:
    """Counts of a regrade.

    Attributes
    ----------
    pairs : Counter of (str, str)
        Old and new verdict of every decision that was regraded.
    changed : int
        Decisions whose outcome, grade or uses would be others.
    reasons : Counter of str
        Why decisions were not regraded.
    """

    def __init__(self) -> None:
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.changed = 0
        self.reasons: Counter[str] = Counter()

    @property
    def regraded(self) -> int:
        """Decisions with a new verdict."""
        return self.pairs.total()

    def add(self, each: Regraded) -> None:
        """Count one."""
        if each.new is None or each.old is None:
            self.reasons[each.not_regraded] += 1
        else:
            self.pairs[each.old.label, each.new.label] += 1
            self.changed += each.changed

    def table(self) -> Table:
        """Rows: what was said. Columns: what would be."""
        old, new = (sorted({pair[side] for pair in self.pairs}, key=_place) for side in (0, 1))
        table = Table("was \\ would be", *new, "all")
        for row in old:
            counts = [self.pairs[row, column] for column in new]
            table.add_row(row, *(str(count) if count else "·" for count in counts), str(sum(counts)))
        totals = [sum(self.pairs[row, column] for row in old) for column in new]
        table.add_row("all", *map(str, totals), str(self.regraded), style="bold")
        return table


def print_regrade(console: Console, regrades: Iterable[Regraded], out: Path | None) -> RegradeSummary:
    """Print counts and changes of a regrade, or write the changes to a file.

    Parameters
    ----------
    console : Console
        Where to print.
    regrades : iterable of Regraded
        One per decision, in the order of the log.
    out : Path or None
        New CSV file; it is there whole, or not at all.

    Raises
    ------
    InvalidInput
        If the file exists or its folder does not.
    """
    summary = RegradeSummary()
    with nullcontext() if out is None else _new_csv(out) as rows:
        for each in regrades:
            summary.add(each)
            if each.changed and rows is not None:
                rows.writerow(_row(each))
            elif each.changed and summary.changed <= SHOWN_CHANGES:
                console.print(Text(_line(each)), highlight=False, soft_wrap=True)
    if out is None and summary.changed > SHOWN_CHANGES:
        console.print(f"… {summary.changed - SHOWN_CHANGES} more changed; --out FILE.csv lists all of them")
    if summary.regraded:
        console.print(summary.table())
    for line in _closing(summary, out):
        console.print(Text(line), highlight=False, soft_wrap=True)
    return summary


def _closing(summary: RegradeSummary, out: Path | None) -> Iterator[str]:
    yield f"{summary.regraded} decision(s) regraded, {summary.changed} would change; nothing was recorded"
    if out is not None:
        yield f"changed decisions: {out.name}"
    yield from (f"  not regraded, {reason}: {count}" for reason, count in summary.reasons.most_common())


@contextmanager
def _new_csv(out: Path) -> Iterator[_Rows]:
    if out.exists() or not out.parent.is_dir():
        rule = "must be a new file in a folder that exists"
        raise InvalidInput("Nothing was regraded.", [Problem("--out", rule, out.name)])
    partial = out.with_name(f".{out.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.DictWriter(opened, CHANGED, lineterminator="\n")
            writer.writeheader()
            yield writer
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _row(each: Regraded) -> dict[str, object]:
    body = each.leaf.body
    sides = {
        f"{side}_{name}": value
        for side, verdict in (("old", each.old), ("new", each.new))
        if verdict is not None
        for name, value in (
            ("outcome", verdict.outcome),
            ("grade", verdict.grade or ""),
            ("uses", ";".join(verdict.uses)),
            ("reasons", ";".join(verdict.reasons)),
        )
    }
    row = {
        "sequence": each.leaf.sequence,
        "decision_id": each.leaf.event_id,
        "battery_id": each.leaf.battery_id or "",
        "station": each.leaf.station,
        "recorded_at": each.leaf.recorded_at,
        "old_bundle_sha256": body["bundle"]["sha256"],
        "old_policy_sha256": body["policy"]["sha256"],
        "new_bundle_sha256": each.bundle_sha256,
        "new_policy_sha256": each.policy_sha256,
        **sides,
    }
    return {name: spreadsheet_safe(value) if isinstance(value, str) else value for name, value in row.items()}


def _line(each: Regraded) -> str:
    old, new = ("" if verdict is None else verdict.label for verdict in (each.old, each.new))
    return f"entry {each.leaf.sequence}  {each.leaf.event_id}  {each.leaf.battery_id}: {old} → {new}"


def _place(label: str) -> tuple[int, str]:
    outcome = label.split(" ", maxsplit=1)[0]
    return (_ORDER.index(outcome) if outcome in _ORDER else len(_ORDER), label)
