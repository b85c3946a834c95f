"""`packgrade-train recalibrate`: a bundle recalibrated on outcomes, the same models under a new version.

Members predict as before, bit for bit; what changes is how wide the interval is and which batteries
thresholds are certified on when a policy meets the bundle. By default only batteries drawn by lot
teach: those measured because their decision was in doubt are no fair sample.
"""

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
from rich.console import Console

from features.errors import InvalidInput
from features.feature_set import Method
from models.manifest import KnownType, Manifest, TrainingData
from training.outcomes import read_outcomes, refused
from training.rebundle import OpenedBundle, method_documents, next_version, opened_bundle, write_changed
from training.recalibration import RecalibratedMethod, recalibrated_method
from training.usable_outcomes import facts_of, unusable


@dataclass(frozen=True)
class Recalibrated:
    """What a recalibration did.

    Attributes
    ----------
    manifest : Manifest
        Of the new bundle.
    added : mapping of Method to int
        Outcomes that calibrate now.
    left_out : int
        Outcomes not marked as drawn by lot.
    quantiles : mapping of Method to tuple
        Quantile of the interval before and after.
    """

    manifest: Manifest
    added: Mapping[Method, int]
    left_out: int
    quantiles: Mapping[Method, tuple[float, float]]


def recalibrate(asked: argparse.Namespace, console: Console) -> None:
    """Recalibrate a bundle, as the command line asks."""
    done = recalibrated(
        asked.bundle,
        asked.outcomes,
        asked.out,
        created_on=datetime.now(UTC).date(),
        version=asked.version,
        include_selected=asked.include_selected,
        only_outcomes=asked.only_outcomes,
    )
    for method, (before, after) in done.quantiles.items():
        console.print(f"{method.value}: {done.added[method]} outcome(s), quantile {before:.3f} → {after:.3f}")
    if done.left_out:
        console.print(
            f"{done.left_out} outcome(s) not marked chosen_at_random were left out: batteries measured because "
            "they were in doubt are no fair sample. --include-selected takes them too."
        )
    stamp = f"{done.manifest.name} {done.manifest.version} {done.manifest.sha256}"
    console.print(f"Bundle written to {asked.out}: {stamp}", soft_wrap=True)
    console.print("Thresholds follow from its calibration batteries when a policy meets it.")


def recalibrated(
    bundle_folder: Path,
    outcomes_file: Path,
    out: Path,
    *,
    created_on: date,
    version: str | None = None,
    include_selected: bool = False,
    only_outcomes: bool = False,
) -> Recalibrated:
    """Write the bundle that a bundle becomes after outcomes.

    Parameters
    ----------
    bundle_folder : Path
        The bundle that estimated the outcomes.
    outcomes_file : Path
        CSV of `packgrade record outcomes --out`.
    out : Path
        New or empty folder.
    created_on : date
        Day written into the manifest.
    version : str, optional
        New version; the next ``+rN`` unless given.
    include_selected : bool
        Also take outcomes not marked as drawn by lot.
    only_outcomes : bool
        Replace the batteries of the bundle instead of joining them.

    Returns
    -------
    Recalibrated

    Raises
    ------
    InvalidInput
        ``OUTCOMES_NOT_READABLE`` naming every row that is broken or cannot be used; ``TOO_FEW_OUTCOMES``.
    BundleRefused
        If the bundle is damaged.
    """
    old, outcomes = opened_bundle(bundle_folder), read_outcomes(outcomes_file)
    if problems := unusable(outcomes, old.bundle):
        raise refused(outcomes_file.name, problems)
    taken = outcomes if include_selected else outcomes[outcomes["random"]]
    changed = {method: _changed(old, method, rows, only_outcomes) for method, rows in _by_method(taken).items()}
    if not changed:
        raise _none_by_lot(len(outcomes))
    files: dict[str, bytes] = {}
    for method, each in changed.items():
        files |= method_documents(method, each.estimator, each.calibration)
    learned_from = _learned_from(outcomes_file, len(taken))
    manifest = write_changed(
        old,
        out,
        files,
        version=version or next_version(old.bundle.manifest.version, "r"),
        created_on=created_on,
        known_types=[_recounted(each, changed) for each in old.bundle.manifest.known_types],
        learned_from=learned_from,
        told=_told(old, learned_from, taken, only_outcomes=only_outcomes),
    )
    quantiles = {
        method: (old.calibration(method).quantile, each.calibration.quantile) for method, each in changed.items()
    }
    added = {method: len(rows) for method, rows in _by_method(taken).items()}
    return Recalibrated(manifest, added, len(outcomes) - len(taken), quantiles)


def _by_method(outcomes: pd.DataFrame) -> dict[Method, pd.DataFrame]:
    return {Method(str(method)): rows for method, rows in outcomes.groupby("method")}


def _changed(old: OpenedBundle, method: Method, rows: pd.DataFrame, only_outcomes: bool) -> RecalibratedMethod:
    kept = () if only_outcomes else old.calibration(method).batteries
    return recalibrated_method(old.estimator(method), kept, facts_of(rows, old.bundle, method))


def _recounted(known: KnownType, changed: Mapping[Method, RecalibratedMethod]) -> KnownType:
    counts = dict(known.calibration_batteries)
    for method in counts.keys() & changed.keys():
        counts[method] = sum(each.type == known.key for each in changed[method].calibration.batteries)
    return known.model_copy(update={"calibration_batteries": counts})


def _learned_from(file: Path, count: int) -> TrainingData:
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    name = f"recalibrated with outcomes {file.name}"
    return TrainingData(name=name, licence="own", sha256=sha256, row_count=count, cell_count=count)


def _told(old: OpenedBundle, learned_from: TrainingData, taken: pd.DataFrame, *, only_outcomes: bool) -> str:
    selected = int((~taken["random"]).sum())
    fair = "all drawn by lot" if not selected else f"{selected} of them not drawn by lot, which is no fair sample"
    way = "replace the batteries that calibrated it" if only_outcomes else "join the batteries that calibrated it"
    stamp = old.bundle.stamp
    return (
        f"## Recalibrated\n\nFrom {stamp['name']} {stamp['version']} (`{stamp['sha256'][:16]}…`): {len(taken)} "
        f"outcomes ({fair}; SHA-256 `{learned_from.sha256[:16]}…`) {way}. The models are the same; the figures "
        "above are of before."
    )


def _none_by_lot(count: int) -> InvalidInput:
    return InvalidInput(
        f"None of the {count} outcomes is marked chosen_at_random. Nothing was recalibrated. Draw batteries by lot "
        "and report them so, or take all of them with --include-selected.",
        code="TOO_FEW_OUTCOMES",
    )
