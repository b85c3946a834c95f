from dataclasses import replace

import numpy as np
import pytest

from features.feature_set import Method
from tests.training.synthetic_pulses import synthetic_rows, write_public_layout
from tests.training.tiny_plan import tiny_plan
from training.datasets import pulse_retired
from training.recipes.by_method import recipe_of
from training.recipes.pulse import needs_larger_amplitudes, pulse_width_second
from training.table import feature_table

RECIPE = recipe_of(tiny_plan())
MEMBERS = {member.name: member for member in tiny_plan().members}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = write_public_layout(synthetic_rows(4), tmp_path_factory.mktemp("data"))
    return feature_table([pulse_retired.labelled_tests(folder)], Method.PULSE_TEST)


def test_voltage_and_width_come_first_so_that_the_kernel_weighs_the_voltage():
    for member in MEMBERS.values():
        assert RECIPE.member_features(member)[:2] == ("open_circuit_voltage_volt", "log_pulse_width")


def test_nothing_later_than_the_charge_pulse_at_1_5_c_is_required():
    assert len(RECIPE.required) == 11
    assert not [name for name in RECIPE.required if needs_larger_amplitudes(name)]


def test_a_member_on_all_amplitudes_requires_every_resistance_and_another_none():
    assert len(RECIPE.member_required(MEMBERS["ratios_2.5c"])) == 20
    assert RECIPE.member_required(MEMBERS["ratios"]) == ()


def test_a_battery_is_counted_once_as_a_visit_at_the_width_of_visits(table):
    counted = RECIPE.counted(table)
    assert table.labels["battery_id"][counted.visits].is_unique
    assert set(pulse_width_second(table)[counted.visits]) == {3.0}


def test_grid_rows_are_presented_as_if_stopped_early_and_visits_whole(table):
    counted = RECIPE.counted(table)
    late = [needs_larger_amplitudes(name) for name in table.feature_set.names]
    assert np.isnan(counted.table.values[counted.grid][:, late]).all()
    assert np.isfinite(counted.table.values[counted.visits][:, late]).any()


def test_grid_rows_outside_the_counted_charge_are_not_counted(table):
    charged = table.labels["charged_fraction"]
    counted = RECIPE.counted(table)
    assert charged[counted.grid].between(0.05, 0.50).all()
    assert not counted.kept[(charged > 0.50).to_numpy() & ~table.visits].any()


def test_tests_cut_short_by_a_voltage_limit_train_only_where_the_plan_says_so(table):
    labels = table.labels.assign(voltage_limited=table.labels.index == 0)
    limited = replace(table, labels=labels)
    plan = tiny_plan()
    for voltage_limited, lost in ((True, 0), (False, 1)):
        rows = plan.rows.model_copy(update={"voltage_limited": voltage_limited})
        usable = recipe_of(plan.model_copy(update={"rows": rows})).usable(limited)
        assert np.count_nonzero(~usable) == lost
