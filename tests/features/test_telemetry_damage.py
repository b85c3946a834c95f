"""A simulated vehicle with known capacity, damaged the way vehicles' records are; both directions of every rule."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from features.errors import InvalidInput
from features.field_telemetry import field_telemetry_features
from features.measurement import BatteryIdentity, CanonicalTable
from features.telemetry_definitions import FIELD_TELEMETRY_DEFINITIONS
from features.vocabulary import Chemistry, Level, TableFormat
from tests.support.simulated_battery import SimulatedBattery
from tests.support.simulated_vehicle import Vehicle

TRUTH_AH = 81.0
PACK = SimulatedBattery(100.0, TRUTH_AH, Chemistry.NMC, level=Level.PACK, series_count=20)
RECORD = PACK.telemetry(Vehicle(day_count=4))


def damaged(change=None, rows=slice(None), without=(), battery=PACK, record=RECORD):
    """Features and findings of the record after `change` on a copy of its columns and a choice of rows."""
    columns = {name: np.array(values) for name, values in record.columns.items() if name not in without}
    if change is not None:
        change(columns)
    table = CanonicalTable(TableFormat.TELEMETRY, {name: values[rows] for name, values in columns.items()})
    values, findings = field_telemetry_features(table, battery.identity)
    assert list(values) == [each.name for each in FIELD_TELEMETRY_DEFINITIONS]
    assert not any(math.isinf(value) for value in values.values())
    return values, [each.code for each in findings]


def capacity(*args, **kwargs):
    return damaged(*args, **kwargs)[0]["window_capacity_ah"]


def test_an_undamaged_record_shows_the_capacity_twice():
    values, _ = damaged()
    assert values["window_capacity_ah"] == pytest.approx(TRUTH_AH, rel=0.01)
    assert values["rest_capacity_ah"] == pytest.approx(TRUTH_AH, rel=0.05)
    assert values["charging_session_count"] == 4.0


@pytest.mark.parametrize("sampling_second", [10, 30, 60, 120, 300])
def test_slower_sampling_shows_the_same_capacity(sampling_second):
    assert capacity(rows=slice(None, None, sampling_second // 10)) == pytest.approx(TRUTH_AH, rel=0.02)


def test_lost_rows_change_little():
    kept = np.flatnonzero(np.random.default_rng(1).random(RECORD.row_count) > 0.3)
    assert capacity(rows=kept) == pytest.approx(TRUTH_AH, rel=0.01)


def test_a_silence_of_ten_minutes_in_every_charge_splits_it_and_changes_little():
    in_charge = np.flatnonzero(RECORD.floats("pack_current_ampere") > 0.0)
    begins = in_charge[np.r_[True, np.diff(in_charge) > 1]] + 200
    silent = (begins[:, None] + np.arange(60)).ravel()
    assert capacity(rows=np.setdiff1d(np.arange(RECORD.row_count), silent)) == pytest.approx(TRUTH_AH, rel=0.02)


@pytest.mark.parametrize("column", ["pack_current_ampere", "reported_soc_percent", "pack_voltage_volt", "charge_state"])
def test_missing_values_in_one_row_of_ten_change_little(column):
    def change(columns):
        columns[column][np.random.default_rng(2).random(RECORD.row_count) < 0.1] = np.nan

    assert capacity(change) == pytest.approx(TRUTH_AH, rel=0.01)


@pytest.mark.parametrize("sentinel", [-1000.0, 1000.0, -3000.0, 3276.7])
def test_a_current_that_means_invalid_moves_no_charge(sentinel):
    def change(columns):
        columns["pack_current_ampere"][50::97] = sentinel

    values, _ = damaged(change)
    assert values["window_capacity_ah"] == pytest.approx(TRUTH_AH, rel=0.01)
    assert values["charge_throughput_cycles"] == pytest.approx(damaged()[0]["charge_throughput_cycles"], rel=0.02)


@pytest.mark.parametrize("code", [3.0, 255.0, 0.0])
def test_a_charge_state_that_never_says_charging_says_nothing(code):
    def change(columns):
        columns["charge_state"][:] = code

    assert capacity(change) == pytest.approx(TRUTH_AH, rel=0.01)


def test_charge_fed_back_while_driving_is_no_session():
    def change(columns):
        columns["charge_state"][columns["charge_state"] == 1.0] = 2.0
        columns["charge_state"][:5] = 1.0

    assert math.isnan(capacity(change))


def test_without_charge_state_and_odometer_the_current_alone_finds_the_sessions():
    without = ("charge_state", "odometer_kilometer")
    assert capacity(without=without) == pytest.approx(TRUTH_AH, rel=0.01)


def test_an_odometer_of_zeros_or_with_odd_values_hides_no_session():
    def zeros(columns):
        columns["odometer_kilometer"][::3] = 0.0
        columns["odometer_kilometer"][1::7] += 900.0

    assert damaged(zeros)[0]["charging_session_count"] == 4.0


def test_a_current_sensor_offset_stays_within_the_stated_uncertainty():
    def change(columns):
        columns["pack_current_ampere"] += 0.5

    values, _ = damaged(change)
    apart = abs(values["window_capacity_ah"] - TRUTH_AH)
    assert apart <= 1.645 * values["window_capacity_uncertainty_ah"]


def test_a_flipped_sign_gives_no_capacity_and_is_named():
    def change(columns):
        columns["pack_current_ampere"] *= -1.0

    values, codes = damaged(change, without=("charge_state",))
    assert math.isnan(values["window_capacity_ah"])
    assert math.isnan(values["rest_capacity_ah"])
    assert "field_telemetry.current_contradicts_soc" in codes
    assert "field_telemetry.current_contradicts_soc" not in damaged()[1]


def test_a_state_of_charge_that_never_moves_gives_no_capacity_and_is_named():
    def change(columns):
        columns["reported_soc_percent"][:] = 55.0

    values, codes = damaged(change)
    assert math.isnan(values["window_capacity_ah"])
    assert "field_telemetry.soc_stuck" in codes
    assert "field_telemetry.no_charging_window" in codes
    assert values["equivalent_full_cycles"] == 0.0


def test_without_current_nothing_charges():
    def change(columns):
        columns["pack_current_ampere"][:] = 0.0

    values, codes = damaged(change)
    assert math.isnan(values["window_capacity_ah"])
    assert "field_telemetry.no_charging_window" in codes


@pytest.mark.parametrize("column", ["pack_current_ampere", "reported_soc_percent"])
def test_a_column_that_never_reports_gives_no_capacity_and_no_error(column):
    def change(columns):
        columns[column][:] = np.nan

    values, codes = damaged(change)
    assert math.isnan(values["window_capacity_ah"])
    assert "field_telemetry.no_charging_window" in codes


@pytest.mark.parametrize("row_count", [1, 2, 3, 25])
def test_a_handful_of_rows_tells_nothing_and_breaks_nothing(row_count):
    values, codes = damaged(rows=slice(row_count))
    assert math.isnan(values["window_capacity_ah"])
    assert "field_telemetry.no_charging_window" in codes


@pytest.mark.parametrize("series_count", [1, 12, 108])
def test_any_number_of_cells_shows_the_capacity_and_the_weak_cell(series_count):
    pack = SimulatedBattery(100.0, TRUTH_AH, Chemistry.NMC, level=Level.PACK, series_count=series_count)
    record = pack.telemetry(Vehicle(day_count=2, weak_cell_volt=0.08))
    values, codes = damaged(battery=pack, record=record)
    assert values["window_capacity_ah"] == pytest.approx(TRUTH_AH, rel=0.01)
    assert ("consistency.weak_cell" in codes) == (series_count > 1)


def test_cells_in_series_follow_from_the_voltages_where_nobody_declares_them():
    nobody_counted = BatteryIdentity("PACK", Level.PACK, Chemistry.NMC, 100.0)
    values, _ = field_telemetry_features(RECORD, nobody_counted)
    assert values["step_resistance_ohm_ah"] == damaged()[0]["step_resistance_ohm_ah"] > 0.0
    assert values["session_slice_08_fraction"] == damaged()[0]["session_slice_08_fraction"] > 0.0


@pytest.mark.parametrize("sentinel", [0.0, 5.0])
def test_cell_voltages_that_mean_invalid_make_no_cell_weak(sentinel):
    def change(columns):
        columns["cell_voltage_7_volt"][::2] = sentinel
        columns["cell_voltage_9_volt"][:] = sentinel

    values, codes = damaged(change)
    assert not [code for code in codes if code.startswith("consistency")]
    assert values["rest_cell_spread_volt"] == pytest.approx(damaged()[0]["rest_cell_spread_volt"], abs=0.004)


def test_a_cell_sensor_that_stands_still_is_named_and_not_called_weak():
    def change(columns):
        columns["cell_voltage_7_volt"][:] = 3.5

    codes = damaged(change)[1]
    assert "consistency.cell_sensor_stuck" in codes
    assert "consistency.weak_cell" not in codes


def test_repeated_times_are_refused_with_their_row():
    def change(columns):
        columns["unix_time_second"][11] = columns["unix_time_second"][10]

    with pytest.raises(InvalidInput, match=r"unix_time_second\[11\]"):
        damaged(change)


def test_rows_from_a_clock_that_runs_ahead_change_no_feature():
    last = RECORD.floats("unix_time_second")[-1]
    known_until = datetime.fromtimestamp(last, UTC)
    columns = {name: np.r_[values, values[-5:]] for name, values in RECORD.columns.items()}
    columns["unix_time_second"][-5:] = last + 86_400.0 * np.arange(900.0, 905.0)
    ahead = CanonicalTable(TableFormat.TELEMETRY, columns)
    with_rows, _ = field_telemetry_features(ahead, PACK.identity, known_until)
    without, _ = field_telemetry_features(RECORD, PACK.identity, known_until)
    assert repr(with_rows) == repr(without)


def test_a_vehicle_that_counts_by_a_wrong_capacity_is_named_where_its_rests_contradict_it():
    def change(columns):
        soc, charging = columns["reported_soc_percent"], columns["charge_state"] == 1.0
        soc[charging] = np.floor(40.0 + 0.8 * (soc[charging] - 40.0))

    values, codes = damaged(change)
    assert values["window_capacity_ah"] == pytest.approx(TRUTH_AH / 0.8, rel=0.02)
    assert values["rest_capacity_ah"] == pytest.approx(TRUTH_AH, rel=0.03)
    assert "field_telemetry.rests_disagree" in codes
    assert "field_telemetry.rests_disagree" not in damaged()[1]


@pytest.mark.parametrize("rate_scale", [0.5, 2.0])
def test_charging_at_another_rate_moves_the_same_charge_between_the_same_relaxed_voltages(rate_scale):
    pack = SimulatedBattery(100.0, TRUTH_AH, Chemistry.NMC, level=Level.PACK, series_count=4)
    usual, other = (
        field_telemetry_features(pack.telemetry(Vehicle(day_count=6, charging_rate_c=rate)), pack.identity)[0]
        for rate in (0.25, 0.25 * rate_scale)
    )
    assert other["session_rate_c"] == pytest.approx(rate_scale * usual["session_rate_c"], rel=0.02)
    for number in (7, 8, 9, 10):
        name = f"session_slice_{number:02d}_fraction"
        assert other[name] == pytest.approx(usual[name], abs=0.004)
