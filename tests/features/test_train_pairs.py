"""Which trains make a pair: the charge between them is counted, never believed."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.extract import extract
from features.feature_set import Method
from features.findings import Severity
from features.measurement import CanonicalTable
from features.readers.nebula import read_nebula
from features.steps import found_trains, graded_train
from features.train_pairs import pair_features
from features.two_trains import TWO_TRAIN_FEATURE_NAMES
from features.vocabulary import RunKind, TableFormat
from tests.support.simulated_battery import STARTED_AT, SimulatedBattery, columns_of, one_after_another

RATED_AH = 35.0
BATTERY = SimulatedBattery(rated_capacity_ah=RATED_AH, remaining_capacity_ah=30.0)
ONE_TRAIN = BATTERY.pulse_train(state_of_charge=0.25)
LATER_TRAIN = BATTERY.pulse_train(state_of_charge=0.25 + 0.20 * RATED_AH / 30.0)


def step(word: str, second: float, ampere: float, celsius: float = 25.0) -> CanonicalTable:
    columns = {
        "step_index": np.zeros(1),
        "step_type": np.array([word]),
        "step_duration_second": np.array([second]),
        "current_ampere": np.array([ampere]),
        "voltage_begin_volt": np.array([3.3]),
        "voltage_end_volt": np.array([3.35]),
        "surface_temperature_celsius": np.array([celsius]),
    }
    return CanonicalTable(TableFormat.STEP_TABLE, columns)


def moved(table: CanonicalTable, train: int | None = None) -> float:
    return pair_features(table, RATED_AH, train)[0]["moved_charge_fraction"]


def reason(table: CanonicalTable, train: int | None = None) -> object:
    values, findings = pair_features(table, RATED_AH, train)
    assert all(math.isnan(value) for value in values.values())
    (note,) = findings
    assert (note.code, note.severity) == ("pulse.second_train_unused", Severity.NOTE)
    return note.evidence["reason"]


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("moved_fraction", [0.15, 0.20, 0.25])
def test_the_charge_between_two_trains_is_counted_from_current_and_time(sampled: bool, moved_fraction: float) -> None:
    table = BATTERY.two_trains(moved_fraction=moved_fraction, sampled=sampled)
    values, (note,) = pair_features(table, RATED_AH)
    assert values["moved_charge_fraction"] == pytest.approx(moved_fraction, abs=1e-4)
    assert all(math.isfinite(value) for value in values.values())
    assert (note.code, note.severity) == ("pulse.second_train", Severity.NOTE)
    assert note.evidence["second_train"] == 2
    assert "not from batteries arriving at a station" in note.message.en


def test_the_record_of_a_test_gives_the_features_of_its_step_table() -> None:
    steps, record = (pair_features(BATTERY.two_trains(sampled=sampled), RATED_AH)[0] for sampled in (False, True))
    assert list(record.values()) == pytest.approx(list(steps.values()), rel=0.02, abs=0.02)


def test_one_train_is_no_pair_and_nothing_is_said_about_it() -> None:
    for table in (ONE_TRAIN, BATTERY.pulse_record()):
        values, findings = pair_features(table, RATED_AH)
        assert tuple(values) == TWO_TRAIN_FEATURE_NAMES
        assert all(math.isnan(value) for value in values.values())
        assert findings == ()


def test_trains_at_one_state_of_charge_are_no_pair_although_a_charge_came_before_them() -> None:
    table = one_after_another(step("charge", 720.0, RATED_AH), ONE_TRAIN, ONE_TRAIN)
    values, findings = pair_features(table, RATED_AH)
    assert math.isnan(values["moved_charge_fraction"])
    assert findings == ()


@pytest.mark.parametrize(("moved_fraction", "counts"), [(0.14, False), (0.15, True), (0.25, True), (0.26, False)])
def test_only_15_to_25_percent_of_the_rated_charge_make_a_pair(moved_fraction: float, counts: bool) -> None:
    between = step("charge", 3600.0 * moved_fraction, RATED_AH)
    table = one_after_another(ONE_TRAIN, between, step("charge", 36.0, 0.01 * RATED_AH), LATER_TRAIN)
    assert math.isfinite(moved(table)) is counts
    if not counts and moved_fraction > 0.20:
        assert reason(table) == "charge_out_of_range"


def test_of_several_later_trains_the_one_nearest_to_20_percent_is_the_second() -> None:
    fill = step("charge", 180.0, RATED_AH)
    table = one_after_another(ONE_TRAIN, *(part for _ in range(6) for part in (fill, LATER_TRAIN)))
    assert moved(table) == pytest.approx(0.20, abs=1e-4)
    assert pair_features(table, RATED_AH)[1][0].evidence["second_train"] == 5
    assert pair_features(table, RATED_AH, 2)[1][0].evidence["second_train"] == 6
    assert reason(table, 6) == "charge_out_of_range"


def test_a_train_of_another_width_is_no_second_train() -> None:
    wider = BATTERY.pulse_train(state_of_charge=0.48, width_second=5.0)
    values, findings = pair_features(one_after_another(ONE_TRAIN, step("charge", 720.0, RATED_AH), wider), RATED_AH)
    assert math.isnan(values["moved_charge_fraction"])
    assert findings == ()


def test_a_discharge_between_the_trains_is_no_known_history() -> None:
    table = one_after_another(
        ONE_TRAIN, step("charge", 1080.0, RATED_AH), step("discharge", 360.0, -RATED_AH), LATER_TRAIN
    )
    assert reason(table) == "discharged"


def test_a_step_that_is_not_on_record_makes_the_charge_unknown() -> None:
    columns = columns_of(one_after_another(ONE_TRAIN, step("charge", 720.0, RATED_AH), LATER_TRAIN))
    columns["step_index"][ONE_TRAIN.row_count + 1 :] += 1.0
    assert reason(CanonicalTable(TableFormat.STEP_TABLE, columns)) == "not_on_record"


@pytest.mark.parametrize(("rest_second", "counts"), [(299.0, False), (300.0, True)])
def test_the_battery_rests_five_minutes_after_the_charge(rest_second: float, counts: bool) -> None:
    later = BATTERY.pulse_train(state_of_charge=0.48, rest_second=rest_second)
    table = one_after_another(ONE_TRAIN, step("charge", 720.0, RATED_AH), later)
    assert math.isfinite(moved(table)) is counts
    if not counts:
        assert reason(table) == "rest_short"


def test_a_second_train_on_a_warm_battery_is_not_compared_with_a_cold_first_one() -> None:
    columns = columns_of(one_after_another(ONE_TRAIN, step("charge", 720.0, RATED_AH), LATER_TRAIN))
    columns["surface_temperature_celsius"][ONE_TRAIN.row_count + 1 :] = 34.0
    assert reason(CanonicalTable(TableFormat.STEP_TABLE, columns)) == "temperature"


def test_a_second_train_without_the_pulses_that_are_compared_is_not_used() -> None:
    thin = BATTERY.pulse_train(state_of_charge=0.48, amplitudes=(0.5, 1.0))
    assert reason(one_after_another(ONE_TRAIN, step("charge", 720.0, RATED_AH), thin)) == "pulses_missing"


def test_a_first_train_that_does_not_exist_leaves_the_refusal_to_the_pulse_test() -> None:
    assert pair_features(BATTERY.two_trains(), RATED_AH, 7)[1] == ()


def test_a_run_with_two_trains_gives_the_features_of_both_methods() -> None:
    run = BATTERY.run(RunKind.PULSE_TEST, BATTERY.two_trains())
    vector = extract(BATTERY.history(run), run.available_at)
    assert {each.method for each in vector.measured} == {Method.TWO_PULSE_TRAINS, Method.PULSE_TEST}
    single = vector.of(Method.PULSE_TEST)
    alone = extract(BATTERY.history(BATTERY.run(RunKind.PULSE_TEST, ONE_TRAIN)), run.available_at)
    assert single is not None
    assert dict(single.values) == dict(alone.values)
    assert alone.of(Method.TWO_PULSE_TRAINS) is None


def test_nothing_is_taken_from_a_second_train_that_came_after_the_grading_moment() -> None:
    run = BATTERY.run(RunKind.PULSE_TEST, BATTERY.two_trains())
    assert extract(BATTERY.history(run), STARTED_AT).measured == ()


def features_of_published(data_dir: Path, kind: str, rated_ah: float) -> dict[str, Any]:
    (path,) = (data_dir / "pulse_retired" / "nebula_exports").glob(f"{kind}_*.xlsx")
    table = read_nebula(path, RunKind.PULSE_TEST).table
    found = found_trains(table, rated_ah)
    values = [pair_features(table, rated_ah, number)[0] for number in range(1, len(found) + 1)]
    return {"count": len(found), "moved": [each["moved_charge_fraction"] for each in values]}


@pytest.mark.real_data
@pytest.mark.parametrize(("kind", "rated_ah", "pairs"), [("LMO", 10.0, 50), ("NMC", 21.0, 120)])
def test_the_genuine_campaigns_hold_pairs_15_or_20_percent_apart(
    data_dir: Path, kind: str, rated_ah: float, pairs: int
) -> None:
    said = features_of_published(data_dir, kind, rated_ah)
    usable = [value for value in said["moved"] if math.isfinite(value)]
    assert len(usable) == pairs
    assert {round(value, 3) for value in usable} == {0.15, 0.2}
    assert sum(round(value, 3) == 0.2 for value in usable) >= 0.75 * pairs


def test_what_one_method_found_in_a_run_is_what_the_next_one_would_have_found() -> None:
    table, other = BATTERY.two_trains(), BATTERY.two_trains(moved_fraction=0.15)
    fresh, fresh_as_smaller = graded_train(table, RATED_AH), graded_train(table, 20.0)
    pair_features(table, RATED_AH)
    assert graded_train(table, RATED_AH) == fresh
    pair_features(table, RATED_AH)
    assert graded_train(table, 20.0) == fresh_as_smaller
    pair_features(table, RATED_AH)
    assert graded_train(other, RATED_AH)[0] == fresh[0]
    assert found_trains(other, RATED_AH)[1] != found_trains(table, RATED_AH)[1]
