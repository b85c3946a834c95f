"""A new battery type from a few fully tested batteries; what was known stays as it was, bit for bit."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.onboarding import VISIT_WIDTH_SECOND, drawn, judged
from features.errors import InvalidInput
from features.pulse import pulse_feature_matrix, pulse_slots
from models.bundle import REFERENCE_BUNDLE, Bundle, load_bundle
from models.policy_file import SHIPPED_POLICY
from tests.training.outcome_rows import FEATURE_SET, METHOD
from tests.training.synthetic_pulses import LFP, SyntheticType, synthetic_rows, trains, write_own_tables
from training.datasets import pulse_retired
from training.onboard import ONBOARDING_PLAN, Onboarded, Onboarding, onboarded
from training.onboarding import fitted_plan
from training.plan import load_plan
from training.rebundle import opened_bundle
from training.recipes.pulse import pulse_width_second
from training.table import feature_table

LMO = SyntheticType("LMO", 10.0, 3.90, 0.120)
CUTS = (0.8, 0.7)


def onboard(bundle: Path, rows: pd.DataFrame, folder: Path, **more: object) -> Onboarded:
    given = Onboarding(*write_own_tables(rows, folder / "own"))
    return onboarded(bundle, given, folder / "new", SHIPPED_POLICY, created_on=date(2026, 11, 22), **more)  # type: ignore[arg-type]


def pulses_of(kind: SyntheticType, cell_count: int, seed: int = 9) -> pd.DataFrame:
    return synthetic_rows(cell_count, (kind,), seed)


def features_of(rows: pd.DataFrame) -> np.ndarray:
    visits = rows[rows["test_kind"] == "random_soc"]
    return pulse_feature_matrix(pulse_slots(trains(visits), visits["nominal_ah"].to_numpy()))


@pytest.fixture(scope="module")
def ten(tiny_bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Onboarded:
    """Ten batteries of a type the bundle never saw."""
    folder = tmp_path_factory.mktemp("ten")
    done = onboard(tiny_bundle_folder, pulses_of(LMO, 10), folder)
    (folder.parent / "ten-bundle").symlink_to(folder / "new")
    return done


@pytest.fixture(scope="module")
def ten_folder(ten: Onboarded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "ten-bundle"


def test_what_the_bundle_said_of_its_types_it_says_again_bit_for_bit(tiny_bundle: Bundle, ten_folder: Path) -> None:
    before, after = tiny_bundle.estimators[METHOD], load_bundle(ten_folder).estimators[METHOD]
    asked = features_of(pulses_of(LFP, 12, seed=4))
    for key in ("LFP20", "NMC21"):
        said, again = (each.predict(asked, FEATURE_SET.names, key, CUTS) for each in (before, after))
        for name in ("point", "lower", "upper", "spread", "probability_below"):
            np.testing.assert_array_equal(getattr(said, name), getattr(again, name), err_msg=f"{key} {name}")


def test_files_of_the_known_types_are_the_same_bytes(tiny_bundle: Bundle, ten: Onboarded) -> None:
    documents = {"model_card.md", f"{METHOD}/estimator.json", f"{METHOD}/calibration.json"}
    kept = {name: digest for name, digest in tiny_bundle.manifest.files.items() if name not in documents}
    assert kept == {name: ten.manifest.files[name] for name in kept}
    assert {name.split("/")[1] for name in ten.manifest.files.keys() - tiny_bundle.manifest.files.keys()} == {"LMO10"}


def test_the_new_type_is_known_with_its_batteries_and_its_data(ten: Onboarded, tiny_bundle: Bundle) -> None:
    (learned,) = [each for each in ten.manifest.known_types if each.key == "LMO10"]
    assert (learned.cell_count, learned.calibration_batteries) == (10, {METHOD: 10})
    assert ten.manifest.version == f"{tiny_bundle.manifest.version}+t1"
    assert ten.manifest.training_data[-1].name == "onboarding"
    assert ten.manifest.training_data[-1].cell_count == 10


def test_new_batteries_of_the_type_are_estimated_far_better_than_by_their_mean(ten_folder: Path) -> None:
    rows = pulses_of(LMO, 40, seed=21)
    measured = (rows["capacity_ah"] / rows["nominal_ah"])[rows["test_kind"] == "random_soc"].to_numpy()
    said = load_bundle(ten_folder).estimators[METHOD].predict(features_of(rows), FEATURE_SET.names, "LMO10", CUTS)
    error = np.mean(np.abs(said.point / measured - 1.0))
    assert error < 0.5 * np.mean(np.abs(measured.mean() / measured - 1.0))
    assert np.mean((said.lower <= measured) & (measured <= said.upper)) >= 0.7
    assert np.mean(said.distance <= 1.0) >= 0.8


def test_what_was_reached_is_told_and_stands_in_the_card(ten: Onboarded, ten_folder: Path) -> None:
    told = "\n".join(ten.reached)
    assert "LMO10 was learned from 10 batteries (10 of them visits)" in told
    assert "guessing the mean of the others" in told
    assert "% interval is" in told
    assert "are missing. Until then such batteries are sent to the next test" in told
    assert "289 missing of 299" in told
    assert told.splitlines()[0] in (ten_folder / "model_card.md").read_text(encoding="utf-8")


def test_left_out_visits_join_the_batteries_thresholds_are_certified_on(
    tiny_bundle_folder: Path, ten_folder: Path
) -> None:
    before, after = (opened_bundle(folder).calibration(METHOD) for folder in (tiny_bundle_folder, ten_folder))
    assert after.quantile == before.quantile
    assert after.batteries[: len(before.batteries)] == before.batteries
    assert [each.type for each in after.batteries[len(before.batteries) :]] == ["LMO10"] * 10


def test_fewer_than_nine_visits_give_an_indication_and_calibrate_nothing(
    tiny_bundle_folder: Path, tmp_path: Path
) -> None:
    done = onboard(tiny_bundle_folder, pulses_of(LMO, 6), tmp_path)
    (learned,) = [each for each in done.manifest.known_types if each.key == "LMO10"]
    assert learned.calibration_batteries == {METHOD: 0}
    assert "needs 9 visited batteries, 3 more than there are" in "\n".join(done.reached)
    batteries = opened_bundle(tmp_path / "new").calibration(METHOD).batteries
    assert {each.type for each in batteries} == {"LFP20", "NMC21"}


def test_two_runs_on_the_same_tests_give_the_same_bundle(
    tiny_bundle_folder: Path, ten: Onboarded, tmp_path: Path
) -> None:
    again = onboard(tiny_bundle_folder, pulses_of(LMO, 10), tmp_path)
    assert again.manifest == ten.manifest
    assert json.loads((tmp_path / "new" / "manifest.json").read_text())["version"] == ten.manifest.version


@pytest.mark.parametrize(
    ("kinds", "cell_count", "code"),
    [
        ((LMO,), 4, "TOO_FEW_BATTERIES"),
        ((LFP,), 6, "TYPE_KNOWN"),
        ((LMO, SyntheticType("LMO", 30.0, 3.9, 0.1)), 6, "NOT_ONE_TYPE"),
        ((SyntheticType("LFP", 20.3, 3.3, 0.05),), 6, "TYPES_OVERLAP"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    tiny_bundle_folder: Path, tmp_path: Path, kinds: tuple[SyntheticType, ...], cell_count: int, code: str
) -> None:
    with pytest.raises(InvalidInput, match=code):
        onboard(tiny_bundle_folder, synthetic_rows(cell_count, kinds), tmp_path)
    assert not (tmp_path / "new").exists()


@pytest.mark.real_data
@pytest.mark.parametrize(("key", "highest_error"), [("LMO10", 0.08), ("NMC21", 0.035)])
def test_a_public_type_held_out_is_learned_from_ten_of_its_batteries(
    data_dir: Path, key: str, highest_error: float
) -> None:
    table = feature_table([pulse_retired.labelled_tests(data_dir)], METHOD)
    of_type = table.taken((table.type_keys == key) & (pulse_width_second(table) == VISIT_WIDTH_SECOND))
    interval = load_bundle(REFERENCE_BUNDLE).estimators[METHOD].interval
    types = {other: each for other, each in interval.types.items() if other != key}
    without = interval.model_copy(update={"types": types})
    plan = fitted_plan(load_plan(ONBOARDING_PLAN), of_type)
    figures = judged(plan, *drawn(of_type, 10, 4, np.random.default_rng(2)), without)
    assert figures.error < highest_error
    assert figures.error < 0.6 * figures.error_of_mean
    assert figures.covered >= 0.75
