"""Your own tests of any method, as a manifest of canonical tables and a file of measured capacities.

The manifest is the one `packgrade batch` reads: a battery that can be graded can be trained on. The
labels name the capacity that was measured afterwards. Tests are handed on as histories, so that
their features go through the same door as in the service.

==================  =====================================================================
labels column       meaning
==================  =====================================================================
battery_id          the battery of the manifest
physical_cell       the cell itself; the same for all ages and names of one cell
remaining_capacity_ah   measured capacity in Ah
visit               optional, true/false: arrived at an unknown state of charge (default true)
==================  =====================================================================
"""

import hashlib
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from features.errors import InvalidInput, Problem
from features.feature_set import Method
from features.measurement import BatteryHistory, BatteryIdentity, Inspection, MeasurementRun, SourceStamp
from features.readers.canonical import CanonicalFile
from features.vocabulary import FORMATS_BY_KIND, Chemistry, Level, RunKind, TableFormat
from training.labels import DatasetSource, LabelledTests
from training.schema_check import schema_problems

_MEASURED_AT = datetime(2000, 1, 1, tzinfo=UTC)
"""A training test is known as soon as it is measured; no feature depends on the date."""

_NOT_NEEDED = (
    "nominal_voltage_volt",
    "series_count",
    "parallel_count",
    "started_at",
    *(each.name for each in fields(Inspection)),
)
"""Columns of the manifest that no feature depends on."""

LABELS_SCHEMA = pa.DataFrameSchema(
    {
        "battery_id": pa.Column(str, coerce=True, unique=True),
        "physical_cell": pa.Column(str, coerce=True),
        "remaining_capacity_ah": pa.Column(float, pa.Check.gt(0.0), coerce=True),
        "visit": pa.Column(bool, required=False),
    },
    strict=True,
)


def manifest_schema(kind: RunKind) -> pa.DataFrameSchema:
    """Rules of a manifest whose runs are all of one kind."""
    formats = [each.value for each in FORMATS_BY_KIND[kind]]
    return pa.DataFrameSchema(
        {
            "battery_id": pa.Column(str, coerce=True),
            "level": pa.Column(str, pa.Check.isin([level.value for level in Level])),
            "chemistry": pa.Column(str, pa.Check.isin([each.value for each in Chemistry])),
            "rated_capacity_ah": pa.Column(float, pa.Check.gt(0.0), coerce=True),
            "run_kind": pa.Column(str, pa.Check.equal_to(kind.value)),
            "run_format": pa.Column(str, pa.Check.isin(formats)),
            "run_path": pa.Column(str),
            "type_designation": pa.Column(str, nullable=True, required=False, coerce=True),
            "train": pa.Column("Int64", pa.Check.ge(1), nullable=True, required=False, coerce=True),
            **{name: pa.Column(required=False, nullable=True) for name in _NOT_NEEDED},
        },
        unique=["battery_id", "run_path"],
        strict=True,
    )


def labelled_tests(name: str, licence: str, manifest: Path, labels: Path, method: Method) -> LabelledTests:
    """Tests of a manifest with their measured capacities.

    Parameters
    ----------
    name, licence : str
        As they will stand in the bundle.
    manifest : Path
        CSV or Parquet, one row per run (`docs/training.md`); paths inside are relative to it.
    labels : Path
        CSV or Parquet with the columns above.
    method : Method
        What is trained; every run of the manifest is of the kind its features come from.

    Returns
    -------
    LabelledTests
        One history per manifest row that has a label.

    Raises
    ------
    InvalidInput
        ``DATASET_NOT_READABLE``: a file is missing, a column or value breaks its rule, a battery of
        one file is not in the other, a measurement is not a canonical table.
    """
    kind = run_kind(method)
    runs, measured = _table(manifest, manifest_schema(kind)), _table(labels, LABELS_SCHEMA)
    _require_same_batteries(runs, measured, manifest, labels)
    rows = runs.merge(measured, on="battery_id", how="left", validate="many_to_one")
    histories = tuple(_histories(rows, manifest, kind))
    measurements = [manifest.parent / path for path in sorted(set(rows["run_path"]))]
    source = DatasetSource(name, licence, _sha256_over([manifest, labels, *measurements]))
    return LabelledTests(source, _labels(rows, histories), histories)


def run_kind(method: Method) -> RunKind:
    """Kind of run a method's features come from.

    Examples
    --------
    >>> run_kind(Method.TWO_PULSE_TRAINS).value, run_kind(Method.IMPEDANCE).value
    ('pulse_test', 'impedance')
    """
    return RunKind.PULSE_TEST if method is Method.TWO_PULSE_TRAINS else RunKind(method.value)


def _table(path: Path, schema: pa.DataFrameSchema) -> pd.DataFrame:
    try:
        read = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype={"battery_id": str})
    except (OSError, ValueError) as problem:
        rule = "must be a CSV or Parquet table"
        raise _refused(path.name, [Problem(path.name, rule, str(problem)[:200])]) from problem
    problems = schema_problems(read, schema, path.name)
    if problems:
        raise _refused(path.name, problems[:20])
    return schema.validate(read)


def _require_same_batteries(runs: pd.DataFrame, measured: pd.DataFrame, manifest: Path, labels: Path) -> None:
    in_manifest, in_labels = set(runs["battery_id"]), set(measured["battery_id"])
    faults = [
        *(Problem(f"{labels.name} battery_id", "needs a label for", name) for name in sorted(in_manifest - in_labels)),
        *(Problem(f"{manifest.name} battery_id", "needs a run of", name) for name in sorted(in_labels - in_manifest)),
    ]
    if faults:
        raise _refused(labels.name, faults[:20])


def _sha256_over(files: Sequence[Path]) -> str:
    parts = b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)
    return hashlib.sha256(parts).hexdigest()


def _histories(rows: pd.DataFrame, manifest: Path, kind: RunKind) -> Iterator[BatteryHistory]:
    files: dict[str, tuple[CanonicalFile, SourceStamp]] = {}
    for row in rows.to_dict("records"):
        path = str(row["run_path"])
        if path not in files:
            files[path] = _opened(manifest.parent / path, TableFormat(str(row["run_format"])))
        yield BatteryHistory(_identity(row), (_run(row, kind, *files[path]),))


def _opened(path: Path, table_format: TableFormat) -> tuple[CanonicalFile, SourceStamp]:
    file = CanonicalFile(path, table_format)
    return file, SourceStamp(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "canonical")


def _run(row: dict[Hashable, object], kind: RunKind, file: CanonicalFile, stamp: SourceStamp) -> MeasurementRun:
    battery_id = str(row["battery_id"]) if file.battery_ids else None
    train = row.get("train")
    number = None if train is None or pd.isna(train) else int(str(train))  # type: ignore[call-overload]
    table = file.reading(battery_id).table
    return MeasurementRun(kind, _MEASURED_AT, _MEASURED_AT, stamp, table, number)


def _identity(row: dict[Hashable, object]) -> BatteryIdentity:
    designation = row.get("type_designation")
    return BatteryIdentity.declared(
        str(row["battery_id"]),
        level=Level(str(row["level"])),
        chemistry=Chemistry(str(row["chemistry"])),
        rated_capacity_ah=float(str(row["rated_capacity_ah"])),
        type_designation=designation if isinstance(designation, str) else None,
    )


def _labels(rows: pd.DataFrame, histories: tuple[BatteryHistory, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "battery_id": [history.identity.battery_id for history in histories],
            "physical_cell": rows["physical_cell"],
            "level": rows["level"],
            "chemistry": rows["chemistry"],
            "rated_capacity_ah": rows["rated_capacity_ah"],
            "type_designation": pd.Series([history.identity.type_designation for history in histories], dtype="str"),
            "remaining_capacity_ah": rows["remaining_capacity_ah"],
            "visit": rows.get("visit", True),
            "charged_fraction": math.nan,
            "voltage_limited": False,
        }
    )


def _refused(name: str, problems: list[Problem]) -> InvalidInput:
    return InvalidInput(f"{name} cannot be trained on. Nothing was trained.", problems, code="DATASET_NOT_READABLE")
