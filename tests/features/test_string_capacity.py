"""A string delivers what its weakest group does, whatever its own voltage says."""

import math
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from features.capacity_test import capacity_test_features
from features.errors import InvalidInput
from features.extract import extract
from features.field_telemetry import field_telemetry_features
from features.findings import Finding, Severity
from features.measurement import BatteryHistory, BatteryIdentity, CanonicalTable, MeasurementRun, SourceStamp
from features.readers.canonical import read_canonical
from features.readers.file_kind import file_kind
from features.string_capacity import string_limit
from features.string_charge import charge_findings, fills_first
from features.string_findings import OPEN_FROM_FRACTION, string_findings
from features.vocabulary import Chemistry, Level, RunKind, TableFormat
from tests.support.simulated_battery import SimulatedBattery, columns_of
from tests.support.simulated_string import SimulatedString
from tests.support.simulated_vehicle import Vehicle

EVEN = SimulatedString([43.0, 43.2, 43.1, 43.0])
WITH_A_WEAK_GROUP = SimulatedString([43.0, 43.2, 36.0, 43.0])
UNBALANCED = SimulatedString([43.0] * 4, missing_ah=[0.0, 0.0, 6.0, 0.0])
NEARLY_EVEN = SimulatedString([43.0, 43.0, 42.0, 43.0])


def measured(table: CanonicalTable, identity: BatteryIdentity) -> tuple[float, dict[str, Finding]]:
    values, findings = capacity_test_features(table, identity)
    return values["discharged_capacity_ah"], {each.code: each for each in findings}


def without_groups(table: CanonicalTable) -> CanonicalTable:
    columns = columns_of(table)
    return CanonicalTable(table.format, {n: v for n, v in columns.items() if not n.startswith("cell_voltage")})


def test_a_string_whose_voltage_looks_fine_is_limited_by_its_weak_group():
    table = WITH_A_WEAK_GROUP.capacity_test(cutoff_volt=3.0)
    own, _ = measured(without_groups(table), WITH_A_WEAK_GROUP.identity)
    capacity, findings = measured(table, WITH_A_WEAK_GROUP.identity)
    assert own == pytest.approx(36.67, abs=0.01)
    assert capacity == pytest.approx(35.23, abs=0.01)
    evidence = findings["string.limiting_group"].evidence
    assert (evidence["group"], evidence["group_count"]) == (3, 4)
    assert (evidence["capacity_ah"], evidence["delivered_ah"]) == (capacity, pytest.approx(own))


def test_a_test_stopped_for_its_weakest_group_is_a_full_discharge_of_the_string():
    table = WITH_A_WEAK_GROUP.capacity_test(cutoff_volt=2.7, watches_groups=True)
    assert table.floats("voltage_volt")[-1] / 4 > 3.1
    capacity, findings = measured(table, WITH_A_WEAK_GROUP.identity)
    assert capacity == pytest.approx(36.0, rel=0.01)
    assert "capacity_test.stopped_early" not in findings
    unseen, told = measured(without_groups(table), WITH_A_WEAK_GROUP.identity)
    assert math.isnan(unseen)
    assert "capacity_test.stopped_early" in told


def test_a_test_stopped_before_any_group_is_empty_is_no_capacity():
    table = EVEN.capacity_test(cutoff_volt=3.3, watches_groups=True)
    capacity, findings = measured(table, EVEN.identity)
    assert math.isnan(capacity)
    assert "capacity_test.stopped_early" in findings
    assert not _ADVICE & set(findings)
    assert "string.limiting_group" not in findings


def test_a_string_is_full_when_its_highest_group_is():
    columns = columns_of(UNBALANCED.capacity_test(cutoff_volt=2.8, watches_groups=True))
    for n in (1, 2, 4):  # three groups fill late, the third was at its limit when the charge ended
        columns[f"cell_voltage_{n}_volt"][:270] -= 0.2
    columns["voltage_volt"] = sum(columns[f"cell_voltage_{n}_volt"] for n in range(1, 5))
    table = CanonicalTable(TableFormat.TIMESERIES, columns)
    capacity, findings = measured(table, UNBALANCED.identity)
    assert capacity == pytest.approx(37.0, rel=0.02)
    assert "capacity_test.not_full_discharge" in measured(without_groups(table), UNBALANCED.identity)[1]
    assert "capacity_test.not_full_discharge" not in findings


def test_an_even_string_loses_next_to_nothing_and_is_reused_whole():
    table = EVEN.capacity_test(cutoff_volt=3.0)
    own, _ = measured(without_groups(table), EVEN.identity)
    capacity, findings = measured(table, EVEN.identity)
    assert capacity == pytest.approx(own, rel=0.003)
    assert capacity <= own
    assert findings["string.reuse_whole"].severity is Severity.NOTE
    assert findings["string.reuse_whole"].evidence["held_upper_fraction"] <= OPEN_FROM_FRACTION


@pytest.mark.parametrize(
    ("string", "advice"),
    [
        (WITH_A_WEAK_GROUP, "string.open_and_sort"),
        (UNBALANCED, "string.open_and_sort"),
        (NEARLY_EVEN, "string.reuse_whole"),
        (SimulatedString([43.0, 43.0, 36.0, 43.0], chemistry=Chemistry.LFP), "string.open_and_sort"),
        (SimulatedString([43.0, 43.0, 42.5, 43.0], chemistry=Chemistry.LFP), "string.reuse_whole"),
    ],
)
def test_a_string_is_opened_when_the_others_hold_more_than_the_allowed_share(string, advice):
    cutoff_volt = 2.5 if string.chemistry is Chemistry.LFP else 2.8
    _, findings = measured(string.capacity_test(cutoff_volt=cutoff_volt, watches_groups=True), string.identity)
    assert [code for code in findings if code in _ADVICE] == [advice]
    assert findings["string.limiting_group"].evidence["group"] == 3


_ADVICE = {"string.open_and_sort", "string.reuse_whole", "string.no_advice"}


def test_what_the_others_held_lies_between_the_bounds_where_the_groups_differ_in_charge_only():
    _, findings = measured(UNBALANCED.capacity_test(cutoff_volt=2.8, watches_groups=True), UNBALANCED.identity)
    evidence = findings["string.open_and_sort"].evidence
    held = 6.0 / findings["string.limiting_group"].evidence["capacity_ah"]
    assert evidence["held_lower_fraction"] <= held <= evidence["held_upper_fraction"]


def test_the_later_a_group_is_empty_the_less_it_limits():
    capacities = []
    for weakest_ah in (30.0, 34.0, 38.0, 42.0):
        string = SimulatedString([43.0, weakest_ah, 43.0])
        capacities.append(measured(string.capacity_test(cutoff_volt=3.0), string.identity)[0])
    assert capacities == sorted(capacities)
    assert all(weakest >= found for weakest, found in zip((30.0, 34.0, 38.0, 42.0), capacities, strict=True))


def test_where_the_curve_of_the_weakest_does_not_reach_nothing_is_advised():
    volt = np.array([[3.20, 3.60, 3.60], [3.10, 3.59, 3.59], [2.50, 3.58, 3.58]])
    limit = string_limit(volt, np.array([0.0, 10.0, 20.0]), 2.5)
    assert math.isnan(limit.held_lower_ah)
    assert math.isnan(limit.held_upper_ah)
    codes = [each.code for each in string_findings(limit, 3, 3)]
    assert codes == ["string.limiting_group", "string.no_advice"]


def test_a_flat_curve_whose_bounds_lie_on_both_sides_gives_no_advice():
    flat = np.r_[np.linspace(3.205, 3.195, 50), np.linspace(3.19, 2.5, 3)]
    volt = np.column_stack([flat, np.full(len(flat), 3.196)])
    limit = string_limit(volt, np.linspace(0.0, 40.0, len(flat)), 2.5)
    assert limit.held_lower_ah < 40.0 * OPEN_FROM_FRACTION
    assert [each.code for each in string_findings(limit, 2, 2)][1] == "string.no_advice"


def test_the_group_that_fills_first_and_the_one_behind_are_named():
    columns = columns_of(EVEN.capacity_test(cutoff_volt=3.0))
    columns["cell_voltage_2_volt"][:180] += 0.03
    columns["cell_voltage_4_volt"][:180] -= 0.05
    _, findings = measured(CanonicalTable(TableFormat.TIMESERIES, columns), EVEN.identity)
    evidence = findings["string.fills_first"].evidence
    assert (evidence["group"], evidence["lowest_group"], evidence["is_full"]) == (2, 4, True)
    assert fills_first(np.array([3.9, 3.8]), Chemistry.NMC).evidence["is_full"] is False
    assert fills_first(np.array([3.9, 3.8]), Chemistry.NIMH).evidence["is_full"] is False


def test_a_charge_names_its_groups_and_a_capacity_is_not_read_where_they_contradict():
    charge = charge_of(EVEN)
    assert [each.code for each in charge_findings(charge, EVEN.identity)] == ["string.fills_first"]
    assert charge_findings(without_groups(charge), EVEN.identity) == ()
    columns = columns_of(charge)
    columns["cell_voltage_1_volt"] -= 1.0
    contradicting = CanonicalTable(TableFormat.TIMESERIES, columns)
    assert [each.code for each in charge_findings(contradicting, EVEN.identity)] == ["string.groups_contradict"]


def charge_of(string: SimulatedString) -> CanonicalTable:
    table = string.capacity_test(cutoff_volt=3.0)
    return CanonicalTable(TableFormat.TIMESERIES, {name: values[:180] for name, values in table.columns.items()})


def test_a_file_with_groups_is_read_from_csv_and_recognised(tmp_path):
    table = WITH_A_WEAK_GROUP.capacity_test(cutoff_volt=3.0)
    path = tmp_path / "module.csv"
    pd.DataFrame(dict(table.columns)).to_csv(path, index=False)
    assert file_kind(path).run_format == "timeseries"
    read = read_canonical(path, TableFormat.TIMESERIES).table
    assert measured(read, WITH_A_WEAK_GROUP.identity)[0] == pytest.approx(35.23, abs=0.01)


def test_a_module_is_graded_by_what_its_weakest_group_delivers():
    table = WITH_A_WEAK_GROUP.capacity_test(cutoff_volt=3.0)
    at = datetime(2026, 3, 2, tzinfo=UTC)
    run = MeasurementRun(RunKind.CAPACITY_TEST, at, at, SourceStamp("module.csv", table.sha256, "timeseries"), table)
    vector = extract(BatteryHistory(WITH_A_WEAK_GROUP.identity, [run]), at)
    assert vector.values["discharged_capacity_ah"] == pytest.approx(35.23, abs=0.01)
    assert {"string.limiting_group", "string.open_and_sort"} <= {each.code for each in vector.findings}


def test_weak_cells_of_a_vehicle_advise_to_open_and_even_ones_advise_nothing():
    pack = SimulatedBattery(150.0, 129.0, Chemistry.NMC, "pack-1", Level.PACK, series_count=12)
    told = {}
    for weak_cell_volt in (0.0, 0.08):
        _, findings = field_telemetry_features(pack.telemetry(Vehicle(weak_cell_volt=weak_cell_volt)), pack.identity)
        told[weak_cell_volt] = {each.code: each.evidence for each in findings}
    assert not any(code.startswith("string.") for code in told[0.0])
    assert told[0.08]["string.open_and_sort"] == {"cells": "12", "weak_count": 1, "cell_count": 12}


def test_a_group_that_begins_empty_delivers_nothing():
    volt = np.array([[2.4, 3.6], [2.3, 3.5]])
    limit = string_limit(volt, np.array([0.0, 1.0]), 2.5)
    assert (limit.limiting_group, limit.capacity_ah) == (1, 0.0)
    assert string_findings(limit, 2, 2)[1].code == "string.no_advice"


def test_a_reversed_group_disqualifies_and_one_above_zero_does_not():
    deep = SimulatedString([43.0] * 11 + [36.0])
    findings = measured(deep.capacity_test(cutoff_volt=3.0), deep.identity)[1]
    assert findings["string.group_reversed"].severity is Severity.DISQUALIFYING
    assert "string.group_reversed" not in measured(EVEN.capacity_test(cutoff_volt=3.0), EVEN.identity)[1]


def test_a_string_with_groups_that_were_not_measured_is_never_reused_whole():
    columns = columns_of(NEARLY_EVEN.capacity_test(cutoff_volt=2.8, watches_groups=True))
    del columns["cell_voltage_4_volt"]
    _, findings = measured(CanonicalTable(TableFormat.TIMESERIES, columns), NEARLY_EVEN.identity)
    assert findings["string.groups_missing"].evidence == {"group_count": 3, "series_count": 4}
    assert "string.no_advice" in findings


def test_group_voltages_that_are_not_those_of_the_string_void_its_capacity():
    columns = columns_of(EVEN.capacity_test(cutoff_volt=3.0))
    for n in range(1, 5):
        columns[f"cell_voltage_{n}_volt"] *= 1.05
    capacity, findings = measured(CanonicalTable(TableFormat.TIMESERIES, columns), EVEN.identity)
    assert math.isnan(capacity)
    assert findings["string.groups_contradict"].evidence["disagreement_fraction"] > 0.03
    assert "string.limiting_group" not in findings


def test_the_groups_say_how_many_are_in_series_where_the_plate_does_not():
    plate = BatteryIdentity("module-2", Level.MODULE, Chemistry.NMC, 50.0)
    table = EVEN.capacity_test(cutoff_volt=3.0)
    assert measured(table, plate)[0] == measured(table, EVEN.identity)[0]
    assert "capacity_test.series_count_missing" in measured(without_groups(table), plate)[1]


def test_groups_of_a_cell_are_told_and_not_used():
    cell = BatteryIdentity("cell-1", Level.CELL, Chemistry.NMC, 50.0)
    single = SimulatedString([43.0])
    table = single.capacity_test(cutoff_volt=2.8)
    capacity, findings = measured(table, cell)
    assert capacity == measured(without_groups(table), cell)[0]
    assert "string.groups_of_a_cell" in findings


def test_groups_are_numbered_without_a_gap():
    columns = columns_of(EVEN.capacity_test(cutoff_volt=3.0))
    del columns["cell_voltage_2_volt"]
    with pytest.raises(InvalidInput) as refused:
        CanonicalTable(TableFormat.TIMESERIES, columns)
    assert refused.value.problems[0].where == "cell_voltage_2_volt"


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="same length"):
        string_limit(np.zeros((3, 2)), np.zeros(2), 2.5)
