"""One HTML page about a graded fleet, for whoever has to decide what happens next.

Self-contained: no script, nothing loaded. It shows what the results say and computes nothing a decision
rests on.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from models.bundle import Bundle
from models.decision import Outcome
from models.pages.charts import Part, ordered_intervals, stacked_bars, two_distributions
from models.pages.page import heading, note, page, paragraph, table
from serving.batch.drift import fleet_drift, type_name
from serving.batch.manifest import BatteryOrder
from serving.batch.outputs import summary
from serving.batch.result_row import ResultRow

MOST_WEAK, MOST_REASONS, MOST_GROUPS = 20, 20, 40
"""Lines shown of the weakest batteries, of the reasons, and of types or districts."""
_GRADE_COLOURS = ("#1e7d4f", "#4fa36f", "#8dbf8a", "#b9d3a7")
_OTHER_COLOURS = {"recycle": "#b7791f", "retest": "#2b7a9b", "hold": "#b03a2e", "error": "#6b6f76"}


@dataclass(frozen=True)
class Fleet:
    """A graded fleet.

    Attributes
    ----------
    orders : tuple of BatteryOrder
        What was asked.
    rows : tuple of ResultRow
        What came out, in the same order.
    bundle : Bundle
        Bundle that graded.
    grades : tuple of str
        Grades of the policy, best first.
    cuts : tuple of float
        Cuts of the policy.
    policy_name : str
        Policy and version in words.
    moment : datetime
        Grading moment.
    """

    orders: tuple[BatteryOrder, ...]
    rows: tuple[ResultRow, ...]
    bundle: Bundle
    grades: tuple[str, ...]
    cuts: tuple[float, ...]
    policy_name: str
    moment: datetime

    @property
    def types(self) -> list[str]:
        """Type of each battery."""
        return [type_name(self.bundle, order.identity) for order in self.orders]


def fleet_page(fleet: Fleet) -> str:
    """Return the page.

    Parameters
    ----------
    fleet : Fleet
        A graded fleet.
    """
    bundle, rows = fleet.bundle.manifest, fleet.rows
    title = f"{len(rows)} batteries graded on {fleet.moment:%Y-%m-%d}"
    body = [
        paragraph(f"Bundle {bundle.name} {bundle.version} ({fleet.bundle.sha256[:12]}), {fleet.policy_name}."),
        *_counts(fleet),
        heading("Grade mix by type", "各型号分级"),
        _bars(fleet, fleet.types),
        *_health(fleet),
        *_weakest(fleet),
        heading("Reasons", "判定原因"),
        table(["reason", "batteries"], _reasons(rows)),
        *_drift(fleet),
        *_districts(fleet),
    ]
    return page(title, body)


def _counts(fleet: Fleet) -> Iterator[str]:
    done = summary(fleet.rows)
    lines = [(outcome.value, done.outcomes.get(outcome, 0)) for outcome in Outcome]
    yield table(["outcome", "batteries"], [*lines, ("error", done.error_count), ("all", done.battery_count)])
    if done.needed_tests:
        yield heading("What the undecided need", "待复测")
        tests = [(test, each.battery_count, f"{each.bench_hours:.1f}") for test, each in done.needed_tests.items()]
        yield table(["cheapest next test", "batteries", "bench hours"], tests)


def _bars(fleet: Fleet, groups: Sequence[str]) -> str:
    counts: dict[str, Counter[str]] = {}
    for group, row in zip(groups, fleet.rows, strict=True):
        counts.setdefault(group, Counter())[_verdict(row)] += 1
    largest = sorted(counts.items(), key=lambda each: (-each[1].total(), each[0]))
    bars = {name: _parts(fleet.grades, each) for name, each in largest[:MOST_GROUPS]}
    left_out = largest[MOST_GROUPS:]
    more = f"{len(left_out)} smaller groups are not shown." if left_out else ""
    return stacked_bars(bars) + (paragraph(more) if more else "")


def _verdict(row: ResultRow) -> str:
    return row.grade or row.outcome or "error"


def _parts(grades: Sequence[str], counts: Counter[str]) -> list[Part]:
    shades = (*_GRADE_COLOURS, *[_GRADE_COLOURS[-1]] * len(grades))
    colours = {**dict(zip(grades, shades, strict=False)), **_OTHER_COLOURS}
    return [Part(name, counts[name], colour) for name, colour in colours.items() if counts[name]]


def _health(fleet: Fleet) -> Iterator[str]:
    bounds = [
        (row.remaining_capacity_lower_ah / rated, row.state_of_health_fraction, row.remaining_capacity_upper_ah / rated)
        for row, rated in _rated(fleet)
        if row.state_of_health_fraction is not None
        and row.remaining_capacity_lower_ah is not None
        and row.remaining_capacity_upper_ah is not None
    ]
    if not bounds:
        return
    lower, point, upper = np.array(bounds).T
    yield heading("State of health", "健康状态")
    quartiles = " / ".join(f"{100 * value:.1f} %" for value in np.quantile(point, (0.25, 0.5, 0.75)))
    yield paragraph(
        f"{len(point)} batteries with an estimate; quartiles {quartiles}. Lines are intervals, dashes cuts."
    )
    yield ordered_intervals(lower, point, upper, fleet.cuts)


def _rated(fleet: Fleet) -> Iterator[tuple[ResultRow, float]]:
    for order, row in zip(fleet.orders, fleet.rows, strict=True):
        if order.identity is not None:
            yield row, order.identity.rated_capacity_ah


def _weakest(fleet: Fleet) -> Iterator[str]:
    known = [row for row in fleet.rows if row.state_of_health_fraction is not None]
    weakest = sorted(known, key=lambda row: (row.state_of_health_fraction, row.battery_id))[:MOST_WEAK]
    if weakest:
        yield heading("Weakest batteries", "最弱电池")
        columns = ["battery", "state of health", "interval [Ah]", "outcome", "reasons"]
        yield table(columns, map(_weak_line, weakest))


def _weak_line(row: ResultRow) -> tuple[object, ...]:
    interval = f"{row.remaining_capacity_lower_ah:.1f} to {row.remaining_capacity_upper_ah:.1f}"
    health = f"{100 * (row.state_of_health_fraction or 0.0):.1f} %"
    return row.battery_id, health, interval, _verdict(row), (row.reasons or "").replace(";", "; ")


def _reasons(rows: Sequence[ResultRow]) -> list[tuple[str, int]]:
    told = Counter(code for row in rows for code in (row.reasons or "").split(";") if code)
    told.update(row.error.split()[0] for row in rows if row.error)
    return told.most_common(MOST_REASONS)


def _drift(fleet: Fleet) -> Iterator[str]:
    yield heading("Beside the training population", "与训练样本对比")
    found = fleet_drift(fleet.bundle, fleet.types, fleet.rows)
    if not found:
        yield paragraph("No trained type has enough batteries in this fleet to be compared.")
    for each in found:
        told = (
            f"{each.type_key}, {each.method}: distance {each.distance:.2f}, {100 * each.outside_share:.0f} % outside."
        )
        warning = f"{told} Unlike the batteries its error was measured on: check some of these with a capacity test."
        yield note(warning) if each.differs else paragraph(told)
        names = (f"fleet ({len(each.fleet)})", f"calibration ({len(each.calibration)})")
        yield two_distributions(each.fleet, each.calibration, names)


def _districts(fleet: Fleet) -> Iterator[str]:
    named = [order.district or "not given" for order in fleet.orders]
    if any(order.district for order in fleet.orders):
        yield heading("By district", "按区县")
        yield _bars(fleet, named)
