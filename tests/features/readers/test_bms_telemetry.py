"""Vehicle exports as they arrive, and mappings that fit them or do not."""

import gzip
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import InvalidInput, UnreadableFile
from features.findings import Severity
from features.readers import vehicle_export
from features.readers.bms_telemetry import load_vehicle_mapping, read_bms_telemetry

MAPPINGS = Path(__file__).parents[3] / "features" / "readers" / "mappings"
MAPPING = """
name = "test car"
source = "invented"
[file]
kind = "csv"
[time]
column = "time"
format = "%Y-%m-%d %H:%M:%S"
zone = "Asia/Shanghai"
[columns.pack_voltage_volt]
column = "U"
unit = "V"
[columns.pack_current_ampere]
column = "I"
unit = "A"
positive = "discharging"
[columns.reported_soc_percent]
column = "soc"
unit = "percent"
sentinels = [255.0]
[cells]
columns = "V_{n}"
unit = "V"
sentinels = [66.535, 5.0, 0.0]
[probes]
columns = "T_{n}"
unit = "degC"
offset = -40.0
sentinels = [255.0]
"""
EXTREMA = """
[columns.probe_temperature_max_celsius]
column = "Tmax"
unit = "degC"
"""


def export_frame(rows=720, cells=4):
    """Two hours of driving and charging, 10 s apart, as a vehicle writes it: charging negative, probes + 40."""
    second = np.arange(rows) * 10.0
    charging = np.where(second < 3600.0, -60.0, 80.0)
    soc = np.floor(50.5 + np.cumsum(-charging * 10.0 / 3600.0 / 1.2))
    columns = {
        "time": (pd.Timestamp("2024-03-01 08:00:00") + pd.to_timedelta(second, unit="s")).strftime("%Y-%m-%d %H:%M:%S"),
        "U": np.full(rows, 3.7 * cells * 1.01),
        "I": charging,
        "soc": soc,
    }
    columns |= {f"V_{n}": np.full(rows, 3.7) for n in range(1, cells + 1)}
    columns |= {f"T_{n}": np.full(rows, 65.0) for n in (1, 2)}
    return pd.DataFrame(columns)


@pytest.fixture
def read(tmp_path):
    def _read(frame, mapping=MAPPING, name="car.csv", **options):
        path = tmp_path / name
        if name.endswith(".parquet"):
            frame.to_parquet(path)
        else:
            frame.to_csv(path, index=False, **options)
        mapping_path = tmp_path / "car.toml"
        mapping_path.write_text(mapping, encoding="utf-8")
        return read_bms_telemetry(path, load_vehicle_mapping(mapping_path))

    return _read


def finding(reading, code):
    (found,) = [each for each in reading.findings if each.code == code]
    return found


def refused(read, *arguments, code="MAPPING_CONTRADICTS_DATA", **options):
    with pytest.raises(InvalidInput) as caught:
        read(*arguments, **options)
    assert caught.value.code == code
    return str(caught.value)


def test_an_export_becomes_canonical_with_charging_positive_and_probes_in_celsius(read):
    reading = read(export_frame())
    table = reading.table
    assert table.row_count == 720
    assert table.floats("pack_current_ampere")[0] == 60.0
    assert table.floats("probe_temperature_2_celsius")[0] == 25.0
    assert table.numbered("cell_voltage_{n}_volt").shape == (720, 4)
    assert reading.started_at == datetime(2024, 3, 1, 0, 0, 0, tzinfo=UTC)
    assert reading.findings == ()


def test_sentinels_become_missing_and_are_counted(read):
    frame = export_frame()
    frame.loc[[5, 6], "V_2"] = 66.535
    frame.loc[7, "V_3"] = 5.0
    frame.loc[8, "V_3"] = np.nan
    frame["T_2"] = 255.0
    reading = read(frame)
    found = finding(reading, "telemetry.invalid_values")
    assert np.isnan(reading.table.floats("cell_voltage_2_volt")[[5, 6]]).all()
    assert found.evidence["cell_voltage_sentinel_count"] == 3
    assert found.evidence["cell_voltage_empty_count"] == 1
    assert found.evidence["probe_temperature_sentinel_count"] == 720
    assert found.evidence["silent_columns"] == "probe_temperature_2_celsius"
    assert found.severity is Severity.NOTE


def test_many_missing_values_in_a_required_column_are_a_caution(read):
    frame = export_frame()
    frame.loc[::10, "soc"] = 255.0
    assert finding(read(frame), "telemetry.invalid_values").severity is Severity.CAUTION


def test_a_sentinel_the_mapping_does_not_list_is_refused_with_column_and_value(read):
    frame = export_frame()
    frame.loc[5, "V_2"] = 65.535
    message = refused(read, frame)
    assert "column V_2" in message
    assert "65.535" in message
    assert read(frame, MAPPING.replace("[66.535,", "[65.535,")).table.row_count == 720
    ranged = MAPPING.replace("sentinels = [66.535, 5.0, 0.0]", "valid_range = [1.0, 4.5]")
    assert np.isnan(read(frame, ranged).table.floats("cell_voltage_2_volt")[5])


def test_current_of_the_wrong_sign_is_refused_with_charge_and_state_of_charge(read):
    message = refused(read, export_frame(), MAPPING.replace('"discharging"', '"charging"'))
    assert "columns.pack_current_ampere" in message
    assert "must be positive where the state of charge rises" in message
    assert "must be negative where the state of charge falls" in message
    assert "+79.8 Ah over -67 %" in message


def test_a_current_without_sign_is_refused_too(read):
    frame = export_frame()
    frame["I"] = frame["I"].abs()
    assert "must be positive where the state of charge rises" in refused(read, frame)


def test_a_state_of_charge_that_never_moves_leaves_the_sign_unproven(read):
    frame = export_frame()
    frame["soc"] = 50.0
    assert finding(read(frame), "telemetry.sign_not_proven").severity is Severity.CAUTION


def test_cells_that_do_not_add_up_to_the_pack_are_refused_unless_series_count_says_why(read):
    frame = export_frame(cells=10)
    short = MAPPING.replace('columns = "V_{n}"', 'columns = "V_{n}"\nnumbers = [1, 9]')
    message = refused(read, frame, short)
    assert "10.10" in message
    assert "9 cells in series" in message
    stated = short.replace('source = "invented"', 'source = "invented"\nseries_count = 10')
    assert read(frame, stated).table.numbered("cell_voltage_{n}_volt").shape == (720, 9)


def test_a_forgotten_probe_offset_is_refused_by_the_weather_and_by_the_extrema(read):
    hot = refused(read, export_frame(), MAPPING.replace("offset = -40.0", "offset = 0.0"))
    assert "median 65.0 °C" in hot
    frame = export_frame().assign(Tmax=25.0, T_1=60.0, T_2=60.0)
    assert read(frame.assign(Tmax=20.0), MAPPING + EXTREMA).table.row_count == 720
    twice = refused(read, frame.assign(Tmax=20.0), MAPPING + EXTREMA + "offset = -40.0\n")
    assert "columns.probe_temperature_max_celsius" in twice


def test_a_state_of_charge_as_a_fraction_declared_as_percent_is_refused(read):
    frame = export_frame()
    frame["soc"] /= 100.0
    assert "looks like a fraction" in refused(read, frame)
    assert read(frame, MAPPING.replace('"percent"', '"fraction"')).table.floats("reported_soc_percent")[0] == 50.0


def test_duplicate_times_keep_the_first_row_and_are_counted(read):
    frame = pd.concat([export_frame(), export_frame().iloc[[100]].assign(U=15.1)])
    reading = read(frame)
    assert reading.table.row_count == 720
    assert reading.table.floats("pack_voltage_volt")[100] == pytest.approx(14.948)
    assert finding(reading, "telemetry.duplicate_times").evidence["row_count"] == 1


def test_a_late_row_is_put_in_order_and_a_clock_set_back_by_hours_is_a_caution(read):
    frame = export_frame()
    order = np.arange(720)
    order[[100, 101]] = order[[101, 100]]
    late = finding(read(frame.iloc[order]), "telemetry.time_steps_back")
    assert late.severity is Severity.NOTE
    assert late.evidence["largest_step_second"] == 10.0
    swapped = finding(read(pd.concat([frame.iloc[360:], frame.iloc[:360]])), "telemetry.time_steps_back")
    assert swapped.severity is Severity.CAUTION


def test_a_gap_is_named_with_begin_and_length(read):
    evidence = finding(read(export_frame().drop(index=range(100, 200))), "telemetry.gaps").evidence
    assert evidence["gap_1_begins_at"] == "2024-03-01T00:16:30+00:00"
    assert evidence["gap_1_second"] == 1010.0
    assert "telemetry.gaps" not in [each.code for each in read(export_frame().drop(index=[100])).findings]


def test_rows_without_time_are_left_out_and_counted_and_many_of_them_are_refused(read):
    frame = export_frame()
    frame.loc[[3, 4], "time"] = ["broken", "1970-01-01 00:00:00"]
    reading = read(frame)
    assert reading.table.row_count == 718
    assert finding(reading, "telemetry.rows_without_time").evidence["row_count"] == 2
    wrong = refused(read, frame, MAPPING.replace("%Y-%m-%d", "%d.%m.%Y"))
    assert "2024-03-01 08:00:00" in wrong


def test_an_absent_column_is_an_error_and_an_unmapped_one_a_note(read):
    absent = refused(read, export_frame().drop(columns="I"), code="INVALID_INPUT")
    assert "column I: is mapped but absent" in absent
    found = finding(read(export_frame().assign(speed=1.0)), "telemetry.columns_ignored")
    assert found.evidence["columns"] == "speed"
    assert found.severity is Severity.NOTE


def test_numbers_that_begin_at_zero_are_renumbered_and_said(read):
    frame = export_frame().rename(columns={f"V_{n}": f"V_{n - 1:02d}" for n in range(1, 5)})
    assert finding(read(frame), "telemetry.cell_voltage_renumbered").evidence["first_column"] == "V_00"
    absent = MAPPING.replace('columns = "V_{n}"', 'columns = "V_{n}"\nnumbers = [1, 4]')
    assert "absent [4]" in refused(read, frame, absent, code="INVALID_INPUT")


def test_cell_columns_that_never_report_do_not_count_as_cells_in_series(read):
    reading = read(export_frame().assign(V_5=66.535, V_6=66.535))
    assert np.isnan(reading.table.floats("cell_voltage_6_volt")).all()


def test_other_units_and_unix_times_arrive_as_the_same_table(read):
    frame = export_frame()
    other = frame.assign(U=frame["U"] * 1000.0, I=frame["I"] * 10.0, T_1=frame["T_1"] - 40 + 273.15)
    other["T_2"] = other["T_1"]
    other["time"] = (np.arange(720) * 10_000 + 1_709_251_200_000).astype(np.int64)
    mapping = MAPPING.replace('column = "U"\nunit = "V"', 'column = "U"\nunit = "mV"')
    mapping = mapping.replace('positive = "discharging"', 'positive = "discharging"\nscale = 0.1')
    mapping = mapping.replace('unit = "degC"\noffset = -40.0', 'unit = "K"')
    mapping = mapping.replace('"%Y-%m-%d %H:%M:%S"\nzone = "Asia/Shanghai"', '"unix_millisecond"')
    expected, found = read(frame).table, read(other, mapping).table
    for name in expected.columns:
        np.testing.assert_allclose(found.floats(name), expected.floats(name), atol=1e-9)


def test_cells_as_one_list_arrive_as_the_same_table_and_odd_lengths_are_said(read):
    frame = export_frame()
    cells = frame[[f"V_{n}" for n in range(1, 5)]].astype(str)
    listed = frame.drop(columns=cells.columns).assign(cells="[" + cells.agg(";".join, axis=1) + "]")
    listed.loc[7, "cells"] = "[3.7;3.7]"
    listed.loc[8, "cells"] = "[3.7;;3.7;66.535]"
    listed.loc[9, "cells"] = None
    mapping = MAPPING.replace('columns = "V_{n}"', 'list_column = "cells"')
    reading = read(listed, mapping)
    found = reading.table.numbered("cell_voltage_{n}_volt")
    assert found.shape == (720, 4)
    assert np.isnan(found[7:10]).sum(axis=1).tolist() == [4, 2, 4]
    assert finding(reading, "telemetry.cell_voltage_list_length").evidence["row_count"] == 1


def test_codes_become_their_meaning_and_an_unknown_code_is_refused(read):
    frame = export_frame().assign(state=3.0, warn_a=0, warn_b="ok")
    frame.loc[:9, "state"] = np.nan
    frame.loc[10:19, "state"] = 254.0
    frame.loc[20, "warn_b"] = "fire"
    mapping = (
        MAPPING
        + """
[columns.charge_state]
column = "state"
codes = { "1" = 1, "3" = 3 }
sentinels = ["254"]
[columns.alarm_level]
column = ["warn_a", "warn_b"]
codes = { "0" = 0, "7" = 2, "ok" = 0, "fire" = 4 }
"""
    )
    reading = read(frame, mapping)
    assert np.isnan(reading.table.floats("charge_state")[:20]).all()
    assert reading.table.floats("charge_state")[20] == 3.0
    assert np.flatnonzero(reading.table.floats("alarm_level")).tolist() == [20]
    assert finding(reading, "telemetry.invalid_values").evidence["charge_state_sentinel_count"] == 10
    assert "254" in refused(read, frame, mapping.replace('["254"]', "[]"), code="INVALID_INPUT")


def test_gbk_semicolons_and_decimal_commas_are_read(read):
    frame = export_frame().rename(columns={"U": "总电压"})
    mapping = MAPPING.replace('"U"', '"总电压"')
    mapping = mapping.replace('"csv"', '"csv"\nseparator = ";"\nencoding = "gbk"\ndecimal_point = ","')
    reading = read(frame, mapping, sep=";", encoding="gbk", decimal=",")
    assert reading.table.floats("pack_voltage_volt")[0] == pytest.approx(14.948)


def test_parquet_with_timestamps_arrives_as_the_same_table(read):
    frame = export_frame()
    stamped = frame.assign(time=pd.to_datetime(frame["time"]))
    mapping = MAPPING.replace('"csv"', '"parquet"').replace('"%Y-%m-%d %H:%M:%S"', '"timestamp"')
    reading = read(stamped, mapping, name="car.parquet")
    np.testing.assert_array_equal(
        reading.table.floats("unix_time_second"), read(frame).table.floats("unix_time_second")
    )
    assert "timestamp" in refused(read, frame, mapping, name="text.parquet")


def test_a_torn_last_line_is_left_out_and_counted_and_many_are_refused(read, tmp_path):
    read(export_frame())
    mapping = load_vehicle_mapping(tmp_path / "car.toml")
    with (tmp_path / "car.csv").open("a") as file:
        file.write("2024-03-01 10:00:00,14.9\n")
    reading = read_bms_telemetry(tmp_path / "car.csv", mapping)
    assert finding(reading, "telemetry.rows_malformed").evidence["row_count"] == 1
    with (tmp_path / "car.csv").open("a") as file:
        file.write("2024-03-01 10:00:00,14.9\n" * 20)
    with pytest.raises(UnreadableFile, match="21 of 741"):
        read_bms_telemetry(tmp_path / "car.csv", mapping)


def test_damaged_absent_and_wrong_files_are_refused_by_name(read, tmp_path):
    read(export_frame())
    mapping = load_vehicle_mapping(tmp_path / "car.toml")
    packed = gzip.compress((tmp_path / "car.csv").read_bytes())
    (tmp_path / "whole.csv.gz").write_bytes(packed)
    assert read_bms_telemetry(tmp_path / "whole.csv.gz", mapping).table.row_count == 720
    (tmp_path / "torn.csv.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "empty.csv").write_bytes(b"")
    export_frame().to_parquet(tmp_path / "not.csv")
    for name in ("torn.csv.gz", "empty.csv", "not.csv", "absent.csv"):
        with pytest.raises(UnreadableFile, match=name):
            read_bms_telemetry(tmp_path / name, mapping)


def test_words_where_numbers_belong_are_refused(read):
    frame = export_frame().astype({"U": object})
    frame.loc[5, "U"] = "high"
    with pytest.raises(UnreadableFile, match="high"):
        read(frame)


def test_more_bytes_rows_or_values_than_allowed_are_refused(read, monkeypatch):
    for cap, allowed in (("LARGEST_BYTE_COUNT", 10_000), ("LARGEST_ROW_COUNT", 719), ("LARGEST_VALUE_COUNT", 7_000)):
        with monkeypatch.context() as patch:
            patch.setattr(vehicle_export, cap, allowed)
            with pytest.raises(UnreadableFile, match=f"at most {allowed}"):
                read(export_frame())
            mapping = MAPPING.replace('"csv"', '"parquet"').replace('"%Y-%m-%d %H:%M:%S"', '"timestamp"')
            stamped = export_frame().assign(time=pd.to_datetime(export_frame()["time"]))
            with pytest.raises(UnreadableFile, match=f"at most {allowed}"):
                read(stamped, mapping, name="car.parquet")


@pytest.mark.parametrize(
    ("changed", "into", "where"),
    [
        ('unit = "percent"', 'unit = "per mille"', "columns.reported_soc_percent.unit"),
        ('unit = "percent"', 'unit = "percent"\nsign = 1', "columns.reported_soc_percent.sign"),
        ('zone = "Asia/Shanghai"', "", "time"),
        ('"Asia/Shanghai"', '"Asia/Nowhere"', "Asia/Nowhere"),
        ('positive = "discharging"', "", "columns.pack_current_ampere.positive"),
        ("offset = -40.0", 'offset = "-40"', "probes.offset"),
        ("offset = -40.0", "offset = nan", "probes.offset"),
        ("offset = -40.0", "scale = 0.0", "scale cannot be 0"),
        ('column = "U"', 'column = "I"', "'I' is mapped twice"),
        ('"V_{n}"', '"V_"', "needs {n} once"),
        ('"V_{n}"', '"V_{n}"\nlist_column = "cells"', "either columns or list_column"),
        ('kind = "csv"', 'kind = "xlsx"', "file.kind"),
        ('kind = "csv"', 'kind = "csv"\nencoding = "utf-99"', "utf-99"),
    ],
)
def test_a_mapping_that_is_wrong_in_itself_is_refused_naming_the_key(read, changed, into, where):
    assert where in refused(read, export_frame(), MAPPING.replace(changed, into), code="INVALID_INPUT")


def test_the_mapping_in_the_documentation_is_valid(tmp_path):
    page = (MAPPINGS.parents[2] / "docs" / "vehicle-mappings.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "page.toml").write_text("\n".join(blocks), encoding="utf-8")
    assert load_vehicle_mapping(tmp_path / "page.toml").series_count == 96


def test_a_mapping_that_is_no_toml_is_refused(tmp_path):
    (tmp_path / "car.toml").write_text("name = ")
    with pytest.raises(UnreadableFile, match=r"car\.toml"):
        load_vehicle_mapping(tmp_path / "car.toml")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("file", "shape", "sentinels"),
    [("car2.csv.gz", (14_384, 88), 463), ("car3.parquet", (49_966, 87), None)],
)
def test_the_provided_cars_load_through_their_mappings(data_dir, file, shape, sentinels):
    name = file.split(".")[0]
    reading = read_bms_telemetry(data_dir / "field_bms" / file, load_vehicle_mapping(MAPPINGS / f"{name}.toml"))
    assert reading.table.numbered("cell_voltage_{n}_volt").shape == shape
    assert finding(reading, "telemetry.invalid_values").evidence.get("cell_voltage_sentinel_count") == sentinels
    assert np.nanmedian(reading.table.floats("probe_temperature_1_celsius")) == pytest.approx(25.0, abs=5.0)
    assert {each.severity for each in reading.findings} == {Severity.NOTE}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("changed", "into", "evidence"),
    [
        ('positive = "discharging"', 'positive = "charging"', "pack_current_ampere"),
        ("offset = -40.0", "", "probe_temperature"),
        ("numbers = [1, 88]", "numbers = [1, 80]", "cells in series"),
    ],
)
def test_a_wrong_mapping_of_a_real_car_is_caught(data_dir, tmp_path, changed, into, evidence):
    text = (MAPPINGS / "car2.toml").read_text(encoding="utf-8")
    (tmp_path / "wrong.toml").write_text(text.replace(changed, into), encoding="utf-8")
    with pytest.raises(InvalidInput, match="MAPPING_CONTRADICTS_DATA") as caught:
        read_bms_telemetry(data_dir / "field_bms" / "car2.csv.gz", load_vehicle_mapping(tmp_path / "wrong.toml"))
    assert evidence in str(caught.value)


@pytest.mark.parametrize(("unit", "written"), [("percent", 93.5), ("fraction", 0.935)])
def test_a_state_of_health_the_vehicle_reports_is_read_and_its_sentinel_is_not(read, unit, written):
    entry = f'[columns.reported_soh_percent]\ncolumn = "soh"\nunit = "{unit}"\nsentinels = [255.0]\n'
    mapping = MAPPING.replace("[cells]", entry + "[cells]")
    reported = np.where(np.arange(720) % 9 == 0, 255.0, written)
    reading = read(export_frame().assign(soh=reported), mapping)
    reported_percent = reading.table.floats("reported_soh_percent")
    assert np.nanmax(np.abs(reported_percent - 93.5)) < 1e-9
    assert np.count_nonzero(np.isnan(reported_percent)) == 80
