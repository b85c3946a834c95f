"""The simulated fleet as a data set, and a bundle with a telemetry estimator: what it may do and what not."""

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from features.errors import InvalidInput
from features.extract import extract
from features.feature_set import Method
from features.measurement import BatteryHistory
from models.assessment import assess
from models.bundle import REFERENCE_BUNDLE, Bundle, load_bundle
from models.certification import certified
from models.decision import Assessment, GradingCase
from models.policy_file import SHIPPED_POLICY, load_policy
from training.datasets import fleet
from training.labels import LabelledTests
from training.plan import ListedPlan, load_plan
from training.recipes.by_method import recipe_of
from training.run import JudgedBundle, judge, train_bundle

ROOT = Path(__file__).parents[2]
SAMPLE_FLEET = ROOT / "serving" / "sample_fleet"
PLAN = ROOT / "training" / "plans" / "telemetry_simulated.toml"


@pytest.fixture(scope="module")
def sample() -> LabelledTests:
    return fleet.labelled_tests(SAMPLE_FLEET)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Trained on the sample fleet alone: too few packs for a figure, enough to see what happens."""
    plan = load_plan(PLAN)
    members = tuple(each.model_copy(update={"least_rows": 4}) for each in plan.members)
    splits = plan.splits.model_copy(update={"fold_count": 2, "calibration_split_count": 2})
    # The sample is sampled every minute, too seldom for a resistance.
    listed = plan.listed_features.model_copy(
        update={"required": ("window_capacity_fraction",), "anchors": ("window_capacity_fraction",)}
    )
    look = plan.applicability.model_copy(update={"features": ("window_capacity_fraction",)})
    changed = {"members": members, "splits": splits, "listed_features": listed, "applicability": look}
    folder = tmp_path_factory.mktemp("telemetry") / "bundle"
    judged = judge(plan.model_copy(update=changed), SAMPLE_FLEET, SHIPPED_POLICY, lambda _: None)
    train_bundle(JudgedBundle.of(judged), folder, date(2026, 11, 22), lambda _: None)
    return load_bundle(folder)


def assessed(history: BatteryHistory, bundle: Bundle) -> Assessment:
    policy = load_policy(SHIPPED_POLICY)
    vector = extract(history, history.runs[0].available_at)
    case = GradingCase(history.identity, history.inspection, vector)
    return assess(case, bundle, policy.terms(certified(bundle.calibration, policy.cuts, policy.risk)))


def copied(tmp_path: Path, pack_count: int = 2) -> Path:
    """Fleet of the first packs alone."""
    (tmp_path / "telemetry").mkdir()
    truth = pd.read_csv(SAMPLE_FLEET / "truth.csv").head(pack_count)
    truth.to_csv(tmp_path / "truth.csv", index=False)
    for name in truth["battery_id"]:
        shutil.copy(SAMPLE_FLEET / "telemetry" / f"{name}.parquet", tmp_path / "telemetry")
    return tmp_path


def test_every_pack_is_a_visit_of_its_own_with_the_truth_as_its_label(sample: LabelledTests) -> None:
    truth = pd.read_csv(SAMPLE_FLEET / "truth.csv")
    assert sample.labels["physical_cell"].is_unique
    assert sample.labels["visit"].all()
    assert sample.labels["remaining_capacity_ah"].tolist() == truth["remaining_capacity_ah"].tolist()
    assert [test.identity.series_count for test in sample.tests] == truth["series_count"].tolist()


def test_the_licence_is_ours_and_the_numbers_are_reported_by_a_vehicle(sample: LabelledTests) -> None:
    assert (sample.source.name, sample.source.licence) == ("simulated_fleet", "ours")
    assert {test.runs[0].source.provenance.value for test in sample.tests} == {"bms_reported"}


def test_a_folder_without_the_truth_is_no_fleet(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"DATASET_NOT_READABLE(.|\n)*truth\.csv.*must be a file"):
        fleet.labelled_tests(tmp_path)


def test_a_truth_without_a_capacity_is_refused_by_its_column(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    pd.read_csv(folder / "truth.csv").drop(columns="remaining_capacity_ah").to_csv(folder / "truth.csv", index=False)
    with pytest.raises(InvalidInput, match=r"DATASET_NOT_READABLE(.|\n)*remaining_capacity_ah"):
        fleet.labelled_tests(folder)


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    truth = pd.read_csv(folder / "truth.csv")
    truth.loc[0, "battery_id"] = "../secret"
    truth.to_csv(folder / "truth.csv", index=False)
    with pytest.raises(InvalidInput, match=r"DATASET_NOT_READABLE(.|\n)*\.\./secret"):
        fleet.labelled_tests(folder)


def test_a_pack_without_its_telemetry_is_named(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / "telemetry" / "FLEET-LFP-0002.parquet").unlink()
    with pytest.raises(InvalidInput, match=r"FLEET-LFP-0002\.parquet(.|\n)*there is no such file"):
        fleet.labelled_tests(folder)


def test_another_record_is_another_data_set(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    before = fleet.labelled_tests(folder).source.sha256
    path = folder / "telemetry" / "FLEET-LFP-0002.parquet"
    pd.read_parquet(path).iloc[:-1].to_parquet(path)
    assert fleet.labelled_tests(folder).source.sha256 != before


def test_the_plan_names_features_that_exist_and_none_a_vehicle_states_as_its_health() -> None:
    plan = load_plan(PLAN)
    assert isinstance(plan, ListedPlan)
    recipe = recipe_of(plan)
    seen = {name for member in plan.members for name in recipe.member_features(member)}
    assert seen >= {"window_capacity_fraction", "step_resistance_ohm_ah"}
    assert "reported_soh_fraction" not in seen


def test_the_look_of_the_plan_holds_over_which_time_its_resistance_was_compared() -> None:
    assert "step_second" in load_plan(PLAN).applicability.features


def test_a_calibrated_estimator_speaks_about_telemetry(bundle: Bundle, sample: LabelledTests) -> None:
    told = [assessed(test, bundle) for test in sample.tests if isinstance(test, BatteryHistory)]
    assert {each.known_type for each in told} == {True}
    assert not any("INSUFFICIENT_DATA" in {reason.code for reason in each.abstentions} for each in told)
    estimates = [each.estimate for each in told if each.estimate is not None]
    assert len(estimates) == 20
    assert {each.capacity_definition for each in estimates} == {
        "charge of the simulated string between its voltage limits, at rest"
    }
    assert {each.provenance.value for each in estimates} == {"bms_reported"}


def test_a_real_pack_of_the_same_plate_that_names_its_type_is_unknown(bundle: Bundle, sample: LabelledTests) -> None:
    simulated = sample.tests[0]
    assert isinstance(simulated, BatteryHistory)
    real = replace(simulated, identity=replace(simulated.identity, type_designation="NCM-150A"))
    said = assessed(real, bundle)
    assert "UNKNOWN_TYPE" in {reason.code for reason in said.abstentions}
    assert not said.usable


def test_without_a_certificate_it_still_grades_nothing(bundle: Bundle, sample: LabelledTests) -> None:
    first = sample.tests[0]
    assert isinstance(first, BatteryHistory)
    assert not assessed(first, bundle).usable


def test_the_shipped_bundle_knows_no_telemetry_and_shows_the_sessions_instead(sample: LabelledTests) -> None:
    reference = load_bundle(REFERENCE_BUNDLE)
    assert Method.FIELD_TELEMETRY not in reference.estimators
    first = sample.tests[0]
    assert isinstance(first, BatteryHistory)
    told = assessed(first, reference)
    assert "METHOD_NOT_CALIBRATED" in {reason.code for reason in told.abstentions}
    assert told.estimate is not None
    assert not told.estimate.calibrated
