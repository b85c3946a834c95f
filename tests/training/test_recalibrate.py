"""A bundle recalibrated on outcomes: the same models, a new interval, and every foreign row refused."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import InvalidInput
from models.bundle import Bundle, load_bundle
from tests.training.outcome_rows import FEATURE_SET, METHOD, outcome_rows, write
from training.outcomes import feature_rows, read_outcomes
from training.rebundle import opened_bundle
from training.recalibrate import Recalibrated, recalibrated


@pytest.fixture
def rows(tiny_bundle: Bundle) -> pd.DataFrame:
    return outcome_rows(tiny_bundle)


def recalibrate(bundle: Path, rows: pd.DataFrame, folder: Path, **more: object) -> Recalibrated:
    file = write(rows, folder / "outcomes.csv")
    return recalibrated(bundle, file, folder / "new", created_on=date(2026, 11, 22), **more)  # type: ignore[arg-type]


def points(bundle: Bundle, rows: pd.DataFrame, folder: Path) -> np.ndarray:
    read = read_outcomes(write(rows, folder / "asked.csv"))
    lfp = read[read["chemistry"] == "LFP"]
    return bundle.estimators[METHOD].predict(feature_rows(lfp, METHOD), FEATURE_SET.names, "LFP20", (0.8,)).point


def test_the_models_are_the_same_and_the_interval_is_new(
    tiny_bundle: Bundle, tiny_bundle_folder: Path, rows: pd.DataFrame, tmp_path: Path
) -> None:
    done = recalibrate(tiny_bundle_folder, rows, tmp_path)
    new = load_bundle(tmp_path / "new")
    assert new.manifest == done.manifest
    np.testing.assert_array_equal(points(new, rows, tmp_path), points(tiny_bundle, rows, tmp_path))
    before, after = tiny_bundle.manifest.files, new.manifest.files
    assert all(after[name] == before[name] for name in before if name.endswith((".npz", ".txt")))
    assert new.estimators[METHOD].interval.quantile != tiny_bundle.estimators[METHOD].interval.quantile
    assert (done.added, done.left_out) == ({METHOD: 24}, 0)


def test_the_manifest_says_what_it_was_recalibrated_with(
    tiny_bundle: Bundle, tiny_bundle_folder: Path, rows: pd.DataFrame, tmp_path: Path
) -> None:
    manifest = recalibrate(tiny_bundle_folder, rows, tmp_path).manifest
    assert manifest.version == f"{tiny_bundle.manifest.version}+r1"
    assert manifest.training_data[:-1] == tiny_bundle.manifest.training_data
    assert manifest.training_data[-1].name == "recalibrated with outcomes outcomes.csv"
    assert manifest.training_data[-1].row_count == 24
    counts = {each.key: each.calibration_batteries[METHOD] for each in manifest.known_types}
    before = {each.key: each.calibration_batteries[METHOD] for each in tiny_bundle.manifest.known_types}
    assert counts == {key: count + 12 for key, count in before.items()}
    assert "## Recalibrated" in (tmp_path / "new" / "model_card.md").read_text(encoding="utf-8")


def covered(rows: pd.DataFrame) -> float:
    measured = rows["remaining_capacity_ah"] / rows["rated_capacity_ah"]
    return float(measured.between(rows["lower_fraction"], rows["upper_fraction"]).mean())


def test_after_a_drift_the_interval_covers_again(tiny_bundle: Bundle, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    recalibrate(tiny_bundle_folder, outcome_rows(tiny_bundle, 40, seed=5, drift=-0.2), tmp_path, only_outcomes=True)
    assert covered(outcome_rows(tiny_bundle, 60, seed=6, drift=-0.2)) < 0.5
    assert 0.8 <= covered(outcome_rows(load_bundle(tmp_path / "new"), 60, seed=6, drift=-0.2)) < 1.0


def test_thresholds_are_certified_on_the_outcomes_too(
    tiny_bundle_folder: Path, rows: pd.DataFrame, tmp_path: Path
) -> None:
    recalibrate(tiny_bundle_folder, rows, tmp_path)
    calibrating = opened_bundle(tmp_path / "new").calibration(METHOD).batteries
    assert len(calibrating) == len(opened_bundle(tiny_bundle_folder).calibration(METHOD).batteries) + 24
    assert [each.type for each in calibrating] == sorted(each.type for each in calibrating)


def test_only_batteries_drawn_by_lot_teach_unless_asked_for(
    tiny_bundle_folder: Path, rows: pd.DataFrame, tmp_path: Path
) -> None:
    rows["chosen_at_random"] = ["true"] * 14 + ["false"] * 5 + [None] * 5
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    lot = recalibrate(tiny_bundle_folder, rows, tmp_path / "a")
    assert (lot.added[METHOD], lot.left_out) == (14, 10)
    everything = recalibrate(tiny_bundle_folder, rows, tmp_path / "b", include_selected=True)
    assert (everything.added[METHOD], everything.left_out) == (24, 0)
    with pytest.raises(InvalidInput, match="None of the 24 outcomes is marked chosen_at_random"):
        recalibrate(tiny_bundle_folder, rows.assign(chosen_at_random="false"), tmp_path)


def test_too_few_batteries_cannot_calibrate_alone(
    tiny_bundle: Bundle, tiny_bundle_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"8 batteries cannot calibrate an interval that covers 0\.9; 9 are needed"):
        recalibrate(tiny_bundle_folder, outcome_rows(tiny_bundle, 4), tmp_path, only_outcomes=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("bundle_sha256", "0" * 64), "row 3 bundle_sha256: must be estimated by this bundle"),
        (("method", "capacity_test"), "row 3 method: must be estimated by a trained method: pulse_test"),
        (("capacity_definition", "0.2C discharge, 25 °C"), "row 3 capacity_definition"),
        (("battery_id", "new-LFP20_000"), "row 2 battery_id: must occur once"),
        (("rated_capacity_ah", 50.0), "row 3 rated_capacity_ah"),
        (("feature_set_digest", "0" * 64), "row 3 feature_set_digest"),
        (("features", "{}"), "row 3 features: must hold every required feature"),
    ],
)
def test_a_row_that_cannot_teach_is_refused_by_its_number(
    tiny_bundle_folder: Path, rows: pd.DataFrame, tmp_path: Path, change: tuple[str, object], told: str
) -> None:
    column, value = change
    rows.loc[1, column] = value
    if column == "rated_capacity_ah":
        rows.loc[1, "remaining_capacity_ah"] = 40.0
    with pytest.raises(InvalidInput) as refused:
        recalibrate(tiny_bundle_folder, rows, tmp_path)
    assert told in str(refused.value)
    assert not (tmp_path / "new").exists()


def test_a_version_that_is_not_new_and_a_folder_that_is_not_empty_are_refused(
    tiny_bundle: Bundle, tiny_bundle_folder: Path, rows: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="VERSION_NOT_NEW"):
        recalibrate(tiny_bundle_folder, rows, tmp_path, version=tiny_bundle.manifest.version)
    recalibrate(tiny_bundle_folder, rows, tmp_path)
    with pytest.raises(FileExistsError):
        recalibrate(tiny_bundle_folder, rows, tmp_path)
