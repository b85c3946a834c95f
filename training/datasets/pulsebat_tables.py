"""The public original of the pulse tables: one Excel file per battery type, as labelled pulse trains.

Reads sheet ``SOC ALL`` of every ``pulse_retired/pulsebat_tables/*_W_<milliseconds>.xlsx`` under the data
folder (`packgrade-train fetch pulsebat` brings them); the other sheets repeat its rows. These are
grid tests, taken while a cell was filled from empty: none of them looks like a battery arriving at
a station. They are the same tests as the 5 s rows of `pulse_retired`, under the same names of
batteries and cells, so a plan names one of the two sets.

Left behind, because each leaks the label: file names, running numbers, row order. State of charge is
kept to count rows and never becomes a feature. Ageing stages of one cell (NMC 2.1 Ah) share its name.
"""

import hashlib
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa

from features.errors import InvalidInput, Problem
from features.measurement import FloatArray
from features.pulse import train_from_turning_points
from features.vocabulary import Chemistry, Level
from training.datasets.pulse_retired import CAPACITY_DEFINITION
from training.labels import DatasetSource, LabelledTests
from training.schema_check import schema_problems

__all__ = ["CAPACITY_DEFINITION", "FOLDER", "LICENCE", "NAME", "is_shifted", "labelled_tests"]

NAME = "pulsebat_tables"
LICENCE = "MIT"
FOLDER = Path("pulse_retired") / "pulsebat_tables"

_SHEET = "SOC ALL"
_TURNING_POINTS = [f"U{number}" for number in range(1, 22)]
_TRAIN_POINTS = 41
_FILE_NAME = re.compile(r"[A-Z]+_[\d.]+Ah_W_(?P<width_ms>\d+)\.xlsx")
_PROTECTION_VOLT = {"LMO": 4.295}
"""From this voltage on a tester had cut the pulse short; the other chemistries never came near theirs."""

_NUMBERED_LFP35 = sorted(f"{number}号" for number in range(1, 57))
"""The 56 LFP 35 Ah cells; `pulse_retired` counts them in the order of their names as text."""

TABLE_SCHEMA = pa.DataFrameSchema(
    {
        "Mat": pa.Column(str, pa.Check.isin([each.value for each in Chemistry if each is not Chemistry.UNKNOWN])),
        "ID": pa.Column(str, coerce=True),
        "Qn": pa.Column(float, pa.Check.gt(0.0), coerce=True),
        "Q": pa.Column(float, pa.Check.gt(0.0), coerce=True),
        "SOC": pa.Column(float, pa.Check.in_range(0.0, 110.0), coerce=True),
        **{name: pa.Column(float, pa.Check.in_range(0.5, 6.0), coerce=True) for name in _TURNING_POINTS},
    },
    strict="filter",
)
"""The columns that are read: cathode, cell, rated and measured capacity, charge, voltages."""


def labelled_tests(data_folder: Path) -> LabelledTests:
    """Pulse tests with their measured capacities.

    Parameters
    ----------
    data_folder : Path
        Folder that holds ``pulse_retired/pulsebat_tables``.

    Returns
    -------
    LabelledTests
        One pulse train per row, files by name; rows shifted by columns (`is_shifted`) are left out.

    Raises
    ------
    InvalidInput
        ``DATASET_NOT_READABLE`` if there is no such file, or one breaks its schema.
    """
    folder = data_folder / FOLDER
    files = sorted(folder.glob("*.xlsx")) if folder.is_dir() else []
    if not files:
        rule = "must hold the Excel files; packgrade-train fetch pulsebat brings them"
        raise _refused(FOLDER.as_posix(), [Problem(FOLDER.as_posix(), rule)])
    table = pd.concat([_table(file) for file in files], ignore_index=True)
    volts = _volts(table)
    plates = zip(volts, table["width_second"].tolist(), table["Qn"].tolist(), strict=True)
    trains = tuple(train_from_turning_points(row, width, rated) for row, width, rated in plates)
    digests = b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)
    return LabelledTests(DatasetSource(NAME, LICENCE, hashlib.sha256(digests).hexdigest()), _labels(table), trains)


def is_shifted(volts: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether a row's voltages stand in wrong columns.

    Parameters
    ----------
    volts : ndarray, shape (n, 21)
        Turning points U1…U21. [V]

    Returns
    -------
    ndarray of bool, shape (n,)

    Notes
    -----
    Whatever the cell, the voltage steps up where a charge pulse begins or a discharge pulse ends, and
    down where a charge pulse ends or a discharge pulse begins. In the public tables every good row
    obeys at all ten steps, and the row published two columns off breaks five.
    """
    steps = np.diff(volts, axis=1)[:, ::2]
    upward = np.resize([1.0, -1.0, -1.0, 1.0], steps.shape[1])
    return np.asarray((steps * upward <= 0.0).any(axis=1), dtype=np.bool_)


def _table(file: Path) -> pd.DataFrame:
    named = _FILE_NAME.fullmatch(file.name)
    if named is None:
        rule = "must be named <chemistry>_<capacity>Ah_W_<milliseconds>.xlsx: the name tells the pulse width"
        raise _refused(file.name, [Problem(file.name, rule)])
    try:
        read = pd.read_excel(file, sheet_name=_SHEET, engine="openpyxl")
    except (OSError, ValueError, KeyError) as problem:
        rule = f"must be an Excel file with sheet {_SHEET}"
        raise _refused(file.name, [Problem(file.name, rule, str(problem)[:200])]) from problem
    problems = schema_problems(read, TABLE_SCHEMA, file.name)
    if problems:
        raise _refused(file.name, problems[:20])
    table = TABLE_SCHEMA.validate(read).assign(width_second=int(named["width_ms"]) / 1000.0)
    return table[~is_shifted(table[_TURNING_POINTS].to_numpy(dtype=np.float64))]


def _volts(table: pd.DataFrame) -> FloatArray:
    """Turning points of a whole train; what lies beyond the published ones was not measured."""
    volts = np.full((len(table), _TRAIN_POINTS), np.nan)
    volts[:, : len(_TURNING_POINTS)] = table[_TURNING_POINTS].to_numpy(dtype=np.float64)
    return volts


def _labels(table: pd.DataFrame) -> pd.DataFrame:
    battery = [
        _battery_id(*row) for row in zip(table["Mat"].tolist(), table["Qn"].tolist(), table["ID"].tolist(), strict=True)
    ]
    highest = table[_TURNING_POINTS].max(axis=1)
    return pd.DataFrame(
        {
            "battery_id": pd.Series(battery, dtype="str"),
            "physical_cell": pd.Series([_physical_cell(each) for each in battery], dtype="str"),
            "level": Level.CELL.value,
            "chemistry": table["Mat"],
            "rated_capacity_ah": table["Qn"],
            "type_designation": pd.Series(None, index=table.index, dtype="str"),
            "remaining_capacity_ah": table["Q"],
            "visit": False,
            "charged_fraction": table["SOC"] / 100.0,
            "voltage_limited": highest >= table["Mat"].map(_PROTECTION_VOLT).fillna(np.inf),
        }
    )


def _battery_id(chemistry: str, rated_capacity_ah: float, written: str) -> str:
    if (chemistry, rated_capacity_ah) == ("LFP", 35.0):
        if written not in _NUMBERED_LFP35:
            raise _refused("35 Ah LFP", [Problem("ID", "must be 1号 to 56号", written[:40])])
        return f"LFP35_{_NUMBERED_LFP35.index(written) + 1:03d}"
    return f"{chemistry}{rated_capacity_ah:g}_{written}"


def _physical_cell(battery_id: str) -> str:
    """The cell itself: of the lab-aged NMC cells, ``D3-100`` is cell D3 after 100 cycles."""
    return battery_id.rpartition("-")[0] if battery_id.startswith("NMC2.1_") else battery_id


def _refused(name: str, problems: list[Problem]) -> InvalidInput:
    message = f"{name} is not the table this adapter knows. Nothing was trained."
    return InvalidInput(message, problems, code="DATASET_NOT_READABLE")
