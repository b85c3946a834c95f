"""Two LFP cells of 102 Ah, every charge of their life with the capacity it put in.

Reads ``partial_charge/lfp102_cell{1,4}.parquet`` and their ``_meta`` tables under the data folder. One cell was
charged at 1 C near 42 °C, the other at C/2 near 56 °C: rate and temperature differ between the cells
and hardly within them, so that what one cell teaches about the other is a lower limit.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from features.measurement import BatteryIdentity
from features.vocabulary import Chemistry, Level
from training.datasets.charge_curves import RecordedCurve, WindowPlan, labelled_windows, read_parquet, sha256_of
from training.labels import DatasetSource, LabelledTests

NAME = "lfp102"
LICENCE = "MIT"
CELLS = (1, 4)
RATED_CAPACITY_AH = 102.0
CAPACITY_DEFINITION = "CCCV charge from empty, temperature of the cell's own test"

_SAMPLES = {
    "time(s)": "test_time_second",
    "voltage(V)": "voltage_volt",
    "current(A)": "current_ampere",
    "temperature(℃)": "surface_temperature_celsius",
}
_META = ("segment", "cycle", "initial_capacity (Ah)", "SOH")


def labelled_tests(data_folder: Path, **windows: object) -> LabelledTests:
    """Charges of the set, whole and in windows.

    Parameters
    ----------
    data_folder : Path
        Folder that holds ``partial_charge``.
    **windows
        As `WindowPlan`.

    Raises
    ------
    InvalidInput
        ``DATASET_NOT_READABLE`` if a file is missing or lacks a column.
    """
    files = [file for cell in CELLS for file in _files(cell)]
    curves = tuple(curve for cell in CELLS for curve in _curves(data_folder, cell))
    source = DatasetSource(NAME, LICENCE, sha256_of(data_folder, files))
    return labelled_windows(curves, WindowPlan(**windows), source)  # type: ignore[arg-type]  # from the plan


def _files(cell: int) -> tuple[Path, Path]:
    folder = Path("partial_charge")
    return folder / f"lfp102_cell{cell}.parquet", folder / f"lfp102_cell{cell}_meta.parquet"


def _curves(data_folder: Path, cell: int) -> Iterator[RecordedCurve]:
    samples_file, meta_file = _files(cell)
    samples = read_parquet(data_folder, samples_file, ("segment", *_SAMPLES)).rename(columns=_SAMPLES)
    meta = read_parquet(data_folder, meta_file, _META).sort_values("cycle")
    plate = BatteryIdentity(f"lfp102-{cell}", Level.CELL, Chemistry.LFP, RATED_CAPACITY_AH)
    by_segment = {int(record["segment"].iloc[0]): record for _, record in samples.groupby("segment")}
    capacity_ah = (meta["SOH"] * meta["initial_capacity (Ah)"]).to_numpy(dtype=np.float64)
    for segment, capacity in zip(meta["segment"].astype(int), capacity_ah.tolist(), strict=True):
        columns = {name: by_segment[segment][name].to_numpy(dtype=np.float64) for name in _SAMPLES.values()}
        yield RecordedCurve(plate, columns, capacity)
