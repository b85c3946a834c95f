"""How many batteries a certificate decides at SoH 0.80 from one pulse test, and how often it is wrong.

    PACKGRADE_DATA_DIR=... python -m benchmarks.certified_decisions [--fold-seeds 0 1 2 3]

Every visited battery is predicted by models that never saw its cell. Then, again and again, three
quarters of the batteries of each type calibrate and the other quarter is presented once (CDF@α, the
certified decided fraction). Shares are of all presented batteries, pooled over splits and draws of
the folds, accepted and rejected apart. Splits share batteries, so no bound is printed beside them.
"""

import argparse
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from features.errors import PackGradeError
from models.certificate import CannotPromise, Certificate, CutVerdict
from models.promise import promise_in_words, refusal_in_words
from models.risk import CalibrationBatteries, certify, certify_by_type
from models.risk_levels import RiskLevels
from training.cli import REFERENCE_PLAN
from training.crossfit import held_out_predictions
from training.datasets import pulse_retired
from training.plan import load_plan
from training.splits import Fold, calibration_splits
from training.table import FeatureTable, feature_table

CUT = 0.80
MAX_FALSE_REJECT_SHARE = 0.05
CONFIDENCE = 0.95
LEVELS = {alpha: RiskLevels(alpha, MAX_FALSE_REJECT_SHARE, CONFIDENCE) for alpha in (0.01, 0.02, 0.05)}
DECIDED_TARGET, TARGET_ALPHA = 0.70, 0.02
MIX_ONLY = (
    "The promise holds for the calibration mix of types only. What a single type got above is an observation; only "
    "a certificate of its own, where there is one, promises anything for it."
)


@dataclass(frozen=True)
class Visits:
    """Visited batteries of one draw of the folds, and how they are split into calibrating and presented."""

    batteries: CalibrationBatteries
    splits: tuple[Fold, ...]


@dataclass(frozen=True)
class Presented:
    """Verdicts on presented batteries, shape (n,) each; one battery appears in many splits."""

    type_keys: npt.NDArray[np.str_]
    verdicts: npt.NDArray[np.str_]
    below: npt.NDArray[np.bool_]

    def row(self, of: npt.NDArray[np.bool_]) -> list[float]:
        """Shares: decided, accepted, rejected, undecided, false accepts, false rejects."""
        accepted, rejected = (self.verdicts == verdict for verdict in (CutVerdict.ACCEPT, CutVerdict.REJECT))
        parts = (accepted | rejected, accepted, rejected, ~(accepted | rejected))
        return [float(np.mean(part[of])) for part in (*parts, accepted & self.below, rejected & ~self.below)]

    @property
    def everyone(self) -> npt.NDArray[np.bool_]:
        """All of them."""
        return np.ones(len(self.below), dtype=np.bool_)


def main() -> int:
    """Print the figures; returns the exit code."""
    asked, console = _parser().parse_args(), Console()
    if asked.data_dir is None:
        console.print("PACKGRADE_DATA_DIR is not set: there is nothing to measure on.")
        return 1
    try:
        table = feature_table([pulse_retired.labelled_tests(asked.data_dir)])
        draws = {seed: _visits(asked.plan, table, seed, asked.splits, console) for seed in asked.fold_seeds}
    except PackGradeError as problem:
        console.print(str(problem), markup=False)
        return 1
    _print_splits(console, draws)
    first = next(iter(draws.values())).batteries
    _print_by_type(console, first)
    _print_promises(console, first)
    console.print(f"\n{MIX_ONLY}")
    return 0


def _visits(plan_file: Path, table: FeatureTable, seed: int, split_count: int, console: Console) -> Visits:
    plan = load_plan(plan_file)
    plan = plan.model_copy(update={"splits": plan.splits.model_copy(update={"seed": seed})})
    with console.status(f"folds drawn with seed {seed}"):
        held_out = held_out_predictions(plan, table, lambda _: None)
    visits = held_out.facts.visits
    facts, cells = held_out.facts.taken(visits), held_out.table.physical_cells[visits]
    batteries = CalibrationBatteries(facts.type_keys.astype(str), facts.point, facts.measured)
    share = plan.splits.calibration_share
    return Visits(batteries, calibration_splits(cells, facts.type_keys, share, split_count, seed))


def _presented(visits: Visits, levels: RiskLevels) -> Presented:
    """Verdicts over all splits; a split whose batteries cannot support the promise decides nothing."""
    verdicts = [_verdicts(visits.batteries, split, levels) for split in visits.splits]
    return _joined(visits.batteries, [split.held_out for split in visits.splits], verdicts)


def _verdicts(batteries: CalibrationBatteries, split: Fold, levels: RiskLevels) -> npt.NDArray[np.str_]:
    found = certify(batteries.taken(split.train), CUT, levels)
    if isinstance(found, CannotPromise):
        return np.full(len(split.held_out), CutVerdict.UNDECIDED.value)
    return found.decide(batteries.score[split.held_out])


def _verdicts_by_type(batteries: CalibrationBatteries, split: Fold, levels: RiskLevels) -> npt.NDArray[np.str_]:
    presented = batteries.taken(split.held_out)
    return certify_by_type(batteries.taken(split.train), CUT, levels).decide(presented.type_keys, presented.score)


def _joined(
    batteries: CalibrationBatteries, rows: list[npt.NDArray[np.int64]], verdicts: list[npt.NDArray[np.str_]]
) -> Presented:
    shown = batteries.taken(np.concatenate(rows))
    return Presented(shown.type_keys, np.concatenate(verdicts), shown.measured_fraction < CUT)


def _pooled(parts: Iterable[Presented]) -> Presented:
    together = tuple(parts)
    return Presented(
        np.concatenate([part.type_keys for part in together]),
        np.concatenate([part.verdicts for part in together]),
        np.concatenate([part.below for part in together]),
    )


def _print_splits(console: Console, draws: dict[int, Visits]) -> None:
    for alpha, levels in LEVELS.items():
        presented = {seed: _presented(visits, levels) for seed, visits in draws.items()}
        together = _pooled(presented.values())
        if not (together.verdicts != CutVerdict.UNDECIDED).any():
            console.print(f"CDF@{alpha:.0%}: refused in every split; nothing was decided.\n")
            continue
        table = _table(f"CDF@{alpha:.0%} at SoH {CUT:.2f}: {_described(draws)}")
        for key in np.unique(together.type_keys):
            _add(table, str(key), together.row(together.type_keys == key))
        for seed, part in presented.items():
            _add(table, f"seed {seed}", part.row(part.everyone))
        _add(table, "all", together.row(together.everyone))
        console.print(table)
        if alpha == TARGET_ALPHA:
            console.print(_against_target(together.row(together.everyone)))
        console.print()


def _against_target(shares: list[float]) -> str:
    decided, *_, false_accepts, false_rejects = shares
    met = decided >= DECIDED_TARGET and false_accepts <= TARGET_ALPHA and false_rejects <= MAX_FALSE_REJECT_SHARE
    wanted = f"at least {DECIDED_TARGET:.0%} decided, false accepts <= {TARGET_ALPHA:.0%}"
    return f"target ({wanted}, false rejects <= {MAX_FALSE_REJECT_SHARE:.0%}): {'met' if met else 'MISSED'}"


def _described(draws: dict[int, Visits]) -> str:
    split = next(iter(draws.values())).splits[0]
    count = sum(len(visits.splits) for visits in draws.values())
    return f"{count} splits, {len(split.train)} batteries calibrate, {len(split.held_out)} are presented"


def _print_by_type(console: Console, batteries: CalibrationBatteries) -> None:
    """Present each battery once with all others calibrating: one certificate for all types, then one per type."""
    levels, everyone = LEVELS[0.05], np.arange(len(batteries.score))
    alone = [Fold(everyone[everyone != one], everyone[[one]]) for one in everyone]
    ways = {
        "one certificate": [_verdicts(batteries, fold, levels) for fold in alone],
        "by type": [_verdicts_by_type(batteries, fold, levels) for fold in alone],
    }
    for way, verdicts in ways.items():
        shown = _joined(batteries, [everyone], verdicts)
        table = _table(f"α = 5 %, {way}: each battery presented once, all others calibrate")
        for key in np.unique(batteries.type_keys):
            _add(table, str(key), shown.row(shown.type_keys == key))
        _add(table, "all", shown.row(shown.everyone))
        console.print(table, "")


def _print_promises(console: Console, batteries: CalibrationBatteries) -> None:
    console.print(f"With all {len(batteries.score)} batteries calibrating (first draw of the folds):")
    for levels in LEVELS.values():
        _print_promise(console, certify(batteries, CUT, levels))
    console.print("By type, at 5 %:")
    for group in certify_by_type(batteries, CUT, LEVELS[0.05]).groups:
        _print_promise(console, group)


def _print_promise(console: Console, found: Certificate | CannotPromise) -> None:
    if isinstance(found, CannotPromise):
        console.print(f"  REFUSED  {refusal_in_words(found).en}", highlight=False)
        return
    accepts, rejects = found.false_accepts, found.false_rejects
    thresholds = f"accept at {found.accept_at_least:.4f} and above, reject below {found.reject_below:.4f}"
    errors = (
        f"errors found/allowed: accepts {accepts.found}/{accepts.allowed}, rejects {rejects.found}/{rejects.allowed}"
    )
    console.print(f"  {thresholds}; {errors}.\n    {promise_in_words(found).en}", highlight=False)


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("", "decided", "accepted", "rejected", "undecided", "false accepts", "false rejects"):
        table.add_column(column, justify="right")
    return table


def _add(table: Table, name: str, shares: list[float]) -> None:
    table.add_row(name, *(f"{100 * share:.2f} %" for share in shares))


def _parser() -> argparse.ArgumentParser:
    named = os.environ.get("PACKGRADE_DATA_DIR")
    parser = argparse.ArgumentParser(description="Certified decided fraction of the shipped plan on held-out cells.")
    parser.add_argument("--plan", type=Path, default=REFERENCE_PLAN)
    parser.add_argument("--data-dir", type=Path, default=Path(named) if named else None)
    parser.add_argument("--fold-seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--splits", type=int, default=60, help="calibration splits per draw of the folds")
    return parser


if __name__ == "__main__":
    sys.exit(main())
