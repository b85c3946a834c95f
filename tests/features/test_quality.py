from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.capacity_test import capacity_test_features
from features.findings import Finding, Message, Severity
from features.measurement import BatteryIdentity, CanonicalTable, MeasurementRun, SourceStamp
from features.quality import table_findings
from features.vocabulary import Chemistry, Level, RunKind, TableFormat

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LFP_100AH = BatteryIdentity("cell 7", Level.CELL, Chemistry.LFP, 100.0)
NMC_PACK = BatteryIdentity("pack 1", Level.PACK, Chemistry.NMC, 100.0, series_count=88)
TELEMETRY_COLUMNS = ("unix_time_second", "pack_voltage_volt", "pack_current_ampere", "reported_soc_percent")


def run_of(kind: RunKind, table_format: TableFormat, *findings: Finding, **columns: object) -> MeasurementRun:
    table = CanonicalTable(table_format, {name: np.asarray(values) for name, values in columns.items()})
    return MeasurementRun(kind, NOW, NOW, SourceStamp("run.csv", "0" * 64, "timeseries"), table, findings=findings)


def sampled(time: object, voltage: object, current: object, kind: RunKind = RunKind.PARTIAL_CHARGE) -> MeasurementRun:
    time = np.asarray(time, dtype=float)
    columns = {
        "voltage_volt": np.broadcast_to(voltage, time.shape),
        "current_ampere": np.broadcast_to(current, time.shape),
    }
    return run_of(kind, TableFormat.TIMESERIES, test_time_second=time, **columns)


def telemetry(*findings: Finding, **changed: object) -> MeasurementRun:
    rows = np.arange(100.0)
    columns = {
        "unix_time_second": 1.7e9 + 10.0 * rows,
        "pack_voltage_volt": 330.0 + 0.1 * (rows % 7),
        "pack_current_ampere": -20.0 + rows % 3,
        "reported_soc_percent": 60.0 + 0.0 * rows,
    }
    return run_of(RunKind.FIELD_TELEMETRY, TableFormat.TELEMETRY, *findings, **(columns | changed))


def steps(**changed: object) -> MeasurementRun:
    columns = {
        "step_index": [0.0, 1.0, 2.0],
        "step_type": ["rest", "discharge", "rest"],
        "step_duration_second": [600.0, 5.0, 75.0],
        "current_ampere": [0.0, -100.0, 0.0],
        "voltage_begin_volt": [3.30, 3.25, 3.28],
        "voltage_end_volt": [3.30, 3.20, 3.29],
    }
    return run_of(RunKind.PULSE_TEST, TableFormat.STEP_TABLE, **(columns | changed))


def full_discharge(time: np.ndarray) -> MeasurementRun:
    """Rest at 3.4 V, then 1 C from 3.38 V to 2.45 V."""
    voltage = np.where(time < 600, 3.4, 3.38 - 0.93 * ((time - 600) / 3400) ** 6)
    return sampled(time, voltage, np.where(time < 600, 0.0, -100.0), RunKind.CAPACITY_TEST)


def found(run: MeasurementRun, identity: BatteryIdentity = LFP_100AH) -> dict[str, Finding]:
    return {finding.code: finding for finding in table_findings(run, identity)}


def test_a_clean_record_of_every_format_has_no_finding():
    spectrum = {"frequency_hertz": [1e3], "real_impedance_ohm": [1e-3], "imaginary_impedance_ohm": [0.0]}

    assert found(sampled(np.arange(100), 3.2 + np.arange(100) / 1000, 50.0)) == {}
    assert found(full_discharge(np.arange(0.0, 4001.0, 10.0))) == {}
    assert found(steps()) == {}
    assert found(telemetry(), NMC_PACK) == {}
    assert found(run_of(RunKind.IMPEDANCE, TableFormat.SPECTRUM, **spectrum)) == {}


def test_a_gap_of_41_minutes_in_a_reference_discharge_is_shown_and_its_capacity_is_not_used():
    time = np.arange(0.0, 4001.0, 10.0)
    run = full_discharge(time[(time <= 1000) | (time >= 3460)])
    whole, _ = capacity_test_features(full_discharge(time).table, LFP_100AH)
    cut, _ = capacity_test_features(run.table, LFP_100AH)

    gap = found(run)["quality.current_gap"]

    assert gap.severity is Severity.CAUTION
    assert gap.evidence == {"gap_second": 2460.0, "allowed_second": 68.0, "starts_at_second": 1000.0}
    assert whole["discharged_capacity_ah"] == pytest.approx(94.4, abs=0.3)
    assert np.isnan(cut["discharged_capacity_ah"])


def test_a_gap_at_the_limit_of_one_fiftieth_of_the_discharge_is_allowed():
    time = np.arange(0.0, 4001.0, 10.0)

    assert found(full_discharge(time[(time <= 1000) | (time >= 1060)])) == {}
    assert "quality.current_gap" in found(full_discharge(time[(time <= 1000) | (time >= 1070)]))


def test_a_gap_while_the_battery_rests_does_not_touch_a_capacity_test():
    time = np.arange(0.0, 4001.0, 10.0)

    assert found(full_discharge(time[(time <= 100) | (time >= 500)])) == {}


def test_silence_beyond_ten_sampling_intervals_is_a_note_with_its_begin():
    time = np.concatenate([np.arange(50.0), np.arange(60.5, 100.0)])

    gap = found(sampled(time, 3.2 + time / 1000, 50.0))["quality.sampling_gap"]

    assert gap.severity is Severity.NOTE
    assert gap.evidence == {
        "gap_count": 1,
        "longest_gap_second": 11.5,
        "allowed_second": 10.0,
        "starts_at_second": 49.0,
    }


def test_silence_of_just_ten_sampling_intervals_is_no_gap():
    time = np.concatenate([np.arange(50.0), np.arange(59.0, 100.0)])

    assert found(sampled(time, 3.2 + time / 1000, 50.0)) == {}


def test_gaps_the_reader_has_told_are_not_told_again():
    rows = np.arange(100.0)
    time = 1.7e9 + 10.0 * rows + 5000.0 * (rows > 50)
    told = Finding("telemetry.gaps", Severity.NOTE, Message("told", "已报告"))

    assert set(found(telemetry(unix_time_second=time), NMC_PACK)) == {"quality.sampling_gap"}
    assert found(telemetry(told, unix_time_second=time), NMC_PACK) == {}


def test_a_clock_that_jumps_further_than_the_battery_holds_is_a_caution():
    time = np.concatenate([np.arange(50.0), np.arange(50.0) + 10_000.0])

    jump = found(sampled(time, 3.2 + time / 1e5, 50.0))["quality.clock_jump"]

    assert jump.severity is Severity.CAUTION
    assert jump.evidence["jump_second"] == 9951.0
    assert jump.evidence["implied_charge_ah"] == pytest.approx(138.2, abs=0.1)
    assert "quality.clock_jump" not in found(sampled(time, 3.2 + time / 1e5, 30.0))


@pytest.mark.parametrize(("first", "early", "late"), [(1.0e9, 100, 0), (NOW.timestamp() - 500, 0, 49)])
def test_a_vehicle_clock_before_2008_or_after_the_data_arrived_is_a_caution(first: float, early: int, late: int):
    jump = found(telemetry(unix_time_second=first + 10.0 * np.arange(100.0)))["quality.clock_jump"]

    assert jump.evidence == {"row_count_too_early": early, "row_count_too_late": late}


def test_a_voltage_that_stays_while_more_than_5_percent_of_the_charge_flows_is_a_stuck_sensor():
    time = np.arange(400.0)

    stuck = found(sampled(time, 3.2, 50.0))["quality.voltage_stuck"]

    assert stuck.severity is Severity.CAUTION
    assert stuck.evidence["sample_count"] == 400
    assert stuck.evidence["charge_fraction"] == pytest.approx(0.0554, abs=1e-4)
    assert found(sampled(time[:360], 3.2, 50.0)) == {}


def test_voltage_held_by_the_tester_and_voltage_at_rest_are_not_stuck():
    time = np.arange(3600.0)

    assert found(sampled(time, 3.65, 50.0 * np.exp(-time / 900))) == {}
    assert found(sampled(time, 3.3, 0.0)) == {}


@pytest.mark.parametrize(
    ("column", "value", "harmless"),
    [
        ("pack_voltage_volt", 0.0, 288.0),
        ("pack_current_ampere", -1000.0, -999.9),
        ("cell_voltage_3_volt", 5.0, 4.999),
        ("probe_temperature_1_celsius", -40.0, -39.0),
        ("insulation_resistance_kiloohm", 65535.0, 65000.0),
        ("charge_state", 255.0, 1.0),
    ],
)
def test_a_value_that_means_invalid_and_was_left_in_is_a_caution(column: str, value: float, harmless: float):
    values = np.full(100, 3.7)
    if column in TELEMETRY_COLUMNS:
        values = telemetry().table.floats(column).copy()
    values[4] = value
    left_in = found(telemetry(**{column: values}), NMC_PACK)["quality.sentinel_value"]
    values[4] = harmless

    assert left_in.evidence == {"column_count": 1, "value_count": 1, "columns": f"{column} (1)"}
    assert found(telemetry(**{column: values}), NMC_PACK) == {}


def test_current_above_one_fiftieth_c_during_a_rest_is_a_caution():
    leaking = found(steps(current_ampere=[0.0, -100.0, 2.1]))["quality.current_during_rest"]

    assert leaking.evidence == {"step_index": 2.0, "current_ampere": 2.1, "allowed_ampere": 2.0}
    assert found(steps(current_ampere=[0.0, -100.0, -2.0])) == {}


def test_a_cell_declared_lfp_that_rests_at_4_1_volt_disqualifies():
    finding = found(steps(voltage_begin_volt=[4.1, 4.0, 4.0], voltage_end_volt=[4.1, 3.9, 4.1]))[
        "quality.voltage_implausible"
    ]

    assert finding.severity is Severity.DISQUALIFYING
    assert finding.evidence["worst_volt"] == 4.1
    assert finding.evidence["rests_outside"] is True


def test_a_voltage_outside_only_while_current_flows_is_a_caution():
    finding = found(steps(voltage_end_volt=[3.3, 1.4, 3.29]))["quality.voltage_implausible"]

    assert finding.severity is Severity.CAUTION
    assert finding.evidence["worst_volt"] == 1.4


def test_a_single_lost_voltage_sample_at_rest_does_not_disqualify():
    voltage = np.full(100, 3.3)
    voltage[5] = 0.0

    assert found(sampled(np.arange(100), voltage, 0.0))["quality.voltage_implausible"].severity is Severity.CAUTION


def test_a_pack_is_judged_per_cell_in_series_and_not_at_all_where_their_number_is_unknown():
    resting = telemetry(pack_current_ampere=np.zeros(100))
    wrong = BatteryIdentity("pack 1", Level.PACK, Chemistry.NMC, 100.0, series_count=60)
    unknown = BatteryIdentity("pack 1", Level.PACK, Chemistry.NMC, 100.0)

    assert found(resting, NMC_PACK) == {}
    assert found(resting, wrong)["quality.voltage_implausible"].severity is Severity.DISQUALIFYING
    assert found(resting, unknown) == {}


def test_missing_telemetry_values_are_judged_as_nothing():
    empty = np.full(100, np.nan)

    assert found(telemetry(pack_voltage_volt=empty, pack_current_ampere=empty), NMC_PACK) == {}


@pytest.mark.real_data
def test_869_charges_of_two_real_lfp_cells_have_no_finding(data_dir: Path):
    cell = BatteryIdentity("cell", Level.CELL, Chemistry.LFP, 102.0)
    judged = 0
    for name in ("lfp102_cell1", "lfp102_cell4"):
        charges = pd.read_parquet(data_dir / "partial_charge" / f"{name}.parquet")
        for _, charge in charges.groupby("segment"):
            time, voltage, current = (charge[column] for column in ("time(s)", "voltage(V)", "current(A)"))
            assert found(sampled(time, voltage, current), cell) == {}
            judged += 1

    assert judged == 869
