from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import InvalidInput, UnreadableFile
from features.readers.canonical_rows import ReadingCaps
from features.readers.reading import Reading
from features.readers.testers import read_tester

ARBIN = "Data_Point,Test_Time(s),Step_Time(s),Step_Index,Cycle_Index,Current(A),Voltage(V),Aux_Temperature(℃)_1\n"
NEWARE_ZH = "记录序号,循环号,工步号,工步类型,时间,总时间,电流(mA),电压(mV),T1(℃),绝对时间\n"


def written(tmp_path: Path, text: str, name: str = "test.csv", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def codes(reading: Reading) -> list[str]:
    return [finding.code for finding in reading.findings]


def test_columns_are_found_by_their_headings_in_any_order_and_units_come_from_the_brackets(tmp_path: Path):
    text = (
        "Voltage(mV),Step_Index,Current(mA),Test_Time(min),Data_Point\n3300,1,0,0,1\n3350,2,500,1,2\n3300,3,-500,2,3\n"
    )

    table = read_tester(written(tmp_path, text), "arbin").table

    assert table.floats("test_time_second").tolist() == [0.0, 60.0, 120.0]
    assert table.floats("voltage_volt").tolist() == pytest.approx([3.3, 3.35, 3.3])
    assert table.floats("current_ampere").tolist() == pytest.approx([0.0, 0.5, -0.5])
    assert table.floats("step_count").tolist() == [1.0, 2.0, 3.0]


def test_an_unknown_unit_is_another_column_and_never_read_as_the_base_unit(tmp_path: Path):
    text = "Data_Point,Test_Time(s),Current(C-rate),Voltage(V)\n1,0,0,3.3\n"

    with pytest.raises(UnreadableFile, match="no row holds the headings of an Arbin csv"):
        read_tester(written(tmp_path, text), "arbin")


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8-sig", "utf-16"])
def test_chinese_headings_and_states_are_read_in_every_encoding_a_tester_writes(tmp_path: Path, encoding: str):
    rows = [
        "1,1,1,搁置,0:00:00,0:00:00,0,3300,25,2024-01-01 00:00:00",
        "2,1,2,恒流放电,0:00:01,0:00:01,1000,3200,25,2024-01-01 00:00:01",
        "3,1,2,恒流放电,0:00:02,0:00:02,1000,3190,26,2024-01-01 00:00:02",
    ]

    table = read_tester(written(tmp_path, NEWARE_ZH + "\n".join(rows) + "\n", encoding=encoding), "neware").table

    assert table.floats("current_ampere").tolist() == [0.0, -1.0, -1.0]
    assert table.floats("voltage_volt").tolist() == pytest.approx([3.3, 3.2, 3.19])
    assert table.floats("surface_temperature_celsius").tolist() == [25.0, 25.0, 26.0]


def test_decimal_commas_and_thousands_separators_are_told_apart(tmp_path: Path):
    head = "Rec\tCycle C\tStep\tTest Time (sec)\tStep Time (sec)\tCurrent [A]\tVoltage [V]\tMd\n"
    comma = head + "1\t1\t1\t0,0\t0,0\t0,0\t3,3000\tR\n2\t1\t2\t1234,5\t1,0\t0,5\t3,2000\tD\n"
    point = head + "1\t1\t1\t0.0\t0.0\t0.0\t3.3000\tR\n2\t1\t2\t1,234.5\t1.0\t0.5\t3.2000\tD\n"

    for text in (comma, point):
        table = read_tester(written(tmp_path, text, "cell.042"), "maccor").table
        assert table.floats("test_time_second").tolist() == [0.0, 1234.5]
        assert table.floats("current_ampere").tolist() == [0.0, -0.5]
        assert table.floats("voltage_volt").tolist() == [3.3, 3.2]


def test_an_end_of_step_row_keeps_the_direction_of_its_step(tmp_path: Path):
    text = "Rec#\tCyc#\tStep\tTest (Sec)\tStep (Sec)\tAmps\tVolts\tState\n"
    text += "1\t0\t1\t0\t0\t0\t3.3\tR\n2\t0\t2\t1\t1\t2\t3.2\tD\n3\t0\t2\t2\t2\t2\t3.1\tS\n4\t0\t3\t3\t1\t2\t3.4\tC\n"

    table = read_tester(written(tmp_path, text, "cell.001"), "maccor").table

    assert table.floats("current_ampere").tolist() == [0.0, -2.0, -2.0, 2.0]


def test_a_file_whose_heading_names_no_time_unit_is_read_by_its_clock_or_refused(tmp_path: Path):
    head = "Rec\tStep\tTestTime\tCurrent [A]\tVoltage [V]\tMd\tDPT Time\n"
    clock = [f"{n}\t1\t{n},0\t0,0\t3,3\tR\t06/05/2021 11:0{n}:00" for n in range(5)]
    silent = [f"{n}\t1\t{n},0\t0,0\t3,3\tR\t" for n in range(5)]

    reading = read_tester(written(tmp_path, head + "\n".join(clock)), "maccor")

    assert reading.table.floats("test_time_second")[-1] == 240.0
    assert "tester.time_unit_by_clock" in codes(reading)
    with pytest.raises(UnreadableFile, match="names no unit and the tester's clock does not tell it"):
        read_tester(written(tmp_path, head + "\n".join(silent)), "maccor")


def test_the_last_row_cut_off_is_left_out_with_a_finding_that_names_its_line(tmp_path: Path):
    rows = [f"{n},{n},{n},1,1,0.0,3.3,25" for n in range(20)]

    reading = read_tester(written(tmp_path, ARBIN + "\n".join([*rows, "20,20,2"])), "arbin")

    finding = next(each for each in reading.findings if each.code == "tester.rows_uneven")
    assert (reading.table.row_count, finding.evidence["first_line"], finding.evidence["cut_off"]) == (20, 22, True)


def test_a_byte_that_is_no_text_far_below_the_headings_spoils_only_its_cell(tmp_path: Path):
    rows = b"".join(b"%d,%d,%d,1,1,0.0,3.3,25\n" % (n, n, n) for n in range(60_000))
    path = tmp_path / "test.csv"
    path.write_bytes(ARBIN.encode() + rows + b"60000,60000,1,1,1,0.0,3.3,25,\xb0\n")

    reading = read_tester(path, "arbin")

    assert (reading.table.row_count, codes(reading)) == (60_000, ["tester.rows_uneven"])


def test_a_file_with_many_uneven_rows_is_refused(tmp_path: Path):
    rows = [f"{n},{n},{n},1,1,0.0,3.3,25" if n % 4 else f"{n},{n}" for n in range(1, 40)]

    with pytest.raises(UnreadableFile, match="as many cells as the headings"):
        read_tester(written(tmp_path, ARBIN + "\n".join(rows)), "arbin")


def test_a_paused_test_without_its_last_time_loses_that_row_and_many_such_rows_refuse_the_file(tmp_path: Path):
    rows = [f"{n},{n},{n},1,1,0.0,3.3,25" for n in range(20)]
    reading = read_tester(written(tmp_path, ARBIN + "\n".join([*rows, "20,,,1,1,0.0,3.3,25"])), "arbin")

    assert reading.table.row_count == 20
    assert "tester.rows_incomplete" in codes(reading)
    with pytest.raises(UnreadableFile, match="at most 5% of the rows may lack"):
        read_tester(written(tmp_path, ARBIN + "\n".join([*rows, *["20,,,1,1,0.0,3.3,25"] * 5])), "arbin")


def test_a_cell_that_is_no_number_is_named_with_column_and_row(tmp_path: Path):
    text = ARBIN + "1,0,0,1,1,0.0,3.3,25\n2,1,1,1,1,0.0,3.3V,25\n3,2,2,1,1,0.0,3.3,25\n"

    with pytest.raises(UnreadableFile, match=r"column 'Voltage\(V\)': must hold a number, row 2 holds '3.3V'"):
        read_tester(written(tmp_path, text), "arbin")


def test_a_time_zone_in_the_dates_gives_the_begin_in_utc_and_none_gives_a_finding(tmp_path: Path):
    zoned = "test_time_second,voltage_volt,current_ampere,unix_time_second\n0,3.3,0,1600000000\n1,3.3,0,1600000001\n"
    local = "Data_Point,Date_Time,Test_Time(s),Current(A),Voltage(V)\n1,{},0,0,3.3\n"

    assert read_tester(written(tmp_path, zoned), "bdf").started_at.isoformat() == "2020-09-13T12:26:40+00:00"
    stamped = read_tester(written(tmp_path, local.format("2024-05-01T10:00:00+08:00")), "arbin")
    assert stamped.started_at.isoformat() == "2024-05-01T02:00:00+00:00"
    plain = read_tester(written(tmp_path, local.format("2024-05-01 10:00:00")), "arbin")
    assert plain.started_at is None
    assert "tester.start_without_zone" in codes(plain)


def test_a_file_of_several_cells_is_refused(tmp_path: Path):
    text = (
        "Test,Cell,Step,Total Time (Seconds),Voltage (mV),Current (mA),ReasonCode\n1,1,0,0,3300,0,1\n1,2,0,0,3300,0,1\n"
    )

    with pytest.raises(UnreadableFile, match="several cells must be split"):
        read_tester(written(tmp_path, text), "pec")


def test_impedance_rows_between_the_others_are_left_out_and_a_file_of_nothing_else_is_refused(tmp_path: Path):
    head = "Cycle_Index,Step,Time_s,Current_A,Voltage_V,Cell_Temperature_C,Frequency_Hz\n"
    reading = read_tester(
        written(tmp_path, head + "1,1,0,0,3.3,25,NaN\n1,2,1,0,-3.7,NaN,500000\n1,3,2,0,3.3,25,NaN\n"), "batteryarchive"
    )

    assert reading.table.floats("voltage_volt").tolist() == [3.3, 3.3]
    assert "tester.impedance_rows" in codes(reading)
    with pytest.raises(UnreadableFile, match="no time series"):
        read_tester(written(tmp_path, head + "1,2,1,0,-3.7,NaN,500000\n"), "batteryarchive")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_sheet_saved_with_every_line_in_quotes_is_read_like_any_other(tmp_path: Path, encoding: str):
    lines = [
        "[Data]",
        '"Date and Time,Cycle Number,Step Type,Run Time (h),Current (A),Potential (V),Temperature (°C)"',
        '"2022-04-11 10:58:07 AM,1,0,0.0,0.0,3.30,25"',
        '"2022-04-11 11:58:07 AM,1,2,1.0,-0.1,3.10,25"',
    ]

    table = read_tester(written(tmp_path, "\n".join(lines), encoding=encoding), "novonix").table

    assert table.floats("test_time_second").tolist() == [0.0, 3600.0]
    assert table.floats("current_ampere").tolist() == [0.0, -0.1]


def test_records_of_a_nested_report_are_read_with_the_state_of_their_step(tmp_path: Path):
    lines = [
        "Cycle ID,Cap_Chg(mAh)",
        ",Step ID,Step Name,Step Time(h:min:s.ms)",
        ",,Record ID,Time(h:min:s.ms),Vol(mV),Cur(mA),Realtime",
        "1,10",
        ",1,Rest,0:00:10.000",
        ",,1,0:00:00.000,3300,0,2024-01-01 00:00:00",
        ",,2,0:00:10.000,3300,0,2024-01-01 00:00:10",
        ",2,CC_DChg,0:00:10.000",
        ",,3,0:00:01.000,3200,1000,2024-01-01 00:00:11",
    ]

    table = read_tester(written(tmp_path, "\n".join(lines) + "\n"), "neware").table

    assert table.floats("test_time_second").tolist() == [0.0, 10.0, 11.0]
    assert table.floats("current_ampere").tolist() == [0.0, 0.0, -1.0]
    assert table.floats("step_count").tolist() == [1.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "the file is empty"),
        (b"\n\n\n", "the file is empty"),
        (b"PK\x03\x04rest", "is a zip archive or workbook, not a text export"),
        (b"PAR1rest", "is not a whole Parquet file"),
        (b"\x00\x01\x02\x03", "is not text"),
        (b"nothing,of,interest\n1,2,3\n", "no row holds the headings"),
        (ARBIN.encode(), "no row follows the headings"),
    ],
)
def test_an_empty_a_headless_and_a_file_of_another_kind_are_refused_with_the_reason(
    tmp_path: Path, content: bytes, rule: str
):
    path = tmp_path / "test.csv"
    path.write_bytes(content)

    with pytest.raises(UnreadableFile, match=rule):
        read_tester(path, "arbin")


def test_more_bytes_or_rows_than_allowed_are_refused(tmp_path: Path):
    path = written(tmp_path, ARBIN + "".join(f"{n},{n},{n},1,1,0.0,3.3,25\n" for n in range(100)))

    with pytest.raises(UnreadableFile, match="split the file"):
        read_tester(path, "arbin", ReadingCaps(file_bytes=100))
    with pytest.raises(UnreadableFile, match="more than 50 rows"):
        read_tester(path, "arbin", ReadingCaps(rows=50))


def test_a_table_is_the_same_from_text_and_from_parquet_and_parquet_has_caps_too(tmp_path: Path):
    columns = {
        "Time [s]": [0.0, 1.0],
        "Step": [0, 1],
        "Event": [0, 1],
        "Current [A]": [0.0, -1.0],
        "Voltage [V]": [3.3, 3.2],
    }
    pq.write_table(pa.table(columns), tmp_path / "test.parquet")
    text = ",".join(columns) + "\n0.0,0,0,0.0,3.3\n1.0,1,1,-1.0,3.2\n"

    parquet = read_tester(tmp_path / "test.parquet", "neware").table

    assert parquet.sha256 == read_tester(written(tmp_path, text), "neware").table.sha256
    with pytest.raises(UnreadableFile, match="more than 1 rows"):
        read_tester(tmp_path / "test.parquet", "neware", ReadingCaps(rows=1))


def test_long_words_repeated_in_parquet_and_a_row_without_an_end_are_refused(tmp_path: Path):
    columns = {
        "Total Time": [0.0, 1.0],
        "Current(A)": [0.0, 0.0],
        "Voltage(V)": [3.3, 3.3],
        "Step Type": ["x" * 9999] * 2,
    }
    pq.write_table(pa.table(columns), tmp_path / "test.parquet")
    endless = written(tmp_path, ARBIN + "1,0,0,1,1,0,3.3,25\n" + "1," * 5_000_000)

    with pytest.raises(UnreadableFile, match="a word may have 64 characters"):
        read_tester(tmp_path / "test.parquet", "neware")
    with pytest.raises(UnreadableFile):
        read_tester(endless, "arbin")


@pytest.mark.parametrize("label", ["Test Time / s", "test_time_s", "test_time_second"])
def test_battery_data_format_is_read_under_its_labels_and_machine_names_and_other_headings_are_not(
    tmp_path: Path, label: str
):
    names = ("Voltage / V", "Current / A") if "/" in label else ("voltage_volt", "current_ampere")
    rows = "0,3.3,0\n1,3.4,1\n"

    assert read_tester(written(tmp_path, f"{label},{','.join(names)}\n{rows}"), "bdf").table.row_count == 2
    with pytest.raises(InvalidInput, match="Battery Data Format"):
        read_tester(written(tmp_path, f"Test_Time(s),Voltage(V),Current(A)\n{rows}"), "bdf")


def test_a_probe_that_reads_zero_throughout_or_an_impossible_value_is_no_temperature(tmp_path: Path):
    unplugged = ARBIN + "1,0,0,1,1,0,3.3,0\n2,1,1,1,1,0,3.3,0\n"
    sentinel = ARBIN + "1,0,0,1,1,0,3.3,25\n2,1,1,1,1,0,3.3,3276.7\n"

    assert "surface_temperature_celsius" not in read_tester(written(tmp_path, unplugged), "arbin").table
    reading = read_tester(written(tmp_path, sentinel), "arbin")
    assert np.isnan(reading.table.floats("surface_temperature_celsius")[1])
    assert "tester.temperature_invalid" in codes(reading)
