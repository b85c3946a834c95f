"""How many batteries a certificate decides at SoH 0.80 from one test, and how often it is wrong.

    PACKGRADE_DATA_DIR=... python -m benchmarks.certified_decisions [--fold-seeds 0 1 2 3]
    ... --plan training/plans/two_pulse_trains.toml --rows grid

Every battery is predicted by models that never saw its cell. With ``--rows visits`` it has the row that
calibrates the bundle, with ``--rows grid`` one drawn from its grid tests. Then, again and again, three
quarters of the batteries of each type calibrate and the other quarter is presented once (CDF@α, the
certified decided fraction, `training.certified`). The folds are drawn anew for every seed, because one
battery that looks good by chance sets a threshold alone where no error is allowed.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from features.errors import PackGradeError
from features.feature_set import Method
from models.certification import certified_method
from models.policy_file import SHIPPED_POLICY, load_policy
from models.promise import MIX_ONLY, promise_in_words, refusal_in_words
from models.risk import CalibrationBatteries
from models.risk_levels import CalibrateBy, RiskRule
from training.certified import (
    ALL_TYPES,
    CertifiedFraction,
    DecidedShares,
    at_alpha,
    calibrating_batteries,
    certified_fraction,
    certified_fractions,
)
from training.certified_report import certified_table
from training.cli import REFERENCE_PLAN
from training.crossfit import HeldOut, held_out_predictions
from training.datasets.registry import labelled_tests
from training.plan import load_plan
from training.splits import Fold
from training.table import feature_table

CUT = 0.80
ALPHAS = (0.01, 0.02, 0.05)
TARGET_ALPHA = 0.02
DECIDED_TARGETS = {Method.PULSE_TEST: 0.70, Method.TWO_PULSE_TRAINS: 0.82}


@dataclass(frozen=True)
class Draw:
    """Batteries of one draw of the folds, one row each, with their physical cells and how they are split."""

    method: Method
    batteries: CalibrationBatteries
    cells: npt.NDArray[np.object_]
    splits: tuple[float, int, int]

    def fractions(self, rules: Sequence[RiskRule]) -> tuple[CertifiedFraction, ...]:
        """CDF@α of the draw."""
        return certified_fractions(self.batteries, self.cells, CUT, rules, self.splits)


def main() -> int:
    """Print the figures; returns the exit code."""
    asked, console = _parser().parse_args(), Console()
    if asked.data_dir is None:
        console.print("PACKGRADE_DATA_DIR is not set: there is nothing to measure on.")
        return 1
    try:
        rule = load_policy(SHIPPED_POLICY).risk
        draws = {seed: _draw(asked, seed, console) for seed in asked.fold_seeds}
    except PackGradeError as problem:
        console.print(str(problem), markup=False)
        return 1
    _print_fractions(console, draws, at_alpha(rule, ALPHAS))
    first = next(iter(draws.values()))
    _print_by_type(console, first, at_alpha(rule, (0.05,))[-1])
    _print_promises(console, first.batteries, at_alpha(rule, ALPHAS))
    console.print(f"\n{MIX_ONLY.en}")
    return 0


def _draw(asked: argparse.Namespace, seed: int, console: Console) -> Draw:
    plan = load_plan(asked.plan)
    plan = plan.model_copy(update={"splits": plan.splits.model_copy(update={"seed": seed})})
    table = feature_table(labelled_tests(plan, asked.data_dir), plan.method)
    with console.status(f"folds drawn with seed {seed}"):
        held_out = held_out_predictions(plan, table, lambda _: None)
    rows = np.flatnonzero(held_out.facts.visits) if asked.rows == "visits" else _one_grid_row_each(held_out, seed)
    batteries = calibrating_batteries(held_out.facts.taken(rows))
    splits = (plan.splits.calibration_share, asked.splits, seed)
    return Draw(plan.method, batteries, held_out.table.physical_cells[rows], splits)


def _one_grid_row_each(held_out: HeldOut, seed: int) -> npt.NDArray[np.int64]:
    """One grid row of every battery, drawn by lot: a battery comes once, at a state of charge nobody chose."""
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(~held_out.facts.visits))
    names = held_out.table.labels["battery_id"].to_numpy().astype(str)[drawn]
    return np.sort(drawn[np.unique(names, return_index=True)[1]])


def _print_fractions(console: Console, draws: dict[int, Draw], rules: Sequence[RiskRule]) -> None:
    target = DECIDED_TARGETS.get(next(iter(draws.values())).method)
    of_draws = {seed: draw.fractions(rules) for seed, draw in draws.items()}
    pooled = [_pooled([found[place] for found in of_draws.values()]) for place in range(len(rules))]
    console.print(certified_table(pooled))
    for place, fraction in enumerate(pooled):
        decided = [found[place].shares[ALL_TYPES].decided for found in of_draws.values() if found[place].shares]
        if decided:
            alpha = fraction.rule.levels.max_false_accept_share
            by_seed = ", ".join(f"{100 * share:.1f}" for share in decided)
            console.print(f"CDF@{alpha:.0%} by seed of the folds: {by_seed} %")
            if alpha == TARGET_ALPHA and target is not None:
                met = fraction.holds and fraction.shares[ALL_TYPES].decided >= target
                console.print(f"target (at least {target:.0%} decided, promise kept): {'met' if met else 'MISSED'}")


def _pooled(parts: Sequence[CertifiedFraction]) -> CertifiedFraction:
    """Mean over draws of equally many splits; a draw that certified nothing decided nothing."""
    of_parts = [part.shares for part in parts if part.shares]
    keys = sorted({key for shares in of_parts for key in shares})
    shares = {key: _mean([each[key] for each in of_parts]) for key in keys} if len(of_parts) == len(parts) else {}
    return replace(parts[0], shares=shares, split_count=sum(part.split_count for part in parts))


def _mean(shares: Sequence[DecidedShares]) -> DecidedShares:
    names = ("decided", "accepted", "rejected", "undecided", "false_accepts", "false_rejects")
    means = {name: float(np.mean([getattr(each, name) for each in shares])) for name in names}
    return DecidedShares(shares[0].battery_count, **means)


def _print_by_type(console: Console, draw: Draw, rule: RiskRule) -> None:
    """Each battery presented once with all others calibrating: one certificate for all types, then one per type."""
    everyone = np.arange(len(draw.batteries.score))
    alone = [Fold(everyone[everyone != one], everyone[[one]]) for one in everyone]
    for way in CalibrateBy:
        console.print(f"\ncalibrate_by = {way.value}, first draw of the folds")
        found = certified_fraction(draw.batteries, CUT, replace(rule, calibrate_by=way), alone)
        console.print(certified_table([found]))


def _print_promises(console: Console, batteries: CalibrationBatteries, rules: Sequence[RiskRule]) -> None:
    console.print(f"With all {len(batteries.score)} batteries calibrating (first draw of the folds):")
    for rule in rules:
        for group in certified_method(batteries, (CUT,), rule).groups:
            _print_table_rows(console, [refusal_in_words(each).en for each in group.refusals], "REFUSED")
            for each in group.certificates:
                thresholds = f"accept from {each.accept_at_least:.4f}, reject below {each.reject_below:.4f}"
                _print_table_rows(console, [promise_in_words(each).en], thresholds)


def _print_table_rows(console: Console, sentences: Sequence[str], title: str) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for sentence in sentences:
        table.add_row(title, sentence)
    console.print(table)


def _parser() -> argparse.ArgumentParser:
    named = os.environ.get("PACKGRADE_DATA_DIR")
    parser = argparse.ArgumentParser(description="Certified decided fraction of a plan on held-out cells.")
    parser.add_argument("--plan", type=Path, default=REFERENCE_PLAN, help="plan of one method")
    parser.add_argument("--rows", choices=("visits", "grid"), default="visits", help="which row of a battery counts")
    parser.add_argument("--data-dir", type=Path, default=Path(named) if named else None)
    parser.add_argument("--fold-seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--splits", type=int, default=60, help="calibration splits per draw of the folds")
    return parser


if __name__ == "__main__":
    sys.exit(main())
