"""What an evaluation looks like on a terminal."""

import math
from collections.abc import Iterator, Mapping

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from features.feature_set import Method
from models.decision import Outcome
from training.certified_report import print_certified
from training.evaluation import CutFigures, Evaluation
from training.metrics import Share
from training.promote import Comparison
from training.targets import target_rows

_WIDTH_OF_A_FILE = 110


def report_console() -> Console:
    """Console for the tables: as wide as the terminal, or wide enough where they go into a file."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH_OF_A_FILE)


_ONE_PER_BATTERY = "one test per battery at an unknown state of charge"
_VISITED = {
    Method.TWO_PULSE_TRAINS: "one laboratory pair per battery, carried to how that battery answered on its visit"
}
_FURTHER = "further tests of the batteries"
_GRID = {
    Method.PULSE_TEST: "5 s pulses while being filled from empty",
    Method.TWO_PULSE_TRAINS: "5 s pairs while being filled from empty",
}
"""What the counted rows of a method are."""


def print_evaluations(console: Console, evaluations: Mapping[Method, Evaluation]) -> None:
    """Print every figure of every method."""
    for method, evaluation in evaluations.items():
        if len(evaluations) > 1:
            console.rule(method.value)
        print_evaluation(console, evaluation, method)


def print_evaluation(console: Console, evaluation: Evaluation, method: Method) -> None:
    """Print every figure of the evaluation of a method as tables."""
    for table in (
        _visits(evaluation, method),
        _coverage(evaluation),
        _cuts(evaluation),
        _suitability(evaluation),
        *([_grid(evaluation, method)] if evaluation.grid else []),
        *([_misdeclared(evaluation)] if evaluation.misdeclared else []),
        _targets(evaluation, method),
    ):
        console.print(table)
    for cut, weight in evaluation.booster_weights.items():
        joined = "joins the predictive distribution" if weight > 0.0 else "adds nothing and is not shipped"
        console.print(f"Classifier at {cut}: {joined} (weight {weight:.2f} in the log odds)")
    print_certified(console, evaluation.certified)


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print challenger against champion, gate by gate."""
    if comparison.champion is None:
        console.print(f"{comparison.challenger} has no champion to be compared with.")
        return
    table = _table(
        f"{comparison.challenger} against {comparison.champion}", "type", "figure", "champion", "challenger", ""
    )
    for gate in comparison.gates:
        verdict = "[red]worse[/]" if gate.worse else "ok"
        table.add_row(gate.type_key, gate.figure, _percent(gate.champion), _percent(gate.challenger), verdict)
    console.print(table)


def _visits(evaluation: Evaluation, method: Method) -> Table:
    table = _table(
        f"Visits: {_VISITED.get(method, _ONE_PER_BATTERY)}; physical cells held out",
        *("type", "n", "MAPE", "MAE", "R²", "coverage [95 % bounds]", "width"),
    )
    for key, figures in evaluation.visits.items():
        table.add_row(
            key,
            str(figures.errors.row_count),
            _percent(figures.errors.mean_absolute_percentage_error, 2),
            _percent(figures.errors.mean_absolute_error, 2),
            _number(figures.errors.explained_fraction, 2),
            _share(figures.covered),
            _percent(figures.mean_width),
        )
    return table


def _coverage(evaluation: Evaluation) -> Table:
    table = _table(
        f"Interval promised for {_percent(evaluation.coverage_fraction, 0)}: means over calibration splits; decisions",
        *("type", "coverage", "p", "width", "accepted", "rejected", "undecided"),
    )
    for key, figures in evaluation.visits.items():
        splits, outcomes = evaluation.coverage_over_splits[key], figures.outcomes
        table.add_row(
            key,
            _percent(splits.mean),
            _number(splits.p_value, 2),
            _percent(splits.mean_width),
            _percent(outcomes[Outcome.CASCADE].fraction),
            _percent(outcomes[Outcome.RECYCLE].fraction),
            _percent(outcomes[Outcome.RETEST].fraction + outcomes[Outcome.HOLD].fraction),
        )
    return table


def _cuts(evaluation: Evaluation) -> Table:
    table = _table(
        "At the cuts (visits): wrong among accepted and among rejected, exact 95 % bounds",
        *("type", "cut", "accepted", "rejected", "undecided", "false accepts", "false rejects"),
    )
    for key, cut, at_cut in _per_cut(evaluation):
        table.add_row(
            key,
            cut,
            *(_percent(share.fraction, 0) for share in (at_cut.accepted, at_cut.rejected, at_cut.undecided)),
            _counted(at_cut.false_accepts),
            _counted(at_cut.false_rejects),
        )
    return table


def _suitability(evaluation: Evaluation) -> Table:
    table = _table(
        "P(state of health < cut) on visits",
        *("type", "cut", "Brier", "without classifier", "AUC", "forecast", "observed"),
    )
    for key, cut, at_cut in _per_cut(evaluation):
        scores = at_cut.suitability
        table.add_row(
            key,
            cut,
            _number(scores.brier, 4),
            _number(at_cut.predictive_alone.brier, 4),
            _number(scores.area_under_curve, 3),
            _percent(scores.mean_probability),
            _percent(scores.observed_share),
        )
    return table


def _per_cut(evaluation: Evaluation) -> Iterator[tuple[str, str, CutFigures]]:
    for key, figures in evaluation.visits.items():
        for cut, at_cut in figures.cuts.items():
            yield key, cut, at_cut


def _grid(evaluation: Evaluation, method: Method) -> Table:
    table = _table(
        f"Grid: {_GRID.get(method, _FURTHER)}; physical cells held out",
        *("type", "rows", "MAPE (rows)", "(batteries)", "MAE", "coverage", "width"),
    )
    for key, figures in evaluation.grid.items():
        table.add_row(
            key,
            str(figures.errors.row_count),
            _percent(figures.errors.mean_absolute_percentage_error, 2),
            _percent(figures.mean_absolute_percentage_error_per_battery, 2),
            _percent(figures.errors.mean_absolute_error, 2),
            _percent(figures.covered.fraction),
            _percent(figures.mean_width),
        )
    return table


def _misdeclared(evaluation: Evaluation) -> Table:
    table = _table(
        "Types left out of training, declared as each known type: withheld; withheld or inside the interval",
        *("type", "read as", "visits withheld", "visits safe", "grid withheld", "grid safe"),
    )
    for key, readings in evaluation.misdeclared.items():
        for reading, figures in readings.items():
            shares = (figures.visits_abstained, figures.visits_safe, figures.grid_abstained, figures.grid_safe)
            table.add_row(key, reading, *(_percent(share.fraction) for share in shares))
    return table


def _targets(evaluation: Evaluation, method: Method) -> Table:
    table = _table("Targets", "figure", "measured", "target")
    for row in target_rows(method, evaluation):
        table.add_row(*row)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _percent(fraction: float, digits: int = 1) -> str:
    return "-" if math.isnan(fraction) else f"{100 * fraction:.{digits}f} %"


def _share(share: Share) -> str:
    low, high = share.bounds
    return f"{_percent(share.fraction)} [{100 * low:.0f}, {100 * high:.0f}]"


def _counted(share: Share) -> str:
    if not share.total:
        return "none"
    low, high = share.bounds
    return f"{share.count}/{share.total} [{100 * low:.1f}, {100 * high:.1f}]"
