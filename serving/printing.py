"""Decisions as a person reads them on a terminal. Presentation only: everything shown is in the record."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from models.certificate import Certificate

OUTCOME_STYLE: Mapping[str, str] = {
    "cascade": "bold green",
    "recycle": "bold yellow",
    "retest": "bold cyan",
    "hold": "bold white on red",
}
_SHOWN_REASONS = 3
_CERTIFICATE_COLUMNS = (
    "cut",
    "accept\nfrom",
    "reject\nbelow",
    "type",
    "batteries",
    "accepted",
    "rejected",
    "false\naccepts",
    "false\nrejects",
)
_LEAST_SHOWN = 0.001


def decision_panel(reply: Mapping[str, Any], title: str) -> RenderableType:
    """One decision as a panel.

    Parameters
    ----------
    reply : mapping
        The reply of ``POST /v1/grade``.
    title : str
        What was graded, in words.
    """
    lines: list[RenderableType] = [Text(title, style="bold"), _verdict(reply)]
    if reply["capacity"] is not None:
        lines.append(Text(capacity_line(reply["capacity"])))
        lines.append(Text(probability_line(reply["capacity"]), style="dim"))
    lines += [_reason(reason) for reason in reply["reasons"][:_SHOWN_REASONS]]
    if reply["next_test"] is not None:
        lines.append(Text(next_test_line(reply["next_test"]), style="cyan"))
    recorded = reply["recorded"]
    place = f"record {recorded['sequence']}  decision {reply['decision_id']}  leaf {recorded['leaf_sha256'][:12]}…"
    lines.append(Text(place, style="dim"))
    return Panel(Group(*lines))


def capacity_line(capacity: Mapping[str, Any]) -> str:
    """Capacity, interval and state of health in one line."""
    return (
        f"capacity {capacity['remaining_capacity_ah']:.2f} Ah of {capacity['rated_capacity_ah']:g} Ah "
        f"({capacity['coverage_fraction']:.0%} interval {capacity['lower_ah']:.2f} to {capacity['upper_ah']:.2f} Ah)  "
        f"state of health {100 * capacity['state_of_health_fraction']:.1f} %  [{capacity['method']}]"
    )


def probability_line(capacity: Mapping[str, Any]) -> str:
    """Probability of lying below each cut, highest cut first."""
    by_cut = sorted(capacity["probability_below_cut"].items(), reverse=True)
    return "probability below " + ", ".join(f"{100 * float(cut):.0f} %: {_shown(p)}" for cut, p in by_cut)


def next_test_line(next_test: Mapping[str, Any]) -> str:
    """The next test with its minutes."""
    return f"next: {next_test['method']}, {next_test['minutes']:g} min. {next_test['instruction']['en']}"


def certificate_table(title: str, certificates: Sequence[Certificate]) -> Table:
    """Thresholds in force per cut, and what the calibration batteries of each type would have got."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in _CERTIFICATE_COLUMNS:
        table.add_column(column, justify="right")
    for each in certificates:
        accepts, rejects = each.false_accepts, each.false_rejects
        table.add_row(
            f"{each.cut_fraction:.2f}",
            f"{each.accept_at_least:.4f}",
            f"{each.reject_below:.4f}",
            "all",
            str(each.battery_count),
            str(sum(tally.accepted for tally in each.types.values())),
            str(sum(tally.rejected for tally in each.types.values())),
            f"{accepts.found} of {accepts.allowed}",
            f"{rejects.found} of {rejects.allowed}",
        )
        for key, tally in each.types.items():
            counts = (tally.batteries, tally.accepted, tally.rejected, tally.false_accepts, tally.false_rejects)
            table.add_row("", "", "", key, *map(str, counts))
    return table


def batch_table(outcomes: Mapping[str, int], error_count: int) -> Table:
    """Counts of a batch."""
    table = Table("outcome", "batteries")
    for outcome in OUTCOME_STYLE:
        table.add_row(outcome, str(outcomes.get(outcome, 0)))
    table.add_row("error", str(error_count))
    table.add_row("all", str(sum(outcomes.values()) + error_count), style="bold")
    return table


def error_text(error: BaseException) -> Text:
    """An error on the terminal; hostile text is shown as text."""
    return Text(str(error), style="red")


def _shown(probability: float) -> str:
    if probability < _LEAST_SHOWN:
        return "< 0.1 %"
    return "> 99.9 %" if probability > 1.0 - _LEAST_SHOWN else f"{100 * probability:.1f} %"


def _verdict(reply: Mapping[str, Any]) -> Text:
    outcome = reply["outcome"]
    verdict = Text(outcome.upper(), style=OUTCOME_STYLE[outcome])
    if reply["grade"] is not None:
        verdict.append(f"  grade {reply['grade']}", style="bold green")
        verdict.append(f"  for {', '.join(reply['suitable_uses'])}", style="")
    return verdict


def _reason(reason: Mapping[str, Any]) -> Text:
    return Text(f"- {reason['message']['en']}  ({reason['code']})")
