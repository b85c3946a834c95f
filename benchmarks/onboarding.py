"""How far a few fully tested batteries carry: each public type learned anew, the rest of it presented.

    python -m benchmarks.onboarding [--data-dir DIR] [--draws 6]

Of a type held out entirely, a few batteries are given with one visit (random state of charge) and
some grid tests at the pulse width of the visits; every other visited battery of the type is
presented. Nothing of the type is in what is learned. The interval's prior is the shipped bundle's,
without the type.
"""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.feature_set import Method
from models.bundle import REFERENCE_BUNDLE, load_bundle
from models.interval import ConformalInterval
from training.datasets import pulse_retired
from training.fit import fit_models
from training.onboard import ONBOARDING_PLAN
from training.onboarding import fitted_plan, left_out_facts, type_scale
from training.plan import PulsePlan, load_plan
from training.recipes.pulse import pulse_width_second
from training.table import FeatureTable, feature_table

VISIT_WIDTH_SECOND = 3.0
TYPES = ("LFP20", "LFP35", "LMO10", "NMC21")


@dataclass(frozen=True)
class Figures:
    """Of one draw; fractions."""

    error: float
    error_of_mean: float
    error_left_out: float
    covered: float
    width: float
    like_its_type: float


def drawn(
    table: FeatureTable, count: int, tests_each: int, draw: np.random.Generator
) -> tuple[FeatureTable, FeatureTable]:
    """Tests of a few batteries, and one visit of every other battery of the type."""
    first_visits = table.visits & ~table.labels["battery_id"].where(table.visits).duplicated().to_numpy()
    given = draw.permutation(np.unique(table.physical_cells[first_visits].astype(str)))[:count]
    inside = np.isin(table.physical_cells.astype(str), given)
    rows = list(np.flatnonzero(inside & first_visits))
    for cell in given:
        grid = np.flatnonzero((table.physical_cells == cell) & ~table.visits)
        rows += draw.permutation(grid)[: tests_each - 1].tolist()
    return table.taken(np.sort(np.array(rows))), table.taken(first_visits & ~inside)


def judged(plan: PulsePlan, given: FeatureTable, presented: FeatureTable, interval: ConformalInterval) -> Figures:
    """Learn from the given tests, predict the presented ones."""
    key, measured = str(given.type_keys[0]), presented.state_of_health_fraction
    facts, _ = left_out_facts(plan, given)
    scale, _ = type_scale(interval, facts)
    models = fit_models(plan, given, ())
    point, disagreement = models.types[key].ensemble().said(presented.values, presented.feature_set.names).joined()
    own = interval.model_copy(update={"types": {key: scale}})
    lower, upper = own.bounds(point, own.spread_fraction(key, disagreement))
    distance = models.looks().distance(presented.values, presented.feature_set.names, key)
    return Figures(
        error=float(np.mean(np.abs(point / measured - 1.0))),
        error_of_mean=float(np.mean(np.abs(facts.measured.mean() / measured - 1.0))),
        error_left_out=float(np.mean(np.abs(facts.point / facts.measured - 1.0))),
        covered=float(np.mean((lower <= measured) & (measured <= upper))),
        width=float(np.mean(upper - lower)),
        like_its_type=float(np.mean(distance <= 1.0)),
    )


def main() -> None:
    """Print one line per type, count of batteries and count of tests."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("PACKGRADE_DATA_DIR", ".")))
    parser.add_argument("--draws", type=int, default=6)
    asked = parser.parse_args()
    everything = feature_table([pulse_retired.labelled_tests(asked.data_dir)], Method.PULSE_TEST)
    shipped = load_bundle(REFERENCE_BUNDLE).estimators[Method.PULSE_TEST].interval
    print("type   batteries tests      MAPE   of mean  left-out   covered     width  like type")
    for count, tests_each in ((5, 4), (8, 4), (10, 4), (10, 1)):
        for key in TYPES:
            of_type = (everything.type_keys == key) & (pulse_width_second(everything) == VISIT_WIDTH_SECOND)
            table = everything.taken(of_type)
            types = {other: each for other, each in shipped.types.items() if other != key}
            interval, draw = shipped.model_copy(update={"types": types}), np.random.default_rng(1)
            plan = fitted_plan(load_plan(ONBOARDING_PLAN), table)
            figures = [judged(plan, *drawn(table, count, tests_each, draw), interval) for _ in range(asked.draws)]
            mean = 100.0 * np.mean([list(vars(each).values()) for each in figures], axis=0)
            shown = "  ".join(f"{value:6.2f} %" for value in mean)
            print(f"{key:6} {count:9} {tests_each:5}  {shown}", flush=True)


if __name__ == "__main__":
    main()
