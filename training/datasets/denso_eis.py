"""Spectra of 24 large NMC cells at −10 to 25 °C, aged by storage and cycling (NREL, battery_capacity_from_eis).

Reads ``eis/denso_eis.parquet`` under the data folder. Capacity is published relative to the cell's
first one, so the rated capacity stands for the first capacity (46.7 Ah, within 0.4 % for every
cell), and a label is what is left of it. What checking found:

- The spectra at the first check-up are *one* measurement, published under the names of all 24 cells
  (once per temperature, all with capacity 1). Left as they are, every cell's fresh spectrum would be in
  training while the cell is held out. They are kept once, as a cell of their own.
- Cell 16 has one spectrum under two capacities (0.788 and 0.755) at two temperatures. Those rows are
  left out: one of the two labels is wrong, and nothing tells which.

A cell's last check-up is its visit: the spectrum nearest 25 °C and half charge, as it would arrive
retired. All stages of a cell share its name, so that a split never parts them.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa

from features.vocabulary import Chemistry
from training.datasets.published_spectra import Plate, PublishedFile, Spectra
from training.labels import LabelledTests

FILE = PublishedFile(Path("eis") / "denso_eis.parquet", "denso_eis", "none stated")
PLATE = Plate(Chemistry.NMC, 46.7)
SHARED_CELL = "denso_fresh"
"""Cell that stands for the spectra published under several names."""

_VISIT_CELSIUS, _VISIT_CHARGED = 25.0, 0.5

FILE_SCHEMA = pa.DataFrameSchema(
    {
        "cell_id": pa.Column(str),
        "soh_rel_initial": pa.Column(float, pa.Check.in_range(0.2, 1.3), coerce=True),
        "temp_c": pa.Column(float, pa.Check.in_range(-40.0, 60.0), coerce=True),
        "soc": pa.Column(float, pa.Check.in_range(0.0, 1.0), coerce=True),
        r"Z(real|imag)_.*Hz": pa.Column(float, pa.Check.in_range(-1.0, 1.0), regex=True, coerce=True),
    },
    strict="filter",
)


def labelled_tests(data_folder: Path, *, as_published: bool = False) -> LabelledTests:
    """Spectra with their measured capacities.

    Parameters
    ----------
    data_folder : Path
        Folder that holds ``eis``.
    as_published : bool
        Keep every row under the name it is published under, copies and all: for a figure that compares
        with others' on the same rows, never for a bundle.

    Returns
    -------
    LabelledTests

    Raises
    ------
    InvalidInput
        ``DATASET_NOT_READABLE`` if the file is missing or breaks its schema.
    """
    table, source = FILE.read(data_folder, FILE_SCHEMA)
    rows, spectra = _rows(table), Spectra.of(table)
    if not as_published:
        kept = _one_label_each(rows, spectra.numbers())
        rows, spectra = rows[kept], spectra.taken(kept)
        rows, kept = _shared_once(rows, spectra.numbers())
        spectra = spectra.taken(kept)
    return PLATE.labelled(source, spectra, rows.assign(visit=_visits(rows)).reset_index(drop=True))


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    stage = table.groupby("cell_id")["soh_rel_initial"].rank(method="dense", ascending=False).astype(int)
    return pd.DataFrame(
        {
            "battery_id": table["cell_id"] + "-stage" + stage.astype(str),
            "physical_cell": table["cell_id"],
            "state_of_health_fraction": table["soh_rel_initial"],
            "temperature_celsius": table["temp_c"],
            "charged_fraction": table["soc"],
        }
    )


def _one_label_each(rows: pd.DataFrame, number: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Rows whose spectrum has one capacity only."""
    labels = rows["state_of_health_fraction"].groupby(number).transform("nunique")
    return np.asarray(labels == 1, dtype=np.bool_)


def _shared_once(rows: pd.DataFrame, number: npt.NDArray[np.int64]) -> tuple[pd.DataFrame, npt.NDArray[np.bool_]]:
    """Rows without copies, those of several cells under a name of their own; and the mask of what was kept."""
    shared = (rows["physical_cell"].groupby(number).transform("nunique") > 1).to_numpy()
    names = {name: rows[name].mask(shared, SHARED_CELL) for name in ("battery_id", "physical_cell")}
    kept = ~pd.Series(number).duplicated().to_numpy()
    return rows.assign(**names)[kept], np.asarray(kept, dtype=np.bool_)


def _visits(rows: pd.DataFrame) -> pd.Series:
    """Of every cell the last check-up, the spectrum nearest 25 °C and half charge."""
    order = pd.DataFrame(
        {
            "cell": rows["physical_cell"],
            "health": rows["state_of_health_fraction"],
            "kelvin_off": (rows["temperature_celsius"] - _VISIT_CELSIUS).abs(),
            "charge_off": (rows["charged_fraction"] - _VISIT_CHARGED).abs(),
        }
    ).sort_values(["health", "kelvin_off", "charge_off"], kind="stable")
    chosen = order[order["cell"] != SHARED_CELL].drop_duplicates("cell").index
    return pd.Series(rows.index.isin(chosen), index=rows.index)
