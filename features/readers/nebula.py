"""Step report (工步层) of a Nebula tester, xlsx, as a canonical step table.

The sheet is found by its headings, whatever its name, order of columns, units or lines above the
heading; steps are told by their state (静置, 充电, 放电) and never by row number. The run kind
decides what is handed on: pulses and the rests next to them, or the opening discharge with the
charge before it, and nothing else of a campaign.

Sign: the state gives it, since some exports write a discharge as a positive magnitude. Current: up
to 60 s the mean of begin and end; above, the tester's own charge count over the duration, which
also holds while the current falls. Temperature: of the first probe, as the step begins. Time:
绝对时间 carries no zone, so `Reading.started_at` stays None and the local time is a finding.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from features.capacity_test import capacity_part
from features.errors import UnreadableFile
from features.findings import Finding, Message, Severity
from features.measurement import CanonicalTable
from features.readers.nebula_sheet import HEADINGS, REQUIRED, NebulaStep, reported_steps, step_report
from features.readers.reading import Reading
from features.readers.xlsx_sheets import opened_workbook
from features.step_detection import LONGEST_PULSE_SECOND
from features.steps import pulse_part
from features.vocabulary import RunKind, StepType, TableFormat

LONGEST_PAUSE_SECOND = 2.0
"""Testers take up to 1 s from one step to the next; more is a pause. [s]"""

LONGEST_DISCHARGE_PAUSE_SECOND = 30.0
"""A discharge interrupted for longer did not run in one go. [s]"""

LARGEST_CHARGE_MISMATCH = 0.02
"""Allowed difference between the tester's charge count and duration times current of a constant current. [1]"""

_PEAK_TOLERANCE_VOLT = 0.005


def read_nebula(path: Path, kind: RunKind) -> Reading:
    """Read the part of a Nebula step report that a run of this kind may use.

    Parameters
    ----------
    path : Path
        An xlsx export; the step report may be any one of its sheets.
    kind : RunKind
        ``pulse_test`` or ``capacity_test``.

    Returns
    -------
    Reading
        A step table whose ``step_index`` is the tester's 工步序号. For a capacity test a CC-CV charge
        is handed on as its two parts (the second ``+ 0.5``), since a step has one current.

    Raises
    ------
    UnreadableFile
        Naming file, sheet, row, column, rule and value.
    """
    if kind not in (RunKind.PULSE_TEST, RunKind.CAPACITY_TEST):
        rule = "a Nebula step report is read as pulse_test or capacity_test"
        raise UnreadableFile(path.name, rule, kind.value)
    with opened_workbook(path) as workbook:
        reports = [sheet for name in workbook.sheetnames if (sheet := step_report(workbook, name, path.name))]
        if len(reports) != 1:
            headings = ", ".join(HEADINGS[each][0] for each in REQUIRED)
            rule = f"one sheet must be a step report, with the headings {headings}"
            raise UnreadableFile(
                path.name, rule, f"{len(reports)} of the sheets {', '.join(workbook.sheetnames)[:200]}"
            )
        steps, dropped = reported_steps(reports[0])
    if not steps:
        raise UnreadableFile(path.name, "the step report holds no step", where=f"sheet {reports[0].name!r}")
    began = _began_findings(steps)
    if kind is RunKind.CAPACITY_TEST:
        return _capacity_reading(path.name, steps, (*began, *_dropped_findings(dropped)))
    return _pulse_reading(path.name, steps, (*began, *_dropped_findings(dropped)))


def _table(steps: Sequence[NebulaStep]) -> CanonicalTable:
    columns = {
        "step_index": np.array([step.index for step in steps]),
        "step_type": np.array([step.step_type.value for step in steps]),
        "step_duration_second": np.array([step.duration_second for step in steps]),
        "current_ampere": np.array([step.current_ampere for step in steps]),
        "voltage_begin_volt": np.array([step.begin_volt for step in steps]),
        "voltage_end_volt": np.array([step.end_volt for step in steps]),
    }
    celsius = np.array([step.temperature_celsius for step in steps])
    if np.any(~np.isnan(celsius) & (celsius != 0.0)):  # an unconnected probe reads 0 throughout
        columns["surface_temperature_celsius"] = celsius
    return CanonicalTable(TableFormat.STEP_TABLE, columns)


def _pulse_reading(file_name: str, steps: Sequence[NebulaStep], findings: tuple[Finding, ...]) -> Reading:
    paused = [
        step for i, step in enumerate(steps) if _spoilt_by_pause(step, steps[i + 1] if i + 1 < len(steps) else None)
    ]
    spoilt = {step.row for step in paused}
    part = pulse_part(_table([step for step in steps if step.row not in spoilt]))
    if part is None:
        raise UnreadableFile(file_name, "a pulse_test needs pulses of at most 60 s or rests; the step report has none")
    return Reading(part, (*findings, *_paused_findings(paused)))


def _spoilt_by_pause(step: NebulaStep, following: NebulaStep | None) -> bool:
    """Whether the tester paused so that a voltage of the step is not what its column says.

    A rest that went on unrecorded does not end at the voltage the next pulse starts from. A pulse
    that was interrupted and resumed, or finished long before the next record, has neither its end
    nor its relaxation. A pulse stopped by hand or protection is left to `steps`, which sees it by
    its length.
    """
    if step.step_type is StepType.REST:
        allowed = max(LONGEST_PAUSE_SECOND, 0.1 * step.duration_second)
        return following is not None and _pause_second(step, following) > allowed
    if step.duration_second > LONGEST_PULSE_SECOND:
        return False
    sagged = step.step_type is StepType.CHARGE and step.highest_volt > step.end_volt + _PEAK_TOLERANCE_VOLT
    return _interrupted_second(step) > 1.0 or sagged


def _pause_second(step: NebulaStep, following: NebulaStep) -> float:
    if step.began is None or following.began is None:
        return 0.0
    return (following.began - step.began).total_seconds() - step.duration_second


def _interrupted_second(step: NebulaStep) -> float:
    """Time by the clock that the step's duration does not count."""
    if step.began is None or step.ended is None:
        return 0.0
    return (step.ended - step.began).total_seconds() - step.duration_second


def _capacity_reading(file_name: str, steps: Sequence[NebulaStep], findings: tuple[Finding, ...]) -> Reading:
    parts = [part for step in steps for part in _parts(step)]
    table, several = capacity_part(_table(parts))
    discharge = [step for step in steps if step.index == table.floats("step_index")[-1]]
    return Reading(table, (*findings, *several, *_mismatch_findings(discharge), *_interrupted_findings(discharge)))


def _parts(step: NebulaStep) -> tuple[NebulaStep, ...]:
    """Constant-current and constant-voltage part of a CC-CV charge, by the tester's charge counts."""
    constant_second = step.constant_current_ah / step.endpoint_ampere * 3600.0 if step.endpoint_ampere else math.nan
    splits = step.step_type is StepType.CHARGE and step.holds_voltage and step.moved_ah > step.constant_current_ah
    if not (splits and 0.0 < constant_second < step.duration_second and not math.isnan(step.highest_volt)):
        return (step,)
    held_second = step.duration_second - constant_second
    held_ampere = (step.moved_ah - step.constant_current_ah) / held_second * 3600.0
    return (
        replace(step, duration_second=constant_second, current_ampere=step.endpoint_ampere, end_volt=step.highest_volt),
        replace(
            step,
            index=step.index + 0.5,
            duration_second=held_second,
            current_ampere=held_ampere,
            begin_volt=step.highest_volt,
        ),
    )


def _mismatch_findings(discharges: Sequence[NebulaStep]) -> Iterator[Finding]:
    for step in discharges:
        expected_ah = step.endpoint_ampere * step.duration_second / 3600.0
        if step.moved_ah > 0.0 and abs(step.moved_ah - expected_ah) > LARGEST_CHARGE_MISMATCH * expected_ah:
            yield Finding(
                "nebula.charge_mismatch",
                Severity.CAUTION,
                Message(
                    f"Step {step.index:g} counts {step.moved_ah:.4f} Ah, its begin current times its duration gives "
                    f"{expected_ah:.4f} Ah (allowed difference: {LARGEST_CHARGE_MISMATCH:.0%}).",
                    f"工步 {step.index:g} 计量 {step.moved_ah:.4f} Ah，起始电流乘以时间为 {expected_ah:.4f} Ah"
                    f"（允许偏差 {LARGEST_CHARGE_MISMATCH:.0%}）。",
                ),
                {"counted_ah": step.moved_ah, "expected_ah": expected_ah},
            )


def _interrupted_findings(discharges: Sequence[NebulaStep]) -> Iterator[Finding]:
    for step in discharges:
        if (paused_second := _interrupted_second(step)) > LONGEST_DISCHARGE_PAUSE_SECOND:
            yield Finding(
                "nebula.discharge_interrupted",
                Severity.CAUTION,
                Message(
                    f"The discharge, step {step.index:g}, was interrupted for {paused_second:.0f} s and resumed "
                    f"(allowed: {LONGEST_DISCHARGE_PAUSE_SECOND:g} s); a battery recovers meanwhile.",
                    f"放电工步 {step.index:g} 中断 {paused_second:.0f} s 后继续"
                    f"（允许 {LONGEST_DISCHARGE_PAUSE_SECOND:g} s）；期间电压会恢复。",
                ),
                {"paused_second": paused_second, "allowed_second": LONGEST_DISCHARGE_PAUSE_SECOND},
            )


def _began_findings(steps: Sequence[NebulaStep]) -> Iterator[Finding]:
    if (began := steps[0].began) is not None:
        yield Finding(
            "nebula.start_without_zone",
            Severity.NOTE,
            Message(
                f"The test began at {began.isoformat(sep=' ')} by the tester's clock, which names no time zone.",
                f"测试开始于测试柜时间 {began.isoformat(sep=' ')}，文件未注明时区。",
            ),
            {"began_local": began.isoformat()},
        )


def _dropped_findings(rows: Sequence[int]) -> Iterator[Finding]:
    if rows:
        yield Finding(
            "nebula.rows_without_step",
            Severity.NOTE,
            Message(
                f"{len(rows)} rows hold no step (control steps, empty steps or repeated headings), "
                f"first row {rows[0]}.",
                f"{len(rows)} 行不是有效工步（控制工步、空工步或重复表头），首行 {rows[0]}。",
            ),
            {"row_count": len(rows), "first_row": rows[0]},
        )


def _paused_findings(paused: Sequence[NebulaStep]) -> Iterator[Finding]:
    if paused:
        yield Finding(
            "nebula.steps_paused",
            Severity.NOTE,
            Message(
                f"The tester paused in or after {len(paused)} steps, first step {paused[0].index:g}; "
                "their voltages are not used.",
                f"测试柜在 {len(paused)} 个工步中或之后暂停，首个为工步 {paused[0].index:g}；其电压不予使用。",
            ),
            {"step_count": len(paused), "first_step": paused[0].index},
        )
