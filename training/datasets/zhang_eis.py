"""Spectra of eight LCO coin cells, one per cycle (Zhang et al., Nat. Commun. 11, 1706, 2020).

Reads ``eis/zhang2020_eis.parquet`` under the data folder. The published imaginary part is −Im Z and is
turned to the field's sign here. No temperature is published with these rows; the eight cells are taken
for those the authors cycled at 25 °C, which shifts all features alike. The rated capacity is 45 mAh
(LR2032), and rows below a fifth of it are left out, as no label may lie there. All cycles of a cell
share its name; its last cycle is its visit.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from features.vocabulary import Chemistry
from training.datasets.published_spectra import Plate, PublishedFile, Spectra
from training.labels import PLAUSIBLE_STATE_OF_HEALTH, LabelledTests

FILE = PublishedFile(Path("eis") / "zhang2020_eis.parquet", "zhang_eis", "MIT")
PLATE = Plate(Chemistry.LCO, 0.045)

_CELSIUS = 25.0
_MILLIAMPERE_HOUR = 1000.0

FILE_SCHEMA = pa.DataFrameSchema(
    {
        "cell_id": pa.Column(str),
        "cycle": pa.Column(int, pa.Check.ge(1), coerce=True),
        "capacity_mah": pa.Column(float, pa.Check.in_range(0.0, 60.0), coerce=True),
        r"Z(Real|Imag)_.*Hz": pa.Column(float, pa.Check.in_range(-100.0, 100.0), regex=True, coerce=True),
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
    published = Spectra.of(table)
    health = table["capacity_mah"] / _MILLIAMPERE_HOUR / PLATE.rated_capacity_ah
    kept = (health >= PLAUSIBLE_STATE_OF_HEALTH[0]).to_numpy()
    rows = pd.DataFrame(
        {
            "battery_id": table["cell_id"] + "-cycle" + table["cycle"].astype(str),
            "physical_cell": table["cell_id"],
            "state_of_health_fraction": health,
            "temperature_celsius": _CELSIUS,
            "charged_fraction": np.nan,
        }
    )[kept]
    last = rows.index.isin(table["cycle"][kept].groupby(rows["physical_cell"]).idxmax())
    spectra = Spectra(published.frequency_hertz, published.impedance_ohm.conj()).taken(kept)
    return PLATE.labelled(source, spectra, rows.assign(visit=last).reset_index(drop=True))
