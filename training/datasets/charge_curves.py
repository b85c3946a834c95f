"""Published charge curves as partial charges a station could have recorded.

Every public set of charge curves is brought to the same few things: a cell, its plate, a recorded
curve and the capacity measured beside it. From each curve the whole is taken, and windows cut at random
places; a window's place never depends on the capacity it is to tell. One window per cell is marked as a visit.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from features.charge_curve import GRIDS
from features.errors import InvalidInput, Problem
from features.measurement import (
    BatteryHistory,
    BatteryIdentity,
    CanonicalTable,
    FloatArray,
    MeasurementRun,
    SourceStamp,
)
from features.partial_charge import partial_charge_features
from features.vocabulary import Chemistry, Level, RunKind, TableFormat
from training.labels import PLAUSIBLE_STATE_OF_HEALTH, DatasetSource, LabelledTests
from training.table import BoolArray

_MEASURED_AT = datetime(2000, 1, 1, tzinfo=UTC)
"""A training test is known as soon as it is measured; no feature depends on the date."""

_FEWEST_SAMPLES = 5
_RECORDED = ("test_time_second", "voltage_volt", "current_ampere")
_DISCHARGING_RATE_C = 0.01


@dataclass(frozen=True)
class RecordedCurve:
    """One recorded charge and the capacity of the cell at that time.

    Attributes
    ----------
    identity : BatteryIdentity
        Cell and plate; its ``battery_id`` is the physical cell.
    columns : mapping of str to ndarray, shape (n,)
        Columns of a ``timeseries``; time may stand still or step back where the source does.
    remaining_capacity_ah : float
        Measured beside the curve. [Ah]
    """

    identity: BatteryIdentity
    columns: Mapping[str, FloatArray]
    remaining_capacity_ah: float

    @property
    def complete(self) -> bool:
        """Whether the label is a capacity: cycles a source broke off hold a few percent of it."""
        lowest, highest = PLAUSIBLE_STATE_OF_HEALTH
        return lowest <= self.remaining_capacity_ah / self.identity.rated_capacity_ah <= highest


@dataclass(frozen=True)
class WindowPlan:
    """Which windows are cut from a curve.

    Attributes
    ----------
    whole : bool
        Whether the whole curve is a test too.
    tests_per_cell : int
        Curves of a cell that are used, spread evenly over those it has.
    window_volt : tuple of float
        One window of each width per curve, at a random voltage. [V]
    window_charge_fraction : tuple of float
        One window of each charge over rated capacity, begun at a random charge. [1]
    charged_range : tuple of two floats
        Windows by charge lie between these shares of the curve's own charge. [1]
    seed : int
        Seed of the places and of the visits.
    """

    whole: bool
    tests_per_cell: int
    window_volt: tuple[float, ...]
    window_charge_fraction: tuple[float, ...]
    charged_range: tuple[float, float]
    seed: int


def labelled_windows(curves: Sequence[RecordedCurve], plan: WindowPlan, source: DatasetSource) -> LabelledTests:
    """Whole curves and windows of them, with their labels.

    Parameters
    ----------
    curves : sequence of RecordedCurve
        In the order of each cell's life.
    plan : WindowPlan
        Windows.
    source : DatasetSource
        Where the curves came from.

    Returns
    -------
    LabelledTests
        Histories with one ``partial_charge`` run each; one row per cell is a visit. Cycles without a
        plausible capacity are left out, and windows on which the method says it cannot measure.
    """
    random = np.random.default_rng(plan.seed)
    kept = [
        curve
        for cell in _by_cell([each for each in curves if each.complete])
        for curve in _spread_out(cell, plan.tests_per_cell)
    ]
    pieces = [
        (curve, table, whole)
        for curve in kept
        for table, whole in _pieces(curve, plan, random)
        if _usable(table, curve.identity)
    ]
    cells = pd.Series([curve.identity.battery_id for curve, _, _ in pieces])
    plates = [curve.identity for curve, _, _ in pieces]
    labels = pd.DataFrame(
        {
            "battery_id": cells,
            "physical_cell": cells,
            "level": [plate.level.value for plate in plates],
            "chemistry": [plate.chemistry.value for plate in plates],
            "rated_capacity_ah": [plate.rated_capacity_ah for plate in plates],
            "type_designation": pd.Series(None, index=cells.index, dtype="str"),
            "remaining_capacity_ah": [curve.remaining_capacity_ah for curve, _, _ in pieces],
            "visit": _visits(cells, np.array([not whole for _, _, whole in pieces]), random),
            "charged_fraction": np.nan,
            "voltage_limited": False,
        }
    )
    return LabelledTests(source, labels, tuple(_history(curve, table, source) for curve, table, _ in pieces))


def _by_cell(curves: Sequence[RecordedCurve]) -> Iterator[list[RecordedCurve]]:
    cells: dict[str, list[RecordedCurve]] = {}
    for curve in curves:
        cells.setdefault(curve.identity.battery_id, []).append(curve)
    yield from cells.values()


def _spread_out(curves: Sequence[RecordedCurve], count: int) -> list[RecordedCurve]:
    chosen = np.unique(np.linspace(0, len(curves) - 1, min(count, len(curves))).round().astype(np.int64))
    return [curves[number] for number in chosen]


def _pieces(
    curve: RecordedCurve, plan: WindowPlan, random: np.random.Generator
) -> Iterator[tuple[CanonicalTable, bool]]:
    """Tests made of a curve: the whole (True) where asked for, then its windows (False)."""
    columns = _strictly_timed(curve.columns)
    if plan.whole:
        yield CanonicalTable(TableFormat.TIMESERIES, columns), True
    charging = columns["current_ampere"] > 0.0
    flowing = {name: values[charging] for name, values in columns.items()}
    for begin, end, along in _windows(flowing, curve.identity, plan, random):
        cut = _cut(flowing, along, begin, end)
        if cut["test_time_second"].size >= _FEWEST_SAMPLES:
            yield CanonicalTable(TableFormat.TIMESERIES, cut), False


def _windows(
    columns: Mapping[str, FloatArray], plate: BatteryIdentity, plan: WindowPlan, random: np.random.Generator
) -> Iterator[tuple[float, float, FloatArray]]:
    """Begin and end of every window, and the quantity they are values of."""
    time, current = columns["test_time_second"], columns["current_ampere"]
    volt = np.maximum.accumulate(columns["voltage_volt"])
    parts = 0.5 * (current[1:] + current[:-1]) * np.diff(time) / 3600.0
    charge = np.r_[0.0, np.cumsum(parts)] / plate.rated_capacity_ah
    grid = GRIDS[plate.chemistry][1]
    lowest, highest = max(volt[0], grid.lowest_volt), min(volt[-1], grid.highest_volt)
    for width in plan.window_volt:
        begin = float(random.uniform(lowest, max(highest - width, lowest)))
        yield begin, begin + width, volt
    for width in plan.window_charge_fraction:
        low, high = (share * float(charge[-1]) for share in plan.charged_range)
        begin = float(random.uniform(low, max(high - width, low)))
        yield begin, begin + width, charge


def _usable(table: CanonicalTable, plate: BatteryIdentity) -> bool:
    return not partial_charge_features(table, plate)[1]


def _strictly_timed(columns: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Samples that are later than every one before them."""
    time = columns["test_time_second"]
    later = np.r_[True, time[1:] > np.maximum.accumulate(time)[:-1]]
    return {name: values[later] for name, values in columns.items()}


def _cut(columns: Mapping[str, FloatArray], along: FloatArray, begin: float, end: float) -> dict[str, FloatArray]:
    """Samples between two values of a rising quantity, its ends interpolated in time."""
    time = columns["test_time_second"]
    first, last = np.interp((begin, end), along, time)
    inside = (time > first) & (time < last)
    moments = np.r_[first, time[inside], last] if last > first else time[inside]
    return {name: np.interp(moments, time, values) for name, values in columns.items()}


def _visits(cells: pd.Series, windows: BoolArray, random: np.random.Generator) -> BoolArray:
    """One window of every cell, at random."""
    visits = np.zeros(len(cells), dtype=np.bool_)
    for cell in cells.unique():
        rows = np.flatnonzero((cells == cell).to_numpy() & windows)
        if rows.size:
            visits[random.choice(rows)] = True
    return visits


def _history(curve: RecordedCurve, table: CanonicalTable, source: DatasetSource) -> BatteryHistory:
    stamp = SourceStamp(source.name, source.sha256, source.name)
    run = MeasurementRun(RunKind.PARTIAL_CHARGE, _MEASURED_AT, _MEASURED_AT, stamp, table)
    return BatteryHistory(curve.identity, (run,))


def read_parquet(data_folder: Path, file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The named columns of a public file.

    Raises
    ------
    InvalidInput
        ``DATASET_NOT_READABLE`` if the file is missing or lacks a column.
    """
    path = data_folder / file
    if not path.is_file():
        raise _refused(file, Problem(file.as_posix(), "must be a file in the data folder", data_folder.name))
    table = pd.read_parquet(path)
    missing = [name for name in columns if name not in table]
    if missing:
        raise _refused(file, Problem(file.name, "lacks the column", ", ".join(missing)))
    return table[list(columns)]


def recorded_charges(
    samples: pd.DataFrame, cycles: pd.DataFrame, chemistry: Chemistry, rated_capacity_ah: float
) -> Iterator[RecordedCurve]:
    """Charge and following rest of every recorded cycle, with the discharge capacity of the same cycle.

    Parameters
    ----------
    samples : DataFrame
        ``cell_id``, ``cycle`` and the columns of a ``timeseries``.
    cycles : DataFrame
        ``cell_id``, ``cycle``, ``q_dis_ah``; a cycle without a row here is left out.
    chemistry : Chemistry
        Of all cells.
    rated_capacity_ah : float
        Of all cells. [Ah]

    Notes
    -----
    The discharge is the label: everything from its first sample on is cut away.
    """
    keys = zip(cycles["cell_id"].astype(str), cycles["cycle"].astype(int), strict=True)
    capacity_ah = dict(zip(keys, cycles["q_dis_ah"].to_numpy(dtype=np.float64).tolist(), strict=True))
    for _, record in samples.groupby(["cell_id", "cycle"]):
        key = (str(record["cell_id"].iloc[0]), int(record["cycle"].iloc[0]))
        columns = {name: record[name].to_numpy(dtype=np.float64) for name in _RECORDED}
        discharged = np.flatnonzero(columns["current_ampere"] < -_DISCHARGING_RATE_C * rated_capacity_ah)
        stop = int(discharged[0]) if discharged.size else len(record)
        if stop and key in capacity_ah:
            kept = {name: values[:stop] for name, values in columns.items()}
            kept["test_time_second"] = kept["test_time_second"] - kept["test_time_second"][0]
            plate = BatteryIdentity(key[0], Level.CELL, chemistry, rated_capacity_ah)
            yield RecordedCurve(plate, kept, capacity_ah[key])


def sha256_of(data_folder: Path, files: Sequence[Path]) -> str:
    """Digest over the bytes of several files."""
    return hashlib.sha256(
        b"".join(hashlib.sha256((data_folder / each).read_bytes()).digest() for each in files)
    ).hexdigest()


def _refused(file: Path, problem: Problem) -> InvalidInput:
    message = f"{file.as_posix()} is not the table this adapter knows. Nothing was trained."
    return InvalidInput(message, [problem], code="DATASET_NOT_READABLE")
