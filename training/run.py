"""One training run from a plan: read, cross-fit, judge, fit on everything, save, track, register."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from features.feature_set import Method
from models.bundle import load_bundle, save_bundle
from models.calibration_file import calibration_file_name
from models.manifest import Manifest
from training.assemble import TrainedMethod, bundle_manifest, method_files
from training.bundle_documents import CARD_FILE, METRICS_FILE, calibration_json, metrics_json, plain_evaluations
from training.calibrate import calibrate
from training.crossfit import HeldOut, Progress, held_out_predictions, plan_folds
from training.datasets.registry import labelled_tests
from training.evaluate import evaluate
from training.evaluation import Evaluation
from training.figures import pictures
from training.fit import fit_models, supported_classifier_cuts
from training.model_card import model_card
from training.plan import JointPlan, Plan
from training.recipes.by_method import recipe_of
from training.splits import require_left_out_types, split_manifest
from training.table import FeatureTable, feature_table
from training.tracking import RegisteredBundle, RunRecord, TrackingStore


@dataclass(frozen=True)
class Judged:
    """The recipe of one method, judged on held-out cells, not yet fitted on everything."""

    plan: Plan
    table: FeatureTable
    held_out: HeldOut
    evaluation: Evaluation
    estimates: pd.DataFrame


@dataclass(frozen=True)
class JudgedBundle:
    """The recipes of all methods of a bundle, judged each on its own."""

    plan: JointPlan
    methods: tuple[Judged, ...]

    @classmethod
    def of(cls, judged: Judged) -> "JudgedBundle":
        """Bundle of one method."""
        return cls(JointPlan.of(judged.plan), (judged,))

    @property
    def evaluations(self) -> Mapping[Method, Evaluation]:
        """Figures by method."""
        return {each.plan.method: each.evaluation for each in self.methods}


def judge_bundle(plan: JointPlan, data_folder: Path | None, policy_file: Path, progress: Progress) -> JudgedBundle:
    """Judge every method of a plan; see `judge`."""
    return JudgedBundle(plan, tuple(judge(each, data_folder, policy_file, progress) for each in plan.methods))


def judge(plan: Plan, data_folder: Path | None, policy_file: Path, progress: Progress) -> Judged:
    """Read the plan's data, cross-fit its recipe and judge it.

    Raises
    ------
    InvalidInput
        If a data set cannot be read or breaks a rule; ``DATA_FOLDER_NEEDED`` if a public set is
        named and no folder is given; ``NOT_A_FEATURE`` if the plan names one its method does not have;
        ``UNSEEN_TYPE_NOT_IN_DATA`` if it leaves out a type that is not counted.
    """
    recipe = recipe_of(plan)
    progress(f"{plan.method.value}: reading")
    table = feature_table(labelled_tests(plan, data_folder), plan.method)
    unusable = int(np.count_nonzero(~recipe.usable(table)))
    if unusable:
        progress(f"{plan.method.value}: {unusable} of {len(table)} tests lack a required feature and are left out")
    counted = recipe.counted(table)
    require_left_out_types(plan.splits.unseen_type_keys, counted.table.type_keys[counted.kept])
    held_out = held_out_predictions(plan, table, progress)
    evaluation, estimates = evaluate(plan, table, held_out, policy_file, progress)
    return Judged(plan, table, held_out, evaluation, estimates)


def train_bundle(judged: JudgedBundle, folder: Path, created_on: date, progress: Progress) -> Manifest:
    """Fit every recipe on every row, calibrate on the held-out facts and write the bundle.

    Parameters
    ----------
    judged : JudgedBundle
        The recipes with their held-out facts.
    folder : Path
        New or empty folder.
    created_on : date
        Date written into the manifest, the only thing two runs of one plan may differ in.
    progress : callable
        Called with a sentence.

    Returns
    -------
    Manifest
        Of the bundle, which has been loaded back from the folder.
    """
    methods = tuple(_trained(each, progress) for each in judged.methods)
    files = {
        CARD_FILE: model_card(judged.plan, methods, judged.evaluations).encode("utf-8"),
        METRICS_FILE: metrics_json(judged.evaluations),
    }
    for each in methods:
        files |= method_files(each)
        files[calibration_file_name(each.plan.method)] = calibration_json(each.calibration)
    manifest = bundle_manifest(judged.plan.bundle, methods, files, created_on)
    save_bundle(folder, manifest, files)
    return load_bundle(folder).manifest


def track(store: TrackingStore, judged: JudgedBundle, bundle_folder: Path | None, page: str = "") -> str:
    """Log a judged plan, its bundle if there is one, and every method in a run below; returns the run's identifier."""
    plan = judged.plan
    record = RunRecord(
        name=f"{plan.bundle.name}-{plan.bundle.version}",
        parameters={"methods": ", ".join(each.plan.method.value for each in judged.methods)},
        metrics={
            f"{method.value}.{name}": value
            for method, evaluation in judged.evaluations.items()
            for name, value in evaluation.metrics().items()
        },
        datasets=tuple(dict.fromkeys(source for each in judged.methods for source in each.table.sources)),
        evaluation=plain_evaluations(judged.evaluations),
        bundle_folder=bundle_folder,
        page=page,
        children=tuple(_of_method(each) for each in judged.methods),
    )
    return store.log(plan.tracking.experiment, record)


def register(store: TrackingStore, plan: JointPlan, run_id: str, manifest: Manifest) -> RegisteredBundle:
    """Register a run's bundle as the challenger."""
    return store.register(plan.tracking.registered_name, run_id, manifest.sha256)


def _trained(judged: Judged, progress: Progress) -> TrainedMethod:
    plan, table = judged.plan, judged.table
    progress(f"{plan.method.value}: fitting on every row")
    models = fit_models(plan, table, supported_classifier_cuts(plan, table))
    return TrainedMethod(plan, table, models, calibrate(plan, judged.held_out.facts))


def _of_method(judged: Judged) -> RunRecord:
    plan, table = judged.plan, judged.table
    return RunRecord(
        name=plan.method.value,
        parameters=plan.parameters(),
        metrics=judged.evaluation.metrics(),
        datasets=table.sources,
        tables={"split_manifest": split_manifest(table.physical_cells, plan_folds(plan, table))},
        pictures=pictures(judged.evaluation, judged.estimates),
        evaluation=judged.evaluation.plain(),
    )
