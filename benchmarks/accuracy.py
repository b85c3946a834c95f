"""How accurate the shipped plan is on batteries it never saw, printed against its targets.

    PACKGRADE_DATA_DIR=... python -m benchmarks.accuracy [--fold-seeds 0 1 2 3]

The first seed prints every table of `packgrade-train evaluate`; with several seeds the folds are
drawn anew for each and the figures are shown side by side with their mean, because one draw of five
folds moves the mean error by about 0.1 points.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from features.errors import PackGradeError
from training.cli import REFERENCE_PLAN, SHIPPED_POLICY
from training.evaluation import ALL_TYPES, Evaluation
from training.plan import Plan, load_plan
from training.report import print_evaluation, report_console
from training.run import judge


def main() -> int:
    """Print the figures; returns the exit code."""
    asked = _parser().parse_args()
    console = report_console()
    if asked.data_dir is None:
        console.print("PACKGRADE_DATA_DIR is not set: there is nothing to measure on.")
        return 1
    try:
        evaluations = {seed: _evaluation(asked.plan, seed, asked.data_dir, console) for seed in asked.fold_seeds}
    except PackGradeError as problem:
        console.print(str(problem), markup=False)
        return 1
    print_evaluation(console, next(iter(evaluations.values())), load_plan(asked.plan).method)
    if len(evaluations) > 1:
        console.print(_side_by_side(evaluations))
    return 0


def _evaluation(plan_file: Path, seed: int, data_folder: Path, console: Console) -> Evaluation:
    plan: Plan = load_plan(plan_file)
    plan = plan.model_copy(update={"splits": plan.splits.model_copy(update={"seed": seed})})
    with console.status(f"folds drawn with seed {seed}"):
        return judge(plan, data_folder, SHIPPED_POLICY, lambda _: None).evaluation


def _side_by_side(evaluations: dict[int, Evaluation]) -> Table:
    rows = {
        seed: (
            each.grid[ALL_TYPES].errors.mean_absolute_percentage_error,
            each.visits[ALL_TYPES].errors.mean_absolute_percentage_error,
            each.coverage_over_splits[ALL_TYPES].mean,
            each.coverage_over_splits[ALL_TYPES].mean_width,
            min(split.p_value for split in each.coverage_over_splits.values()),
            *(_brier(each, cut) for cut in each.booster_weights),
        )
        for seed, each in evaluations.items()
    }
    cuts = next(iter(evaluations.values())).booster_weights
    table = Table(title="Several draws of the folds", title_justify="left")
    columns = ("fold seed", "grid MAPE", "visits MAPE", "coverage", "width", "lowest p of a type")
    for column in (*columns, *(f"Brier at {cut}: joined, alone, weight" for cut in cuts)):
        table.add_column(column, justify="right")
    for name, values in rows.items():
        table.add_row(str(name), *_shown(values))
    table.add_row("mean", *_shown([np.mean(of_seeds, axis=0) for of_seeds in zip(*rows.values(), strict=True)]))
    return table


def _brier(evaluation: Evaluation, cut: str) -> tuple[float, float, float]:
    """With the classifier, without it, and its weight."""
    at_cut = evaluation.visits[ALL_TYPES].cuts[cut]
    return at_cut.suitability.brier, at_cut.predictive_alone.brier, evaluation.booster_weights[cut]


def _shown(figures: Sequence[Any]) -> Iterator[str]:
    fractions, p_value, briers = figures[:4], figures[4], figures[5:]
    yield from (f"{100 * value:.2f} %" for value in fractions)
    yield f"{p_value:.2f}"
    yield from (f"{joined:.4f} {alone:.4f} {weight:.2f}" for joined, alone, weight in briers)


def _parser() -> argparse.ArgumentParser:
    named = os.environ.get("PACKGRADE_DATA_DIR")
    parser = argparse.ArgumentParser(description="Figures of the shipped plan on held-out cells.")
    parser.add_argument("--plan", type=Path, default=REFERENCE_PLAN)
    parser.add_argument("--data-dir", type=Path, default=Path(named) if named else None)
    parser.add_argument("--fold-seeds", type=int, nargs="+", default=[0])
    return parser


if __name__ == "__main__":
    sys.exit(main())
