"""From a tester's columns to the canonical ``timeseries``: what every tester reader has in common.

Rows without time, voltage or current, and rows that stand there twice, are left out; the time is made
strictly increasing, the current signed, the steps counted. Each of these is a finding with its count,
and a file where too much is missing is refused. Vendors differ in headings and states only
(`tester_formats`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.errors import UnreadableFile
from features.findings import Finding, Message, Severity
from features.measurement import CanonicalTable, FloatArray
from features.readers.reading import Reading
from features.readers.tester_columns import Moments
from features.readers.tester_sign import SignContradiction, held_direction, signed_current
from features.readers.tester_time import TimeStepsBack, WrittenTime, monotone_second
from features.vocabulary import TableFormat

MOST_UNUSABLE_FRACTION = 0.05
"""A file with more rows without time, voltage or current is refused. [1]"""

COLDEST_CELSIUS, HOTTEST_CELSIUS = -60.0, 150.0
"""An unplugged probe reads outside. [°C]"""


_ARRAYS = (
    *("voltage_volt", "current_ampere", "test_second", "step_second", "celsius"),
    *("step", "cycle", "direction", "record", "frequency_hertz"),
)


@dataclass(frozen=True)
class TesterSeries:
    """A tester's rows in base units, in file order; NaN where a cell is empty.

    Attributes
    ----------
    voltage_volt, current_ampere : ndarray, shape (n,)
        As written, converted to V and A, sign not yet settled.
    test_second, step_second : ndarray or None
        Time since the begin of the test and of the step. [s]
    clock : Moments or None
        The tester's clock.
    celsius : ndarray or None
        Temperature. [°C]
    step, cycle : ndarray or None
        The tester's step number and cycle number.
    direction : ndarray or None
        +1 charge, -1 discharge, 0 neither, by the tester's state.
    counted_steps : bool
        Whether `step` is already a running count.
    record : ndarray or None
        The tester's number of the record.
    frequency_hertz : ndarray or None
        Frequency of an impedance measurement in between. [Hz]
    """

    voltage_volt: FloatArray
    current_ampere: FloatArray
    test_second: FloatArray | None = None
    step_second: FloatArray | None = None
    clock: Moments | None = None
    celsius: FloatArray | None = None
    step: FloatArray | None = None
    cycle: FloatArray | None = None
    direction: FloatArray | None = None
    counted_steps: bool = False
    record: FloatArray | None = None
    frequency_hertz: FloatArray | None = None

    def taken(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "TesterSeries":
        """The given rows only."""
        chosen = {name: None if (values := getattr(self, name)) is None else values[rows] for name in _ARRAYS}
        clock = None if self.clock is None else Moments(self.clock.stamps[rows], self.clock.has_zone)
        return replace(self, clock=clock, **chosen)  # type: ignore[arg-type]  # _ARRAYS names arrays only


def series_reading(file_name: str, series: TesterSeries, findings: tuple[Finding, ...] = ()) -> Reading:
    """Canonical timeseries of a tester's rows.

    Parameters
    ----------
    file_name : str
        For messages.
    series : TesterSeries
        The rows.
    findings : tuple of Finding
        What was noticed before.

    Raises
    ------
    UnreadableFile
        If more than 5 % of the rows lack time, voltage or current, time steps back without a restart, or
        the current's sign contradicts the voltage.
    """
    noticed = list(findings)
    series = _complete(file_name, _without_impedance(file_name, series, noticed), noticed)
    series = _in_order(_once(series, noticed), noticed)
    begins = _step_begins(series)
    try:
        seconds, timed = monotone_second(WrittenTime(series.test_second, series.step_second, series.clock, begins))
        held = None if series.direction is None else held_direction(series.direction, begins.astype(np.float64))
        current, signed = signed_current(series.current_ampere, held, series.voltage_volt)
    except TimeStepsBack as fault:
        rule = "the time steps back although no restart shows"
        raise UnreadableFile(file_name, rule, str(fault), f"data row {fault.row + 1}") from fault
    except SignContradiction as fault:
        rule = "the voltage falls where the current is read as charging (is discharge written as positive?)"
        raise UnreadableFile(file_name, rule, str(fault)) from fault
    except ValueError as fault:
        raise UnreadableFile(file_name, str(fault)) from fault
    columns = {"test_time_second": seconds, "voltage_volt": series.voltage_volt, "current_ampere": current}
    if (celsius := _temperature(series.celsius, noticed)) is not None:
        columns["surface_temperature_celsius"] = celsius
    if series.step is not None:
        columns["step_count"] = series.step if series.counted_steps else np.cumsum(begins).astype(np.float64)
    started_at, clocked = _start(series.clock)
    return Reading(CanonicalTable(TableFormat.TIMESERIES, columns), (*noticed, *timed, *signed, *clocked), started_at)


def _complete(file_name: str, series: TesterSeries, noticed: list[Finding]) -> TesterSeries:
    lacking = ~(np.isfinite(series.voltage_volt) & np.isfinite(series.current_ampere))
    for counted in (series.test_second, series.step_second):
        if counted is not None:
            lacking |= ~np.isfinite(counted)
            break
    else:
        if series.clock is not None:
            lacking |= np.isnat(series.clock.stamps)
    count = int(lacking.sum())
    if not count:
        return series
    first = int(np.flatnonzero(lacking)[0]) + 1
    if count > max(1.0, MOST_UNUSABLE_FRACTION * len(lacking)) or count == len(lacking):
        rule = f"at most {MOST_UNUSABLE_FRACTION:.0%} of the rows may lack time, voltage or current"
        raise UnreadableFile(file_name, rule, f"{count} of {len(lacking)} rows", f"data row {first}")
    at_end = bool(lacking[-count:].all())
    where = ("at the end (paused or cut off)", "文件末尾（暂停或截断）") if at_end else ("in between", "中间")
    noticed.append(
        Finding(
            "tester.rows_incomplete",
            Severity.NOTE if at_end else Severity.CAUTION,
            Message(
                f"{count} rows {where[0]} lack time, voltage or current and were left out, first data row {first}.",
                f"{where[1]} {count} 行缺少时间、电压或电流，已略去，首行为数据第 {first} 行。",
            ),
            {"row_count": count, "first_row": first},
        )
    )
    return series.taken(~lacking)


def _without_impedance(file_name: str, series: TesterSeries, noticed: list[Finding]) -> TesterSeries:
    """Rows of a time series: a frequency in a row means that it holds an impedance."""
    if series.frequency_hertz is None or not (impedance := np.nan_to_num(series.frequency_hertz) > 0.0).any():
        return series
    if impedance.all():
        raise UnreadableFile(file_name, "every row holds an impedance; the file is no time series")
    noticed.append(
        Finding(
            "tester.impedance_rows",
            Severity.NOTE,
            Message(
                f"{int(impedance.sum())} rows hold an impedance at a frequency, not the voltage of the test, and were "
                "left out.",
                f"{int(impedance.sum())} 行为阻抗测量（含频率），不是时间序列，已略去。",
            ),
            {"row_count": int(impedance.sum())},
        )
    )
    return series.taken(~impedance)


def _once(series: TesterSeries, noticed: list[Finding]) -> TesterSeries:
    """Rows that do not repeat an earlier one in time, voltage, current and step."""
    named = {"volt": series.voltage_volt, "ampere": series.current_ampere, "step": series.step, "cycle": series.cycle}
    named["record"] = series.record  # a new number is a new measurement, whatever it measured
    times = {"test": series.test_second, "step_time": series.step_second}
    if series.clock is not None:
        times["clock"] = series.clock.stamps.astype(np.int64)
    keys = pd.DataFrame({name: values for name, values in (named | times).items() if values is not None})
    if series.test_second is None and series.clock is None:
        repeated = (keys == keys.shift()).all(axis=1).to_numpy()
    else:
        repeated = keys.duplicated().to_numpy() & _same_moment_counts(series)
    count = int(repeated.sum())
    if count:
        first = int(np.flatnonzero(repeated)[0]) + 1
        noticed.append(
            Finding(
                "tester.rows_repeated",
                Severity.NOTE if count <= MOST_UNUSABLE_FRACTION * len(repeated) else Severity.CAUTION,
                Message(
                    f"{count} rows stand there twice (same time, voltage, current and step) and were left out, first "
                    f"data row {first}.",
                    f"{count} 行重复（时间、电压、电流、工步均相同），已略去，首行为数据第 {first} 行。",
                ),
                {"row_count": count, "first_row": first},
            )
        )
    return series.taken(~repeated)


def _same_moment_counts(series: TesterSeries) -> npt.NDArray[np.bool_]:
    """Whether equal rows are one measurement: not where a clock in whole seconds is all there is."""
    if series.test_second is None and series.step_second is None:
        return np.zeros(len(series.voltage_volt), dtype=bool)
    return np.ones(len(series.voltage_volt), dtype=bool)


def _in_order(series: TesterSeries, noticed: list[Finding]) -> TesterSeries:
    """Rows in the order of the test time where the clock says that they only stand in another one."""
    seconds, clock = series.test_second, series.clock
    if seconds is None or clock is None or not (np.diff(seconds) < 0.0).any():
        return series
    order = np.argsort(seconds, kind="stable")
    if (np.diff(clock.stamps[order]) < np.timedelta64(0, "us")).any() or np.isnat(clock.stamps).any():
        return series
    moved = int(np.sum(np.diff(seconds) < 0.0))
    noticed.append(
        Finding(
            "tester.rows_out_of_order",
            Severity.CAUTION,
            Message(
                f"The rows were not in the order of time ({moved} steps back); test time and clock agree on another "
                "order, in which they were put.",
                f"行未按时间排列（{moved} 处倒退）；测试时间与时钟一致，已按其重新排序。",
            ),
            {"step_back_count": moved},
        )
    )
    return series.taken(order)


def _step_begins(series: TesterSeries) -> npt.NDArray[np.bool_]:
    begins = np.zeros(len(series.voltage_volt), dtype=bool)
    begins[0] = True
    for numbers in (series.step, series.cycle):
        if numbers is not None:
            begins[1:] |= np.nan_to_num(np.diff(numbers)) != 0.0
    if series.step_second is not None:
        begins[1:] |= np.diff(series.step_second) < 0.0
    return begins


def _temperature(celsius: FloatArray | None, noticed: list[Finding]) -> FloatArray | None:
    if celsius is None or not np.any(np.nan_to_num(celsius)):
        return None  # an unconnected probe reads 0 throughout
    outside = (celsius < COLDEST_CELSIUS) | (celsius > HOTTEST_CELSIUS)
    if outside.any():
        value = float(celsius[outside][0])
        noticed.append(
            Finding(
                "tester.temperature_invalid",
                Severity.NOTE,
                Message(
                    f"{int(outside.sum())} temperatures outside {COLDEST_CELSIUS:g} to {HOTTEST_CELSIUS:g} °C "
                    f"({value:g} °C first) were left out: no probe reads that.",
                    f"{int(outside.sum())} 个温度超出 {COLDEST_CELSIUS:g} 至 {HOTTEST_CELSIUS:g} °C"
                    f"（首个 {value:g} °C），视为探头未接，已略去。",
                ),
                {"row_count": int(outside.sum()), "first_celsius": value},
            )
        )
    kept: FloatArray = np.where(outside, np.nan, celsius)
    return kept if np.isfinite(kept).any() else None


def _start(clock: Moments | None) -> tuple[datetime | None, Iterator[Finding]]:
    if clock is None or np.isnat(clock.stamps[0]):
        return None, iter(())
    began: datetime = clock.stamps[0].astype("datetime64[us]").item()
    if clock.has_zone:
        return began.replace(tzinfo=UTC), iter(())
    return None, iter((_zoneless_finding(began),))


def _zoneless_finding(began: datetime) -> Finding:
    shown = began.isoformat(sep=" ", timespec="seconds")
    return Finding(
        "tester.start_without_zone",
        Severity.NOTE,
        Message(
            f"The test began at {shown} by the tester's clock, which names no time zone.",
            f"测试开始于测试柜时间 {shown}，文件未注明时区。",
        ),
        {"began_local": began.isoformat()},
    )
