"""Telemetry as vehicles record it, turned into the canonical ``telemetry`` table by a mapping.

The mapping (`vehicle_mapping`) says how the source is written; here it is applied, and then tested
against the data: a mapping that contradicts what it describes is refused with the evidence. What
means 'invalid' becomes missing (NaN); everything left out or put in order is a finding with its
count. Current in the result is positive while charging.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from features.errors import InvalidInput, Problem, UnreadableFile
from features.findings import Evidence, Finding, Message, Severity
from features.measurement import CanonicalTable, FloatArray
from features.readers.mapping_checks import contradictions, sign_findings
from features.readers.reading import Reading
from features.readers.telemetry_clock import IntArray, gap_findings, rows_in_order, unix_seconds
from features.readers.telemetry_columns import (
    ConvertedColumn,
    converted_codes,
    converted_number,
    family_columns,
    list_values,
)
from features.readers.vehicle_export import Export, column_names, read_export
from features.readers.vehicle_mapping import NumberedColumns, VehicleMapping, load_vehicle_mapping
from features.vocabulary import TableFormat

__all__ = ["load_vehicle_mapping", "read_bms_telemetry"]

MOST_MALFORMED_FRACTION = 0.01
"""A torn line or two is a logger's hiccup; more is another file than the mapping describes."""
MISSING_CAUTION_FRACTION = 0.05
_REQUIRED = ("pack_voltage_volt", "pack_current_ampere", "reported_soc_percent")
_SHOWN_NAMES = 10


def read_bms_telemetry(path: Path, mapping: VehicleMapping) -> Reading:
    """Read a vehicle export through its mapping.

    Parameters
    ----------
    path : Path
        csv, gzip-compressed csv or Parquet.
    mapping : VehicleMapping
        How the file is written.

    Returns
    -------
    Reading
        Canonical ``telemetry`` table, findings, and the moment of the first row.

    Raises
    ------
    UnreadableFile
        If the file is damaged, too large, or not of the kind the mapping says.
    InvalidInput
        If a mapped column is absent, or the data contradict the mapping
        (``MAPPING_CONTRADICTS_DATA``); every fault is named with its evidence.
    """
    names = column_names(path, mapping.file)
    families = [*_families(mapping, names)]
    numeric, as_written = _wanted(mapping, families)
    _refuse_absent(path, names, [*numeric, *as_written])
    export = read_export(path, mapping.file, numeric, as_written)
    findings = [*_ignored_findings(names, {*numeric, *as_written}), *_malformed_findings(path, export)]
    written_time = export.table.column(mapping.time.column)
    unix_second = unix_seconds(written_time, mapping.time)
    rows, clock_findings = rows_in_order(unix_second, written_time, mapping.time)
    converted = [*_single(export, mapping, rows)]
    for family in families:
        columns, family_findings = _numbered(export, mapping, family, rows)
        converted += columns
        findings += family_findings
    _refuse_silent(path, converted)
    columns_by_name = {"unix_time_second": unix_second[rows]} | {each.name: each.values for each in converted}
    table = CanonicalTable(TableFormat.TELEMETRY, columns_by_name)
    _refuse_contradictions(path, mapping, table)
    findings += [*clock_findings, *gap_findings(unix_second[rows], mapping.time), *_invalid_findings(converted)]
    findings += [*_odometer_findings(table), *sign_findings(table)]
    started_at = datetime.fromtimestamp(float(unix_second[rows[0]]), UTC)
    return Reading(table, tuple(findings), started_at)


@dataclass(frozen=True)
class _Family:
    """A numbered family as the file has it: canonical name parts, mapping, number and name of its columns."""

    stem: str
    unit: str
    entry: NumberedColumns
    members: tuple[tuple[int, str], ...]


def _families(mapping: VehicleMapping, names: Sequence[str]) -> Iterator[_Family]:
    given = (("cell_voltage", "volt", mapping.cells), ("probe_temperature", "celsius", mapping.probes))
    for stem, unit, entry in given:
        if entry is not None:
            members = () if entry.list_column is not None else family_columns(names, entry)
            yield _Family(stem, unit, entry, members)


def _wanted(mapping: VehicleMapping, families: Sequence[_Family]) -> tuple[list[str], list[str]]:
    numeric = [entry.column for entry in mapping.columns.quantities.values()]
    numeric += [name for family in families for _, name in family.members]
    as_written = [mapping.time.column]
    as_written += [name for codes in mapping.columns.coded.values() for name in codes.columns]
    as_written += [family.entry.list_column for family in families if family.entry.list_column is not None]
    return list(dict.fromkeys(numeric)), list(dict.fromkeys(as_written))


def _refuse_absent(path: Path, names: Sequence[str], wanted: Sequence[str]) -> None:
    absent = [name for name in wanted if name not in names]
    repeated = [name for name in wanted if names.count(name) > 1]
    problems = [Problem(f"{path.name} column {name}", "is mapped but absent") for name in absent]
    problems += [Problem(f"{path.name} column {name}", "stands in the file more than once") for name in repeated]
    if problems:
        raise InvalidInput(f"{path.name} does not have the columns its mapping names. Nothing was graded.", problems)


def _single(export: Export, mapping: VehicleMapping, rows: IntArray) -> Iterator[ConvertedColumn]:
    for name, entry in mapping.columns.quantities.items():
        yield converted_number(name, entry.column, export.numbers(entry.column)[rows], entry)
    for name, codes in mapping.columns.coded.items():
        written = [export.table.column(column).take(rows) for column in codes.columns]
        yield converted_codes(name, written, codes, mapping.file)


def _numbered(
    export: Export, mapping: VehicleMapping, family: _Family, rows: IntArray
) -> tuple[list[ConvertedColumn], list[Finding]]:
    entry = family.entry
    raw: Iterator[tuple[str, FloatArray]]
    if entry.list_column is not None:
        values, other_length_count = list_values(export.table.column(entry.list_column), entry, mapping.file)
        raw = ((f"{entry.list_column}[{n}]", values[rows, n]) for n in range(values.shape[1]))
        findings = [*_length_findings(family.stem, other_length_count, values.shape[1])]
    else:
        raw = ((name, export.numbers(name)[rows]) for _, name in family.members)
        findings = [*_renumbered_findings(family.stem, family.members)]
    columns = [
        converted_number(f"{family.stem}_{number}_{family.unit}", name, values, entry)
        for number, (name, values) in enumerate(raw, start=1)
    ]
    return columns, findings


def _refuse_silent(path: Path, converted: Sequence[ConvertedColumn]) -> None:
    silent = [each.name for each in converted if each.name in _REQUIRED and np.isnan(each.values).all()]
    if silent:
        raise UnreadableFile(path.name, "must have at least one valid value", ", ".join(silent), "required columns")


def _refuse_contradictions(path: Path, mapping: VehicleMapping, table: CanonicalTable) -> None:
    problems = contradictions(table, mapping.series_count)
    if problems:
        message = f"Mapping {mapping.name!r} contradicts {path.name}. Nothing was graded. Correct the mapping."
        raise InvalidInput(message, problems, code="MAPPING_CONTRADICTS_DATA")


def _ignored_findings(names: Sequence[str], wanted: set[str]) -> Iterator[Finding]:
    ignored = [name for name in names if name not in wanted]
    if ignored:
        shown = ", ".join(ignored[:_SHOWN_NAMES])
        message = Message(
            f"{len(ignored)} columns of the file are not mapped and were not read: {shown}.",
            f"文件中有{len(ignored)}列未映射，未读取：{shown}。",
        )
        evidence: Evidence = {"column_count": len(ignored), "columns": shown}
        yield Finding("telemetry.columns_ignored", Severity.NOTE, message, evidence)


def _malformed_findings(path: Path, export: Export) -> Iterator[Finding]:
    malformed = export.malformed_row_count
    if malformed > max(1.0, MOST_MALFORMED_FRACTION * export.table.num_rows):
        rule = "more than 1 % of the lines have another number of cells than the heading"
        raise UnreadableFile(path.name, rule, f"{malformed} of {malformed + export.table.num_rows}")
    if malformed:
        message = Message(
            f"{malformed} lines with another number of cells than the heading were left out.",
            f"已去除{malformed}行列数与表头不符的数据。",
        )
        yield Finding("telemetry.rows_malformed", Severity.NOTE, message, {"row_count": malformed})


def _length_findings(stem: str, other_length_count: int, count: int) -> Iterator[Finding]:
    if other_length_count:
        message = Message(
            f"{other_length_count} {stem} lists have another length than {count}; their values count as missing.",
            f"有{other_length_count}条{stem}列表长度不是{count}，按缺失处理。",
        )
        evidence: Evidence = {"row_count": other_length_count, "usual_length": count}
        yield Finding(f"telemetry.{stem}_list_length", Severity.NOTE, message, evidence)


def _renumbered_findings(stem: str, members: tuple[tuple[int, str], ...]) -> Iterator[Finding]:
    moved = [(new, name) for new, (old, name) in enumerate(members, start=1) if new != old]
    if moved:
        new, name = moved[0]
        message = Message(
            f"The file's {stem} columns are not numbered 1, 2, 3 …; number {new} here is column {name}.",
            f"文件中{stem}列编号不连续；此处编号{new}对应列{name}。",
        )
        evidence: Evidence = {"renumbered_count": len(moved), "first_number": new, "first_column": name}
        yield Finding(f"telemetry.{stem}_renumbered", Severity.NOTE, message, evidence)


def _invalid_findings(converted: Sequence[ConvertedColumn]) -> Iterator[Finding]:
    evidence: dict[str, int | float | str] = {}
    for group in dict.fromkeys(map(_group, converted)):
        members = [each for each in converted if _group(each) == group]
        for kind in ("sentinel_count", "empty_count"):
            if found := sum(getattr(each, kind) for each in members):
                evidence[f"{group}_{kind}"] = found
    total = sum(int(count) for count in evidence.values())
    if total == 0:
        return
    worst = max(float(np.isnan(each.values).mean()) for each in converted if each.name in _REQUIRED)
    silent = [each.name for each in converted if np.isnan(each.values).all()]
    evidence |= {"largest_missing_fraction_of_required": worst}
    evidence |= {"silent_columns": ", ".join(silent[:_SHOWN_NAMES])} if silent else {}
    message = Message(
        f"{total} values mean 'invalid' or are empty and count as missing; {len(silent)} columns never report.",
        f"共{total}个值为无效码或空值，按缺失处理；{len(silent)}列始终无有效数据。",
    )
    severity = Severity.CAUTION if worst > MISSING_CAUTION_FRACTION else Severity.NOTE
    yield Finding("telemetry.invalid_values", severity, message, evidence)


def _group(column: ConvertedColumn) -> str:
    numbered = any(part.isdigit() for part in column.name.split("_"))
    return column.name.rsplit("_", 2)[0] if numbered else column.name


def _odometer_findings(table: CanonicalTable) -> Iterator[Finding]:
    if "odometer_kilometer" not in table:
        return
    reported = table.floats("odometer_kilometer")
    steps = np.diff(reported[np.isfinite(reported)])
    back = steps[steps < 0.0]
    if back.size:
        message = Message(
            f"The odometer steps back {back.size} times, by up to {-back.min():.1f} km.",
            f"里程表回退{back.size}次，最大{-back.min():.1f}公里。",
        )
        evidence: Evidence = {"step_count": int(back.size), "largest_step_kilometer": float(-back.min())}
        yield Finding("telemetry.odometer_steps_back", Severity.NOTE, message, evidence)
