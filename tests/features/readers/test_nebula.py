"""A Nebula step report is found and read by what it says, and refused by name where it is broken."""

import time
import zipfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import openpyxl
import pytest

from features.capacity_test import capacity_test_features
from features.errors import UnreadableFile
from features.measurement import BatteryIdentity
from features.readers.nebula import read_nebula
from features.readers.tester_cells import duration_second, heading_parts
from features.steps import found_trains, graded_train, pulse_trains
from features.vocabulary import Chemistry, Level, RunKind

HEADINGS = [
    "工步序号",
    "工步类型",
    "状态",
    "绝对时间",
    "结果",
    "起始电压(V)",
    "最大电压(V)",
    "结束电压(V)",
    "起始电流(A)",
    "结束电流(A)",
    "充电容量(Ah)",
    "放电容量(Ah)",
    "相对时间(h:min:s.ms)",
    "持续时间(h:min:s:ms)",
    "结束时间",
    "恒流容量(Ah)",
    "开始温度1(℃)",
]
BEGAN = datetime(2024, 3, 1, 8, 0, 0)  # noqa: DTZ001 - a tester's clock names no zone
RATED_AH = 50.0


def clock(second: float) -> str:
    hours, rest = divmod(second, 3600.0)
    return f"{int(hours):02d}:{int(rest // 60):02d}:{rest % 60:06.3f}"


def line(
    state: str,
    second: float,
    volts: tuple[float, float],
    amperes: tuple[float, float] = (0.0, 0.0),
    *,
    moved_ah: float = 0.0,
    constant_current_ah: float = 0.0,
) -> dict[str, object]:
    """One step as the tester writes it; number and clock are added by `report`."""
    kind = {"充": "充电", "放": "放电"}.get(state[0], "其它")
    return {
        "工步类型": kind,
        "状态": state,
        "结果": "完成",
        "起始电压(V)": volts[0],
        "最大电压(V)": max(volts),
        "结束电压(V)": volts[1],
        "起始电流(A)": amperes[0],
        "结束电流(A)": amperes[1],
        "充电容量(Ah)": moved_ah if kind == "充电" else 0.0,
        "放电容量(Ah)": -moved_ah if kind == "放电" else 0.0,
        "相对时间(h:min:s.ms)": clock(second),
        "持续时间(h:min:s:ms)": clock(second),
        "恒流容量(Ah)": constant_current_ah,
        "开始温度1(℃)": 25.0,
        "second": second,
    }


OPENING = [
    line("静置", 30.0, (3.30, 3.30)),
    line("充电 CC-CV", 3600.0, (3.35, 3.65), (50.0, 2.5), moved_ah=42.0, constant_current_ah=40.0),
    line("静置", 900.0, (3.60, 3.45)),
    line("放电 DC", 3024.0, (3.30, 2.50), (-50.0, -50.0), moved_ah=42.0),
    line("静置", 900.0, (2.60, 2.90)),
    line("充电 CC", 180.0, (3.00, 3.20), (50.0, 50.0), moved_ah=2.5),
    line("静置", 600.0, (3.21, 3.20)),
]


def pulses(width_second: float = 2.0, rates: Sequence[float] = (0.5, 1.0)) -> list[dict[str, object]]:
    lines = []
    for rate in rates:
        for state, sign in (("充电 CC", 1.0), ("放电 DC", -1.0)):
            amperes = (sign * rate * 49.9, sign * rate * 50.1)
            lines.append(line(state, width_second, (3.2 + sign * 0.1 * rate, 3.2 + sign * 0.15 * rate), amperes))
            lines.append(line("静置", 15.0 * width_second, (3.2 + sign * 0.05 * rate, 3.2)))
    return lines


def numbered(lines: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    rows, moment = [], BEGAN
    for number, each in enumerate(lines, start=1):
        end = moment + timedelta(seconds=float(str(each["second"])))
        rows.append({"工步序号": number, "绝对时间": f"{moment}", "结束时间": f"{end}", **each})
        moment = end + timedelta(seconds=0.2)
    return rows


def saved(
    folder: Path,
    rows: Sequence[dict[str, object]],
    headings: Sequence[str] = HEADINGS,
    *,
    sheet: str = "工步层",
    above: Sequence[Sequence[object]] = (),
    others: Sequence[str] = (),
) -> Path:
    workbook = openpyxl.Workbook()
    first = workbook.active
    assert first is not None
    first.title = others[0] if others else sheet
    if others:
        first.append(["记录序号", "电压(V)", "电流(A)", "状态"])
    page = workbook.create_sheet(sheet) if others else first
    for each in (*above, headings, *([row.get(heading) for heading in headings] for row in rows)):
        page.append(list(each))
    path = folder / "export.xlsx"
    workbook.save(path)
    return path


CAMPAIGN = [*OPENING, *pulses(2.0), OPENING[5], OPENING[6], *pulses(2.0)]


def test_a_pulse_test_hands_on_the_pulses_their_rests_and_the_charge_between_two_trains(tmp_path: Path) -> None:
    table = read_nebula(saved(tmp_path, numbered(CAMPAIGN)), RunKind.PULSE_TEST).table
    assert table.floats("step_index").tolist() == [*range(7, 26)]
    longer = (table.floats("step_duration_second") > 2.0) & (table.words("step_type") != "rest")
    assert table.floats("step_index")[longer].tolist() == [16.0]
    first, second = pulse_trains(table, RATED_AH)
    assert len(first.pulses) == len(second.pulses) == 4
    assert (first.open_circuit_voltage_volt, first.rest_before_second) == (3.20, 600.0)
    assert [each.current_ampere for each in first.pulses] == pytest.approx([25.0, -25.0, 50.0, -50.0])
    assert table.floats("surface_temperature_celsius").tolist() == [25.0] * 19


def test_a_capacity_test_hands_on_the_opening_charge_rest_and_discharge_and_nothing_else(tmp_path: Path) -> None:
    reading = read_nebula(saved(tmp_path, numbered(CAMPAIGN)), RunKind.CAPACITY_TEST)
    assert reading.table.words("step_type").tolist() == ["rest", "charge", "charge", "rest", "discharge"]
    assert reading.table.floats("step_duration_second").tolist() == [30.0, 2880.0, 720.0, 900.0, 3024.0]
    assert reading.table.floats("current_ampere").tolist() == pytest.approx([0.0, 50.0, 10.0, 0.0, -50.0])
    identity = BatteryIdentity("c", Level.CELL, Chemistry.LFP, RATED_AH)
    values, findings = capacity_test_features(reading.table, identity)
    assert findings == ()
    assert values["discharged_capacity_ah"] == pytest.approx(42.0)


def test_other_sheets_lines_above_the_heading_other_order_and_extra_columns_do_not_matter(tmp_path: Path) -> None:
    headings = [*reversed(HEADINGS), "外压极大值(N¦Mpa)", "状态", None]
    path = saved(
        tmp_path,
        numbered(CAMPAIGN),
        headings=headings,  # type: ignore[arg-type]  # an empty heading is what is tried
        sheet="Sheet7",
        above=[["测试报告"], [], ["通道", 12]],
        others=["记录层"],
    )
    assert len(pulse_trains(read_nebula(path, RunKind.PULSE_TEST).table, RATED_AH)) == 2


def test_millivolt_milliampere_and_full_width_brackets_are_converted_by_the_heading(tmp_path: Path) -> None:
    scaled = {"起始电压(V)": "起始电压（mV）", "结束电压(V)": "结束电压 (mV)", "起始电流(A)": "起始电流(mA)"}
    scaled |= {"结束电流(A)": "结束电流(mA)", "放电容量(Ah)": "放电容量(mAh)", "最大电压(V)": "最大电压(mV)"}
    scaled |= {"充电容量(Ah)": "充电容量(mAh)", "恒流容量(Ah)": "恒流容量(mAh)"}
    rows = [
        {scaled.get(name, name): value * 1000.0 if name in scaled else value for name, value in row.items()}  # type: ignore[operator]
        for row in numbered(CAMPAIGN)
    ]
    headings = [scaled.get(name, name) for name in HEADINGS]
    expected = read_nebula(saved(tmp_path, numbered(CAMPAIGN)), RunKind.CAPACITY_TEST).table
    table = read_nebula(saved(tmp_path, rows, headings), RunKind.CAPACITY_TEST).table
    for name in ("current_ampere", "voltage_begin_volt", "voltage_end_volt"):
        np.testing.assert_allclose(table.floats(name), expected.floats(name))


def test_the_state_gives_the_sign_where_a_tester_writes_discharge_as_a_positive_number(tmp_path: Path) -> None:
    rows = [
        {**row, "起始电流(A)": abs(row["起始电流(A)"]), "结束电流(A)": abs(row["结束电流(A)"])}
        for row in numbered(CAMPAIGN)
    ]  # type: ignore[arg-type]
    (first, _) = pulse_trains(read_nebula(saved(tmp_path, rows), RunKind.PULSE_TEST).table, RATED_AH)
    assert [each.current_ampere for each in first.pulses] == pytest.approx([25.0, -25.0, 50.0, -50.0])


@pytest.mark.parametrize(
    ("cell", "unit", "second"),
    [
        ("00:00:30.000", "h:min:s.ms", 30.0),
        ("00:00:00:400", "h:min:s:ms", 0.4),
        ("26:10:00.500", "", 94200.5),
        ("2天 01:00:00", "", 176400.0),
        ("1.02:00:00.000", "", 93600.0),
        (timedelta(hours=30), "", 108000.0),
        (250, "ms", 0.25),
        ("1.5", "h", 5400.0),
    ],
)
def test_durations_are_read_in_every_form_testers_write(cell: object, unit: str, second: float) -> None:
    assert duration_second(cell, unit) == pytest.approx(second)


@pytest.mark.parametrize("cell", ["", "abc", "00:61:00", "00:00:-5", None, 5, "00:00:00:4000", "1:2:3:4:5"])
def test_what_is_no_duration_is_refused(cell: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration_second(cell)


def test_a_heading_is_its_name_and_its_unit() -> None:
    assert heading_parts(" 放电容量 （mAh） ") == ("放电容量", "mah")


def test_the_start_has_no_zone_so_it_is_a_note_and_not_a_moment(tmp_path: Path) -> None:
    reading = read_nebula(saved(tmp_path, numbered(CAMPAIGN)), RunKind.PULSE_TEST)
    assert reading.started_at is None
    assert [each.code for each in reading.findings] == ["nebula.start_without_zone"]
    assert reading.findings[0].evidence == {"began_local": "2024-03-01T08:00:00"}


def test_a_rest_after_which_the_tester_paused_is_no_rest_voltage(tmp_path: Path) -> None:
    rows = numbered(CAMPAIGN)
    for row in rows[11:]:
        row["绝对时间"] = f"{datetime.fromisoformat(str(row['绝对时间'])) + timedelta(hours=3)}"
        row["结束时间"] = f"{datetime.fromisoformat(str(row['结束时间'])) + timedelta(hours=3)}"
    reading = read_nebula(saved(tmp_path, rows), RunKind.PULSE_TEST)
    assert "nebula.steps_paused" in [each.code for each in reading.findings]
    found, findings = graded_train(reading.table, RATED_AH)
    assert found is not None
    assert np.isnan(found.train.pulses[2].rest_before_volt)
    assert "pulse.rest_missing" in [each.code for each in findings]


def test_a_pulse_that_sagged_before_its_end_was_interrupted_and_is_left_out(tmp_path: Path) -> None:
    rows = numbered(CAMPAIGN)
    rows[9 + 2]["最大电压(V)"] = 3.65
    reading = read_nebula(saved(tmp_path, rows), RunKind.PULSE_TEST)
    assert len(pulse_trains(reading.table, RATED_AH)[0].pulses) == 3
    assert "nebula.steps_paused" in [each.code for each in reading.findings]


def test_control_steps_and_repeated_headings_are_passed_over_and_said(tmp_path: Path) -> None:
    rows = numbered([*OPENING, line("其它", 0.0, (3.2, 3.2)), *pulses()])
    rows.insert(8, {name: name for name in HEADINGS})
    reading = read_nebula(saved(tmp_path, rows), RunKind.PULSE_TEST)
    (note,) = [each for each in reading.findings if each.code == "nebula.rows_without_step"]
    assert note.evidence == {"row_count": 2, "first_row": 9}
    assert len(pulse_trains(reading.table, RATED_AH)) == 1


def test_a_charge_count_that_contradicts_the_current_is_a_caution(tmp_path: Path) -> None:
    rows = numbered(CAMPAIGN)
    rows[3]["放电容量(Ah)"] = -30.0
    reading = read_nebula(saved(tmp_path, rows), RunKind.CAPACITY_TEST)
    assert "nebula.charge_mismatch" in [each.code for each in reading.findings]


@pytest.mark.parametrize(("paused_second", "cautioned"), [(10, False), (3600, True)])
def test_a_discharge_interrupted_for_an_hour_is_a_caution(tmp_path: Path, paused_second: int, cautioned: bool) -> None:
    rows = numbered(CAMPAIGN)
    for row in rows[4:]:
        row["绝对时间"] = f"{datetime.fromisoformat(str(row['绝对时间'])) + timedelta(seconds=paused_second)}"
    rows[3]["结束时间"] = f"{datetime.fromisoformat(str(rows[3]['结束时间'])) + timedelta(seconds=paused_second)}"
    reading = read_nebula(saved(tmp_path, rows), RunKind.CAPACITY_TEST)
    assert ("nebula.discharge_interrupted" in [each.code for each in reading.findings]) is cautioned


@pytest.mark.parametrize(
    ("row", "heading", "value", "said"),
    [
        (10, "结束电压(V)", None, r"sheet '工步层' row 12 column 结束电压\(V\): must hold a number .*an empty cell"),
        (10, "起始电流(A)", "n/a", r"row 12 column 起始电流\(A\): must hold a number .*'n/a'"),
        (10, "持续时间(h:min:s:ms)", "soon", r"row 12 column 持续时间.*must be a duration"),
        (10, "状态", "神秘", r"row 12 column 状态: the state must say 静置, 充电 or 放电"),
        (10, "工步序号", 3, r"row 12 column 工步序号: step numbers must increase"),
        (10, "绝对时间", "2020-01-01 00:00:00", r"row 12 column 绝对时间: steps must be in the order of time"),
        (22, "结束电压(V)", None, r"row 24 .*is the export complete"),
    ],
)
def test_a_broken_row_is_refused_naming_sheet_row_column_rule_and_value(
    tmp_path: Path, row: int, heading: str, value: object, said: str
) -> None:
    rows = numbered(CAMPAIGN)
    rows[row] = {**rows[row], heading: value, **({"工步类型": "?"} if heading == "状态" else {})}
    with pytest.raises(UnreadableFile, match=said):
        read_nebula(saved(tmp_path, rows), RunKind.PULSE_TEST)


def test_a_workbook_without_a_step_report_is_refused_naming_the_sheets_and_the_headings_it_needs(
    tmp_path: Path,
) -> None:
    path = saved(tmp_path, [], headings=["循环", "充电容量(Ah)"], sheet="循环层", others=["记录层"])
    with pytest.raises(UnreadableFile, match=r"起始电压.*got 0 of the sheets 记录层, 循环层"):
        read_nebula(path, RunKind.PULSE_TEST)


def test_a_step_report_without_steps_and_an_unknown_unit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="holds no step"):
        read_nebula(saved(tmp_path, []), RunKind.PULSE_TEST)
    headings = ["起始电压(kV)" if name == "起始电压(V)" else name for name in HEADINGS]
    rows = [{**row, "起始电压(kV)": 0.0033} for row in numbered(CAMPAIGN)]
    with pytest.raises(UnreadableFile, match="the unit must be one of"):
        read_nebula(saved(tmp_path, rows, headings), RunKind.PULSE_TEST)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"step,voltage\n1,3.3\n", "no xlsx workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "encrypted or in the old xls format"),
        (b"PK\x03\x04" + bytes(100), "no xlsx workbook or is cut off"),
    ],
)
def test_what_is_no_plain_xlsx_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "export.xlsx"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=said):
        read_nebula(path, RunKind.PULSE_TEST)


def test_a_file_that_breaks_off_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, numbered(CAMPAIGN))
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(UnreadableFile, match="cut off"):
        read_nebula(path, RunKind.PULSE_TEST)


def test_a_damaged_sheet_is_refused(tmp_path: Path) -> None:
    whole, broken = saved(tmp_path, numbered(CAMPAIGN)), tmp_path / "broken.xlsx"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(broken, "w") as target:
        for member in source.namelist():
            content = source.read(member)
            target.writestr(member, content[: len(content) // 2] if "sheet1.xml" in member else content)
    with pytest.raises(UnreadableFile, match="breaks off or is broken"):
        read_nebula(broken, RunKind.PULSE_TEST)


def test_a_packing_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as container:
        container.writestr("xl/worksheets/sheet1.xml", bytes(20_000_000))
    began = time.perf_counter()
    with pytest.raises(UnreadableFile, match=r"packed at most 200 to 1"):
        read_nebula(path, RunKind.PULSE_TEST)
    assert time.perf_counter() - began < 1.0


@pytest.mark.parametrize("kind", [RunKind.PARTIAL_CHARGE, RunKind.FIELD_TELEMETRY, RunKind.IMPEDANCE])
def test_a_step_report_is_no_other_kind_of_run(tmp_path: Path, kind: RunKind) -> None:
    with pytest.raises(UnreadableFile, match="read as pulse_test or capacity_test"):
        read_nebula(saved(tmp_path, numbered(CAMPAIGN)), kind)


@pytest.mark.real_data
@pytest.mark.parametrize(("family", "fillings"), [("LMO", 10), ("NMC", 17)])
def test_a_pulse_test_of_the_genuine_exports_holds_no_discharge_nor_the_filling_before_the_first_train(
    data_dir: Path, family: str, fillings: int
) -> None:
    (path,) = (data_dir / "pulse_retired" / "nebula_exports").glob(f"{family}_*.xlsx")
    table = read_nebula(path, RunKind.PULSE_TEST).table
    longer = (table.floats("step_duration_second") > 5.0) & (table.words("step_type") != "rest")
    assert table.words("step_type")[longer].tolist() == ["charge"] * fillings
    assert table.floats("step_duration_second")[longer].tolist() == [180.0] * fillings
    assert table.floats("step_index")[longer].min() > table.floats("step_index")[table.words("step_type") != "rest"][0]


@pytest.mark.real_data
def test_the_35_pulses_that_a_hand_or_protection_ended_in_the_genuine_export_are_found(data_dir: Path) -> None:
    (path,) = (data_dir / "pulse_retired" / "nebula_exports").glob("LMO_*.xlsx")
    table = read_nebula(path, RunKind.PULSE_TEST).table
    page = openpyxl.load_workbook(path, read_only=True).worksheets[0]
    rows = page.iter_rows(values_only=True)
    heading = list(next(rows))
    ended = [float(row[0]) for row in rows if row[heading.index("结果")] == "手动跳转"]  # type: ignore[arg-type]
    assert len(ended) == 35
    assert [step for found in found_trains(table, 10.0) for step in found.truncated_steps] == ended
