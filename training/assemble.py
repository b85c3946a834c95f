"""From fitted models and a calibration to what the service loads: estimator, files, manifest.

The estimator that evaluation asks and the one the bundle's files give are the same class with the
same arrays; nothing is kept in a form only training could read.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date

from lightgbm import Booster

from features.feature_set import Method
from models.bundle import file_sha256
from models.capacity import (
    ClassifierDescription,
    EstimatorDescription,
    KernelDescription,
    TrainedEstimator,
    TreesDescription,
    TypeDescription,
    estimator_json,
)
from models.manifest import CalibratedMethod, KnownType, Manifest
from models.suitability import CutClassifier, Suitability
from training.calibrate import Calibration
from training.fit import REQUIRED_FEATURES, FittedModels, FittedType
from training.fit_members import TreeText
from training.labels import identities
from training.plan import Plan
from training.table import FEATURE_SET, FeatureTable

FOLDER = Method.PULSE_TEST.value


def calibrated_estimator(models: FittedModels, calibration: Calibration) -> TrainedEstimator:
    """Estimator as the service would load it."""
    classifiers = {
        cut: CutClassifier(
            models.classifiers[cut].names, Booster(model_str=models.classifiers[cut].text), **_curve(weight)
        )
        for cut, weight in calibration.booster_weights.items()
        if weight > 0.0 and cut in models.classifiers
    }
    return TrainedEstimator(
        required=REQUIRED_FEATURES,
        ensembles={key: fitted.ensemble() for key, fitted in models.types.items()},
        looks=models.looks(),
        interval=calibration.interval,
        suitability=Suitability(calibration.scores, classifiers),
    )


def bundle_files(models: FittedModels, calibration: Calibration) -> dict[str, bytes]:
    """Every file of the bundle but its manifest, by name."""
    files: dict[str, bytes] = {}
    types = {key: _type_files(key, fitted, files) for key, fitted in models.types.items()}
    classifiers = {}
    for cut, weight in calibration.booster_weights.items():
        if weight > 0.0:
            text = models.classifiers[cut]
            name = f"{FOLDER}/below_{cut}.txt"
            files[name] = text.text.encode("utf-8")
            classifiers[cut] = ClassifierDescription(features=text.names, model=name, **_curve(weight))
    described = EstimatorDescription(
        required_features=REQUIRED_FEATURES,
        look_features=models.look_features,
        look_margin=models.look_margin,
        types=types,
        interval=calibration.interval,
        calibration_scores=tuple(calibration.scores.tolist()),
        classifiers=classifiers,
    )
    files[f"{FOLDER}/estimator.json"] = estimator_json(described)
    return files


def bundle_manifest(plan: Plan, table: FeatureTable, files: Mapping[str, bytes], created_on: date) -> Manifest:
    """Manifest over the files; apart from `created_on` it depends on plan and data alone."""
    method = CalibratedMethod(
        method=Method.PULSE_TEST,
        feature_set_digest=FEATURE_SET.digest,
        capacity_definition=plan.bundle.capacity_definition,
        coverage_fraction=plan.bundle.coverage_fraction,
        lowest_cut_fraction=plan.bundle.lowest_cut_fraction,
        highest_cut_fraction=plan.bundle.highest_cut_fraction,
    )
    return Manifest(
        name=plan.bundle.name,
        version=plan.bundle.version,
        created_on=created_on,
        methods=(method,),
        known_types=known_types(table),
        training_data=table.sources,
        files={name: file_sha256(content) for name, content in sorted(files.items())},
    )


def known_types(table: FeatureTable) -> tuple[KnownType, ...]:
    """Types of a table, by key."""
    first_rows = {str(key): row for row, key in reversed(list(enumerate(table.type_keys)))}
    batteries = identities(table.labels.loc[list(first_rows.values())])
    return tuple(
        KnownType(
            key=key,
            level=battery.level,
            chemistry=battery.chemistry,
            rated_capacity_ah=battery.rated_capacity_ah,
            type_designation=battery.type_designation,
            cell_count=len(set(table.physical_cells[table.type_keys == key].tolist())),
            visit_count=table.labels["battery_id"][(table.type_keys == key) & table.visits].nunique(),
        )
        for key, battery in sorted(zip(first_rows, batteries, strict=True), key=lambda pair: pair[0])
    )


def _curve(booster_weight: float) -> dict[str, float]:
    """Joined log odds: no intercept, weights that add up to one."""
    return {"intercept": 0.0, "predictive_weight": 1.0 - booster_weight, "booster_weight": booster_weight}


def _type_files(key: str, fitted: FittedType, files: dict[str, bytes]) -> TypeDescription:
    members: list[KernelDescription | TreesDescription] = []
    for plan, member in fitted.members:
        stem = f"{FOLDER}/{key}/{plan.name}"
        if isinstance(member, TreeText):
            files[f"{stem}.txt"] = member.text.encode("utf-8")
            members.append(
                TreesDescription(name=plan.name, weight=plan.weight, features=member.names, model=f"{stem}.txt")
            )
        else:
            files[f"{stem}.npz"] = member.array_bytes()
            members.append(
                KernelDescription(
                    name=plan.name,
                    weight=plan.weight,
                    features=member.names,
                    required=member.required,
                    offset=member.offset,
                    arrays=f"{stem}.npz",
                    **asdict(member.form),
                )
            )
    look = f"{FOLDER}/{key}/look.npz"
    files[look] = fitted.look.array_bytes()
    return TypeDescription(members=tuple(members), look=look)
