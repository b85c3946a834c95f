"""How accurate a partial charge is on cells it never saw, printed against its targets.

    PACKGRADE_DATA_DIR=... python -m benchmarks.partial_charge

Trains every ``training/plans/partial_charge_*.toml`` once per fold of physical cells and prints the error
by window. Beside it stands the error of always saying the mean of the cells trained on: a method that does
not beat it tells nothing. Last come the figure data of the 280 vehicle charges, of which only that much
can be said: how many are copies of one another, and what they tell once copies stay together.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.sparse.csgraph import connected_components
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no type hints

from features.errors import PackGradeError
from features.measurement import FloatArray
from training.crossfit import HeldOut, coverage_over_splits, held_out_predictions
from training.datasets import lsd_second_life
from training.datasets.registry import labelled_tests
from training.plan import Plan, load_plan
from training.report import report_console
from training.table import FeatureTable, feature_table

PLANS = Path(__file__).parents[1] / "training" / "plans"
VEHICLE_CHARGES = Path("field_bms") / "changan300" / "Figure_3b.parquet"
TARGETS = {("NMC2.4", "0.3 V"): 0.010, ("NMC2.4", "0.1 V"): 0.015}
"""State of health, mean absolute: the window of 3.8 to 4.1 V, and a random tenth of a volt inside it."""

_WHOLE_WIDTH_VOLT = 0.45
_FEWEST_FOR_AN_INTERVAL = 20
_COPIES_WITHIN_AH = 0.02


def main() -> int:
    """Print the figures; returns the exit code."""
    asked, console = _parser().parse_args(), report_console()
    if asked.data_dir is None:
        console.print("PACKGRADE_DATA_DIR is not set: there is nothing to measure on.")
        return 1
    try:
        with threadpool_limits(1):
            for plan_file in sorted(PLANS.glob("partial_charge_*.toml")):
                plan = load_plan(plan_file)
                table = feature_table(labelled_tests(plan, asked.data_dir), plan.method)
                held_out = held_out_predictions(plan, table, lambda _: None)
                _print_plan(console, plan, table, held_out)
                if any(dataset.kind == lsd_second_life.NAME for dataset in plan.datasets):
                    _print_other_history(console, plan, held_out, asked.data_dir)
            _print_vehicle_charges(console, asked.data_dir)
    except PackGradeError as problem:
        console.print(str(problem), markup=False)
        return 1
    return 0


def _print_plan(console: Console, plan: Plan, table: FeatureTable, held_out: HeldOut) -> None:
    console.print(_by_window(plan, table, held_out))
    if held_out.facts.visits.sum() < _FEWEST_FOR_AN_INTERVAL:
        console.print(f"{held_out.facts.visits.sum()} cells: too few to calibrate an interval.\n")
        return
    for key, split in coverage_over_splits(plan, held_out).items():
        console.print(
            f"{key}: nominal {plan.bundle.coverage_fraction:.0%} covers {split.mean:.1%} of {split.battery_count} "
            f"visits, mean width {split.mean_width:.3f}, one-sided p {split.p_value:.2f}"
        )
    console.print()


def _by_window(plan: Plan, table: FeatureTable, held_out: HeldOut) -> Table:
    facts = held_out.facts
    rows = pd.DataFrame(
        {
            "type": facts.type_keys,
            "window": list(_windows(held_out.table)),
            "cell": held_out.table.physical_cells,
            "error": np.abs(facts.point - facts.measured),
            "from_mean": np.abs(_mean_of_others(table, held_out) - facts.measured),
        }
    )
    shown = Table(title=f"{plan.bundle.name}: mean absolute error of state of health", title_justify="left")
    for column in ("type", "window", "tests", "cells", "error", "worst cell", "error of the mean", "target"):
        shown.add_column(column, justify="left" if column in {"type", "window"} else "right")
    for (key, window), group in rows.groupby(["type", "window"]):
        target = TARGETS.get((str(key), str(window)))
        shown.add_row(
            str(key),
            str(window),
            str(len(group)),
            str(group["cell"].nunique()),
            f"{group['error'].mean():.4f}",
            f"{group.groupby('cell')['error'].mean().max():.4f}",
            f"{group['from_mean'].mean():.4f}",
            "" if target is None else f"{target:.3f}",
        )
    return shown


def _print_other_history(console: Console, plan: Plan, held_out: HeldOut, data_folder: Path) -> None:
    """The same held-out cells, charged right after a slow and deeper discharge that no training charge followed."""
    windows = {"whole": True, "tests_per_cell": 12, "window_volt": (0.1,), "window_charge_fraction": ()}
    charges = lsd_second_life.labelled_tests(
        data_folder, after_slow_discharge=True, **windows, charged_range=(0.0, 1.0), seed=plan.seed
    )
    table = feature_table([charges], plan.method)
    fold_of_cell = dict(zip(held_out.table.physical_cells, held_out.fold_of_row, strict=True))
    fold = np.array([fold_of_cell[cell] for cell in table.physical_cells])
    error = np.empty(len(table))
    for number, models in enumerate(held_out.models):
        rows = np.flatnonzero(fold == number)
        ensemble = models.types[str(table.type_keys[0])].ensemble()
        point, _ = ensemble.said(table.values[rows], table.feature_set.names).joined()
        error[rows] = np.abs(point - table.state_of_health_fraction[rows])
    by_window = pd.Series(error).groupby(list(_windows(table))).mean()
    shown = ", ".join(f"{window} {mean:.4f}" for window, mean in by_window.items())
    console.print(f"Charged right after a slow (C/5), deeper discharge the same models err by: {shown}.\n")


def _windows(table: FeatureTable) -> Iterator[str]:
    """Windows of a sloping curve by voltage, of LFP by charge: its plateau has no width."""
    begin, end, charge = table.columns(("window_begin_volt", "window_end_volt", "window_charge_fraction")).T
    for low, high, moved, chemistry in zip(begin, end, charge, table.labels["chemistry"], strict=True):
        if chemistry == "LFP":
            yield f"{moved:.1f} of rated charge"
        else:
            yield "whole charge" if high - low > _WHOLE_WIDTH_VOLT else f"{high - low:.1f} V"


def _mean_of_others(table: FeatureTable, held_out: HeldOut) -> FloatArray:
    """Mean state of health of the type's cells outside the fold that held a row out."""
    health, keys, cells = table.state_of_health_fraction, table.type_keys, table.physical_cells
    said = np.empty(len(held_out.table))
    for number in np.unique(held_out.fold_of_row):
        inside = held_out.fold_of_row == number
        outside = ~np.isin(cells.astype(str), held_out.table.physical_cells[inside].astype(str))
        for key in np.unique(held_out.table.type_keys[inside].astype(str)):
            rows = inside & (held_out.table.type_keys == key)
            said[rows] = health[outside & (keys == key)].mean()
    return said


def _print_vehicle_charges(console: Console, data_folder: Path) -> None:
    charges = pd.read_parquet(data_folder / VEHICLE_CHARGES).to_numpy(dtype=np.float64)
    health, curves = charges[:, 0], charges[:, 1:]
    apart = np.sqrt(((curves[:, None, :] - curves[None, :, :]) ** 2).mean(axis=2))
    count, group = connected_components(apart <= _COPIES_WITHIN_AH)
    copied = int((np.bincount(group)[group] > 1).sum())
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1.0, 4.0, 11)))
    said = cross_val_predict(model, curves[:, 10::10], health, groups=group, cv=GroupKFold(5))
    error, from_mean = np.abs(said - health).mean(), np.abs(health - health.mean()).mean()
    explained = 1.0 - float(((said - health) ** 2).sum() / ((health - health.mean()) ** 2).sum())
    console.print(
        f"280 vehicle charges (figure data, no vehicle named): {count} different curves, {copied} rows have a copy. "
        f"Copies kept together, a ridge on the curve is off by {error:.4f}, the mean by {from_mean:.4f}; "
        f"it explains {explained:.0%} of the variance."
    )


def _parser() -> argparse.ArgumentParser:
    named = os.environ.get("PACKGRADE_DATA_DIR")
    parser = argparse.ArgumentParser(description="Figures of partial charges on held-out cells.")
    parser.add_argument("--data-dir", type=Path, default=Path(named) if named else None)
    return parser


if __name__ == "__main__":
    sys.exit(main())
