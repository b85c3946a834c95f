import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from features.feature_set import Method
from models.bundle import BundleRefused, load_bundle
from models.calibration_file import calibration_file_name
from training.assemble import TrainedMethod
from training.bundle_documents import CARD_FILE, METRICS_FILE, calibration_json, metrics_json
from training.calibrate import calibrate, conformal_quantile
from training.fit import fit_models
from training.model_card import model_card
from training.plan import JointPlan

CALIBRATION_FILE = calibration_file_name(Method.PULSE_TEST)


@pytest.fixture(scope="module")
def trained(tiny_judged):
    plan, table = tiny_judged.plan, tiny_judged.table
    return TrainedMethod(plan, table, fit_models(plan, table, ()), calibrate(plan, tiny_judged.held_out.facts))


def _card(trained, evaluation):
    return model_card(JointPlan.of(trained.plan), (trained,), {trained.plan.method: evaluation})


@pytest.fixture
def calibrating(tiny_bundle_folder):
    return json.loads((tiny_bundle_folder / CALIBRATION_FILE).read_text(encoding="utf-8"))


@pytest.fixture
def card(tiny_bundle_folder):
    return (tiny_bundle_folder / CARD_FILE).read_text(encoding="utf-8")


def test_every_document_is_a_file_of_the_manifest(tiny_bundle):
    assert {CARD_FILE, METRICS_FILE, CALIBRATION_FILE} <= set(tiny_bundle.manifest.files)


@pytest.mark.parametrize("name", [CARD_FILE, METRICS_FILE, CALIBRATION_FILE])
def test_a_changed_document_damages_the_bundle_although_no_estimator_reads_it(tiny_bundle_folder, tmp_path, name):
    copied = shutil.copytree(tiny_bundle_folder, tmp_path / "bundle")
    assert load_bundle(copied).estimators
    (copied / name).write_text((copied / name).read_text(encoding="utf-8") + " ", encoding="utf-8")
    with pytest.raises(BundleRefused, match=rf"BUNDLE_DAMAGED(.|\n)*{name}"):
        load_bundle(copied)


def test_a_calibrating_battery_is_there_without_its_identity(calibrating, tiny_judged):
    names = {"type", "point", "spread", "lowest_member", "highest_member", "state_of_health"}
    assert len(calibrating["batteries"]) == 48
    assert all(set(battery) == names for battery in calibrating["batteries"])
    text = json.dumps(calibrating)
    assert not any(cell in text for cell in set(tiny_judged.table.physical_cells.tolist()))


def test_calibrating_batteries_are_rounded_and_in_an_order_that_tells_nothing(calibrating):
    batteries = [tuple(battery.values()) for battery in calibrating["batteries"]]
    assert batteries == sorted(batteries)
    assert all(value == round(value, 4) for battery in batteries for value in battery[1:])


def test_the_quantile_of_the_interval_follows_from_the_calibrating_batteries(calibrating):
    held = calibrating["batteries"]
    scores = np.array([abs(each["state_of_health"] - each["point"]) / each["spread"] for each in held])
    assert conformal_quantile(scores, 0.9) == pytest.approx(calibrating["quantile"], rel=0.05)


def test_the_point_lies_between_the_lowest_and_the_highest_member(calibrating):
    for battery in calibrating["batteries"]:
        assert battery["lowest_member"] <= battery["point"] <= battery["highest_member"]


def test_shuffled_facts_give_the_same_bytes(tiny_judged):
    facts = tiny_judged.held_out.facts
    shuffled = facts.taken(np.random.default_rng(1).permutation(len(facts.measured)))
    first, second = (calibration_json(calibrate(tiny_judged.plan, each)) for each in (facts, shuffled))
    assert first == second


def test_figures_that_do_not_exist_are_null_and_all_others_are_there(tiny_judged):
    visits = dict(tiny_judged.evaluation.visits)
    errors = replace(visits["LFP20"].errors, explained_fraction=math.nan)
    visits["LFP20"] = replace(visits["LFP20"], errors=errors)
    figures = json.loads(metrics_json({Method.PULSE_TEST: replace(tiny_judged.evaluation, visits=visits)}))["methods"][
        "pulse_test"
    ]
    assert figures["visits"]["LFP20"]["errors"]["explained_fraction"] is None
    assert figures["visits"]["all"]["errors"]["row_count"] == 48
    assert figures["policy"]["policy_id"] == "example"


def test_the_card_names_data_licence_types_limits_and_the_command(card):
    for named in ("| pulse_retired | MIT | 192 | 48 |", "| LFP20 | 24 | 24 |", "## Limits", "packgrade-train run"):
        assert named in card


def test_the_card_says_which_type_was_never_visited(trained, tiny_judged):
    facts = tiny_judged.held_out.facts
    others = facts.taken(~((facts.type_keys == "NMC21") & facts.visits))
    grid_only = replace(trained, calibration=calibrate(trained.plan, others))
    said = "NMC21 was never visited (24 cells)"
    assert said in _card(grid_only, tiny_judged.evaluation)
    assert said not in _card(trained, tiny_judged.evaluation)


@pytest.mark.parametrize(
    ("weight", "alone", "said"),
    [(0.0, 0.06, "is not shipped"), (0.3, 0.07, "lowers the Brier score"), (0.3, 0.05, "has not earned its place")],
)
def test_the_card_says_whether_a_classifier_earned_its_place(trained, tiny_judged, weight, alone, said):
    visits = dict(tiny_judged.evaluation.visits)
    at_cut = visits["all"].cuts["0.80"]
    joined, without = replace(at_cut.suitability, brier=0.06), replace(at_cut.predictive_alone, brier=alone)
    cut = replace(at_cut, suitability=joined, predictive_alone=without)
    visits["all"] = replace(visits["all"], cuts={**visits["all"].cuts, "0.80": cut})
    judged = replace(tiny_judged.evaluation, visits=visits, booster_weights={"0.80": weight})
    assert said in _card(trained, judged)


def test_the_card_says_which_type_is_barely_predictable(trained, tiny_judged):
    visits = dict(tiny_judged.evaluation.visits)
    for explained, said in ((0.2, True), (0.9, False)):
        errors = replace(visits["LFP20"].errors, explained_fraction=explained)
        visits["LFP20"] = replace(visits["LFP20"], errors=errors)
        judged = replace(tiny_judged.evaluation, visits=visits)
        assert ("LFP20 is barely predictable" in _card(trained, judged)) is said
