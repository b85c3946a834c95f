"""How well vehicle telemetry tells the capacity of packs no model saw, on a simulated fleet whose truth is known.

    packgrade-train fleet --packs 200 --groups 24 --out FLEET
    python -m benchmarks.simulated_fleet --fleet FLEET [--seeds N]

One line per chemistry: the trained estimator of ``training/plans/telemetry_simulated.toml`` with whole packs
held out, averaged over N ways of cutting the folds; and beside it the charging sessions alone, which need no
training, with the interval of their own uncertainty.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from features.errors import PackGradeError
from features.measurement import FloatArray
from training.crossfit import HeldOut, coverage_over_splits, held_out_predictions
from training.datasets.registry import labelled_tests
from training.evaluation import ALL_TYPES
from training.plan import Plan, load_plan
from training.table import FeatureTable, feature_table

PLAN = Path(__file__).parents[1] / "training" / "plans" / "telemetry_simulated.toml"
_HALF_WIDTH = NormalDist().inv_cdf(0.95)
_HEADINGS = ("packs", "MAPE", "90 % of errors below", "covered", "width", "sessions: MAPE", "sessions: covered")


@dataclass(frozen=True)
class Figures:
    """Held-out figures of one chemistry, or of all; fractions.

    Attributes
    ----------
    pack_count : int
        Packs judged.
    mean_error, high_error : float
        Mean and 90th percentile of the relative error.
    covered, width : float
        Of the nominal 90 % interval over repeated splits into calibrating and presented packs; width over the plate.
    sessions_error, sessions_covered : float
        Of the charging sessions alone.
    """

    pack_count: int
    mean_error: float
    high_error: float
    covered: float
    width: float
    sessions_error: float
    sessions_covered: float

    def cells(self) -> tuple[str, ...]:
        """Words of the table's columns."""
        errors = (f"{100 * self.mean_error:.2f} %", f"{100 * self.high_error:.2f} %")
        interval = (f"{100 * self.covered:.1f} %", f"{100 * self.width:.1f} %")
        return (
            str(self.pack_count),
            *errors,
            *interval,
            f"{100 * self.sessions_error:.2f} %",
            f"{100 * self.sessions_covered:.1f} %",
        )


def main() -> int:
    """Print the figures; returns the exit code."""
    parser = argparse.ArgumentParser(description="Capacity from telemetry on a simulated fleet, whole packs held out.")
    parser.add_argument("--fleet", type=Path, required=True, metavar="DIR", help="as `packgrade-train fleet` wrote it")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="ways of cutting the folds (default 5)")
    asked = parser.parse_args()
    console = Console()
    try:
        plan = load_plan(PLAN)
        table = feature_table(labelled_tests(plan, asked.fleet), plan.method)
        judged = [_judged(_with_seed(plan, seed), table) for seed in range(asked.seeds)]
    except PackGradeError as problem:
        console.print(str(problem), markup=False)
        return 1
    shown = Table(title=f"Whole packs held out, mean of {len(judged)} ways of cutting the folds", title_justify="left")
    shown.add_column("type")
    for heading in _HEADINGS:
        shown.add_column(heading, justify="right")
    for key in judged[0]:
        shown.add_row(key, *_mean([each[key] for each in judged]).cells())
    console.print(shown)
    return 0


def _with_seed(plan: Plan, seed: int) -> Plan:
    return plan.model_copy(update={"splits": plan.splits.model_copy(update={"seed": seed})})


def _judged(plan: Plan, table: FeatureTable) -> dict[str, Figures]:
    held_out = held_out_predictions(plan, table, lambda _: None)
    return dict(_figures(plan, held_out))


def _figures(plan: Plan, held_out: HeldOut) -> Iterator[tuple[str, Figures]]:
    facts, over_splits = held_out.facts, coverage_over_splits(plan, held_out)
    error = np.abs(facts.point / facts.measured - 1.0)
    capacity, uncertainty = held_out.table.columns(("window_capacity_ah", "window_capacity_uncertainty_ah")).T
    true_ah = held_out.table.labels["remaining_capacity_ah"].to_numpy(dtype=np.float64)
    inside = np.abs(capacity - true_ah) <= _HALF_WIDTH * uncertainty
    for key in (*sorted(set(facts.type_keys.tolist())), ALL_TYPES):
        rows: npt.NDArray[np.bool_] = (facts.type_keys == key) | (key == ALL_TYPES)
        yield (
            key,
            Figures(
                int(rows.sum()),
                float(error[rows].mean()),
                float(np.quantile(error[rows], 0.9)),
                over_splits[key].mean,
                over_splits[key].mean_width,
                float(np.abs(capacity[rows] / true_ah[rows] - 1.0).mean()),
                float(inside[rows].mean()),
            ),
        )


def _mean(figures: list[Figures]) -> Figures:
    def mean(name: str) -> float:
        values: FloatArray = np.array([getattr(each, name) for each in figures], dtype=np.float64)
        return float(values.mean())

    names = ("mean_error", "high_error", "covered", "width", "sessions_error", "sessions_covered")
    return Figures(figures[0].pack_count, *(mean(name) for name in names))


if __name__ == "__main__":
    sys.exit(main())
