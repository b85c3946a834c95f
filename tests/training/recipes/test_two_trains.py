from pathlib import Path

import numpy as np
import pytest

import training
from features.feature_set import FEATURE_SETS, Method
from tests.training.test_pulse_pairs import grid_rows, pairs
from training.plan import load_plan
from training.recipes.by_method import recipe_of
from training.recipes.two_trains import TwoTrainRecipe
from training.table import feature_table

PLAN = Path(training.__file__).parent / "plans" / "two_pulse_trains.toml"


@pytest.fixture(scope="module")
def recipe():
    return recipe_of(load_plan(PLAN))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return feature_table([pairs(grid_rows(), tmp_path_factory.mktemp("pairs"))], Method.TWO_PULSE_TRAINS)


def test_the_shipped_plan_names_features_of_the_method_only(recipe):
    assert isinstance(recipe, TwoTrainRecipe)
    assert recipe.feature_set is FEATURE_SETS[Method.TWO_PULSE_TRAINS]
    assert set(recipe.required) <= set(recipe.feature_set.names)


def test_one_pair_as_visited_of_every_battery_calibrates(recipe, table):
    counted = recipe.counted(table)
    assert table.labels["battery_id"][counted.visits].tolist() == ["c0", "c1", "c2", "c3"]
    assert table.visits[counted.visits].all()


def test_pairs_of_5_s_pulses_20_percent_apart_up_to_half_full_are_counted_as_grid(recipe, table):
    counted = recipe.counted(table)
    moved, width = counted.table.columns(("moved_charge_fraction", "log_pulse_width")).T
    assert np.allclose(moved[counted.grid], 0.20)
    assert np.allclose(10.0 ** width[counted.grid], 5.0)
    assert (table.labels["charged_fraction"][counted.grid] <= 0.30).all()
    assert counted.grid.sum() == 4 * 3
    assert not (counted.grid & table.visits).any()


def test_a_pair_known_to_end_above_half_full_is_not_counted_and_one_of_unknown_charge_is(recipe, table):
    fuller = table.labels.assign(charged_fraction=table.labels["charged_fraction"] + 0.15)
    unknown = table.labels.assign(charged_fraction=np.nan)
    counts = [
        recipe.counted(type(table)(table.feature_set, table.sources, labels, table.type_keys, table.values)).grid.sum()
        for labels in (fuller, unknown)
    ]
    assert counts == [4 * 2, 4 * 3]


def test_every_pair_trains_whatever_its_width_and_step(recipe, table):
    assert recipe.usable(table).all()
    assert recipe.typical(table).all()


def test_the_card_says_that_no_visit_calibrated_the_method(recipe):
    assert "not on batteries given two trains at a station" in recipe.limits_in_words
    assert "never a state of charge" in recipe.features_in_words
