"""62 second-life 2.4 Ah cells: charge between 3.8 and 4.1 V with the capacity of the same cycle.

Reads ``partial_charge/lsd_second_life_cycles.parquet`` under the data folder. The table gives charge at 50
equally spaced voltages at a constant 1.2 A, which is turned back into a record over time. Only cycles
whose capacity was measured (by a slow discharge, every fifth cycle) train. The charge of the cycle after
follows that slow and deeper discharge and puts more in between the same voltages; it can be asked for, to see
what another history does. The published relaxation voltages carry no times and are left out. No licence is
stated: for evaluation only, never in a bundle that ships.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from features.measurement import BatteryIdentity
from features.vocabulary import Chemistry, Level
from training.datasets.charge_curves import RecordedCurve, WindowPlan, labelled_windows, read_parquet, sha256_of
from training.labels import DatasetSource, LabelledTests

NAME = "lsd_second_life"
LICENCE = "none stated; evaluation only"
FILE = Path("partial_charge") / "lsd_second_life_cycles.parquet"
CAPACITY_DEFINITION = "0.5 A discharge after CCCV, 25 °C"

_CHARGES = [f"dq_{number:02d}_ah" for number in range(50)]
_NUMBERS = ("nominal_ah", "charge_current", "v_start", "v_end", "capacity_ah")
_COLUMNS = ("cell_id", "cycle", "label_measured", *_NUMBERS)


def labelled_tests(data_folder: Path, *, after_slow_discharge: bool = False, **windows: object) -> LabelledTests:
    """Charges of the set, whole and in windows.

    Parameters
    ----------
    data_folder : Path
        Folder that holds ``partial_charge``.
    after_slow_discharge : bool
        Take the charges that follow a slow discharge instead; their labels are interpolated by one cycle.
    **windows
        As `WindowPlan`.

    Raises
    ------
    InvalidInput
        ``DATASET_NOT_READABLE`` if the file is missing or lacks a column.
    """
    table = read_parquet(data_folder, FILE, (*_COLUMNS, *_CHARGES))
    source = DatasetSource(NAME, LICENCE, sha256_of(data_folder, [FILE]))
    return labelled_windows(tuple(_curves(_chosen(table, after_slow_discharge))), WindowPlan(**windows), source)  # type: ignore[arg-type]  # from the plan


def _chosen(table: pd.DataFrame, after_slow_discharge: bool) -> pd.DataFrame:
    ordered = table.sort_values(["cell_id", "cycle"])
    measured = ordered["label_measured"].astype(bool)
    if not after_slow_discharge:
        return ordered[measured]
    follows = measured.groupby(ordered["cell_id"]).shift(1, fill_value=False).astype(bool)
    return ordered[follows & ~measured]


def _curves(table: pd.DataFrame) -> Iterator[RecordedCurve]:
    charges_ah = np.maximum.accumulate(table[_CHARGES].to_numpy(dtype=np.float64), axis=1)
    numbers = table[list(_NUMBERS)].to_numpy(dtype=np.float64)
    for cell, row, charge_ah in zip(table["cell_id"].astype(str), numbers, charges_ah, strict=True):
        rated_ah, current, begin_volt, end_volt, capacity_ah = row.tolist()
        columns = {
            "test_time_second": 3600.0 * charge_ah / current,
            "voltage_volt": np.linspace(begin_volt, end_volt, len(_CHARGES)),
            "current_ampere": np.full(len(_CHARGES), current),
        }
        yield RecordedCurve(BatteryIdentity(cell, Level.CELL, Chemistry.NMC, rated_ah), columns, capacity_ah)
