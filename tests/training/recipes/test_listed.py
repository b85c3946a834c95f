from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from features.errors import InvalidInput
from features.feature_set import FEATURE_SETS, Method
from models.bundle import load_bundle
from models.policy_file import SHIPPED_POLICY
from tests.training.recipes.listed_plans import listed_plan
from tests.training.synthetic_pairs import write_own_pairs
from training.plan import JointPlan
from training.recipes.by_method import recipe_of
from training.run import JudgedBundle, judge, train_bundle

NAMES = FEATURE_SETS[Method.TWO_PULSE_TRAINS].names
LISTED = {
    "required": ("first_open_circuit_voltage_volt", "open_circuit_slope_volt"),
    "anchors": ("first_open_circuit_voltage_volt",),
    "logarithmic": ("first_instantaneous_resistance",),
    "resistances": ("first_instantaneous_resistance", "second_instantaneous_resistance"),
}
LOOK = ("first_open_circuit_voltage_volt", "first_instantaneous_resistance_ohm_ah_1.0c_charge")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    own = write_own_pairs(tmp_path_factory.mktemp("own"))
    return listed_plan(Method.TWO_PULSE_TRAINS, LISTED, LOOK, *own)


@pytest.fixture(scope="module")
def judged(plan):
    return judge(plan, None, SHIPPED_POLICY, lambda _: None)


def test_own_tables_of_another_method_are_judged_on_one_visit_per_battery_and_the_rest_as_grid(judged):
    assert judged.evaluation.visits["all"].errors.row_count == 24
    assert judged.evaluation.grid["all"].errors.row_count == 24
    assert judged.evaluation.visits["all"].errors.mean_absolute_percentage_error < 0.15


def test_a_bundle_of_two_methods_holds_a_folder_for_each_and_one_list_of_types(judged, tiny_judged, tmp_path):
    joint = JointPlan(tiny_judged.plan.bundle, (tiny_judged.plan, judged.plan), judged.plan.tracking)
    manifest = train_bundle(
        JudgedBundle(joint, (tiny_judged, judged)), tmp_path / "b", date(2026, 11, 1), lambda _: None
    )
    assert [each.method for each in manifest.methods] == [Method.PULSE_TEST, Method.TWO_PULSE_TRAINS]
    assert {name.split("/")[0] for name in manifest.files if "/" in name} == {"pulse_test", "two_pulse_trains"}
    calibrating = {each.key: dict(each.calibration_batteries) for each in manifest.known_types}
    both = {Method.PULSE_TEST: 24, Method.TWO_PULSE_TRAINS: 12}
    assert calibrating == {"LFP20": both, "NMC21": both}
    assert [(data.name, data.row_count) for data in manifest.training_data] == [("pulse_retired", 192), ("mine", 48)]
    assert set(load_bundle(tmp_path / "b").estimators) == {Method.PULSE_TEST, Method.TWO_PULSE_TRAINS}
    card = (tmp_path / "b" / "model_card.md").read_text(encoding="utf-8")
    assert "## Method `pulse_test`" in card
    assert "## Method `two_pulse_trains`" in card


def test_the_anchors_come_first_and_a_prefix_asks_for_its_features(plan):
    recipe, member = recipe_of(plan), plan.members[0]
    assert recipe.member_features(member)[0] == "first_open_circuit_voltage_volt"
    assert set(recipe.member_features(member)) == set(NAMES)
    asked = member.model_copy(update={"features": ("second_relaxation_ratio",)})
    assert recipe.member_features(asked) == (LISTED["anchors"][0], *[n for n in NAMES if n.startswith("second_relax")])


def test_a_row_that_lacks_what_a_member_needs_does_not_train_it(plan, judged):
    member = plan.members[0].model_copy(update={"needed": ("second_relaxation_ratio",)})
    values = judged.table.values.copy()
    values[0, NAMES.index("second_relaxation_ratio_1.0c_charge")] = np.nan
    table = replace(judged.table, values=values)
    rows = recipe_of(plan).member_rows(member, table)
    assert not rows[0]
    assert rows[1:].all()


@pytest.mark.parametrize(
    ("where", "changes"),
    [
        ("listed_features.required", {"required": ("open_circuit_voltage",)}),
        ("listed_features.resistances", {"resistances": ("ohm",)}),
    ],
)
def test_a_name_that_is_no_feature_of_the_method_is_refused(plan, where, changes):
    wrong = plan.model_copy(update={"listed_features": plan.listed_features.model_copy(update=changes)})
    with pytest.raises(InvalidInput, match=rf"NOT_A_FEATURE(.|\n)*{where}"):
        recipe_of(wrong)


def test_a_prefix_no_feature_begins_with_is_refused(plan):
    member = plan.members[0].model_copy(update={"features": ("relaxation",)})
    with pytest.raises(InvalidInput, match=r"NOT_A_FEATURE(.|\n)*members\.trees\.features(.|\n)*relaxation"):
        recipe_of(plan.model_copy(update={"members": (member,)}))
