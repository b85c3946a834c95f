"""Report frames of one layout, decoded as columns.

Numbers come out in canonical units with NaN for everything that means 'invalid' or cannot be; cell and
probe lists stay in the raw numbers of the standard until they are put side by side. The sign of the
current is the vehicle's: positive discharges (see `gbt32960_current`).
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from features.measurement import FloatArray
from features.readers.gbt32960_layout import CellList, Layout, battery_lists
from features.readers.gbt32960_tables import (
    HIGHEST_CELL_MILLIVOLT,
    HIGHEST_PROBE_RAW,
    PROBE_OFFSET_KELVIN,
    THERMAL_EVENT_BIT,
    Edition,
    Number,
)
from features.readers.telemetry_clock import EARLIEST_SECOND, LATEST_SECOND

IntArray = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

CHINA_STANDARD_TIME_SECOND = 8 * 3600
"""The clock of a frame is GMT+8 (both editions); China knows no daylight saving since 1991."""
_WORD_ABNORMAL, _BYTE_ABNORMAL = 0xFFFE, 0xFE


@dataclass
class ReportCounts:
    """What was left out of the reports of one vehicle, and what they warn of.

    Attributes
    ----------
    without_time : int
        Frames whose clock is not set.
    signed : int
        Frames with a signature; it is not verified.
    lists_without_place : int
        Cell lists whose start, count or total contradict each other.
    unread_blocks : Counter of int
        Frames that hold a block of unknown length, by type byte; what follows it was not read.
    invalid, out_of_range : Counter of str
        Values that mean 'invalid', and values outside what the column can hold.
    alarm_bits : Counter of str
        Frames in which an alarm about the battery is set.
    """

    without_time: int = 0
    signed: int = 0
    lists_without_place: int = 0
    unread_blocks: Counter[int] = field(default_factory=Counter)
    invalid: Counter[str] = field(default_factory=Counter)
    out_of_range: Counter[str] = field(default_factory=Counter)
    alarm_bits: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Samples:
    """Decoded frames of one layout, in order of arrival.

    Attributes
    ----------
    layout : Layout
        What the frames have in common.
    reissued : bool
        Whether they were sent again later (command 3).
    unix_second : ndarray, shape (n,)
        Moment of each frame. [s]
    numbers : dict of str to ndarray, shape (n,)
        Canonical columns of the vehicle, extremes and alarm blocks.
    vehicle_current_ampere : ndarray, shape (n,) or None
        Total current before values out of range are taken out, for the cross-check. [A]
    cells, probes : dict of (int, int) or int to ndarray, shape (n, count)
        Raw cell voltages by subsystem and first cell; raw temperatures by subsystem.
    packs : dict of int to (ndarray, ndarray), shape (n,)
        Voltage [V] and current [A] of each subsystem that sent a cell list.
    """

    layout: Layout
    reissued: bool
    unix_second: IntArray
    numbers: dict[str, FloatArray]
    vehicle_current_ampere: FloatArray | None
    cells: dict[tuple[int, int], npt.NDArray[np.uint16]]
    probes: dict[int, Bytes]
    packs: dict[int, tuple[FloatArray, FloatArray]]

    @property
    def subsystem_totals(self) -> dict[int, int]:
        """Cells of each subsystem as its lists state them."""
        return {
            each.subsystem: each.total if each.total is not None else each.start + each.count - (each.start > 0)
            for each in battery_lists(self.layout)
        }


def decoded_samples(bodies: Bytes, layout: Layout, counts: ReportCounts, *, reissued: bool) -> Samples | None:
    """Decode data units that share a layout; None when none of them carries a moment.

    Parameters
    ----------
    bodies : ndarray, shape (n, length)
        Data units.
    layout : Layout
        Their layout.
    counts : ReportCounts
        Where invalid values and frames without time are counted.
    reissued : bool
        Whether they came with command 3.
    """
    unix_second, usable = frame_seconds(bodies[:, :6])
    counts.without_time += int(np.count_nonzero(~usable))
    counts.signed += len(bodies) if layout.signed else 0
    if layout.unread_block is not None:
        counts.unread_blocks[layout.unread_block] += len(bodies)
    counts.lists_without_place += len(bodies) * sum(1 for each in layout.cells if each.count and not each.has_place)
    if not usable.any():
        return None
    bodies = bodies[usable]
    numbers = {
        number.column: _number(bodies, at, number, counts)
        for block_type, at in layout.blocks.items()
        for number in layout.edition.numbers.get(block_type, ())
    }
    _raise_thermal_events(bodies, layout, numbers, counts)
    vehicle_at = layout.blocks.get(layout.edition.vehicle)
    return Samples(
        layout,
        reissued,
        unix_second[usable],
        numbers,
        None if vehicle_at is None else _current_ampere(bodies, vehicle_at + 11, layout.edition),
        {(each.subsystem, each.start): _cell_words(bodies, each, counts) for each in battery_lists(layout)},
        {
            each.subsystem: _probe_bytes(bodies[:, each.values_at : each.values_at + each.count], counts)
            for each in layout.probes
            if each.count
        },
        {
            each.subsystem: (
                _pack_volt(bodies, each.begins_at + 1),
                _current_ampere(bodies, each.begins_at + 3, layout.edition),
            )
            for each in layout.cells
        },
    )


def frame_seconds(clock: Bytes) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Moments of frames from year, month, day, hour, minute and second in China Standard Time.

    Parameters
    ----------
    clock : ndarray, shape (n, 6)
        The first six bytes of each data unit; years count from 2000.

    Returns
    -------
    ndarray, shape (n,)
        Unix time, meaningless where there is no moment. [s]
    ndarray, shape (n,)
        Whether the bytes are a moment from 2010 to 2099.

    Examples
    --------
    >>> frame_seconds(np.array([[25, 11, 1, 8, 0, 0], [25, 2, 30, 8, 0, 0]], dtype=np.uint8))
    (array([1761955200, 1740873600]), array([ True, False]))
    """
    year, month, day, hour, minute, second = clock.astype(np.int64).T
    months = (30 + year) * 12 + month - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]")
    date = first + (day - 1).astype("timedelta64[D]")
    real = (month >= 1) & (month <= 12) & (day >= 1) & (date.astype("datetime64[M]").astype(np.int64) == months)
    real &= (hour < 24) & (minute < 60) & (second < 60) & (year < 100)
    local = date.astype(np.int64) * 86_400 + hour * 3600 + minute * 60 + second
    moment: IntArray = local - CHINA_STANDARD_TIME_SECOND
    return moment, real & (moment >= EARLIEST_SECOND) & (moment <= LATEST_SECOND)


def _raw(bodies: Bytes, at: int, size: int) -> IntArray:
    raw: IntArray = bodies[:, at].astype(np.int64)
    for place in range(at + 1, at + size):
        raw = raw << 8 | bodies[:, place]
    return raw


def _number(bodies: Bytes, block_at: int, number: Number, counts: ReportCounts) -> FloatArray:
    raw = _raw(bodies, block_at + number.position, number.size)
    invalid = raw >= (1 << 8 * number.size) - 2
    outside = ~invalid & ((raw < number.lowest_raw) | (raw > number.highest_raw))
    _count(counts, number.column, int(np.count_nonzero(invalid)), int(np.count_nonzero(outside)))
    values: FloatArray = np.where(invalid | outside, np.nan, (raw - number.zero) / number.divisor)
    return values


def _count(counts: ReportCounts, column: str, invalid: int, outside: int) -> None:
    if invalid:
        counts.invalid[column] += invalid
    if outside:
        counts.out_of_range[column] += outside


def _current_ampere(bodies: Bytes, at: int, edition: Edition) -> FloatArray:
    raw = _raw(bodies, at, 2)
    ampere: FloatArray = np.where(raw >= _WORD_ABNORMAL, np.nan, (raw - edition.current_zero) / 10)
    return ampere


def _pack_volt(bodies: Bytes, at: int) -> FloatArray:
    raw = _raw(bodies, at, 2)
    volt: FloatArray = np.where((raw >= _WORD_ABNORMAL) | (raw > 15_000), np.nan, raw / 10)
    return volt


def _cell_words(bodies: Bytes, cells: CellList, counts: ReportCounts) -> npt.NDArray[np.uint16]:
    written = np.ascontiguousarray(bodies[:, cells.values_at : cells.values_at + 2 * cells.count])
    words: npt.NDArray[np.uint16] = written.view(">u2").astype(np.uint16)
    if int(words.max(initial=0)) > HIGHEST_CELL_MILLIVOLT:
        invalid = int(np.count_nonzero(words >= _WORD_ABNORMAL))
        outside = int(np.count_nonzero(words > HIGHEST_CELL_MILLIVOLT)) - invalid
        _count(counts, "cell_voltage", invalid, outside)
    return words


def _probe_bytes(raw: Bytes, counts: ReportCounts) -> Bytes:
    if int(raw.max(initial=0)) > HIGHEST_PROBE_RAW:
        invalid = int(np.count_nonzero(raw >= _BYTE_ABNORMAL))
        _count(counts, "probe_temperature", invalid, int(np.count_nonzero(raw > HIGHEST_PROBE_RAW)) - invalid)
    return np.ascontiguousarray(raw)


def cell_volts(words: npt.NDArray[np.uint16]) -> FloatArray:
    """Cell voltages in volt, NaN where invalid or out of range."""
    volts: FloatArray = np.where(words > HIGHEST_CELL_MILLIVOLT, np.nan, words / 1000)
    return volts


def probe_celsius(raw: Bytes) -> FloatArray:
    """Temperatures in °C, NaN where invalid or out of range."""
    celsius: FloatArray = np.where(raw > HIGHEST_PROBE_RAW, np.nan, raw.astype(np.float64) - PROBE_OFFSET_KELVIN)
    return celsius


def _raise_thermal_events(bodies: Bytes, layout: Layout, numbers: dict[str, FloatArray], counts: ReportCounts) -> None:
    """Count alarms about the battery; a thermal event counts as level 4 whatever the level byte says."""
    at = layout.blocks.get(layout.edition.alarms)
    if at is None:
        return
    word = _raw(bodies, at + 1, 4)
    for bit, name in layout.edition.alarm_bits.items():
        is_set = (word >> bit & 1).astype(bool)
        if is_set.any():
            counts.alarm_bits[name] += int(np.count_nonzero(is_set))
        if bit == THERMAL_EVENT_BIT and is_set.any():
            numbers["alarm_level"] = np.where(is_set, 4.0, numbers["alarm_level"])
