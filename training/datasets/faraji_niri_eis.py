"""Spectra of 17 cylindrical 5 Ah NMC cells at three temperatures and five states of charge (Faraji-Niri et al., 2023).

Reads ``eis/farajiniri2023_eis.parquet`` under the data folder. Every cell has one capacity, published as state
of health; the rated capacity of the cell (INR21700-M50T) is 5 Ah. Four cells have one spectrum under two
states of charge at 25 °C; such a copy is kept once, and its state of charge is unknown. The spectrum at
25 °C and half charge is the cell's visit.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from features.vocabulary import Chemistry
from training.datasets.published_spectra import Plate, PublishedFile, Spectra
from training.labels import LabelledTests

FILE = PublishedFile(Path("eis") / "farajiniri2023_eis.parquet", "faraji_niri_eis", "none stated")
PLATE = Plate(Chemistry.NMC, 5.0)

_VISIT_CELSIUS, _VISIT_SOC_PERCENT = 25.0, 50.0

FILE_SCHEMA = pa.DataFrameSchema(
    {
        "cell_id": pa.Column(str),
        "soh": pa.Column(float, pa.Check.in_range(0.2, 1.3), coerce=True),
        "temp_c": pa.Column(float, pa.Check.in_range(-40.0, 60.0), coerce=True),
        "soc": pa.Column(float, pa.Check.in_range(0.0, 100.0), coerce=True),
        r"Z(Real|Imag)_.*Hz": pa.Column(float, pa.Check.in_range(-10.0, 10.0), regex=True, coerce=True),
    },
    strict="filter",
)


def labelled_tests(data_folder: Path) -> LabelledTests:
    """Spectra with their measured capacities.

    Parameters
    ----------
    data_folder : Path
        Folder that holds ``eis``.

    Returns
    -------
    LabelledTests

    Raises
    ------
    InvalidInput
        ``DATASET_NOT_READABLE`` if the file is missing or breaks its schema.
    """
    table, source = FILE.read(data_folder, FILE_SCHEMA)
    spectra = Spectra.of(table)
    number = pd.Series(spectra.numbers())
    copied, kept = number.duplicated(keep=False), ~number.duplicated(keep="last")
    at_visit = (table["temp_c"] == _VISIT_CELSIUS) & (table["soc"] == _VISIT_SOC_PERCENT)
    rows = pd.DataFrame(
        {
            "battery_id": table["cell_id"],
            "physical_cell": table["cell_id"],
            "state_of_health_fraction": table["soh"],
            "temperature_celsius": table["temp_c"],
            "charged_fraction": (table["soc"] / 100.0).mask(copied),
            "visit": at_visit,
        }
    )
    mask = np.asarray(kept, dtype=np.bool_)
    return PLATE.labelled(source, spectra.taken(mask), rows[mask].reset_index(drop=True))
