"""`packgrade-train onboard`: a bundle that knows one battery type more, from a few fully tested batteries.

Everything the bundle said about the types it knew it says again, bit for bit. The new type gets its
own members, look and interval; its left-out batteries join those that certificates rest on once they
are enough for an interval of their own. What was reached is printed and stands in the model card.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from rich.console import Console

from features.errors import InvalidInput
from features.feature_set import Method
from models.calibration_file import CalibratingBattery, CalibrationFile
from models.capacity import EstimatorDescription
from models.manifest import KnownType, Manifest
from models.policy_file import SHIPPED_POLICY, load_policy
from training.assemble import TrainedMethod, method_files
from training.calibrate import Calibration
from training.datasets import canonical_tables
from training.fit import FittedModels
from training.onboarding import LearnedType, batteries_for_interval, fitted_plan, learned_type
from training.onboarding_reach import reach
from training.plan import PulsePlan, load_plan
from training.rebundle import OpenedBundle, method_documents, next_version, opened_bundle, write_changed
from training.table import FeatureTable, feature_table

ONBOARDING_PLAN = Path(__file__).parent / "plans" / "onboarding.toml"
METHOD = Method.PULSE_TEST
_DECIMALS = 4


@dataclass(frozen=True)
class Onboarding:
    """Tests to learn a type from.

    Attributes
    ----------
    manifest, labels : Path
        As a plan's canonical tables.
    name, licence : str
        As they will stand in the bundle.
    """

    manifest: Path
    labels: Path
    name: str = "onboarding"
    licence: str = "own"


@dataclass(frozen=True)
class Onboarded:
    """What onboarding gave: the manifest of the new bundle, the type, and what was reached, in sentences."""

    manifest: Manifest
    learned: LearnedType
    reached: tuple[str, ...]


def onboard(asked: argparse.Namespace, console: Console) -> None:
    """Teach a bundle a new type, as the command line asks."""
    given = Onboarding(asked.manifest, asked.labels, asked.name, asked.licence)
    done = onboarded(
        asked.bundle,
        given,
        asked.out,
        asked.policy or SHIPPED_POLICY,
        created_on=datetime.now(UTC).date(),
        version=asked.version,
    )
    for sentence in done.reached:
        console.print(f"- {sentence}", soft_wrap=True)
    stamp = f"{done.manifest.name} {done.manifest.version} {done.manifest.sha256}"
    console.print(f"Bundle written to {asked.out}: {stamp}", soft_wrap=True)


def onboarded(
    bundle_folder: Path,
    given: Onboarding,
    out: Path,
    policy_file: Path,
    *,
    created_on: date,
    version: str | None = None,
) -> Onboarded:
    """Write the bundle that a bundle becomes when it learns a type.

    Parameters
    ----------
    bundle_folder : Path
        Bundle with a pulse-test estimator.
    given : Onboarding
        Tests and capacities of the new type.
    out : Path
        New or empty folder.
    policy_file : Path
        Policy the reach of the certificate is told for.
    created_on : date
        Day written into the manifest.
    version : str, optional
        New version; the next ``+tN`` unless given.

    Returns
    -------
    Onboarded

    Raises
    ------
    InvalidInput
        If the tests cannot be read, are of several types or of a known one, or are too few.
    """
    old = opened_bundle(bundle_folder)
    plan = _promised(load_plan(ONBOARDING_PLAN), old)
    tests = canonical_tables.labelled_tests(given.name, given.licence, given.manifest, given.labels, METHOD)
    table = feature_table([tests], METHOD)
    plan = fitted_plan(plan, table)
    learned = learned_type(plan, table, old.bundle)
    calibrates = learned.visit_count >= batteries_for_interval(plan.bundle.coverage_fraction)
    quantile = old.bundle.estimators[METHOD].interval.quantile
    reached = (
        *reach(learned, quantile, plan.bundle.coverage_fraction, load_policy(policy_file).risk),
        *_borrowed(old.estimator(METHOD)),
    )
    manifest = write_changed(
        old,
        out,
        _files(old, plan, table, learned, calibrates=calibrates),
        version=version or next_version(old.bundle.manifest.version, "t"),
        created_on=created_on,
        known_types=[*old.bundle.manifest.known_types, _known(learned, calibrates=calibrates)],
        learned_from=table.sources[0],
        told=_told(learned, reached),
    )
    return Onboarded(manifest, learned, reached)


def _promised(plan: object, old: OpenedBundle) -> PulsePlan:
    """The plan with what the bundle prescribes: coverage, definition of capacity, cuts, features of a look."""
    described = old.bundle.manifest.calibrated(METHOD)
    if described is None or not isinstance(plan, PulsePlan):
        message = f"Bundle {old.bundle.manifest.name} has no estimator for {METHOD.value}. Nothing was learned."
        raise InvalidInput(message, code="METHOD_NOT_TRAINED")
    promise = {
        name: getattr(described, name)
        for name in ("capacity_definition", "coverage_fraction", "lowest_cut_fraction", "highest_cut_fraction")
    }
    estimator = old.estimator(METHOD)
    look = {"features": estimator.look_features, "margin": estimator.look_margin}
    changes = {
        "bundle": plan.bundle.model_copy(update=promise),
        "applicability": plan.applicability.model_copy(update=look),
    }
    return plan.model_copy(update=changes)


def _files(
    old: OpenedBundle, plan: PulsePlan, table: FeatureTable, learned: LearnedType, *, calibrates: bool
) -> dict[str, bytes]:
    """Members and look of the type, and the documents of the method with the type in them."""
    key, estimator = learned.key, old.estimator(METHOD)
    alone = estimator.interval.model_copy(update={"types": {key: learned.scale}})
    models = FittedModels(
        estimator.required_features, {key: learned.fitted}, {}, plan.applicability.features, plan.applicability.margin
    )
    calibration = Calibration(alone, learned.facts, learned.spread, {})
    of_type = method_files(TrainedMethod(plan, table, models, calibration))
    described = EstimatorDescription.model_validate_json(of_type[f"{METHOD.value}/estimator.json"])
    interval = estimator.interval.model_copy(update={"types": {**estimator.interval.types, **alone.types}})
    grown = estimator.model_copy(update={"types": {**estimator.types, **described.types}, "interval": interval})
    kept = old.calibration(METHOD)
    joined = (*kept.batteries, *(_calibrating(learned) if calibrates else ()))
    documents = method_documents(METHOD, grown, CalibrationFile(quantile=kept.quantile, batteries=joined))
    return {name: content for name, content in of_type.items() if name.startswith(f"{METHOD.value}/{key}/")} | documents


def _calibrating(learned: LearnedType) -> list[CalibratingBattery]:
    """Left-out visits in an order that tells nothing."""
    visits, spread = learned.facts.taken(learned.facts.visits), learned.spread[learned.facts.visits]
    columns = (visits.point, spread, visits.lowest_member, visits.highest_member, visits.measured)
    names = ("point", "spread", "lowest_member", "highest_member", "state_of_health")
    rows = sorted(zip(*(column.round(_DECIMALS).tolist() for column in columns), strict=True))
    return [CalibratingBattery(type=learned.key, **dict(zip(names, row, strict=True))) for row in rows]


def _borrowed(estimator: EstimatorDescription) -> Iterator[str]:
    """Whose probabilities a new type is given."""
    if estimator.classifiers:
        yield (
            f"P(state of health < {', '.join(estimator.classifiers)}) leans on a classifier that never saw the type; "
            "no grade rests on it."
        )


def _known(learned: LearnedType, *, calibrates: bool) -> KnownType:
    identity = learned.identity
    return KnownType(
        key=learned.key,
        level=identity.level,
        chemistry=identity.chemistry,
        rated_capacity_ah=identity.rated_capacity_ah,
        type_designation=identity.type_designation,
        cell_count=len(learned.facts.measured),
        calibration_batteries={METHOD: learned.visit_count if calibrates else 0},
    )


def _told(learned: LearnedType, reached: tuple[str, ...]) -> str:
    sentences = "\n".join(f"- {sentence}" for sentence in reached)
    return f"## Learned from a few batteries: {learned.key}\n\n{sentences}"
