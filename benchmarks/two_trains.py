"""What two pulse trains reach on batteries never seen, and what a station's different answer does to it.

    PACKGRADE_DATA_DIR=... python -m benchmarks.two_trains [--fold-seeds 0 1]

Three tables per draw of the folds. Errors on grid pairs (5 s pulses, 20 % of rated charge apart, both
trains between 5 and 50 %) and on one pair as visited per battery. The certified decided fraction at
SoH 0.80, once with the pairs as visited and once with one grid pair per battery, three draws. And the
shift of the estimate when every resistance of both trains is answered lower by a common factor, as the
published visits answered 2 to 12 % lower than the grid.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from features.errors import PackGradeError
from features.measurement import FloatArray
from models.policy_file import SHIPPED_POLICY, load_policy
from training.certified import ALL_TYPES, calibrating_batteries, certified_fractions
from training.cli import REFERENCE_PLAN
from training.crossfit import HeldOut, held_out_predictions, plan_folds
from training.datasets.registry import labelled_tests
from training.fit import fit_models
from training.plan import Plan, load_plan
from training.table import BoolArray, FeatureTable, feature_table

PLAN = REFERENCE_PLAN.parent / "two_pulse_trains.toml"
CUT = 0.80
RESPONSE_FACTORS = (1.0, 0.98, 0.95, 0.92, 0.88)
_GRID_DRAWS = 3


def main() -> int:
    """Print the figures; returns the exit code."""
    asked, console = _parser().parse_args(), Console()
    if asked.data_dir is None:
        console.print("PACKGRADE_DATA_DIR is not set: there is nothing to measure on.")
        return 1
    try:
        written = load_plan(asked.plan)
        table = feature_table(labelled_tests(written, asked.data_dir), written.method)
        for seed in asked.fold_seeds:
            plan = written.model_copy(update={"splits": written.splits.model_copy(update={"seed": seed})})
            with console.status(f"folds drawn with seed {seed}"):
                held_out = held_out_predictions(plan, table, lambda _: None)
                grid_alone = _on_grid_alone(plan, table, held_out)
            errors = _errors(held_out, grid_alone, seed)
            for each in (errors, _certified(plan, held_out, seed), _shifts(held_out, seed)):
                console.print(each)
    except PackGradeError as problem:
        console.print(str(problem), markup=False)
        return 1
    return 0


def _on_grid_alone(plan: Plan, table: FeatureTable, held_out: HeldOut) -> FloatArray:
    """State of health as models say that saw no pair as visited."""
    folds = plan_folds(plan, table)
    of_folds = [fit_models(plan, table.taken(fold.train[~table.visits[fold.train]]), ()) for fold in folds]
    return _predicted(replace(held_out, models=tuple(of_folds)), held_out.table)


def _errors(held_out: HeldOut, on_grid_alone: FloatArray, seed: int) -> Table:
    facts = held_out.facts
    keys = sorted(set(facts.type_keys.tolist()))
    table = _titled(f"Mean absolute percentage error, folds drawn with seed {seed}", "rows", ALL_TYPES, *keys)
    for name, rows, point in (
        ("grid pairs", ~facts.visits, facts.point),
        ("as visited", facts.visits, facts.point),
        ("as visited, trained on grid pairs alone", facts.visits, on_grid_alone),
    ):
        error = point / facts.measured - 1.0
        by_type = [error[rows & (facts.type_keys == key)] for key in keys]
        table.add_row(name, *(_percent(np.abs(each)) for each in (error[rows], *by_type)))
    return table


def _certified(plan: Plan, held_out: HeldOut, seed: int) -> Table:
    rule, asked = load_policy(SHIPPED_POLICY).risk, plan.splits
    title = f"Certified decided fraction at {CUT:g} for {rule.levels.max_false_accept_share:.0%}, seed {seed}"
    table = _titled(title, "calibrated and presented", "batteries", "decided", "false accepts", "false rejects")
    for name, rows in _one_per_battery(held_out):
        batteries = calibrating_batteries(held_out.facts.taken(rows))
        splits = (asked.calibration_share, asked.calibration_split_count, asked.seed)
        (fraction,) = certified_fractions(batteries, held_out.table.physical_cells[rows], CUT, (rule,), splits)
        if fraction.shares:
            shares = fraction.shares[ALL_TYPES]
            shown = (f"{each:.1%}" for each in (shares.decided, shares.false_accepts, shares.false_rejects))
            table.add_row(name, str(len(rows)), *shown)
        else:
            table.add_row(name, str(len(rows)), "no certificate")
    return table


def _one_per_battery(held_out: HeldOut) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    yield "as visited", np.flatnonzero(held_out.facts.visits)
    batteries, grid = held_out.table.labels["battery_id"].to_numpy(dtype=str), np.flatnonzero(~held_out.facts.visits)
    for draw in range(_GRID_DRAWS):
        shuffled = np.random.default_rng(draw).permutation(grid)
        first = np.unique(batteries[shuffled], return_index=True)[1]
        yield f"grid pairs, draw {draw}", np.sort(shuffled[first])


def _shifts(held_out: HeldOut, seed: int) -> Table:
    visits, keys = held_out.facts.visits, sorted(set(held_out.facts.type_keys.tolist()))
    title = f"Grid pairs whose resistances are all answered lower, seed {seed}: mean shift of the estimate"
    table = _titled(title, "factor", ALL_TYPES, *keys, "error, all")
    for factor in RESPONSE_FACTORS:
        point = _predicted(held_out, _answered(held_out.table, factor))
        shift, error = point / held_out.facts.point - 1.0, np.abs(point / held_out.facts.measured - 1.0)
        of_types = [shift[~visits & (held_out.facts.type_keys == key)] for key in keys]
        shown = (f"{100 * each.mean():+.2f} %" for each in (shift[~visits], *of_types))
        table.add_row(f"{factor:g}", *shown, _percent(error[~visits]))
    return table


def _answered(table: FeatureTable, factor: float) -> FeatureTable:
    """Same pairs with every resistance of both trains times a factor; ratios, changes and voltages stay."""
    scaled = np.array(["resistance_ohm_ah" in name for name in table.feature_set.names])
    return replace(table, values=np.where(scaled, factor * table.values, table.values))


def _predicted(held_out: HeldOut, table: FeatureTable) -> FloatArray:
    point = np.empty(len(table))
    for number, models in enumerate(held_out.models):
        for key, fitted in models.types.items():
            rows: BoolArray = (held_out.fold_of_row == number) & (table.type_keys == key)
            if rows.any():
                point[rows] = fitted.ensemble().said(table.values[rows], table.feature_set.names).joined()[0]
    return point


def _titled(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    return table


def _percent(fractions: FloatArray) -> str:
    return f"{100 * fractions.mean():.2f} %" if len(fractions) else "–"


def _parser() -> argparse.ArgumentParser:
    named = os.environ.get("PACKGRADE_DATA_DIR")
    parser = argparse.ArgumentParser(description="Figures of the two-train plan on held-out cells.")
    parser.add_argument("--plan", type=Path, default=PLAN)
    parser.add_argument("--data-dir", type=Path, default=Path(named) if named else None)
    parser.add_argument("--fold-seeds", type=int, nargs="+", default=[0])
    return parser


if __name__ == "__main__":
    sys.exit(main())
