"""One training run from a plan: read, cross-fit, judge, fit on everything, save, track, register."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from features.errors import InvalidInput
from models.bundle import load_bundle, save_bundle
from models.manifest import Manifest
from training.assemble import bundle_files, bundle_manifest
from training.bundle_documents import CALIBRATION_FILE, CARD_FILE, METRICS_FILE, calibration_json, metrics_json
from training.calibrate import calibrate
from training.crossfit import HeldOut, Progress, held_out_predictions, plan_folds
from training.datasets import canonical_tables, pulse_retired
from training.evaluate import evaluate
from training.evaluation import Evaluation
from training.figures import pictures
from training.fit import fit_models, supported_classifier_cuts
from training.labels import LabelledTests
from training.model_card import model_card
from training.plan import Plan, PulseRetiredPlan
from training.splits import split_manifest
from training.table import FeatureTable, feature_table
from training.tracking import RegisteredBundle, RunRecord, TrackingStore


@dataclass(frozen=True)
class Judged:
    """A recipe judged on held-out cells, not yet fitted on everything."""

    plan: Plan
    table: FeatureTable
    held_out: HeldOut
    evaluation: Evaluation
    estimates: pd.DataFrame


def judge(plan: Plan, data_folder: Path | None, policy_file: Path, progress: Progress) -> Judged:
    """Read the plan's data, cross-fit its recipe and judge it.

    Raises
    ------
    InvalidInput
        If a data set cannot be read or breaks a rule; ``DATA_FOLDER_NEEDED`` if a public set is
        named and no folder is given.
    """
    progress("reading")
    table = feature_table(_labelled(plan, data_folder))
    held_out = held_out_predictions(plan, table, progress)
    evaluation, estimates = evaluate(plan, table, held_out, policy_file, progress)
    return Judged(plan, table, held_out, evaluation, estimates)


def train_bundle(judged: Judged, folder: Path, created_on: date, progress: Progress) -> Manifest:
    """Fit the recipe on every row, calibrate on the held-out facts and write the bundle.

    Parameters
    ----------
    judged : Judged
        The recipe with its held-out facts.
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
    progress("fitting on every row")
    plan, table = judged.plan, judged.table
    calibration = calibrate(plan, judged.held_out.facts)
    models = fit_models(plan, table, supported_classifier_cuts(plan, table))
    files = bundle_files(models, calibration) | {
        CARD_FILE: model_card(plan, table, judged.evaluation).encode("utf-8"),
        METRICS_FILE: metrics_json(judged.evaluation),
        CALIBRATION_FILE: calibration_json(calibration),
    }
    manifest = bundle_manifest(plan, table, files, created_on)
    save_bundle(folder, manifest, files)
    return load_bundle(folder).manifest


def track(store: TrackingStore, judged: Judged, bundle_folder: Path | None) -> str:
    """Log a judged recipe, with its bundle if there is one; returns the run's identifier."""
    plan, table = judged.plan, judged.table
    record = RunRecord(
        name=f"{plan.bundle.name}-{plan.bundle.version}",
        parameters=plan.parameters(),
        metrics=judged.evaluation.metrics(),
        datasets=table.sources,
        tables={"split_manifest": split_manifest(table.physical_cells, plan_folds(plan, table))},
        pictures=pictures(judged.evaluation, judged.estimates),
        evaluation=judged.evaluation.plain(),
        bundle_folder=bundle_folder,
    )
    return store.log(plan.tracking.experiment, record)


def register(store: TrackingStore, plan: Plan, run_id: str, manifest: Manifest) -> RegisteredBundle:
    """Register a run's bundle as the challenger."""
    return store.register(plan.tracking.registered_name, run_id, manifest.sha256)


def _labelled(plan: Plan, data_folder: Path | None) -> Sequence[LabelledTests]:
    return [
        _public(data_folder)
        if isinstance(dataset, PulseRetiredPlan)
        else canonical_tables.labelled_tests(dataset.name, dataset.licence, dataset.manifest, dataset.labels)
        for dataset in plan.datasets
    ]


def _public(data_folder: Path | None) -> LabelledTests:
    if data_folder is None:
        raise InvalidInput(
            "The plan names a public data set and no data folder is given. Nothing was trained. "
            "Give --data-dir, or set PACKGRADE_DATA_DIR.",
            code="DATA_FOLDER_NEEDED",
        )
    return pulse_retired.labelled_tests(data_folder)
