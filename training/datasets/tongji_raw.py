"""Tongji 3.5 Ah NCA cells: charges as recorded, with the discharge capacity of the same cycle.

Reads ``partial_charge/tongji_raw_timeseries.parquet`` and ``tongji_raw_cycles.parquet`` under the data
folder. Of every cycle the charge and the rest after it are kept; the discharge is the label and is cut away.
"""

from pathlib import Path

from features.vocabulary import Chemistry
from training.datasets.charge_curves import WindowPlan, labelled_windows, read_parquet, recorded_charges, sha256_of
from training.labels import DatasetSource, LabelledTests

NAME = "tongji_raw"
LICENCE = "MIT"
SAMPLES = Path("partial_charge") / "tongji_raw_timeseries.parquet"
CYCLES = Path("partial_charge") / "tongji_raw_cycles.parquet"
RATED_CAPACITY_AH = 3.5
CAPACITY_DEFINITION = "discharge after CCCV at the rate of the cell's own test, 25 or 35 °C"

_SAMPLES = {"t_s": "test_time_second", "v": "voltage_volt", "i_ma": "current_ampere"}


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
    samples = read_parquet(data_folder, SAMPLES, ("cell_id", "cycle", *_SAMPLES)).rename(columns=_SAMPLES)
    samples["current_ampere"] /= 1000.0  # the source records mA
    cycles = read_parquet(data_folder, CYCLES, ("cell_id", "cycle", "q_dis_ah"))
    curves = tuple(recorded_charges(samples, cycles, Chemistry.NCA, RATED_CAPACITY_AH))
    source = DatasetSource(NAME, LICENCE, sha256_of(data_folder, [SAMPLES, CYCLES]))
    return labelled_windows(curves, WindowPlan(**windows), source)  # type: ignore[arg-type]  # from the plan
