"""Pairs of the public pulse tests of retired cells: one battery at two states of charge, a known charge apart.

The grid tests of a battery were made while it was filled from empty in steps of 5 % of rated charge,
so any two of one width are a pair with a known charge between them; their place on the grid becomes
no feature. At a station nobody has measured a pair yet, and a station's battery answers differently
from the same battery on the grid. Every battery with a visit therefore gives its pairs again *as
visited*: each turning point of a train is carried by the ratio its own visit showed to its own grid
test at the visit's charge, once for both trains (another station, another day) and once for the first
train alone (a history the charge between the trains wipes out). Those rows are marked ``visit``.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.measurement import FloatArray
from features.pulse import PulseTrain, train_from_turning_points
from features.two_trains import TrainPair
from training.datasets.pulse_retired import LICENCE, TURNING_POINTS, labels_of, turning_point_rows
from training.labels import DatasetSource, LabelledTests

NAME = "pulse_retired_pairs"
WIDTHS_SECOND = (3.0, 5.0)
MOVED_PERCENT = (15, 20, 25)
"""Charge between the trains in percent of rated; the grid allows multiples of 5."""

LAST_TURNING_POINT = 21
"""A pair needs no pulse after the charge pulse at 1.5 C."""

CARRIED_RATIO = (0.7, 1.3)
"""A turning point is carried by no more than this; the ratio of two voltages near zero is noise."""

_VISIT_WIDTH_SECOND = 3.0


@dataclass(frozen=True)
class _VisitShift:
    """How a battery answered at its visit, against its grid test at the same charge.

    Attributes
    ----------
    open_circuit_volt : float
        Open-circuit voltage of the visit minus that of the grid. [V]
    ratio : ndarray, shape (20,)
        Ratio of the excursions from the open-circuit voltage, U2 to U21.
    """

    open_circuit_volt: float
    ratio: FloatArray

    def carried(self, volts: FloatArray) -> FloatArray:
        """Turning points of a grid test as the visit would have shown them."""
        rest = volts[0] + self.open_circuit_volt
        return np.concatenate([[rest], rest + (volts[1:] - volts[0]) * self.ratio])


@dataclass(frozen=True)
class _GridTest:
    """A grid test: its row in the table, its train, and the train as visited where the battery was."""

    row: int
    train: PulseTrain
    as_visited: PulseTrain | None


def labelled_tests(data_folder: Path) -> LabelledTests:
    """Pairs of grid tests with the measured capacity of their battery.

    Parameters
    ----------
    data_folder : Path
        Folder that holds ``pulse_retired``.

    Returns
    -------
    LabelledTests
        One `TrainPair` per row; ``charged_fraction`` is that of the first train.

    Raises
    ------
    InvalidInput
        ``DATASET_NOT_READABLE`` if the file is missing or breaks its schema.
    """
    table, sha256 = turning_point_rows(data_folder)
    table = table.reset_index(drop=True)
    pairs = [pair for _, rows in table.groupby("cell_id", sort=True) for pair in _pairs_of_battery(rows)]
    labels = labels_of(table.iloc[[row for row, _, _ in pairs]]).assign(visit=[visited for _, visited, _ in pairs])
    return LabelledTests(DatasetSource(NAME, LICENCE, sha256), labels, [pair for _, _, pair in pairs])


def _pairs_of_battery(rows: pd.DataFrame) -> Iterator[tuple[int, bool, TrainPair]]:
    """Row of the first test, whether as visited, and the pair."""
    shift = _visit_shift(rows)
    rated_capacity_ah = float(rows["nominal_ah"].iloc[0])
    for width_second in WIDTHS_SECOND:
        grid = _grid_tests(_of(rows, "soc_grid", width_second), width_second, rated_capacity_ah, shift)
        for (charged, first), percent in itertools.product(grid.items(), MOVED_PERCENT):
            second = grid.get(charged + percent)
            if second is None:
                continue
            moved_ah = rated_capacity_ah * percent / 100.0
            yield first.row, False, TrainPair(first.train, second.train, moved_ah)
            if first.as_visited and second.as_visited:
                yield first.row, True, TrainPair(first.as_visited, second.as_visited, moved_ah)
                yield first.row, True, TrainPair(first.as_visited, second.train, moved_ah)


def _of(rows: pd.DataFrame, test_kind: str, width_second: float) -> pd.DataFrame:
    return rows[(rows["test_kind"] == test_kind) & (rows["width_ms"] == 1000.0 * width_second)]


def _grid_tests(
    rows: pd.DataFrame, width_second: float, rated_capacity_ah: float, shift: _VisitShift | None
) -> Mapping[int, _GridTest]:
    """Grid tests of one battery and width by charge in percent."""

    def train(volts: FloatArray) -> PulseTrain:
        padded = np.concatenate([volts, np.full(len(TURNING_POINTS) - len(volts), np.nan)])
        return train_from_turning_points(padded, width_second, rated_capacity_ah)

    tests = zip(rows.index.tolist(), rows["soc_pct"].tolist(), _volts(rows), strict=True)
    return {
        round(charged): _GridTest(row, train(volts), train(shift.carried(volts)) if shift else None)
        for row, charged, volts in tests
    }


def _visit_shift(rows: pd.DataFrame) -> _VisitShift | None:
    """Shift of a battery whose visit lies within the charges of its grid tests."""
    visits, grid = _of(rows, "random_soc", _VISIT_WIDTH_SECOND), _of(rows, "soc_grid", _VISIT_WIDTH_SECOND)
    grid = grid.sort_values("soc_pct")
    if (
        visits.empty
        or grid.empty
        or not visits["soc_pct"].between(grid["soc_pct"].min(), grid["soc_pct"].max()).iloc[0]
    ):
        return None
    charged, visited = float(visits["soc_pct"].iloc[0]), _volts(visits)[0]
    on_grid = np.array([np.interp(charged, grid["soc_pct"], column) for column in _volts(grid).T])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (visited[1:] - visited[0]) / (on_grid[1:] - on_grid[0])
    return _VisitShift(
        float(visited[0] - on_grid[0]), np.clip(np.where(np.isfinite(ratio), ratio, 1.0), *CARRIED_RATIO)
    )


def _volts(rows: pd.DataFrame) -> FloatArray:
    return rows[TURNING_POINTS[:LAST_TURNING_POINT]].to_numpy(dtype=np.float64)
