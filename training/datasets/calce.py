"""Two CALCE CS2 cells (LCO, 1.1 Ah): charges as recorded, with the discharge capacity of the same cycle.

Reads ``partial_charge/calce_timeseries.parquet`` and ``calce_cycles.parquet`` under the data folder. Of every
cycle the charge and the rest after it are kept; the discharge is the label and is cut away.
"""

from pathlib import Path

from features.vocabulary import Chemistry
from training.datasets.charge_curves import WindowPlan, labelled_windows, read_parquet, recorded_charges, sha256_of
from training.labels import DatasetSource, LabelledTests

NAME = "calce"
LICENCE = "MIT"
SAMPLES = Path("partial_charge") / "calce_timeseries.parquet"
CYCLES = Path("partial_charge") / "calce_cycles.parquet"
RATED_CAPACITY_AH = 1.1
CAPACITY_DEFINITION = "discharge after CCCV at the rate of the cell's own test, 23 °C"

_SAMPLES = {"t_s": "test_time_second", "v": "voltage_volt", "i_a": "current_ampere"}


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
    cycles = read_parquet(data_folder, CYCLES, ("cell_id", "cycle", "q_dis_ah"))
    curves = tuple(recorded_charges(samples, cycles, Chemistry.LCO, RATED_CAPACITY_AH))
    source = DatasetSource(NAME, LICENCE, sha256_of(data_folder, [SAMPLES, CYCLES]))
    return labelled_windows(curves, WindowPlan(**windows), source)  # type: ignore[arg-type]  # from the plan
