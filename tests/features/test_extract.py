from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from features.extract import extract
from features.feature_set import FEATURE_SETS, FeatureSet, Method
from features.measurement import BatteryHistory, CanonicalTable, MeasurementRun
from features.pulse import PULSE_DEFINITIONS, PULSE_FEATURE_NAMES
from features.vocabulary import Chemistry, Provenance, RunKind, TableFormat
from tests.support.simulated_battery import STARTED_AT, SimulatedBattery, columns_of
from tests.support.simulated_vehicle import Vehicle

CELL = SimulatedBattery(rated_capacity_ah=35.0, remaining_capacity_ah=30.0, chemistry=Chemistry.LFP)
WORN = SimulatedBattery(rated_capacity_ah=35.0, remaining_capacity_ah=26.0, chemistry=Chemistry.LFP)
LATER = STARTED_AT + timedelta(days=30)


def a_pulse(battery: SimulatedBattery = CELL, **rest: object) -> MeasurementRun:
    return battery.run(RunKind.PULSE_TEST, battery.pulse_train(), **rest)


def a_capacity_test(battery: SimulatedBattery = CELL, **rest: object) -> MeasurementRun:
    return battery.run(RunKind.CAPACITY_TEST, battery.capacity_test(), **rest)


def codes(vector) -> set[str]:
    return {finding.code for finding in vector.findings}


def test_a_pulse_test_gives_the_pulse_features_in_the_order_of_their_set() -> None:
    vector = extract(CELL.history(a_pulse()), LATER)
    assert vector.method is Method.PULSE_TEST
    assert tuple(vector.values) == PULSE_FEATURE_NAMES
    assert vector.feature_set_digest == FEATURE_SETS[Method.PULSE_TEST].digest
    assert vector.values["open_circuit_voltage_volt"] == pytest.approx(3.3, abs=0.1)


def test_a_full_capacity_test_outranks_a_pulse_test() -> None:
    vector = extract(CELL.history(a_pulse(), a_capacity_test()), LATER)
    assert vector.method is Method.CAPACITY_TEST
    assert vector.values["discharged_capacity_ah"] == pytest.approx(30.0, rel=0.01)


def test_a_capacity_test_that_was_not_full_leaves_the_pulse_test_to_tell() -> None:
    whole = CELL.capacity_test()
    stopped = CanonicalTable(TableFormat.STEP_TABLE, {name: values[:2] for name, values in whole.columns.items()})
    vector = extract(CELL.history(a_pulse(), CELL.run(RunKind.CAPACITY_TEST, stopped)), LATER)
    assert vector.method is Method.PULSE_TEST
    assert "capacity_test.no_discharge" in codes(vector)


def test_a_measurement_that_arrived_after_the_grading_moment_changes_no_feature() -> None:
    early, late = a_pulse(), a_pulse(WORN, started_at=STARTED_AT + timedelta(days=7))
    moment = STARTED_AT + timedelta(days=1)
    alone, both = extract(CELL.history(early), moment), extract(CELL.history(early, late), moment)
    assert both == alone
    assert extract(CELL.history(early, late), LATER).values != alone.values


def test_among_runs_of_one_kind_the_latest_counts_whatever_the_order() -> None:
    early, late = a_pulse(), a_pulse(WORN, started_at=STARTED_AT + timedelta(days=7))
    only_late = extract(CELL.history(late), LATER)
    assert extract(CELL.history(early, late), LATER).values == only_late.values
    assert extract(CELL.history(late, early), LATER).values == only_late.values


def test_without_a_run_there_is_no_method_and_no_feature() -> None:
    vector = extract(BatteryHistory(CELL.identity), LATER)
    assert (vector.method, vector.values, vector.feature_set_digest) == (None, {}, "")


def test_a_partial_charge_is_read_and_one_too_small_is_named_and_says_why() -> None:
    read = extract(CELL.history(CELL.run(RunKind.PARTIAL_CHARGE, CELL.partial_charge())), LATER)
    assert read.method is Method.PARTIAL_CHARGE
    assert np.isfinite(read.values["window_begin_volt"])
    short = CELL.partial_charge(from_charged=0.50, to_charged=0.52)
    vector = extract(CELL.history(CELL.run(RunKind.PARTIAL_CHARGE, short)), LATER)
    assert vector.method is Method.PARTIAL_CHARGE
    assert "partial_charge.window_too_small" in codes(vector)
    assert np.isnan(vector.array()).all()


def test_a_partial_charge_travels_behind_a_pulse_test() -> None:
    charged = CELL.run(RunKind.PARTIAL_CHARGE, CELL.partial_charge())
    vector = extract(CELL.history(a_pulse(), charged), LATER)
    assert vector.method is Method.PULSE_TEST
    assert [each.method for each in vector.further] == [Method.PARTIAL_CHARGE]


def test_a_file_without_a_pulse_train_gives_missing_features_and_says_so() -> None:
    rest = CELL.pulse_train()
    only_rest = CanonicalTable(TableFormat.STEP_TABLE, {name: values[:1] for name, values in rest.columns.items()})
    vector = extract(CELL.history(CELL.run(RunKind.PULSE_TEST, only_rest)), LATER)
    assert "pulse.no_train" in codes(vector)
    assert np.isnan(vector.array()).all()


def test_insulation_and_alarms_of_the_vehicle_travel_with_a_bench_test() -> None:
    pack = SimulatedBattery(120.0, 100.0, Chemistry.NMC, "PACK-1", series_count=90)
    driven = pack.run(RunKind.FIELD_TELEMETRY, pack.telemetry())
    vector = extract(pack.history(pack.run(RunKind.CAPACITY_TEST, pack.capacity_test()), driven), LATER)
    assert vector.method is Method.CAPACITY_TEST
    alone = extract(pack.history(driven), LATER)
    assert vector.values["insulation_ohm_per_volt"] == alone.values["insulation_ohm_per_volt"]


def test_a_fault_an_earlier_vehicle_record_reported_is_not_forgotten() -> None:
    pack = SimulatedBattery(120.0, 100.0, Chemistry.NMC, "PACK-1", series_count=90)
    alarmed = pack.telemetry(Vehicle(alarm_level=4, insulation_ohm_per_volt=40.0))
    early = pack.run(RunKind.FIELD_TELEMETRY, alarmed)
    later_table = pack.telemetry(Vehicle(first_day=Vehicle().first_day + timedelta(days=7)))
    late = pack.run(RunKind.FIELD_TELEMETRY, later_table, STARTED_AT + timedelta(days=7))
    vector = extract(pack.history(early, late, pack.run(RunKind.CAPACITY_TEST, pack.capacity_test())), LATER)
    assert vector.values["highest_alarm_level"] == 4.0
    assert vector.values["insulation_ohm_per_volt"] < 100.0
    assert "field_telemetry.alarm" in codes(vector)


def test_how_a_superseded_test_was_done_is_no_finding_on_the_battery() -> None:
    hot = {**CELL.pulse_train().columns, "surface_temperature_celsius": np.full(21, 45.0)}
    early = CELL.run(RunKind.PULSE_TEST, CanonicalTable(TableFormat.STEP_TABLE, hot))
    late = a_pulse(started_at=STARTED_AT + timedelta(days=7))
    assert "pulse.temperature_off_reference" in codes(extract(CELL.history(early), LATER))
    assert "pulse.temperature_off_reference" not in codes(extract(CELL.history(early, late), LATER))


def test_a_voltage_that_stood_still_during_the_discharge_voids_the_capacity() -> None:
    record = CELL.capacity_record()
    columns = columns_of(record)
    discharging = np.flatnonzero(columns["current_ampere"] < -1.0)
    half = discharging[len(discharging) // 4 : 3 * len(discharging) // 4]
    columns["voltage_volt"][half] = columns["voltage_volt"][half[0]]
    stuck = CELL.run(RunKind.CAPACITY_TEST, CanonicalTable(TableFormat.TIMESERIES, columns))
    sound = extract(CELL.history(CELL.run(RunKind.CAPACITY_TEST, record)), LATER)
    assert sound.values["discharged_capacity_ah"] == pytest.approx(30.0, rel=0.01)
    vector = extract(CELL.history(stuck), LATER)
    assert "quality.voltage_stuck" in codes(vector)
    assert np.isnan(vector.values["discharged_capacity_ah"])


def test_the_vector_says_who_vouches_for_it_and_which_bytes_it_rests_on() -> None:
    run = a_pulse()
    assert extract(CELL.history(run), LATER).source_digests == (run.source.sha256,)
    reported = replace(run, source=replace(run.source, provenance=Provenance.OPERATOR_ENTERED))
    assert extract(CELL.history(reported), LATER).provenance is Provenance.OPERATOR_ENTERED


def test_a_code_that_contradicts_the_declared_chemistry_is_noticed() -> None:
    conflicting = replace(CELL, battery_id="04QCB76836300JBC40000903", declared_chemistry=Chemistry.NMC)
    assert "identity.chemistry_conflict" in codes(extract(conflicting.history(), LATER))


def test_the_grading_moment_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        extract(CELL.history(), datetime(2026, 11, 20))  # noqa: DTZ001 - the missing zone is the point


def test_the_digest_of_a_feature_set_changes_with_name_order_meaning_and_version() -> None:
    sound = FeatureSet(Method.PULSE_TEST, 1, PULSE_DEFINITIONS)
    renamed = (replace(PULSE_DEFINITIONS[0], name="other"), *PULSE_DEFINITIONS[1:])
    explained = (replace(PULSE_DEFINITIONS[0], meaning="other"), *PULSE_DEFINITIONS[1:])
    others = [
        replace(sound, version=2),
        replace(sound, definitions=PULSE_DEFINITIONS[::-1]),
        replace(sound, definitions=renamed),
        replace(sound, definitions=explained),
    ]
    assert len({each.digest for each in (sound, *others)}) == 5


def test_the_moment_is_kept_with_the_vector() -> None:
    moment = datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert extract(CELL.history(), moment).as_of == moment


def test_several_tests_of_one_kind_are_told_and_the_last_begun_counts() -> None:
    def test_of(battery: SimulatedBattery, days: int) -> MeasurementRun:
        begun = CELL.history().runs[0].started_at + timedelta(days=days)
        return battery.run(RunKind.CAPACITY_TEST, battery.capacity_test(), begun)

    other = replace(CELL, remaining_capacity_ah=25.0)
    both = extract(CELL.history(test_of(CELL, 2), test_of(other, 1)), LATER + timedelta(days=9))
    assert "history.several_runs" in codes(both)
    assert both.values["discharged_capacity_ah"] == pytest.approx(CELL.remaining_capacity_ah, rel=0.01)
    assert "history.several_runs" not in codes(extract(CELL.history(test_of(CELL, 2)), LATER + timedelta(days=9)))


def test_a_pulse_file_without_pulses_is_told_as_a_pulse_test_and_not_as_two_trains() -> None:
    nothing = CELL.run(RunKind.PULSE_TEST, CELL.capacity_test())
    assert extract(CELL.history(nothing), LATER).method is Method.PULSE_TEST
