"""From fitted models and a calibration to what the service loads: estimator, files, manifest.

The estimator that evaluation asks and the one the bundle's files give are the same class with the
same arrays; nothing is kept in a form only training could read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date

from lightgbm import Booster

from features.measurement import BatteryIdentity
from models.bundle import file_sha256
from models.capacity import (
    ClassifierDescription,
    EstimatorDescription,
    KernelDescription,
    TrainedEstimator,
    TreesDescription,
    TypeDescription,
    WindowKernelDescription,
    estimator_json,
)
from models.manifest import CalibratedMethod, KnownType, Manifest, TrainingData
from models.suitability import CutClassifier, Suitability
from models.window_kernel import WindowKernelMember
from training.calibrate import Calibration
from training.fit import FittedModels, FittedType
from training.fit_members import TreeText
from training.labels import identities
from training.plan import Plan
from training.plan_tables import BundleName
from training.recipes.recipe import Member
from training.table import FeatureTable, require_distinct_types


@dataclass(frozen=True)
class TrainedMethod:
    """One method of a bundle: its plan, what trained it, what was fitted, and its calibration."""

    plan: Plan
    table: FeatureTable
    models: FittedModels
    calibration: Calibration


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
        required=models.required,
        ensembles={key: fitted.ensemble() for key, fitted in models.types.items()},
        looks=models.looks(),
        interval=calibration.interval,
        suitability=Suitability(calibration.scores, classifiers),
    )


def method_files(trained: TrainedMethod) -> dict[str, bytes]:
    """Every file an estimator of one method is loaded from, by name: one folder per method."""
    folder, models, calibration = trained.plan.method.value, trained.models, trained.calibration
    files: dict[str, bytes] = {}
    types = {key: _type_files(folder, key, fitted, files) for key, fitted in models.types.items()}
    classifiers = {}
    for cut, weight in calibration.booster_weights.items():
        if weight > 0.0:
            text = models.classifiers[cut]
            name = f"{folder}/below_{cut}.txt"
            files[name] = text.text.encode("utf-8")
            classifiers[cut] = ClassifierDescription(features=text.names, model=name, **_curve(weight))
    described = EstimatorDescription(
        required_features=models.required,
        look_features=models.look_features,
        look_margin=models.look_margin,
        types=types,
        interval=calibration.interval,
        calibration_scores=tuple(calibration.scores.tolist()),
        classifiers=classifiers,
    )
    files[f"{folder}/estimator.json"] = estimator_json(described)
    return files


def bundle_manifest(
    bundle: BundleName, methods: Sequence[TrainedMethod], files: Mapping[str, bytes], created_on: date
) -> Manifest:
    """Manifest over the files of all methods; apart from `created_on` it depends on plans and data alone.

    Raises
    ------
    InvalidInput
        ``TYPES_OVERLAP`` if one method knows a type that could be mistaken for one of another method.
    """
    return Manifest(
        name=bundle.name,
        version=bundle.version,
        created_on=created_on,
        methods=tuple(_calibrated_method(each) for each in methods),
        known_types=known_types(methods),
        training_data=training_data(methods),
        files={name: file_sha256(content) for name, content in sorted(files.items())},
    )


def known_types(methods: Sequence[TrainedMethod]) -> tuple[KnownType, ...]:
    """Types at least one method was fitted for, by key, and how many batteries calibrate each method of a type."""
    plates: dict[str, BatteryIdentity] = {}
    for each in methods:
        plates |= {key: plate for key, plate in _plates(each.table).items() if key in each.models.types}
    require_distinct_types(plates.values())
    return tuple(
        KnownType(
            key=key,
            level=plate.level,
            chemistry=plate.chemistry,
            rated_capacity_ah=plate.rated_capacity_ah,
            type_designation=plate.type_designation,
            cell_count=len(set().union(*(_cells(each.table, key) for each in methods))),
            calibration_batteries={
                each.plan.method: int((each.calibration.visits.type_keys == key).sum())
                for each in methods
                if key in each.models.types
            },
        )
        for key, plate in sorted(plates.items())
    )


def _calibrated_method(trained: TrainedMethod) -> CalibratedMethod:
    promised = trained.plan.bundle
    return CalibratedMethod(
        method=trained.plan.method,
        feature_set_digest=trained.table.feature_set.digest,
        capacity_definition=promised.capacity_definition,
        coverage_fraction=promised.coverage_fraction,
        lowest_cut_fraction=promised.lowest_cut_fraction,
        highest_cut_fraction=promised.highest_cut_fraction,
    )


def training_data(methods: Sequence[TrainedMethod]) -> tuple[TrainingData, ...]:
    """Data sets of all methods; one that two methods read alike is named once."""
    return tuple(dict.fromkeys(source for each in methods for source in each.table.sources))


def _plates(table: FeatureTable) -> dict[str, BatteryIdentity]:
    first_rows = {str(key): row for row, key in reversed(list(enumerate(table.type_keys)))}
    return dict(zip(first_rows, identities(table.labels.loc[list(first_rows.values())]), strict=True))


def _cells(table: FeatureTable, key: str) -> set[str]:
    return set(table.physical_cells[table.type_keys == key].tolist())


def _curve(booster_weight: float) -> dict[str, float]:
    """Joined log odds: no intercept, weights that add up to one."""
    return {"intercept": 0.0, "predictive_weight": 1.0 - booster_weight, "booster_weight": booster_weight}


def _type_files(folder: str, key: str, fitted: FittedType, files: dict[str, bytes]) -> TypeDescription:
    members: list[KernelDescription | TreesDescription | WindowKernelDescription] = []
    for plan, member in fitted.members:
        stem = f"{folder}/{key}/{plan.name}"
        if isinstance(member, TreeText):
            files[f"{stem}.txt"] = member.text.encode("utf-8")
            members.append(
                TreesDescription(name=plan.name, weight=plan.weight, features=member.names, model=f"{stem}.txt")
            )
        elif isinstance(member, WindowKernelMember):
            files[f"{stem}.npz"] = member.array_bytes()
            members.append(_window_description(plan, member, f"{stem}.npz"))
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
    look = f"{folder}/{key}/look.npz"
    files[look] = fitted.look.array_bytes()
    return TypeDescription(members=tuple(members), look=look)


def _window_description(plan: Member, member: WindowKernelMember, arrays: str) -> WindowKernelDescription:
    return WindowKernelDescription(
        name=plan.name,
        weight=plan.weight,
        features=member.names,
        least_feature_count=member.least_feature_count,
        shape=member.form.shape,
        length_scale=member.form.length_scale,
        amplitude=member.form.amplitude,
        linear_share=member.form.linear_share,
        arrays=arrays,
    )
