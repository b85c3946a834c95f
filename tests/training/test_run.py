from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from features.errors import InvalidInput
from features.feature_set import Method
from models.bundle import load_bundle
from models.policy_file import SHIPPED_POLICY
from tests.training.synthetic_pulses import LFP, NMC, synthetic_rows, write_own_tables
from training.crossfit import held_out_predictions
from training.evaluate import evaluate
from training.figures import pictures
from training.plan_datasets import CanonicalTablesPlan
from training.run import JudgedBundle, judge, train_bundle


def test_held_out_cells_are_predicted_within_a_few_percent(tiny_judged):
    figures = tiny_judged.evaluation
    assert figures.visits["all"].errors.mean_absolute_percentage_error < 0.05
    assert figures.grid["all"].errors.mean_absolute_percentage_error < 0.05


def test_every_visit_and_grid_row_is_counted_once(tiny_judged):
    assert tiny_judged.estimates["visit"].sum() == 48
    assert len(tiny_judged.estimates) == 48 * 4
    assert np.isfinite(tiny_judged.estimates[["estimated", "lower", "upper"]].to_numpy()).all()


def test_the_models_that_judge_a_cell_never_saw_it(tiny_judged):
    # Labels of the judged fold are made wrong: its own predictions must not move.
    held_out = tiny_judged.held_out
    fold = held_out.fold_of_row == 0
    cells = set(held_out.table.physical_cells[fold].tolist())
    labels = tiny_judged.table.labels.copy()
    of_fold = labels["physical_cell"].isin(cells)
    labels.loc[of_fold, "remaining_capacity_ah"] = 0.5 * labels.loc[of_fold, "rated_capacity_ah"]
    wrong = replace(tiny_judged.table, labels=labels)
    again = held_out_predictions(tiny_judged.plan, wrong, lambda _: None)
    assert np.array_equal(again.facts.point[fold], held_out.facts.point[fold])
    assert not np.array_equal(again.facts.point[~fold], held_out.facts.point[~fold])


def test_batteries_of_a_type_left_out_of_training_are_all_retested(tiny_judged):
    splits = tiny_judged.plan.splits.model_copy(update={"unseen_type_keys": ("NMC21",)})
    plan = tiny_judged.plan.model_copy(update={"splits": splits})
    evaluation, _ = evaluate(plan, tiny_judged.table, tiny_judged.held_out, SHIPPED_POLICY, lambda _: None)
    share = evaluation.unseen_types_retested["NMC21"]
    assert (share.count, share.total) == (96, 96)


def test_two_runs_differ_in_nothing_but_the_date(tiny_judged, tiny_bundle_folder, tmp_path):
    train_bundle(JudgedBundle.of(tiny_judged), tmp_path / "later", date(2026, 12, 24), lambda _: None)
    first, later = load_bundle(tiny_bundle_folder).manifest, load_bundle(tmp_path / "later").manifest
    assert first.model_copy(update={"created_on": later.created_on}) == later
    assert first.sha256 != later.sha256


def test_the_manifest_names_types_data_and_licence(tiny_bundle):
    manifest = tiny_bundle.manifest
    assert [
        (each.key, each.cell_count, each.calibration_batteries[Method.PULSE_TEST]) for each in manifest.known_types
    ] == [
        ("LFP20", 24, 24),
        ("NMC21", 24, 24),
    ]
    assert [(data.name, data.licence, data.row_count) for data in manifest.training_data] == [
        ("pulse_retired", "MIT", 192)
    ]


def test_a_bundle_holds_no_pickle(tiny_bundle_folder):
    for file in tiny_bundle_folder.rglob("*"):
        if file.is_file():
            assert file.suffix in {".json", ".txt", ".npz", ".md"}
            if file.suffix == ".npz":
                with np.load(file, allow_pickle=False) as arrays:
                    assert all(arrays[name].dtype != object for name in arrays.files)


def test_tables_of_ones_own_train_a_bundle(tiny_plan, tmp_path):
    own_manifest, labels = write_own_tables(synthetic_rows(12, (LFP, NMC)), tmp_path / "own")
    own = CanonicalTablesPlan(kind="canonical_tables", name="mine", licence="own", manifest=own_manifest, labels=labels)
    splits = tiny_plan.splits.model_copy(update={"unseen_type_keys": ()})
    plan = tiny_plan.model_copy(update={"datasets": (own,), "splits": splits})
    judged = judge(plan, None, SHIPPED_POLICY, lambda _: None)
    assert judged.evaluation.visits["all"].errors.row_count == 24
    manifest = train_bundle(JudgedBundle.of(judged), tmp_path / "bundle", date(2026, 11, 1), lambda _: None)
    assert manifest.training_data[0].name == "mine"


def test_a_public_set_without_a_data_folder_is_refused(tiny_plan):
    with pytest.raises(InvalidInput, match=r"DATA_FOLDER_NEEDED"):
        judge(tiny_plan, None, SHIPPED_POLICY, lambda _: None)


def test_every_picture_is_drawn(tiny_judged):
    drawn = pictures(tiny_judged.evaluation, tiny_judged.estimates)
    assert set(drawn) == {"predicted_against_measured", "coverage_per_type", "reliability"}
    assert all(figure.axes for figure in drawn.values())
