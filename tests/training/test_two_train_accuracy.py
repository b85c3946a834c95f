from pathlib import Path

import numpy as np
import pytest

import training
from features.train_pairs import MOVED_CHARGE_FRACTION
from features.two_trains import two_train_feature_matrix
from models.policy_file import SHIPPED_POLICY, load_policy
from training.certified import ALL_TYPES, calibrating_batteries, certified_fractions
from training.crossfit import coverage_over_splits, held_out_predictions
from training.datasets import pulse_pairs
from training.plan import load_plan
from training.table import feature_table

pytestmark = [pytest.mark.real_data, pytest.mark.long]

PLAN = load_plan(Path(training.__file__).parent / "plans" / "two_pulse_trains.toml")


@pytest.fixture(scope="module")
def pairs(data_dir):
    return pulse_pairs.labelled_tests(data_dir)


@pytest.fixture(scope="module")
def held_out(pairs):
    return held_out_predictions(PLAN, feature_table([pairs], PLAN.method), lambda _: None)


def test_grid_pairs_of_unseen_cells_are_read_within_1_8_percent(held_out):
    facts = held_out.facts
    error = np.abs(facts.point / facts.measured - 1.0)
    assert (~facts.visits).sum() == 1560
    assert error[~facts.visits].mean() <= 0.018
    assert error[facts.visits].mean() <= 0.024


def test_the_interval_covers_what_it_promises_and_is_at_most_nine_points_wide(held_out):
    coverage = coverage_over_splits(PLAN, held_out)
    assert 0.89 <= coverage[ALL_TYPES].mean <= 0.92
    assert coverage[ALL_TYPES].mean_width <= 0.09
    assert all(each.p_value >= 0.05 for each in coverage.values())


def test_one_grid_pair_per_battery_is_decided_in_82_of_100_cases_at_2_percent(held_out):
    rule, splits = load_policy(SHIPPED_POLICY).risk, PLAN.splits
    grid = np.flatnonzero(~held_out.facts.visits)
    first = np.unique(held_out.table.labels["battery_id"].to_numpy(dtype=str)[grid], return_index=True)[1]
    rows = grid[first]
    (fraction,) = certified_fractions(
        calibrating_batteries(held_out.facts.taken(rows)),
        held_out.table.physical_cells[rows],
        0.80,
        (rule,),
        (splits.calibration_share, splits.calibration_split_count, splits.seed),
    )
    assert fraction.holds
    assert fraction.shares[ALL_TYPES].decided >= 0.82


@pytest.mark.parametrize("declared", [20.0, 35.0, 10.0, 2.1, 21.0])
def test_a_pair_declared_as_another_known_type_is_no_pair_or_looks_unlike_it(pairs, held_out, declared):
    (key,) = (each for each in held_out.models[0].types if each.strip("LFPMONC") == f"{declared:g}")
    cells = pairs.labels["physical_cell"].to_numpy()
    seen = set(held_out.table.physical_cells[held_out.fold_of_row != 0].tolist())
    rows = [
        row
        for row in np.flatnonzero(~np.isin(cells, list(seen)))[::7]
        if pairs.labels["rated_capacity_ah"][row] != declared
    ]
    table = two_train_feature_matrix([pairs.tests[row] for row in rows], declared)
    names = held_out.table.feature_set.names
    lowest, highest = MOVED_CHARGE_FRACTION
    moved = table[:, names.index("moved_charge_fraction")]
    counts = (moved >= lowest) & (moved <= highest) & np.isfinite(table).all(axis=1)
    assert not (counts & (held_out.models[0].looks().distance(table, names, key) <= 1.0)).any()
