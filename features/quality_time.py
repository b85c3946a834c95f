"""Whether a record's clock and sampling can be relied on: gaps and jumps.

Silence and wrong clocks only; what is measured at each moment is judged in `quality_sensors`. A CAUTION
here never speaks about the battery.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from features.findings import Finding, Message, Severity
from features.full_discharge import INTERVAL_COUNT, LARGEST_GAP_SECOND
from features.measurement import BatteryIdentity, FloatArray, MeasurementRun
from features.sampled import REST_C_RATE, USUAL_INTERVALS_IN_A_GAP, sampled_columns
from features.vocabulary import RunKind, TableFormat

BoolArray = npt.NDArray[np.bool_]

EARLIEST_TELEMETRY = datetime(2008, 1, 1, tzinfo=UTC)
"""No lithium-ion traction battery was in series production earlier: a clock that shows less was not set."""


def gap_findings(run: MeasurementRun) -> Iterator[Finding]:
    """Silence during a discharge (capacity test) or anywhere (other sampled runs)."""
    sampled = sampled_columns(run.table)
    if sampled is None or run.table.row_count < 3:
        return
    time, _, current = sampled
    if run.kind is RunKind.CAPACITY_TEST:
        yield from _gap_in_discharge(time, current)
    elif not any(finding.code == "telemetry.gaps" for finding in run.findings):
        yield from _gap_in_sampling(time)


def _gap_in_discharge(time: FloatArray, current: FloatArray) -> Iterator[Finding]:
    discharging = current < -REST_C_RATE * np.abs(current).max(initial=0.0)
    interval = np.where(discharging[:-1] & discharging[1:], np.diff(time), 0.0)
    worst = int(np.argmax(interval))
    begins, ends = _stretch_around(discharging, worst)
    allowed = max(LARGEST_GAP_SECOND, float(time[ends] - time[begins]) / INTERVAL_COUNT)
    if interval[worst] <= allowed:
        return
    gap, begin = float(interval[worst]), float(time[worst])
    yield Finding(
        "quality.current_gap",
        Severity.CAUTION,
        Message(
            f"The current record has a gap of {gap:g} s during a discharge, from {begin:.0f} s "
            f"(allowed: {allowed:g} s). A capacity across a gap is not used.",
            f"放电期间电流记录自 {begin:.0f} s 起中断 {gap:g} s（允许 {allowed:g} s），跨越中断的容量不予采用。",
        ),
        {"gap_second": gap, "allowed_second": allowed, "starts_at_second": begin},
    )


def _stretch_around(inside: BoolArray, row: int) -> tuple[int, int]:
    """First and last row of the stretch of True that holds `row`."""
    outside = np.flatnonzero(~inside)
    before, after = outside[outside < row], outside[outside > row]
    return (int(before[-1]) + 1 if before.size else 0), (int(after[0]) - 1 if after.size else len(inside) - 1)


def _gap_in_sampling(time: FloatArray) -> Iterator[Finding]:
    interval = np.diff(time)
    allowed = USUAL_INTERVALS_IN_A_GAP * float(np.median(interval))
    gaps = interval[interval > allowed]
    if not gaps.size:
        return
    worst = int(np.argmax(interval))
    yield Finding(
        "quality.sampling_gap",
        Severity.NOTE,
        Message(
            f"{gaps.size} gaps longer than {allowed:.1f} s; the longest lasts {interval[worst]:.1f} s.",
            f"有 {gaps.size} 处采样中断超过 {allowed:.1f} s，最长 {interval[worst]:.1f} s。",
        ),
        {
            "gap_count": int(gaps.size),
            "longest_gap_second": float(interval[worst]),
            "allowed_second": allowed,
            "starts_at_second": float(time[worst]),
        },
    )


def clock_findings(run: MeasurementRun, identity: BatteryIdentity) -> Iterator[Finding]:
    """Clocks that were not set, run ahead, or jump further than the charge allows."""
    if run.table.format is TableFormat.TELEMETRY:
        yield from _vehicle_clock(run)
    elif run.table.format is TableFormat.TIMESERIES and run.table.row_count > 1:
        time, current = run.table.floats("test_time_second"), run.table.floats("current_ampere")
        yield from _impossible_charge(time, current, identity.rated_capacity_ah)


def _impossible_charge(time: FloatArray, current: FloatArray, rated_capacity_ah: float) -> Iterator[Finding]:
    steady = np.minimum(np.abs(current[:-1]), np.abs(current[1:])) * (np.sign(current[:-1]) == np.sign(current[1:]))
    charge_ah = steady * np.diff(time) / 3600.0
    worst = int(np.argmax(charge_ah))
    if charge_ah[worst] <= rated_capacity_ah:
        return
    jump = float(time[worst + 1] - time[worst])
    yield Finding(
        "quality.clock_jump",
        Severity.CAUTION,
        Message(
            f"The clock jumps by {jump:.0f} s at {time[worst]:.0f} s: the current would have moved "
            f"{charge_ah[worst]:.1f} Ah, more than the rated {rated_capacity_ah:g} Ah.",
            f"时钟在 {time[worst]:.0f} s 处跳变 {jump:.0f} s：按电流计将移动 {charge_ah[worst]:.1f} Ah，"
            f"超过额定 {rated_capacity_ah:g} Ah。",
        ),
        {"jump_second": jump, "starts_at_second": float(time[worst]), "implied_charge_ah": float(charge_ah[worst])},
    )


def _vehicle_clock(run: MeasurementRun) -> Iterator[Finding]:
    time = run.table.floats("unix_time_second")
    early = int(np.count_nonzero(time < EARLIEST_TELEMETRY.timestamp()))
    late = int(np.count_nonzero(time > run.available_at.timestamp()))
    if not early and not late:
        return
    yield Finding(
        "quality.clock_jump",
        Severity.CAUTION,
        Message(
            f"The vehicle's clock was wrong: {early} rows before {EARLIEST_TELEMETRY.year}, "
            f"{late} rows after the data became available.",
            f"车辆时钟有误：{early} 行早于 {EARLIEST_TELEMETRY.year} 年，{late} 行晚于数据可得时间。",
        ),
        {"row_count_too_early": early, "row_count_too_late": late},
    )
