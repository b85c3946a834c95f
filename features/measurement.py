"""What was measured on which battery, and every rule a measurement must obey.

A `BatteryHistory` that exists is valid: columns known, numbers finite, time increasing, currents
signed as their step says. Broken input raises `InvalidInput` naming place, rule and value; nothing
is repaired here. Files are read in `readers/`, quality is judged in `quality`. Arrays are read-only;
current is positive while charging.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Self

import numpy as np
import numpy.typing as npt

from features.battery_code import (
    BATTERY_ID_RULE,
    battery_id_is_sound,
    known_battery_id,
    parse_battery_code,
)
from features.errors import InvalidInput, Problem
from features.findings import Finding
from features.plain_text import plain_text
from features.vocabulary import (
    COLUMNS,
    FORMATS_BY_KIND,
    MAY_BE_MISSING,
    NUMBERED_COLUMNS,
    Chemistry,
    Column,
    Level,
    Provenance,
    RunKind,
    Scheme,
    StepType,
    TableFormat,
)

FloatArray = npt.NDArray[np.float64]
TableColumn = npt.NDArray[np.float64] | npt.NDArray[np.str_]

_GROUP = re.compile(r"cell_voltage_(\d+)_volt")
_SHOWN_PROBLEMS = 20
_EARLIEST_YEAR, _LATEST_YEAR = 1990, 2200
_LOWEST_PLATE = 0.001


@dataclass(frozen=True, slots=True)
class BatteryIdentity:
    """The battery as declared: who it is and what its plate says.

    Attributes
    ----------
    battery_id : str
        The identifier the battery is known under, as `declared` writes it.
    scheme : Scheme
        Coding scheme of `battery_id`.
    level : Level
        Cell, module or pack.
    chemistry : Chemistry
        Declared chemistry; ``unknown`` is allowed and never a known type.
    rated_capacity_ah : float
        Capacity on the plate. [Ah]
    nominal_voltage_volt : float or None
        Voltage on the plate. [V]
    series_count, parallel_count : int or None
        Cells in series, strings in parallel.
    type_designation : str or None
        The maker's type name.
    manufactured_on : date or None
        Date of manufacture, where declared.
    """

    battery_id: str
    level: Level
    chemistry: Chemistry
    rated_capacity_ah: float
    scheme: Scheme = Scheme.LOCAL
    nominal_voltage_volt: float | None = None
    series_count: int | None = None
    parallel_count: int | None = None
    type_designation: str | None = None
    manufactured_on: date | None = None

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise InvalidInput(f"The identity of battery {self.battery_id!r:.80} is not valid.", problems)

    def _problems(self) -> Iterator[Problem]:
        if not battery_id_is_sound(self.battery_id) or self.battery_id != self.battery_id.strip():
            yield Problem("battery_id", BATTERY_ID_RULE, repr(self.battery_id)[:80])
        elif self.scheme is not Scheme.LOCAL:
            yield from _code_problems(self.battery_id, self.scheme)
        yield from _positive("rated_capacity_ah", self.rated_capacity_ah, 1e5)
        if self.nominal_voltage_volt is not None:
            yield from _positive("nominal_voltage_volt", self.nominal_voltage_volt, 1500.0)
        for name in ("series_count", "parallel_count"):
            count = getattr(self, name)
            if count is not None and not 1 <= count <= 10_000:
                yield Problem(name, "must be between 1 and 10000", str(count))

    @classmethod
    def declared(cls, battery_id: str, *, scheme: Scheme | None = None, **plate: object) -> Self:
        """Identity from a scanned or typed code: the scheme is recognised where it is not given.

        Parameters
        ----------
        battery_id : str
            Code as scanned or typed; one battery is known under one identifier, however it is written
            (`known_battery_id`).
        scheme : Scheme, optional
            Scheme the sender declares. None recognises GB/T 34014 and falls back to ``local``. A valid GB/T 34014
            code declared as ``local`` is still that code: its scheme is no matter of opinion.
        **plate
            The other attributes of `BatteryIdentity`.

        Raises
        ------
        InvalidInput
            If a declared scheme does not fit the code, or the plate breaks a rule.
        """
        parsed = parse_battery_code(plain_text(battery_id))
        if scheme in (None, Scheme.LOCAL):
            scheme = parsed.scheme if parsed.valid else Scheme.LOCAL
        known = known_battery_id(battery_id) if scheme is Scheme.LOCAL else parsed.code
        return cls(battery_id=known, scheme=scheme, **plate)  # type: ignore[arg-type]  # checked by __post_init__


def _positive(name: str, value: float, highest: float) -> Iterator[Problem]:
    if not (math.isfinite(value) and _LOWEST_PLATE <= value <= highest):
        yield Problem(name, f"must be a number from {_LOWEST_PLATE:g} to {highest:g}", repr(value))


def _code_problems(battery_id: str, scheme: Scheme) -> Iterator[Problem]:
    parsed = parse_battery_code(battery_id)
    if not parsed.valid:
        yield from (problem.inside("battery_id") for problem in parsed.problems)
    elif parsed.scheme is not scheme:
        yield Problem("scheme", f"the code is written in scheme {parsed.scheme.value}", scheme.value)


@dataclass(frozen=True, slots=True)
class SourceStamp:
    """Where a table came from.

    Attributes
    ----------
    name : str
        File name or sender; never a path of a machine.
    sha256 : str
        Digest of the bytes that were read, 64 hex digits.
    reader : str
        Reader that converted them.
    provenance : Provenance
        Who vouches for the numbers.
    """

    name: str
    sha256: str
    reader: str
    provenance: Provenance = Provenance.BENCH_MEASURED


@dataclass(frozen=True)
class CanonicalTable:
    """One table in a canonical format; every rule of the format holds.

    Attributes
    ----------
    format : TableFormat
        Which format it is.
    columns : mapping of str to ndarray, shape (n,)
        Canonical columns, read-only, float64 except ``step_type``.

    Raises
    ------
    InvalidInput
        Unknown, missing or unequal columns, empty table, numbers that are not finite or out of
        range, time that does not increase, current against its step type.
    """

    format: TableFormat
    columns: Mapping[str, TableColumn]

    def __post_init__(self) -> None:
        problems = _shape_problems(self.format, self.columns)
        if not problems:
            frozen = {name: _read_only(values) for name, values in self.columns.items()}
            object.__setattr__(self, "columns", frozen)
            problems = [*_value_problems(self.format, frozen), *_order_problems(self.format, frozen)]
        if problems:
            raise InvalidInput(f"The {self.format.value} table breaks its rules.", problems[:_SHOWN_PROBLEMS])

    @property
    def row_count(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values())))

    @property
    def sha256(self) -> str:
        """Digest of the content, 64 hex digits: the same for CSV, Parquet and JSON of one table.

        SHA-256 over the format and, per column in alphabetical order, name, zero byte and values:
        little-endian float64, or words joined by line breaks.
        """
        digest = hashlib.sha256(self.format.value.encode())
        for name in sorted(self.columns):
            values = self.columns[name]
            words = values.dtype.kind in "US"
            content = "\n".join(values.tolist()).encode() if words else values.astype("<f8").tobytes()
            digest.update(b"\0" + name.encode() + b"\0" + content)
        return digest.hexdigest()

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def floats(self, name: str) -> FloatArray:
        """Column `name` as float64.

        Raises
        ------
        KeyError
            If the table has no such column.
        """
        return self.columns[name]  # type: ignore[return-value]  # only step_type holds words

    def words(self, name: str) -> npt.NDArray[np.str_]:
        """Column `name` as words (``step_type``)."""
        return self.columns[name]  # type: ignore[return-value]  # the caller names a word column

    def numbered(self, family: str) -> FloatArray:
        """Numbered columns of a family side by side, shape (n, count).

        Parameters
        ----------
        family : str
            Name with ``{n}``, such as ``cell_voltage_{n}_volt``; numbers start at 1 without gaps.
        """
        names: list[str] = []
        while (name := family.format(n=len(names) + 1)) in self.columns:
            names.append(name)
        if not names:
            return np.empty((self.row_count, 0))
        return np.column_stack([self.floats(name) for name in names])


def _read_only(values: TableColumn) -> TableColumn:
    array: TableColumn = np.array(values, dtype=None if values.dtype.kind in "US" else np.float64)
    array.flags.writeable = False
    return array


def column_definition(table_format: TableFormat, name: str) -> Column | None:
    """Definition of a canonical column, numbered families included; None if the format has no such column."""
    for column in COLUMNS[table_format]:
        if column.name == name:
            return column
    for family in NUMBERED_COLUMNS.get(table_format, ()):
        before, after = family.name.split("{n}")
        number = name[len(before) : len(name) - len(after)]
        if name.startswith(before) and name.endswith(after) and re.fullmatch(r"[1-9]\d{0,2}", number):
            return replace(family, name=name)
    return None


def _shape_problems(table_format: TableFormat, columns: Mapping[str, TableColumn]) -> list[Problem]:
    unknown = [
        Problem(name, f"is not a column of {table_format.value}")
        for name in columns
        if column_definition(table_format, name) is None
    ]
    missing = [
        Problem(column.name, f"is required in {table_format.value}")
        for column in COLUMNS[table_format]
        if column.required and column.name not in columns
    ]
    mistyped = [
        Problem(name, f"must hold {'words' if name == 'step_type' else 'numbers'}", str(values.dtype))
        for name, values in columns.items()
        if values.dtype.kind not in ("U" if name == "step_type" else "fiu")
    ]
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name}={length}" for name, length in lengths.items())
        return [*unknown, *missing, *mistyped, Problem("", "all columns must have the same length", shown[:200])]
    if lengths and not any(lengths.values()):
        return [*unknown, *missing, *mistyped, Problem("", "the table must have at least one row")]
    return [*unknown, *missing, *mistyped, *_numbering_problems(table_format, columns)]


def _numbering_problems(table_format: TableFormat, columns: Mapping[str, TableColumn]) -> Iterator[Problem]:
    """A bench file numbers its groups from 1 without a gap; a vehicle may leave one out."""
    if table_format is TableFormat.TIMESERIES:
        numbers = sorted(int(each[1]) for each in map(_GROUP.fullmatch, columns) if each)
        absent = next((n for n, number in enumerate(numbers, start=1) if n != number), None)
        if absent is not None:
            yield Problem(f"cell_voltage_{absent}_volt", "is missing: groups are numbered from 1 without a gap")


def _value_problems(table_format: TableFormat, columns: Mapping[str, TableColumn]) -> Iterator[Problem]:
    for name, values in columns.items():
        definition = column_definition(table_format, name)
        if definition is None or name == "step_type":
            continue
        optional_gap = table_format in MAY_BE_MISSING or name == "surface_temperature_celsius"
        numbers = np.asarray(values, dtype=np.float64)
        allowed = (numbers >= definition.lowest) & (numbers <= definition.highest)
        if optional_gap:
            allowed |= np.isnan(numbers)
        for row in np.flatnonzero(~allowed)[:3]:
            rule = f"must be a finite number from {definition.lowest:g} to {definition.highest:g} {definition.unit}"
            yield Problem(f"{name}[{row}]", rule.strip(), f"{values[row]}")


def _order_problems(table_format: TableFormat, columns: Mapping[str, TableColumn]) -> Iterator[Problem]:
    clock = {
        TableFormat.TIMESERIES: "test_time_second",
        TableFormat.TELEMETRY: "unix_time_second",
        TableFormat.STEP_TABLE: "step_index",
        TableFormat.SPECTRUM: None,
    }[table_format]
    if clock is not None:
        yield from _increasing(clock, columns[clock])  # type: ignore[arg-type]  # a clock holds numbers
    if table_format is TableFormat.STEP_TABLE:
        yield from _step_problems(columns)


def _increasing(name: str, values: FloatArray) -> Iterator[Problem]:
    if np.isnan(values).any():
        yield Problem(f"{name}[{int(np.flatnonzero(np.isnan(values))[0])}]", "must not be missing", "nan")
        return
    for row in np.flatnonzero(np.diff(values) <= 0)[:3]:
        rule = "must be larger than the value before it"
        yield Problem(f"{name}[{row + 1}]", rule, f"{values[row]:.6f} then {values[row + 1]:.6f}")


def _step_problems(columns: Mapping[str, TableColumn]) -> Iterator[Problem]:
    step_type, current = columns["step_type"], np.asarray(columns["current_ampere"], dtype=np.float64)
    known = np.isin(step_type, [word.value for word in StepType])
    for row in np.flatnonzero(~known)[:3]:
        yield Problem(f"step_type[{row}]", "must be rest, charge or discharge", repr(str(step_type[row]))[:40])
    against = ((step_type == StepType.CHARGE) & ~(current > 0)) | ((step_type == StepType.DISCHARGE) & ~(current < 0))
    for row in np.flatnonzero(against)[:3]:
        rule = f"current is positive while charging and negative while discharging; this step is a {step_type[row]}"
        yield Problem(f"current_ampere[{row}]", rule, f"{current[row]}")


@dataclass(frozen=True)
class MeasurementRun:
    """One test: its kind, its times, its source and its table.

    Attributes
    ----------
    kind : RunKind
        Which test it is; only that part of the table may be read.
    started_at, available_at : datetime
        When the test began and when its file could be known; aware, kept in UTC.
    source : SourceStamp
        Where the table came from.
    table : CanonicalTable
        The measurement.
    train : int or None
        Which pulse train of the table is meant, counted from 1. None takes the first.
    findings : tuple of Finding
        What the reader noticed while converting the source.
    """

    kind: RunKind
    started_at: datetime
    available_at: datetime
    source: SourceStamp
    table: CanonicalTable
    train: int | None = None
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise InvalidInput(f"The {self.kind.value} run from {self.source.name!r:.80} is not valid.", problems)
        object.__setattr__(self, "started_at", self.started_at.astimezone(UTC))
        object.__setattr__(self, "available_at", self.available_at.astimezone(UTC))

    def _problems(self) -> Iterator[Problem]:
        allowed = FORMATS_BY_KIND[self.kind]
        if self.table.format not in allowed:
            words = " or ".join(each.value for each in allowed)
            yield Problem("format", f"a {self.kind.value} comes as {words}", self.table.format.value)
        for name in ("started_at", "available_at"):
            if getattr(self, name).tzinfo is None:
                yield Problem(name, "must carry a time zone", str(getattr(self, name)))
                return
            if not _EARLIEST_YEAR <= getattr(self, name).year <= _LATEST_YEAR:
                rule = f"must lie between the years {_EARLIEST_YEAR} and {_LATEST_YEAR}"
                yield Problem(name, rule, str(getattr(self, name)))
                return
        if self.available_at < self.started_at:
            yield Problem("available_at", "cannot be before started_at", self.available_at.isoformat())
        if self.train is not None and (self.kind is not RunKind.PULSE_TEST or self.train < 1):
            yield Problem("train", "counts the trains of a pulse_test from 1", str(self.train))


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an inspector or the vehicle says about safety; None means not looked at.

    Attributes
    ----------
    leakage, swelling, burn, water_ingress, deformation : bool or None
        Appearance.
    insulation_ohm_per_volt : float or None
        Insulation resistance over system voltage. [Ω/V]
    alarm_level : int or None
        Highest alarm of the vehicle, 0 to 4 (4 = thermal event, GB/T 32960.3-2025).
    """

    leakage: bool | None = None
    swelling: bool | None = None
    burn: bool | None = None
    water_ingress: bool | None = None
    deformation: bool | None = None
    insulation_ohm_per_volt: float | None = None
    alarm_level: int | None = None

    def __post_init__(self) -> None:
        problems = []
        insulation = self.insulation_ohm_per_volt
        if insulation is not None and not (math.isfinite(insulation) and insulation >= 0.0):
            problems.append(
                Problem("insulation_ohm_per_volt", "must be a finite number, not negative", f"{insulation}")
            )
        if self.alarm_level is not None and not 0 <= self.alarm_level <= 4:
            problems.append(Problem("alarm_level", "must be between 0 and 4", str(self.alarm_level)))
        if problems:
            raise InvalidInput("The inspection is not valid.", problems)


@dataclass(frozen=True)
class BatteryHistory:
    """Everything known about one battery.

    Attributes
    ----------
    identity : BatteryIdentity
        Who it is.
    runs : sequence of MeasurementRun
        What was measured, in any order.
    inspection : Inspection
        What was seen.
    """

    identity: BatteryIdentity
    runs: Sequence[MeasurementRun] = ()
    inspection: Inspection = field(default_factory=Inspection)

    def __post_init__(self) -> None:
        object.__setattr__(self, "runs", tuple(self.runs))

    def as_available_at(self, moment: datetime) -> "BatteryHistory":
        """Leave out the runs that could not be known at `moment`.

        Raises
        ------
        ValueError
            If `moment` carries no time zone.
        """
        if moment.tzinfo is None:
            raise ValueError(f"The grading moment must carry a time zone, got {moment.isoformat()}.")
        return replace(self, runs=tuple(run for run in self.runs if run.available_at <= moment))
