from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest

from features.errors import InvalidInput
from features.measurement import (
    BatteryHistory,
    BatteryIdentity,
    CanonicalTable,
    Inspection,
    MeasurementRun,
    SourceStamp,
    column_definition,
)
from features.vocabulary import FORMATS_BY_KIND, Chemistry, Level, RunKind, Scheme, TableFormat

EVE_CELL = "04QCB76836300JBC40000903"
NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
STAMP = SourceStamp("run.csv", "0" * 64, "timeseries")
COLUMNS: dict[TableFormat, dict[str, list[object]]] = {
    TableFormat.TIMESERIES: {
        "test_time_second": [0.0, 1.0],
        "voltage_volt": [3.2, 3.3],
        "current_ampere": [5.0, 5.0],
    },
    TableFormat.STEP_TABLE: {
        "step_index": [0.0, 1.0, 2.0],
        "step_type": ["rest", "charge", "discharge"],
        "step_duration_second": [600.0, 5.0, 5.0],
        "current_ampere": [0.0, 17.5, -17.5],
        "voltage_begin_volt": [3.29, 3.33, 3.25],
        "voltage_end_volt": [3.29, 3.34, 3.24],
    },
    TableFormat.SPECTRUM: {
        "frequency_hertz": [1000.0, 0.1],
        "real_impedance_ohm": [6e-4, 1e-3],
        "imaginary_impedance_ohm": [1e-5, -2e-4],
    },
    TableFormat.TELEMETRY: {
        "unix_time_second": [1.6e9, 1.6e9 + 10],
        "pack_voltage_volt": [330.0, 331.0],
        "pack_current_ampere": [-12.0, 3.0],
        "reported_soc_percent": [51.0, 51.0],
    },
}


def table(table_format: TableFormat = TableFormat.TIMESERIES, **changed: object) -> CanonicalTable:
    columns = COLUMNS[table_format] | changed
    return CanonicalTable(table_format, {name: np.array(values) for name, values in columns.items()})


def run(kind: RunKind = RunKind.PARTIAL_CHARGE, **changed: object) -> MeasurementRun:
    described = {"started_at": NOON, "available_at": NOON, "source": STAMP, "table": table(FORMATS_BY_KIND[kind][0])}
    return MeasurementRun(kind, **(described | changed))


def identity(battery_id: str = "cell 7", **plate: object) -> BatteryIdentity:
    described = {"level": Level.CELL, "chemistry": Chemistry.LFP, "rated_capacity_ah": 35.0} | plate
    return BatteryIdentity.declared(battery_id, **described)


@pytest.mark.parametrize("table_format", COLUMNS)
def test_a_canonical_table_of_every_format_is_accepted_and_cannot_be_changed(table_format: TableFormat):
    accepted = table(table_format)

    assert accepted.row_count == len(next(iter(COLUMNS[table_format].values())))
    for name in accepted.columns:
        assert name in accepted
        with pytest.raises(ValueError, match="read-only"):
            accepted.columns[name][0] = accepted.columns[name][0]


def test_a_table_does_not_follow_the_array_it_was_made_of():
    voltage = np.array([3.2, 3.3])
    kept = table(voltage_volt=voltage)
    voltage[0] = 9.9

    assert kept.floats("voltage_volt").tolist() == [3.2, 3.3]


@pytest.mark.parametrize("table_format", COLUMNS)
def test_every_required_column_is_required(table_format: TableFormat):
    for missing in COLUMNS[table_format]:
        columns = {name: np.array(values) for name, values in COLUMNS[table_format].items() if name != missing}
        with pytest.raises(InvalidInput, match=f"{missing}: is required in {table_format.value}"):
            CanonicalTable(table_format, columns)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"operator": [1.0, 2.0]}, "operator: is not a column of timeseries"),
        ({"voltage_volt": [3.2]}, "all columns must have the same length"),
        ({"voltage_volt": [3.2, np.nan]}, r"voltage_volt\[1\]: must be a finite number from -10 to 1500 V \(got nan\)"),
        ({"voltage_volt": [3.2, np.inf]}, r"voltage_volt\[1\]: must be a finite number"),
        ({"voltage_volt": [3300.0, 3.2]}, r"voltage_volt\[0\]: .* \(got 3300.0\)"),
        ({"current_ampere": [5.0, -5001.0]}, r"current_ampere\[1\]: must be a finite number from -5000 to 5000 A"),
        ({"test_time_second": [-1.0, 1.0]}, r"test_time_second\[0\]: must be a finite number from 0"),
        ({"test_time_second": [1.0, 1.0]}, r"test_time_second\[1\]: must be larger than the value before it"),
        ({"test_time_second": [2.0, 1.0]}, r"test_time_second\[1\]: must be larger than the value before it"),
        ({"voltage_volt": ["3.2", "3.3"]}, r"voltage_volt: must hold numbers \(got <U3\)"),
        ({"voltage_volt": [True, False]}, r"voltage_volt: must hold numbers \(got bool\)"),
        ({"surface_temperature_celsius": [25.0, 151.0]}, r"surface_temperature_celsius\[1\]: .* to 150 °C"),
        ({"surface_temperature_celsius": [np.inf, 25.0]}, r"surface_temperature_celsius\[0\]: must be a finite"),
    ],
)
def test_a_time_series_that_breaks_a_rule_is_refused_with_place_and_value(changed: dict[str, object], said: str):
    with pytest.raises(InvalidInput, match=said):
        table(**changed)


def test_values_at_the_limits_and_an_optional_temperature_that_is_missing_are_accepted():
    accepted = table(voltage_volt=[-10.0, 1500.0], surface_temperature_celsius=[np.nan, 150.0])

    assert np.isnan(accepted.floats("surface_temperature_celsius")[0])


def test_a_table_without_rows_is_refused():
    with pytest.raises(InvalidInput, match="at least one row"):
        table(test_time_second=[], voltage_volt=[], current_ampere=[])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"step_type": ["rest", "charge", "pause"]},
            r"step_type\[2\]: must be rest, charge or discharge \(got 'pause'\)",
        ),
        ({"current_ampere": [0.0, -17.5, -17.5]}, r"current_ampere\[1\]: .* this step is a charge \(got -17.5\)"),
        ({"current_ampere": [0.0, 17.5, 0.0]}, r"current_ampere\[2\]: .* this step is a discharge \(got 0.0\)"),
        ({"step_type": [0, 1, 2]}, r"step_type: must hold words \(got int64\)"),
        ({"step_index": [0.0, 2.0, 1.0]}, r"step_index\[2\]: must be larger"),
        ({"step_duration_second": [600.0, -5.0, 5.0]}, r"step_duration_second\[1\]: must be a finite number from 0"),
        ({"voltage_end_volt": [3.29, np.nan, 3.24]}, r"voltage_end_volt\[1\]: must be a finite number"),
    ],
)
def test_a_step_table_that_breaks_a_rule_is_refused_with_place_and_value(changed: dict[str, object], said: str):
    with pytest.raises(InvalidInput, match=said):
        table(TableFormat.STEP_TABLE, **changed)


def test_current_of_either_sign_is_accepted_during_a_rest():
    assert table(TableFormat.STEP_TABLE, current_ampere=[-0.01, 17.5, -17.5]).row_count == 3


def test_a_spectrum_needs_no_order_and_no_negative_frequency():
    assert table(TableFormat.SPECTRUM, frequency_hertz=[0.1, 1000.0]).row_count == 2
    with pytest.raises(InvalidInput, match=r"frequency_hertz\[0\]"):
        table(TableFormat.SPECTRUM, frequency_hertz=[0.0, 1000.0])


def test_telemetry_may_miss_values_but_not_its_clock():
    kept = table(TableFormat.TELEMETRY, pack_voltage_volt=[np.nan, 331.0], cell_voltage_1_volt=[3.7, np.nan])

    assert np.isnan(kept.floats("pack_voltage_volt")[0])
    with pytest.raises(InvalidInput, match=r"unix_time_second\[1\]: must not be missing"):
        table(TableFormat.TELEMETRY, unix_time_second=[1.6e9, np.nan])


def test_numbered_columns_stand_side_by_side_in_order_up_to_the_first_missing_number():
    cells = {f"cell_voltage_{number}_volt": [3.0 + number / 100, 3.5] for number in (2, 1, 4)}
    telemetry = table(TableFormat.TELEMETRY, **cells)

    assert telemetry.numbered("cell_voltage_{n}_volt")[0].tolist() == [3.01, 3.02]
    assert telemetry.numbered("probe_temperature_{n}_celsius").shape == (2, 0)


@pytest.mark.parametrize(
    "name", ["cell_voltage_0_volt", "cell_voltage_01_volt", "cell_voltage_1000_volt", "cell_voltage__volt"]
)
def test_numbered_columns_count_from_1_to_999_without_leading_zeros(name: str):
    assert column_definition(TableFormat.TELEMETRY, name) is None
    assert column_definition(TableFormat.TIMESERIES, name) is None
    assert column_definition(TableFormat.STEP_TABLE, "cell_voltage_1_volt") is None
    assert column_definition(TableFormat.TELEMETRY, "cell_voltage_999_volt").highest == 6.0


def test_the_content_digest_depends_on_values_and_names_but_not_on_column_order():
    swapped = CanonicalTable(TableFormat.TIMESERIES, dict(reversed(table().columns.items())))

    assert swapped.sha256 == table().sha256
    assert table(voltage_volt=[3.2, 3.3000000000000003]).sha256 != table().sha256


@pytest.mark.parametrize("kind", RunKind)
def test_a_run_comes_in_the_formats_of_its_kind_and_in_no_other(kind: RunKind):
    for table_format in TableFormat:
        if table_format in FORMATS_BY_KIND[kind]:
            assert run(kind, table=table(table_format)).table.format is table_format
        else:
            with pytest.raises(InvalidInput, match=f"format: a {kind.value} comes as"):
                run(kind, table=table(table_format))


@pytest.mark.parametrize("name", ["started_at", "available_at"])
def test_a_moment_without_a_time_zone_is_refused(name: str):
    with pytest.raises(InvalidInput, match=f"{name}: must carry a time zone"):
        run(**{name: NOON.replace(tzinfo=None)})


def test_moments_are_kept_in_utc():
    in_chongqing = NOON.astimezone(timezone(timedelta(hours=8)))

    kept = run(started_at=in_chongqing, available_at=in_chongqing)

    assert (kept.started_at, kept.started_at.tzinfo, kept.available_at.tzinfo) == (NOON, UTC, UTC)


def test_a_run_cannot_be_available_before_it_began_but_at_once():
    with pytest.raises(InvalidInput, match="available_at: cannot be before started_at"):
        run(available_at=NOON - timedelta(microseconds=1))
    assert run(available_at=NOON).available_at == NOON


@pytest.mark.parametrize(
    ("kind", "train"), [(RunKind.PULSE_TEST, 0), (RunKind.PULSE_TEST, -1), (RunKind.CAPACITY_TEST, 1)]
)
def test_a_train_is_a_number_from_1_of_a_pulse_test(kind: RunKind, train: int):
    with pytest.raises(InvalidInput, match="train: counts the trains of a pulse_test from 1"):
        run(kind, train=train)
    assert run(RunKind.PULSE_TEST, train=1).train == 1


def test_what_arrived_after_the_grading_moment_is_left_out_and_what_arrived_at_it_is_kept():
    later = run(available_at=NOON + timedelta(seconds=1))
    history = BatteryHistory(identity(), [run(), later], Inspection(leakage=False))

    assert history.as_available_at(NOON).runs == (history.runs[0],)
    assert history.as_available_at(NOON + timedelta(seconds=1)).runs == history.runs
    assert history.as_available_at(NOON - timedelta(seconds=1)).runs == ()
    assert history.as_available_at(NOON).inspection == history.inspection


def test_a_test_that_began_before_the_grading_moment_but_arrived_later_is_left_out():
    history = BatteryHistory(identity(), [run(started_at=NOON, available_at=NOON + timedelta(days=1))])

    assert history.as_available_at(NOON + timedelta(hours=1)).runs == ()


@pytest.mark.parametrize("year", [1, 1989, 2201, 9999])
def test_a_moment_no_battery_was_tested_at_is_refused_and_does_not_overflow(year: int):
    moment = datetime(year, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    with pytest.raises(InvalidInput, match="must lie between the years 1990 and 2200"):
        run(started_at=moment, available_at=moment)


def test_a_grading_moment_without_a_time_zone_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="must carry a time zone"):
        BatteryHistory(identity()).as_available_at(NOON.replace(tzinfo=None))


def test_a_scanned_code_is_recognised_and_normalised_and_other_text_is_local():
    scanned = identity(" 04qcb76836300\njbc40000903 ")

    assert (scanned.battery_id, scanned.scheme) == (EVE_CELL, Scheme.GBT34014)
    assert identity("04QCB76B4E0000903RM").scheme is Scheme.GBT34014_CASCADE
    assert (identity(" LEAF-07 ").battery_id, identity("LEAF-07").scheme) == ("LEAF-07", Scheme.LOCAL)


def test_a_declared_scheme_that_does_not_fit_the_code_is_refused_with_the_position():
    with pytest.raises(InvalidInput, match=r"battery_id\.position 4: product type must be P, M or C"):
        identity("04QXB76836300JBC40000903", scheme=Scheme.GBT34014)
    with pytest.raises(InvalidInput, match="scheme: the code is written in scheme gbt34014"):
        identity(EVE_CELL, scheme=Scheme.GBT34014_CASCADE)
    assert identity(EVE_CELL, scheme=Scheme.LOCAL).scheme is Scheme.GBT34014


@pytest.mark.parametrize(
    "battery_id", ["", "   ", "a\x00b", "a\nb", "x" * 65, "\u0420\u0410CK-1", "PACK\u200b1", "e\u0301", "カ-1"]
)
def test_an_identifier_is_1_to_64_printable_characters_of_ascii_or_chinese(battery_id: str):
    with pytest.raises(InvalidInput, match="battery_id"):
        identity(battery_id)
    assert identity("电池-7 A" + "x" * 57).battery_id == "电池-7A" + "X" * 57


@pytest.mark.parametrize(
    "plate",
    [
        {"rated_capacity_ah": 0.0},
        {"rated_capacity_ah": -35.0},
        {"rated_capacity_ah": float("nan")},
        {"rated_capacity_ah": float("inf")},
        {"rated_capacity_ah": 1.1e5},
        {"nominal_voltage_volt": 0.0},
        {"nominal_voltage_volt": 1500.1},
        {"series_count": 0},
        {"parallel_count": 10_001},
    ],
)
def test_a_plate_with_an_impossible_number_is_refused_by_its_name(plate: dict[str, float]):
    with pytest.raises(InvalidInput, match=next(iter(plate))):
        identity(**plate)


def test_a_full_plate_is_kept_as_declared():
    plate = {
        "level": Level.PACK,
        "chemistry": Chemistry.UNKNOWN,
        "rated_capacity_ah": 1e5,
        "nominal_voltage_volt": 1500.0,
        "series_count": 1,
        "parallel_count": 10_000,
        "type_designation": "BEV-96S",
        "manufactured_on": date(2021, 12, 4),
    }

    kept = identity("pack 1", **plate)

    assert {name: getattr(kept, name) for name in plate} == plate


@pytest.mark.parametrize(
    "seen",
    [
        {"insulation_ohm_per_volt": -1.0},
        {"insulation_ohm_per_volt": float("nan")},
        {"insulation_ohm_per_volt": float("inf")},
        {"alarm_level": -1},
        {"alarm_level": 5},
    ],
)
def test_an_inspection_with_an_impossible_number_is_refused_by_its_name(seen: dict[str, float]):
    with pytest.raises(InvalidInput, match=next(iter(seen))):
        Inspection(**seen)


def test_an_inspection_may_be_empty_or_at_its_limits():
    assert Inspection().leakage is None
    assert Inspection(insulation_ohm_per_volt=0.0, alarm_level=4).alarm_level == 4
