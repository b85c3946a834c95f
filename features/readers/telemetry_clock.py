"""The clock of a vehicle export: moments from its time column, and rows in order.

A vehicle sends late, twice, or with a clock that is not set. Rows without a usable moment are left
out, later duplicates are left out, late rows are put where they belong; each is a finding with its
count. A silence stays a silence and is named.
"""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.errors import InvalidInput, Problem
from features.findings import Finding, Message, Severity
from features.measurement import FloatArray
from features.readers.vehicle_mapping import TimeColumn, zone_of

IntArray = npt.NDArray[np.int64]

EARLIEST_SECOND = datetime(2010, 1, 1, tzinfo=UTC).timestamp()
LATEST_SECOND = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
"""No vehicle of this product recorded earlier; a clock outside is not set."""

LARGE_STEP_BACK_SECOND = 3600.0
"""A late packet is minutes late; more than an hour back is a clock that was set, or files joined out of order."""

USUAL_INTERVALS_IN_A_GAP = 10.0
_MOST_UNUSABLE_FRACTION = 0.1
_DUPLICATE_CAUTION_FRACTION = 0.05
_NAMED_GAP_COUNT = 3


def unix_seconds(written: pa.ChunkedArray, time: TimeColumn) -> FloatArray:
    """Compute the moment of every row in seconds, NaN where a cell is no moment.

    A local time that its zone skips or repeats (daylight saving) is no moment.

    Raises
    ------
    InvalidInput
        If the column is not written as the mapping says.
    """
    if time.format.startswith("unix_"):
        return _numbers(written, time) * (1e-3 if time.format == "unix_millisecond" else 1.0)
    is_stamp = pa.types.is_timestamp(written.type)
    if is_stamp != (time.format == "timestamp"):
        raise _contradiction(time, f"must be written as {time.format}", str(written.type))
    if is_stamp and (written.type.tz is None) != (time.zone is not None):
        raise _contradiction(time, "zone belongs to a timestamp without zone, and only there", str(written.type))
    local = written.to_pandas() if is_stamp else _parsed(written, time)
    if time.zone is not None:
        local = local.dt.tz_localize(zone_of(time.zone), ambiguous="NaT", nonexistent="NaT")
    stamps = local.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64) / 1e6)


def _numbers(written: pa.ChunkedArray, time: TimeColumn) -> FloatArray:
    try:
        numbers: FloatArray = pc.cast(written, pa.float64()).to_numpy()
    except pa.ArrowException as fault:
        raise _contradiction(time, f"must be written as {time.format}", str(fault)[:200]) from fault
    return numbers


def _parsed(written: pa.ChunkedArray, time: TimeColumn) -> "pd.Series[pd.Timestamp]":
    text = written.cast(pa.string()).to_pandas()
    moments: pd.Series[pd.Timestamp] = pd.to_datetime(text, format=time.format, errors="coerce", utc=time.zone is None)
    return moments


def _contradiction(time: TimeColumn, rule: str, value: str) -> InvalidInput:
    problem = Problem(f"column {time.column}", rule, value)
    return InvalidInput(
        "The mapping contradicts the time column. Nothing was graded. Correct [time] of the mapping.",
        [problem],
        code="MAPPING_CONTRADICTS_DATA",
    )


def rows_in_order(
    unix_second: FloatArray, written: pa.ChunkedArray, time: TimeColumn
) -> tuple[IntArray, list[Finding]]:
    """Rows to keep, by rising time, and what was noticed.

    Parameters
    ----------
    unix_second : ndarray, shape (n,)
        Moment of every row of the file, NaN where there is none. [s]
    written : pyarrow.ChunkedArray
        The time column as written, for the evidence.
    time : TimeColumn
        The mapping's part about time.

    Raises
    ------
    InvalidInput
        If more than a tenth of the rows has no usable time: then the mapping is wrong.
    """
    usable = (unix_second >= EARLIEST_SECOND) & (unix_second <= LATEST_SECOND)
    unusable_count = int(np.count_nonzero(~usable))
    if unusable_count > _MOST_UNUSABLE_FRACTION * len(usable):
        shown = str(written[int(np.argmin(usable))].as_py())
        rule = f"{unusable_count} of {len(usable)} rows give no moment from 2010 to 2099 read as {time.format}"
        raise _contradiction(time, rule, shown[:80])
    rows = np.flatnonzero(usable)
    steps = np.diff(unix_second[rows])
    in_order = rows[np.argsort(unix_second[rows], kind="stable")]
    first_of_moment = np.r_[True, np.diff(unix_second[in_order]) > 0.0]
    findings = _clock_findings(unusable_count, steps, int(np.count_nonzero(~first_of_moment)), len(rows))
    return in_order[first_of_moment], findings


def _clock_findings(unusable: int, steps: FloatArray, duplicates: int, row_count: int) -> list[Finding]:
    findings = []
    if unusable:
        message = Message(
            f"{unusable} rows without a usable time were left out.", f"已去除{unusable}行无有效时间的数据。"
        )
        findings.append(Finding("telemetry.rows_without_time", Severity.NOTE, message, {"row_count": unusable}))
    if duplicates:
        many = duplicates > _DUPLICATE_CAUTION_FRACTION * row_count
        message = Message(
            f"{duplicates} of {row_count} rows repeat a time; the first row of each time was kept.",
            f"{row_count}行中有{duplicates}行时间重复，仅保留首行。",
        )
        severity = Severity.CAUTION if many else Severity.NOTE
        findings.append(Finding("telemetry.duplicate_times", severity, message, {"row_count": duplicates}))
    back = steps[steps < 0.0]
    if back.size:
        largest = float(-back.min())
        message = Message(
            f"The clock steps back {back.size} times, by up to {largest:.0f} s; the rows were put in order.",
            f"时钟回跳{back.size}次，最大{largest:.0f}秒；数据行已按时间排序。",
        )
        severity = Severity.CAUTION if largest > LARGE_STEP_BACK_SECOND else Severity.NOTE
        evidence = {"step_count": int(back.size), "largest_step_second": largest}
        findings.append(Finding("telemetry.time_steps_back", severity, message, evidence))
    return findings


def gap_findings(unix_second: FloatArray, time: TimeColumn) -> list[Finding]:
    """Silences longer than allowed: how many, how long, and the longest with their begin."""
    intervals = np.diff(unix_second)
    if intervals.size == 0:
        return []
    allowed = time.longest_interval_second or USUAL_INTERVALS_IN_A_GAP * float(np.median(intervals))
    gaps = np.flatnonzero(intervals > allowed)
    if gaps.size == 0:
        return []
    longest = gaps[np.argsort(-intervals[gaps], kind="stable")][:_NAMED_GAP_COUNT]
    silent = float(intervals[gaps].sum())
    evidence: dict[str, float | str] = {
        "gap_count": int(gaps.size),
        "allowed_second": allowed,
        "silent_fraction": silent / float(unix_second[-1] - unix_second[0]),
    }
    for number, row in enumerate(longest, start=1):
        evidence[f"gap_{number}_begins_at"] = datetime.fromtimestamp(unix_second[row], UTC).isoformat()
        evidence[f"gap_{number}_second"] = float(intervals[row])
    hours, worst = silent / 3600.0, float(intervals[longest[0]]) / 3600.0
    message = Message(
        f"{gaps.size} gaps longer than {allowed:.0f} s, {hours:.1f} h together; the longest lasts {worst:.1f} h.",
        f"有{gaps.size}处数据中断超过{allowed:.0f}秒，合计{hours:.1f}小时，最长{worst:.1f}小时。",
    )
    return [Finding("telemetry.gaps", Severity.NOTE, message, evidence)]
