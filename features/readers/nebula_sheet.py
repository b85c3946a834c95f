"""Rows of a Nebula step report (工步层) as typed steps.

Finds the heading row by its Chinese headings, converts units, reads states; refuses a broken row naming
sheet, row, column, rule and value. Which steps a run may use is decided in `nebula`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from openpyxl.workbook.workbook import Workbook

from features.errors import UnreadableFile
from features.readers.tester_cells import (
    duration_second,
    finite_number,
    heading_parts,
    local_moment,
    unit_factor,
)
from features.readers.xlsx_sheets import Row, sheet_rows
from features.step_detection import LONGEST_PULSE_SECOND
from features.vocabulary import StepType

HEADINGS: dict[str, tuple[str, ...]] = {
    "state": ("状态", "工步状态", "工步类型", "工步名称"),
    "type": ("工步类型", "工步名称"),
    "voltage_begin": ("起始电压", "开始电压"),
    "voltage_end": ("结束电压", "终止电压", "截止电压"),
    "current_begin": ("起始电流", "开始电流"),
    "duration": ("持续时间", "工步时间", "相对时间"),
    "relative": ("相对时间",),
    "index": ("序号", "工步序号"),
    "current_end": ("结束电流", "终止电流", "截止电流"),
    "voltage_highest": ("最大电压", "最高电压"),
    "charged": ("充电容量",),
    "discharged": ("放电容量",),
    "constant_current_charge": ("恒流容量",),
    "temperature": ("开始温度1", "起始温度1", "开始温度", "起始温度"),
    "began": ("绝对时间", "开始时间", "起始时间"),
    "ended": ("结束时间", "终止时间"),
}
"""Headings by meaning, the first one present counts."""

REQUIRED = ("state", "voltage_begin", "voltage_end", "current_begin", "duration")

_HEADING_SEARCH_ROWS = 60

_REST_WORDS = ("静", "搁", "休")

_CONTROL_WORDS = ("其它", "其他", "跳转", "循环", "结束", "暂停", "完成")


@dataclass(frozen=True, slots=True)
class NebulaStep:
    """One step as reported, units converted, current signed by the state.

    Attributes
    ----------
    row : int
        Row of the sheet, as a spreadsheet shows it.
    index : float
        工步序号, or the count of steps where the report has none.
    step_type : StepType
        Rest, charge or discharge.
    duration_second, current_ampere, begin_volt, end_volt : float
        As in the canonical table. [s, A, V, V]
    highest_volt, temperature_celsius : float
        Highest voltage and temperature at the begin; NaN where not reported. [V, °C]
    moved_ah, constant_current_ah : float
        Charge of the step and of its constant-current part by the tester's count; NaN where not reported. [Ah]
    endpoint_ampere : float
        Magnitude of the first current. [A]
    holds_voltage : bool
        Whether the state names a CC-CV charge.
    began, ended : datetime or None
        By the tester's clock, without a zone.
    """

    row: int
    index: float
    step_type: StepType
    duration_second: float
    current_ampere: float
    begin_volt: float
    end_volt: float
    highest_volt: float
    temperature_celsius: float
    moved_ah: float
    endpoint_ampere: float
    constant_current_ah: float
    holds_voltage: bool
    began: datetime | None
    ended: datetime | None


@dataclass(frozen=True)
class StepReport:
    """A step report in a workbook: where its columns are and its rows below the heading."""

    file_name: str
    name: str
    heading_row: int
    at: Mapping[str, int]
    labels: Sequence[str]
    units: Sequence[str]
    rows: Iterable[tuple[int, Row]]

    def cell(self, row: Row, meaning: str) -> object:
        """Cell of a row under the heading with a meaning; None where there is none."""
        column = self.at.get(meaning)
        return row[column] if column is not None and column < len(row) else None

    def refuse(self, number: int, meaning: str, rule: str, value: object) -> UnreadableFile:
        """Error that names sheet, row and column."""
        heading = self.labels[self.at[meaning]] if meaning in self.at else meaning
        shown = "an empty cell" if value is None else repr(value)[:60]
        return UnreadableFile(self.file_name, rule, shown, f"sheet {self.name!r} row {number} column {heading}")

    def number(self, number: int, row: Row, meaning: str) -> float:
        """Read a cell in its base unit; raises `UnreadableFile` if it holds no number."""
        value = self.cell(row, meaning)
        try:
            return finite_number(value) * unit_factor(self.units[self.at[meaning]])
        except ValueError as fault:
            raise self.refuse(number, meaning, f"{fault} (is the export complete?)", value) from fault

    def optional(self, number: int, row: Row, meaning: str) -> float:
        """Read a cell in its base unit, NaN where the cell or its column is missing."""
        return math.nan if self.cell(row, meaning) is None else self.number(number, row, meaning)

    def duration_second(self, number: int, row: Row) -> float:
        """Duration of the step from 持续时间, or from 相对时间 where that is empty; raises `UnreadableFile`."""
        meaning = "duration" if self.cell(row, "duration") is not None or "relative" not in self.at else "relative"
        value = self.cell(row, meaning)
        try:
            return duration_second(value, self.units[self.at[meaning]])
        except ValueError as fault:
            raise self.refuse(number, meaning, f"{fault} (is the export complete?)", value) from fault


def step_report(workbook: Workbook, sheet_name: str, file_name: str) -> StepReport | None:
    """Find the heading of a step report in a sheet; None if the sheet is another one."""
    rows = sheet_rows(workbook, sheet_name, file_name)
    for number, row in rows:
        if number > _HEADING_SEARCH_ROWS:
            return None
        parts = [heading_parts(cell) for cell in row]
        names = [name for name, _ in parts]
        at = {
            meaning: names.index(found)
            for meaning, accepted in HEADINGS.items()
            if (found := next((each for each in accepted if each in names), None)) is not None
        }
        if all(meaning in at for meaning in REQUIRED):
            return StepReport(
                file_name, sheet_name, number, at, [str(cell) for cell in row], [unit for _, unit in parts], rows
            )
    return None


def reported_steps(sheet: StepReport) -> tuple[list[NebulaStep], list[int]]:
    """List the steps in their order, and the rows that are none (control steps, a repeated heading)."""
    steps: list[NebulaStep] = []
    dropped: list[int] = []
    for number, row in sheet.rows:
        if str(sheet.cell(row, "state")).strip() == sheet.labels[sheet.at["state"]].strip():
            dropped.append(number)
            continue
        step = _step(sheet, number, row, len(steps))
        if step is None:
            dropped.append(number)
            continue
        if steps:
            _refuse_disorder(sheet, row, steps[-1], step)
        steps.append(step)
    return steps, dropped


def _refuse_disorder(sheet: StepReport, row: Row, before: NebulaStep, step: NebulaStep) -> None:
    if step.index <= before.index:
        value = f"{before.index:g} then {step.index:g}"
        raise sheet.refuse(step.row, "index", "step numbers must increase from row to row", value)
    if before.began and step.began and step.began < before.began:
        raise sheet.refuse(step.row, "began", "steps must be in the order of time", sheet.cell(row, "began"))


def _step(sheet: StepReport, number: int, row: Row, count: int) -> NebulaStep | None:
    state = f"{sheet.cell(row, 'state') or ''} {sheet.cell(row, 'type') or ''}".strip()
    step_type = _step_type(state)
    if step_type is None:
        if not state or not any(word in state for word in _CONTROL_WORDS) or _carries_current(sheet, row):
            rule = "the state must say 静置, 充电 or 放电 (is the export complete?)"
            raise sheet.refuse(number, "state", rule, state or None)
        return None
    begin = sheet.number(number, row, "current_begin")
    end = sheet.optional(number, row, "current_end")
    duration = sheet.duration_second(number, row)
    moved = sheet.optional(number, row, "discharged" if step_type is StepType.DISCHARGE else "charged")
    endpoints = abs(begin if math.isnan(end) else 0.5 * (begin + end))
    counted = abs(moved) / duration * 3600.0 if duration > LONGEST_PULSE_SECOND else math.nan
    magnitude = counted if counted > 0.0 else endpoints
    sign = {StepType.REST: 0.0, StepType.CHARGE: 1.0, StepType.DISCHARGE: -1.0}[step_type]
    if sign and not (magnitude > 0.0 and duration > 0.0):
        return None
    return NebulaStep(
        row=number,
        index=sheet.number(number, row, "index") if "index" in sheet.at else float(count + 1),
        step_type=step_type,
        duration_second=duration,
        current_ampere=sign * magnitude,
        begin_volt=sheet.number(number, row, "voltage_begin"),
        end_volt=sheet.number(number, row, "voltage_end"),
        highest_volt=sheet.optional(number, row, "voltage_highest"),
        temperature_celsius=sheet.optional(number, row, "temperature"),
        moved_ah=abs(moved),
        endpoint_ampere=abs(begin),
        constant_current_ah=abs(sheet.optional(number, row, "constant_current_charge")),
        holds_voltage=_holds_voltage(state),
        began=local_moment(sheet.cell(row, "began")),
        ended=local_moment(sheet.cell(row, "ended")),
    )


def _step_type(state: str) -> StepType | None:
    charge, discharge = "充" in state, "放" in state
    if charge != discharge:
        return StepType.CHARGE if charge else StepType.DISCHARGE
    return StepType.REST if not charge and any(word in state for word in _REST_WORDS) else None


def _holds_voltage(state: str) -> bool:
    normal = state.upper().replace("-", "").replace(" ", "")
    return "CCCV" in normal or "恒流恒压" in normal


def _carries_current(sheet: StepReport, row: Row) -> bool:
    try:
        return finite_number(sheet.cell(row, "current_begin")) != 0.0
    except ValueError:
        return False
