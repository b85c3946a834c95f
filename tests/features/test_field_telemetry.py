"""The features of a vehicle's record, on records with known truth and on two real cars."""

import math
from pathlib import Path

import numpy as np
import pytest

from features.field_telemetry import field_telemetry_features
from features.measurement import BatteryIdentity, CanonicalTable
from features.readers.bms_telemetry import load_vehicle_mapping, read_bms_telemetry
from features.telemetry_definitions import FIELD_TELEMETRY_DEFINITIONS
from features.vocabulary import Chemistry, Level, TableFormat

PACK = BatteryIdentity("PACK-1", Level.PACK, Chemistry.NMC, 120.0)
MAPPINGS = Path(__file__).parents[2] / "features" / "readers" / "mappings"


def record(**extra):
    """Two hours of charging at 50 A on a pack of 100 Ah, then an hour of rest, a row every 10 s."""
    time = np.arange(0.0, 10_800.0, 10.0)
    current = np.where(time < 7200.0, 50.0, 0.0)
    soc = np.floor(np.minimum(0.0 + 50.0 * time / 3600.0, 100.0))
    columns = {
        "unix_time_second": 1.6e9 + time,
        "pack_voltage_volt": np.full(time.size, 350.0),
        "pack_current_ampere": current,
        "reported_soc_percent": soc,
    }
    return CanonicalTable(
        TableFormat.TELEMETRY, columns | {k: np.broadcast_to(v, time.shape) for k, v in extra.items()}
    )


def codes(findings):
    return [each.code for each in findings]


def test_a_full_charge_shows_the_capacity_and_every_feature_has_its_name_in_order():
    values, findings = field_telemetry_features(record(), PACK)
    assert list(values) == [each.name for each in FIELD_TELEMETRY_DEFINITIONS]
    assert values["window_capacity_ah"] == pytest.approx(100.0, rel=0.005)
    assert values["window_capacity_uncertainty_ah"] == pytest.approx(5.4, abs=0.1)
    assert values["charging_session_count"] == 1.0
    assert values["largest_soc_window_fraction"] == pytest.approx(0.99)
    assert findings == ()


def test_what_was_not_recorded_is_not_measurable():
    values, _ = field_telemetry_features(record(), PACK)
    for name in (
        "insulation_ohm_per_volt",
        "highest_alarm_level",
        "rest_cell_spread_volt",
        "odometer_span_kilometer",
        "probe_temperature_high_celsius",
        "probe_temperature_spread_kelvin",
    ):
        assert math.isnan(values[name])


def test_without_a_charging_window_a_finding_says_which_window_would_tell():
    driving = record(pack_current_ampere=-5.0, reported_soc_percent=np.floor(np.linspace(80.0, 65.0, 1080)))
    values, findings = field_telemetry_features(driving, PACK)
    (finding,) = findings
    assert math.isnan(values["window_capacity_ah"])
    assert finding.code == "field_telemetry.no_charging_window"
    assert "over 40 % or two over 20 %" in finding.message.en
    assert "40%" in finding.message.zh
    assert finding.evidence["needed_total_percent"] == 40.0


@pytest.mark.parametrize("rated_capacity_ah", [80.0, 260.0])
def test_a_plate_the_data_contradict_stops_a_grade(rated_capacity_ah):
    other_plate = BatteryIdentity("PACK-1", Level.PACK, Chemistry.NMC, rated_capacity_ah)
    (finding,) = field_telemetry_features(record(), other_plate)[1]
    assert finding.code == "identity.rated_capacity_conflict"
    assert finding.disqualifies
    assert finding.evidence["window_capacity_ah"] == pytest.approx(100.0, rel=0.005)


@pytest.mark.parametrize("rated_capacity_ah", [90.0, 240.0])
def test_a_plate_that_ageing_could_explain_contradicts_nothing(rated_capacity_ah):
    plate = BatteryIdentity("PACK-1", Level.PACK, Chemistry.NMC, rated_capacity_ah)
    assert field_telemetry_features(record(), plate)[1] == ()


def test_more_charge_in_one_session_than_the_plate_holds_contradicts_it_without_any_state_of_charge():
    small_plate = BatteryIdentity("PACK-1", Level.PACK, Chemistry.NMC, 80.0)
    findings = field_telemetry_features(record(reported_soc_percent=np.nan), small_plate)[1]
    assert "identity.rated_capacity_conflict" not in codes(findings)
    steps = np.where(np.arange(1080) < 1, 50.0, 51.0)
    findings = field_telemetry_features(record(reported_soc_percent=steps), small_plate)[1]
    assert codes(findings) == ["identity.rated_capacity_conflict", "field_telemetry.no_charging_window"]


def test_a_state_of_health_the_vehicle_reports_is_compared_and_never_the_answer():
    values, findings = field_telemetry_features(record(reported_soh_percent=96.0), PACK)
    (finding,) = findings
    assert finding.code == "BMS_DISAGREES"
    assert finding.evidence["own_soh_fraction"] == pytest.approx(100.0 / 120.0, rel=0.005)
    assert finding.evidence["provenance"] == "bms_reported"
    assert values["window_capacity_ah"] == pytest.approx(100.0, rel=0.005)
    assert values["reported_soh_fraction"] == 0.96
    assert field_telemetry_features(record(reported_soh_percent=85.0), PACK)[1] == ()


def test_a_reported_state_of_health_alone_tells_no_capacity():
    parked = record(reported_soh_percent=90.0, pack_current_ampere=0.0, reported_soc_percent=60.0)
    values, findings = field_telemetry_features(parked, PACK)
    assert math.isnan(values["window_capacity_ah"])
    assert codes(findings) == ["field_telemetry.no_charging_window"]


def test_insulation_is_a_low_percentile_and_not_one_odd_sample():
    insulation = np.full(1080, 1750.0)
    insulation[5] = 3.5
    values, _ = field_telemetry_features(record(insulation_resistance_kiloohm=insulation), PACK)
    assert values["insulation_ohm_per_volt"] == pytest.approx(5000.0)
    insulation[5:30] = 3.5
    values, _ = field_telemetry_features(record(insulation_resistance_kiloohm=insulation), PACK)
    assert values["insulation_ohm_per_volt"] == pytest.approx(10.0)


def test_the_highest_alarm_counts_even_in_one_row():
    alarm = np.zeros(1080)
    alarm[77] = 4.0
    values, findings = field_telemetry_features(record(alarm_level=alarm), PACK)
    assert values["highest_alarm_level"] == 4.0
    assert codes(findings) == ["field_telemetry.alarm"]
    values, findings = field_telemetry_features(record(alarm_level=np.zeros(1080)), PACK)
    assert (values["highest_alarm_level"], findings) == (0.0, ())


def car(data_dir, name, file):
    mapping = load_vehicle_mapping(MAPPINGS / f"{name}.toml")
    return field_telemetry_features(read_bms_telemetry(data_dir / "field_bms" / file, mapping).table, PACK)


@pytest.mark.real_data
def test_cell_82_of_car2_is_the_top_consistency_finding_and_its_capacity_is_unknown(data_dir):
    values, findings = car(data_dir, "car2", "car2.csv.gz")
    assert codes(findings) == [
        "consistency.weak_cell",
        "consistency.cell_spread",
        "string.open_and_sort",
        "field_telemetry.no_charging_window",
    ]
    assert findings[0].evidence["cell"] == 82
    assert findings[0].evidence["change_over_record_volt"] == pytest.approx(-0.042, abs=0.005)
    assert "other_weak_cells" not in findings[0].evidence
    assert values["weakest_cell_drift_volt_per_month"] == pytest.approx(-0.0126, abs=0.001)
    assert math.isnan(values["window_capacity_ah"])


@pytest.mark.real_data
def test_car3_has_22_sessions_within_2_percent_and_no_weak_cell(data_dir):
    values, findings = car(data_dir, "car3", "car3.parquet")
    assert values["charging_session_count"] == 22.0
    assert values["session_scatter_fraction"] <= 0.02
    assert values["total_soc_window_fraction"] >= 22 * 0.20
    assert values["window_capacity_ah"] == pytest.approx(118.1, abs=0.5)
    assert codes(findings) == ["field_telemetry.capacity_is_stored_value"]
