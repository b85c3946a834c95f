"""How well a single impedance spectrum tells capacity, whole physical cells held out.

    PACKGRADE_DATA_DIR=... python -m benchmarks.impedance

One line per data set and way of counting, each beside its target or the figure others reached. Denso's set is
counted three times: every spectrum once, as the plan trains; as published, where one fresh spectrum
stands under all 24 cells and so is never really held out; and of those rows the ones in the conditions all
check-ups share (half charge, −10 and 25 °C). The last line is the cost of the features alone.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from features.errors import PackGradeError
from features.impedance import impedance_features
from features.measurement import BatteryHistory
from training.crossfit import HeldOut, held_out_predictions
from training.datasets import denso_eis
from training.datasets.registry import labelled_tests
from training.labels import LabelledTests
from training.plan import Plan, load_plan
from training.table import BoolArray, feature_table

PLANS = Path(__file__).parents[1] / "training" / "plans"
_COPIED_CELLS = 24
_SHARED_CELSIUS, _SHARED_CHARGED = (-10.0, 25.0), 0.5


@dataclass(frozen=True)
class Counting:
    """Held-out errors of one way of counting, in state of health."""

    name: str
    against: str
    held_out: HeldOut
    rows: BoolArray

    def cells(self) -> Iterator[str]:
        """Words of the table's columns."""
        facts = self.held_out.facts
        error = np.abs(facts.point - facts.measured)[self.rows]
        cell = self.held_out.table.physical_cells[self.rows].astype(str)
        relative = error / facts.measured[self.rows]
        of_cells = pd.Series(error).groupby(cell).mean()
        yield from (self.name, str(len(error)), str(len(of_cells)), f"{error.mean():.4f}")
        yield from (f"{of_cells.mean():.4f}", f"{100 * relative.mean():.2f} %", self.against)


def main() -> int:
    """Print the figures; returns the exit code."""
    named = os.environ.get("PACKGRADE_DATA_DIR")
    parser = argparse.ArgumentParser(description="Capacity from one impedance spectrum, physical cells held out.")
    parser.add_argument("--data-dir", type=Path, default=Path(named) if named else None)
    data_folder = parser.parse_args().data_dir
    console = Console()
    if data_folder is None:
        console.print("PACKGRADE_DATA_DIR is not set: there is nothing to measure on.")
        return 1
    try:
        console.print(_table(list(_countings(data_folder))))
        console.print(f"Features of one spectrum: {_millisecond_per_spectrum(data_folder):.2f} ms CPU.")
    except PackGradeError as problem:
        console.print(str(problem), markup=False)
        return 1
    return 0


def _countings(data_folder: Path) -> Iterator[Counting]:
    denso = _plan("denso")
    once = _held_out(denso, labelled_tests(denso, data_folder)[0])
    yield Counting("Denso, every spectrum once", "target 0.018", once, _every(once))
    published = _held_out(_with_folds(denso, _COPIED_CELLS), denso_eis.labelled_tests(data_folder, as_published=True))
    yield Counting("Denso, as published", "0.021 simple, 0.026 published, 0.019 best", published, _every(published))
    yield Counting("  half charge, −10 and 25 °C", "", published, _shared_conditions(published))
    for name, shown, against in (("faraji_niri", "Faraji-Niri", "0.018 simple"), ("zhang", "Zhang, coin cells", "–")):
        plan = _plan(name)
        held_out = _held_out(plan, labelled_tests(plan, data_folder)[0])
        yield Counting(shown, against, held_out, _every(held_out))


def _plan(name: str) -> Plan:
    return load_plan(PLANS / f"impedance_{name}.toml")


def _with_folds(plan: Plan, fold_count: int) -> Plan:
    return plan.model_copy(update={"splits": plan.splits.model_copy(update={"fold_count": fold_count})})


def _held_out(plan: Plan, tests: LabelledTests) -> HeldOut:
    return held_out_predictions(plan, feature_table([tests], plan.method), lambda _: None)


def _every(held_out: HeldOut) -> BoolArray:
    return np.ones(len(held_out.table), dtype=np.bool_)


def _shared_conditions(held_out: HeldOut) -> BoolArray:
    celsius = held_out.table.columns(("surface_temperature_celsius",))[:, 0]
    half = (held_out.table.labels["charged_fraction"] == _SHARED_CHARGED).to_numpy()
    return np.asarray(half & np.isin(celsius, _SHARED_CELSIUS), dtype=np.bool_)


def _table(countings: list[Counting]) -> Table:
    table = Table(title="Mean absolute error of state of health, whole cells held out", title_justify="left")
    table.add_column("counting")
    for heading in ("spectra", "cells", "MAE (spectra)", "MAE (cells)", "MAPE", "beside"):
        table.add_column(heading, justify="right")
    for each in countings:
        table.add_row(*each.cells())
    return table


def _millisecond_per_spectrum(data_folder: Path) -> float:
    tests = labelled_tests(_plan("faraji_niri"), data_folder)[0].tests
    histories = [test for test in tests if isinstance(test, BatteryHistory)]
    begun = time.process_time()
    for history in histories:
        impedance_features(history.runs[0].table, history.identity)
    return 1000.0 * (time.process_time() - begun) / len(histories)


if __name__ == "__main__":
    sys.exit(main())
