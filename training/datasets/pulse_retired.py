"""The public pulse tests of retired cells, as labelled pulse trains.

Reads ``pulse_retired/pulse_features.parquet`` under the data folder: turning-point voltages U1…U41
at 25 °C with a measured capacity per test. Only voltages, pulse width and plate become a train.
State of charge is kept to count rows, and serial numbers, file names and row order are left behind,
because each of them leaks the label. The one published row that is shifted by two columns
(``misaligned_row``) is dropped; pulses cut short by a voltage limit are marked.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from features.errors import InvalidInput, Problem
from features.pulse import train_from_turning_points
from features.vocabulary import Level
from training.labels import DatasetSource, LabelledTests
from training.schema_check import schema_problems

NAME = "pulse_retired"
LICENCE = "MIT"
FILE = Path("pulse_retired") / "pulse_features.parquet"
CAPACITY_DEFINITION = "1C discharge after CCCV, 25 °C"

TURNING_POINTS = [f"U{number}" for number in range(1, 42)]
"""Voltages of a row, in the order they were measured. [V]"""

_ALWAYS_MEASURED = 21
_VISIT, _GRID = "random_soc", "soc_grid"

FILE_SCHEMA = pa.DataFrameSchema(
    {
        "cell_id": pa.Column(str),
        "physical_cell": pa.Column(str),
        "chemistry": pa.Column(str),
        "nominal_ah": pa.Column(float, pa.Check.gt(0.0), coerce=True),
        "capacity_ah": pa.Column(float, pa.Check.gt(0.0), coerce=True),
        "test_kind": pa.Column(str, pa.Check.isin([_VISIT, _GRID])),
        "soc_pct": pa.Column(float, pa.Check.in_range(0.0, 110.0), nullable=True, coerce=True),
        "width_ms": pa.Column(float, pa.Check.gt(0.0), coerce=True),
        "misaligned_row": pa.Column(bool),
        "touches_protection_v": pa.Column(bool),
        **{
            name: pa.Column(float, pa.Check.in_range(0.5, 6.0), nullable=number > _ALWAYS_MEASURED, coerce=True)
            for number, name in enumerate(TURNING_POINTS, start=1)
        },
    },
    strict="filter",
)
"""The columns that are read, and nothing else: a column that leaks cannot come along."""


def labelled_tests(data_folder: Path) -> LabelledTests:
    """Pulse tests with their measured capacities.

    Parameters
    ----------
    data_folder : Path
        Folder that holds ``pulse_retired``.

    Returns
    -------
    LabelledTests
        One pulse train per row, in the file's order without the misaligned row.

    Raises
    ------
    InvalidInput
        ``DATASET_NOT_READABLE`` if the file is missing or breaks its schema.
    """
    table, sha256 = turning_point_rows(data_folder)
    volts = table[TURNING_POINTS].to_numpy(dtype=np.float64)
    width_second = table["width_ms"].to_numpy() / 1000.0
    trains = tuple(
        train_from_turning_points(row, width, rated)
        for row, width, rated in zip(volts, width_second.tolist(), table["nominal_ah"].tolist(), strict=True)
    )
    return LabelledTests(DatasetSource(NAME, LICENCE, sha256), labels_of(table), trains)


def turning_point_rows(data_folder: Path) -> tuple[pd.DataFrame, str]:
    """Rows of the file that are what their columns say, and the digest of its bytes.

    Parameters
    ----------
    data_folder : Path
        Folder that holds ``pulse_retired``.

    Returns
    -------
    DataFrame
        Columns of `FILE_SCHEMA`, in the file's order without the misaligned row.
    str
        SHA-256, 64 hex digits.

    Raises
    ------
    InvalidInput
        ``DATASET_NOT_READABLE`` if the file is missing or breaks its schema.
    """
    path = data_folder / FILE
    if not path.is_file():
        raise _refused([Problem(FILE.as_posix(), "must be a file in the data folder", data_folder.name)])
    table = _checked(pd.read_parquet(path))
    return table[~table["misaligned_row"]], hashlib.sha256(path.read_bytes()).hexdigest()


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    problems = schema_problems(table, FILE_SCHEMA, FILE.name)
    if problems:
        raise _refused(problems[:20])
    return FILE_SCHEMA.validate(table)


def _refused(problems: list[Problem]) -> InvalidInput:
    message = f"{FILE.as_posix()} is not the table this adapter knows. Nothing was trained."
    return InvalidInput(message, problems, code="DATASET_NOT_READABLE")


def labels_of(table: pd.DataFrame) -> pd.DataFrame:
    """Labels of the rows of the file, one for each."""
    return pd.DataFrame(
        {
            "battery_id": table["cell_id"],
            "physical_cell": table["physical_cell"],
            "level": Level.CELL.value,
            "chemistry": table["chemistry"],
            "rated_capacity_ah": table["nominal_ah"],
            "type_designation": pd.Series(None, index=table.index, dtype="str"),
            "remaining_capacity_ah": table["capacity_ah"],
            "visit": table["test_kind"] == _VISIT,
            "charged_fraction": table["soc_pct"] / 100.0,
            "voltage_limited": table["touches_protection_v"],
        }
    )
