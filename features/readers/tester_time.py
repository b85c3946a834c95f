"""One strictly increasing test time from what a tester wrote about time.

Testers count from the begin of the test, from the begin of each step, or write only the clock. The
time since the begin of the test counts first; where it restarts, the segments are put after one
another by the clock, or, without one, by the time since the step began. What was put together is a
finding; time that steps back for no reason that the file shows is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.findings import Finding, Message, Severity
from features.measurement import FloatArray
from features.readers.tester_columns import Moments

BoolArray = npt.NDArray[np.bool_]

CLOCK_RESOLUTION_SECOND = 2.0
"""A clock in whole seconds says no more than this about a step's begin. [s]"""

LARGEST_SPREAD_SECOND = 1e-6
"""Rows of one moment are set apart by at most this. [s]"""

LONGEST_UNCOUNTED_PAUSE_SECOND = 60.0
"""The clock may run ahead of the test time by this much between two rows; more is a pause. [s]"""

LONGEST_TEST_SECOND = 5.0 * 365.25 * 86400.0
"""A longer test is likelier a time in another unit than its heading says. [s]"""


class TimeStepsBack(ValueError):  # noqa: N818 - reads as what it is
    """Time that steps back without a restart.

    Parameters
    ----------
    row : int
        Row that lies before its predecessor, counted from 0.
    before_second, after_second : float
        The two times. [s]
    """

    def __init__(self, row: int, before_second: float, after_second: float) -> None:
        self.row, self.before_second, self.after_second = row, before_second, after_second
        super().__init__(f"{before_second:g} s then {after_second:g} s")


@dataclass(frozen=True)
class WrittenTime:
    """What a file says about time, rows in file order.

    Attributes
    ----------
    test_second : ndarray or None
        Time since the begin of the test. [s]
    step_second : ndarray or None
        Time since the begin of the step. [s]
    clock : Moments or None
        The tester's clock.
    step_begins : ndarray of bool, shape (n,)
        Whether a row is the first of a step.
    """

    test_second: FloatArray | None
    step_second: FloatArray | None
    clock: Moments | None
    step_begins: BoolArray


def monotone_second(time: WrittenTime) -> tuple[FloatArray, list[Finding]]:
    """Strictly increasing test time and what had to be done for it. [s].

    Raises
    ------
    TimeStepsBack
        If time steps back although the file shows no restart.
    """
    findings: list[Finding] = []
    seconds = _counted(time, findings)
    apart, tied = _set_apart(seconds, from_clock=time.test_second is None and time.step_second is None)
    findings += _tied_findings(tied)
    findings += _pause_findings(seconds, time)
    findings += _length_findings(apart)
    return apart, findings


def _counted(time: WrittenTime, findings: list[Finding]) -> FloatArray:
    clock = time.clock.seconds if time.clock is not None else None
    if time.test_second is not None and not _restarts(time.test_second).any():
        return time.test_second
    counted = time.test_second if time.test_second is not None else time.step_second
    if counted is None:
        return _from_clock(clock, findings)
    begins = _restarts(counted)
    if not begins.any():
        return counted
    _refuse_step_back(counted, begins, time)
    if time.test_second is None or np.mean(time.step_begins[begins]) > 0.5:
        begins = begins | time.step_begins
        begins[0] = False
    seconds, by_clock = _joined(counted, np.flatnonzero(begins), clock)
    findings.append(_rebuilt_finding(int(begins.sum()), by_clock, int(np.flatnonzero(begins)[0])))
    return seconds


def _restarts(seconds: FloatArray) -> BoolArray:
    restarts: BoolArray = np.concatenate([[False], np.diff(seconds) < 0.0])
    return restarts


def _refuse_step_back(counted: FloatArray, begins: BoolArray, time: WrittenTime) -> None:
    """A restart begins near zero, or with a step, and the clock does not go back with it."""
    for row in np.flatnonzero(begins):
        near_zero = counted[row] <= max(0.1 * counted[row - 1], CLOCK_RESOLUTION_SECOND)
        clock_back = time.clock is not None and time.clock.stamps[row] < time.clock.stamps[row - 1]
        if clock_back or not (near_zero or time.step_begins[row]):
            raise TimeStepsBack(int(row), float(counted[row - 1]), float(counted[row]))


def _joined(counted: FloatArray, begins: npt.NDArray[np.int64], clock: FloatArray | None) -> tuple[FloatArray, bool]:
    """Segments one after the other: by the clock where it shows a pause, else without one."""
    intervals = np.diff(counted, prepend=counted[0])
    intervals[begins] = np.maximum(counted[begins], 0.0)
    if clock is not None:
        passed = clock[begins] - clock[begins - 1]
        paused = np.isfinite(passed) & (np.abs(passed - intervals[begins]) > CLOCK_RESOLUTION_SECOND) & (passed >= 0.0)
        intervals[begins] = np.where(paused, passed, intervals[begins])
    return counted[0] + np.cumsum(intervals), clock is not None


def _from_clock(clock: FloatArray | None, findings: list[Finding]) -> FloatArray:
    if clock is None or np.isnan(clock).any():
        raise ValueError("the file holds no readable time")
    back = np.flatnonzero(np.diff(clock) < 0.0)
    if len(back):
        row = int(back[0]) + 1
        raise TimeStepsBack(row, float(clock[row - 1] - clock[0]), float(clock[row] - clock[0]))
    findings.append(
        Finding(
            "tester.time_from_clock",
            Severity.NOTE,
            Message(
                "The file counts no test time; it was taken from the tester's clock.",
                "文件没有测试时间，测试时间取自测试柜时钟。",
            ),
        )
    )
    since_begin: FloatArray = clock - clock[0]
    return since_begin


def _set_apart(seconds: FloatArray, *, from_clock: bool) -> tuple[FloatArray, int]:
    """Set rows of one moment a little apart, in file order; also how many there were.

    Rows that share a second of a clock in whole seconds are spread over that second.
    """
    first = np.concatenate([[True], np.diff(seconds) > 0.0])
    tied = int(len(seconds) - first.sum())
    if not tied:
        return seconds, 0
    group = np.cumsum(first) - 1
    begins = np.flatnonzero(first)
    size = np.diff(np.append(begins, len(seconds)))
    room = np.diff(np.append(seconds[begins], seconds[-1] + 1.0)) / size
    spread = (room if from_clock else np.minimum(LARGEST_SPREAD_SECOND, room))[group]
    apart: FloatArray = seconds + spread * (np.arange(len(seconds)) - begins[group])
    return apart, tied


def _tied_findings(tied: int) -> Iterator[Finding]:
    if tied:
        yield Finding(
            "tester.rows_at_one_moment",
            Severity.NOTE,
            Message(
                f"{tied} rows carry the time of the row before them (a step ends as the next begins); they were set "
                f"apart by at most {LARGEST_SPREAD_SECOND * 1e6:g} µs, or spread over the clock's second.",
                f"{tied} 行与前一行时间相同（工步切换），已错开至多 {LARGEST_SPREAD_SECOND * 1e6:g} µs 或均分于该秒。",
            ),
            {"row_count": tied, "largest_spread_second": LARGEST_SPREAD_SECOND},
        )


def _rebuilt_finding(restart_count: int, by_clock: bool, first_row: int) -> Finding:
    how = (
        ("by the tester's clock", "按测试柜时钟")
        if by_clock
        else ("without pauses, since no clock is given", "因无时钟而不计停顿")
    )
    return Finding(
        "tester.time_rebuilt",
        Severity.NOTE if by_clock else Severity.CAUTION,
        Message(
            f"The time restarts {restart_count} times (first at data row {first_row + 1}); the parts were put after "
            f"one another {how[0]}.",
            f"时间重新计数 {restart_count} 次（首次在数据第 {first_row + 1} 行），各段{how[1]}依次相接。",
        ),
        {"restart_count": restart_count, "by_clock": by_clock, "first_row": first_row + 1},
    )


def _pause_findings(seconds: FloatArray, time: WrittenTime) -> Iterator[Finding]:
    if time.clock is None or len(seconds) < 2:
        return
    passed, counted = np.diff(time.clock.seconds), np.diff(seconds)
    uncounted = np.where(np.isfinite(passed), passed - counted, 0.0)
    pauses = uncounted > np.maximum(LONGEST_UNCOUNTED_PAUSE_SECOND, counted)
    if pauses.any():
        total, longest = float(uncounted[pauses].sum()), int(np.argmax(uncounted))
        yield Finding(
            "tester.pause_not_counted",
            Severity.CAUTION,
            Message(
                f"The tester's clock ran ahead of the test time in {int(pauses.sum())} places, {total:.0f} s together "
                f"(longest {uncounted[longest]:.0f} s, after data row {longest + 1}): the test was paused.",
                f"测试柜时钟在 {int(pauses.sum())} 处超前于测试时间，共 {total:.0f} s"
                f"（最长 {uncounted[longest]:.0f} s，在数据第 {longest + 1} 行之后）：测试曾暂停。",
            ),
            {"pause_count": int(pauses.sum()), "paused_second": total, "longest_second": float(uncounted[longest])},
        )


def _length_findings(seconds: FloatArray) -> Iterator[Finding]:
    lasted = float(seconds[-1] - seconds[0])
    if lasted > LONGEST_TEST_SECOND:
        yield Finding(
            "tester.test_implausibly_long",
            Severity.CAUTION,
            Message(
                f"By its time column the test lasted {lasted / 86400.0:.0f} days; is the time in the unit that the "
                "heading names?",
                f"按时间列计，测试持续 {lasted / 86400.0:.0f} 天；时间单位是否与表头一致？",
            ),
            {"lasted_second": lasted, "allowed_second": LONGEST_TEST_SECOND},
        )
