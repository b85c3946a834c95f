"""The batch manifest: one row per run, several rows for one battery.

CSV or Parquet. A manifest with wrong columns is refused as a whole; a bad row spoils its own
battery only and is reported with its row number (the header is row 1). Relative paths are relative
to the manifest.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from features.battery_code import known_battery_id
from features.errors import InvalidInput, Problem
from features.measurement import BatteryIdentity, Inspection
from features.vocabulary import Chemistry, Level, RunKind
from serving.batch.remote import is_url, url_file_name

_IDENTITY = (
    "level",
    "chemistry",
    "rated_capacity_ah",
    "type_designation",
    "nominal_voltage_volt",
    "series_count",
    "parallel_count",
)
_INSPECTION = (
    "leakage",
    "swelling",
    "burn",
    "water_ingress",
    "deformation",
    "insulation_ohm_per_volt",
    "alarm_level",
)
LARGEST_MANIFEST_ROWS = 2_000_000
NumberedRows = list[tuple[int, dict[str, Any]]]


def _whole_number_as_text(value: object) -> object:
    """A name that a Parquet writer took for a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class ManifestRow(BaseModel):
    """One row of a manifest; an empty cell is an absent value."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    battery_id: Annotated[str, BeforeValidator(_whole_number_as_text), Field(min_length=1)]
    level: Level
    chemistry: Chemistry
    rated_capacity_ah: float
    run_kind: RunKind
    run_format: Annotated[str, Field(min_length=1)]
    run_path: Annotated[str, Field(min_length=1)]
    type_designation: Annotated[str, BeforeValidator(_whole_number_as_text)] | None = None
    nominal_voltage_volt: float | None = None
    series_count: int | None = None
    parallel_count: int | None = None
    started_at: AwareDatetime | None = None
    train: Annotated[int, Field(ge=1)] | None = None
    mapping_path: str | None = None
    district: Annotated[str, BeforeValidator(_whole_number_as_text), Field(max_length=64)] | None = None
    leakage: bool | None = None
    swelling: bool | None = None
    burn: bool | None = None
    water_ingress: bool | None = None
    deformation: bool | None = None
    insulation_ohm_per_volt: float | None = None
    alarm_level: int | None = None


COLUMNS = tuple(ManifestRow.model_fields)
REQUIRED_COLUMNS = tuple(name for name, field in ManifestRow.model_fields.items() if field.is_required())


@dataclass(frozen=True)
class RunOrder:
    """One run to read.

    Attributes
    ----------
    url : str or None
        Where the file is fetched from; `path` is then its name alone.
    """

    kind: RunKind
    run_format: str
    path: Path
    started_at: datetime | None
    train: int | None
    mapping: Path | None
    url: str | None = None


@dataclass(frozen=True)
class BatteryOrder:
    """One battery to grade: who it is, what was seen, which runs to read, or why it cannot be graded.

    Attributes
    ----------
    battery_id : str
        As written in the manifest.
    rows : tuple of int
        Manifest rows it comes from (header = row 1).
    identity : BatteryIdentity or None
        None when `problems` says why.
    inspection : Inspection
        What was seen.
    runs : tuple of RunOrder
        Runs to read.
    problems : tuple of Problem
        What is wrong with its rows; empty for a sound order.
    district : str or None
        Where it comes from, for the report; no decision looks at it.
    """

    battery_id: str
    rows: tuple[int, ...]
    identity: BatteryIdentity | None
    inspection: Inspection
    runs: tuple[RunOrder, ...]
    problems: tuple[Problem, ...] = ()
    district: str | None = None


def read_manifest(path: Path) -> tuple[BatteryOrder, ...]:
    """Batteries of a manifest, in the order of their first row.

    Parameters
    ----------
    path : Path
        CSV or Parquet file.

    Returns
    -------
    tuple of BatteryOrder
        One per battery; an order with `problems` stands for rows that cannot be graded.

    Raises
    ------
    InvalidInput
        If the file cannot be read or its columns are not those of a manifest.
    """
    return orders_of(numbered_rows(path, REQUIRED_COLUMNS, COLUMNS), path.parent)


def numbered_rows(path: Path, required: Sequence[str], allowed: Sequence[str]) -> NumberedRows:
    """Rows of a table with their numbers (header = row 1), empty cells left out.

    Raises
    ------
    InvalidInput
        If the file cannot be read or its columns are not those.
    """
    table = _manifest_table(path)
    _require_columns(path, list(table.columns), required, allowed)
    return [
        (offset + 2, {str(name): value for name, value in cells.items() if not _empty(value)})
        for offset, cells in enumerate(table.to_dict("records"))
    ]


def orders_of(rows: NumberedRows, folder: Path) -> tuple[BatteryOrder, ...]:
    """Batteries of manifest rows, in the order and the spelling of their first row; paths start at the folder."""
    by_battery: dict[str, tuple[str, NumberedRows]] = {}
    for number, present in rows:
        written = str(present.get("battery_id", f"(row {number})")).strip()
        by_battery.setdefault(known_battery_id(written), (written, []))[1].append((number, present))
    return tuple(_order(written, of_battery, folder) for written, of_battery in by_battery.values())


def _manifest_table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except (OSError, ValueError) as problem:
        raise _refused(
            path, [Problem(path.name, "must be a readable CSV or Parquet file", str(problem)[:120])]
        ) from problem
    if not 0 < len(table) <= LARGEST_MANIFEST_ROWS:
        raise _refused(path, [Problem(path.name, f"must hold 1 to {LARGEST_MANIFEST_ROWS} rows", str(len(table)))])
    return table


def _require_columns(path: Path, names: list[str], required: Sequence[str], allowed: Sequence[str]) -> None:
    problems = [Problem(name, "is required in a manifest") for name in required if name not in names]
    problems += [Problem(name, "is not a manifest column") for name in names if name not in allowed]
    if problems:
        raise _refused(path, problems)


def _refused(path: Path, problems: list[Problem]) -> InvalidInput:
    return InvalidInput(f"Manifest {path.name} cannot be used. Nothing was graded.", problems)


def _empty(value: object) -> bool:
    return (
        value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)) or str(value).strip() == ""
    )


def _order(battery_id: str, rows: NumberedRows, folder: Path) -> BatteryOrder:
    numbers = tuple(number for number, _ in rows)
    parsed: list[ManifestRow] = []
    problems: list[Problem] = []
    for number, cells in rows:
        try:
            parsed.append(ManifestRow.model_validate(cells))
        except ValidationError as error:
            problems += list(_row_problems(number, error))
    problems += list(_conflicts(parsed, numbers)) if not problems else []
    if problems:
        return BatteryOrder(battery_id, numbers, None, Inspection(), (), tuple(problems))
    runs = tuple(_run_order(row, folder) for row in parsed)
    return _identified(battery_id, numbers, parsed[0], runs)


def _identified(
    battery_id: str, numbers: tuple[int, ...], row: ManifestRow, runs: tuple[RunOrder, ...]
) -> BatteryOrder:
    try:
        identity = BatteryIdentity.declared(battery_id, **{name: getattr(row, name) for name in _IDENTITY})
        inspection = Inspection(**{name: getattr(row, name) for name in _INSPECTION})
    except InvalidInput as error:
        problems = tuple(problem.inside(f"row {numbers[0]}") for problem in error.problems)
        return BatteryOrder(battery_id, numbers, None, Inspection(), (), problems)
    return BatteryOrder(battery_id, numbers, identity, inspection, runs, district=row.district)


def _row_problems(number: int, error: ValidationError) -> Iterator[Problem]:
    for each in error.errors(include_url=False):
        where = ".".join(str(part) for part in each["loc"])
        value = "" if each["type"] == "missing" else str(each["input"])[:80]
        yield Problem(f"row {number}, {where}", each["msg"], value)


def _conflicts(rows: list[ManifestRow], numbers: tuple[int, ...]) -> Iterator[Problem]:
    for name in (*_IDENTITY, *_INSPECTION, "district"):
        for row, number in zip(rows[1:], numbers[1:], strict=True):
            if getattr(row, name) != getattr(rows[0], name):
                rule = f"must be the same in every row of one battery ({getattr(rows[0], name)} in row {numbers[0]})"
                yield Problem(f"row {number}, {name}", rule, str(getattr(row, name)))


def _run_order(row: ManifestRow, folder: Path) -> RunOrder:
    mapping = folder / row.mapping_path if row.mapping_path else None
    url = row.run_path if is_url(row.run_path) else None
    path = Path(url_file_name(url)) if url else folder / row.run_path
    return RunOrder(row.run_kind, row.run_format, path, row.started_at, row.train, mapping, url)
