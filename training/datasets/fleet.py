"""A simulated fleet as `packgrade-train fleet` wrote it: telemetry of whole packs, and what is truly left in each.

The folder holds ``truth.csv`` and one canonical ``telemetry`` Parquet per pack below ``telemetry/``. Every pack
is its own physical cell and a visit. The truth is the simulation's, so a bundle trained on it says how well the
method can do, never what a real pack holds.
"""

import hashlib
import math
from collections.abc import Hashable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from features.errors import InvalidInput, Problem
from features.measurement import BatteryHistory, BatteryIdentity, MeasurementRun, SourceStamp
from features.readers.canonical import read_canonical
from features.vocabulary import Chemistry, Level, Provenance, RunKind, TableFormat
from training.fleet.layout import TELEMETRY_FOLDER, TRUTH_FILE
from training.labels import DatasetSource, LabelledTests
from training.schema_check import schema_problems

_NAME, _LICENCE = "simulated_fleet", "ours"
_DESIGNATION = "simulated"
"""So that a real pack of the same plate that names its type is an unknown one to a bundle of simulated packs."""

TRUTH_SCHEMA = pa.DataFrameSchema(
    {
        "battery_id": pa.Column(str, pa.Check.str_matches(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"), unique=True),
        "chemistry": pa.Column(str, pa.Check.isin([each.value for each in Chemistry if each is not Chemistry.UNKNOWN])),
        "rated_capacity_ah": pa.Column(float, pa.Check.gt(0.0), coerce=True),
        "remaining_capacity_ah": pa.Column(float, pa.Check.gt(0.0), coerce=True),
        "series_count": pa.Column(int, pa.Check.ge(1)),
    }
)
"""Columns of the truth that are read; a battery's name is the name of its file."""


def labelled_tests(data_folder: Path) -> LabelledTests:
    """Every pack of a fleet with its remaining capacity.

    Parameters
    ----------
    data_folder : Path
        Folder of the fleet.

    Returns
    -------
    LabelledTests
        One history per pack, with one ``field_telemetry`` run.

    Raises
    ------
    InvalidInput
        ``DATASET_NOT_READABLE`` if the truth is missing or breaks a rule; as the canonical reader says, naming
        the file, for telemetry that is missing or not canonical.
    """
    path = data_folder / TRUTH_FILE
    truth = _truth(path)
    files = [data_folder / TELEMETRY_FOLDER / f"{battery_id}.parquet" for battery_id in truth["battery_id"]]
    histories = tuple(_history(row, file) for row, file in zip(truth.to_dict("records"), files, strict=True))
    digests = [hashlib.sha256(path.read_bytes()).hexdigest(), *(each.runs[0].source.sha256 for each in histories)]
    source = DatasetSource(_NAME, _LICENCE, hashlib.sha256("\n".join(digests).encode("ascii")).hexdigest())
    return LabelledTests(source, _labels(truth), histories)


def _truth(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise _refused([Problem(TRUTH_FILE, "must be a file in the data folder", path.parent.name)])
    read = pd.read_csv(path, dtype={"battery_id": str})
    problems = schema_problems(read, TRUTH_SCHEMA, TRUTH_FILE)
    if problems:
        raise _refused(problems[:20])
    return TRUTH_SCHEMA.validate(read)


def _history(row: dict[Hashable, object], file: Path) -> BatteryHistory:
    identity = BatteryIdentity(
        str(row["battery_id"]),
        Level.PACK,
        Chemistry(str(row["chemistry"])),
        float(str(row["rated_capacity_ah"])),
        type_designation=_DESIGNATION,
        series_count=int(str(row["series_count"])),
    )
    table = read_canonical(file, TableFormat.TELEMETRY).table
    moments = table.floats("unix_time_second")
    begun, handed_in = (datetime.fromtimestamp(math.ceil(moment), UTC) for moment in (moments[0], moments[-1]))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    stamp = SourceStamp(file.name, digest, _NAME, Provenance.BMS_REPORTED)
    return BatteryHistory(identity, (MeasurementRun(RunKind.FIELD_TELEMETRY, begun, handed_in, stamp, table),))


def _labels(truth: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "battery_id": truth["battery_id"],
            "physical_cell": truth["battery_id"],
            "level": Level.PACK.value,
            "chemistry": truth["chemistry"],
            "rated_capacity_ah": truth["rated_capacity_ah"],
            "type_designation": _DESIGNATION,
            "remaining_capacity_ah": truth["remaining_capacity_ah"],
            "visit": True,
            "charged_fraction": math.nan,
            "voltage_limited": False,
        }
    )


def _refused(problems: list[Problem]) -> InvalidInput:
    message = f"The folder holds no simulated fleet ({TRUTH_FILE}, {TELEMETRY_FOLDER}/). Nothing was trained."
    return InvalidInput(message, problems, code="DATASET_NOT_READABLE")
