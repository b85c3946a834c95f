"""What a vehicle export calls its columns, in which units, with which sign and which 'invalid' values.

A mapping is a strict TOML file: unknown keys are errors, every value is checked, and nothing is
guessed from the data. It only describes a source; `bms_telemetry` applies it and tests it against
the data. How to write one is told in ``docs/vehicle-mappings.md``.

Every number is converted by one rule: ``(raw × scale + offset)`` is in ``unit``, and the unit is
then converted to the canonical one. Sentinels and valid ranges speak of the raw numbers, as they
stand in the file.
"""

import json
import re
import tomllib
from datetime import timedelta, timezone, tzinfo
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from features.errors import InvalidInput, Problem, UnreadableFile

LARGEST_MAPPING_BYTE = 1_000_000

UNITS: dict[str, tuple[float, float]] = {
    "V": (1.0, 0.0),
    "mV": (1e-3, 0.0),
    "A": (1.0, 0.0),
    "mA": (1e-3, 0.0),
    "percent": (1.0, 0.0),
    "fraction": (100.0, 0.0),
    "degC": (1.0, 0.0),
    "K": (1.0, -273.15),
    "km": (1.0, 0.0),
    "m": (1e-3, 0.0),
    "ohm": (1e-3, 0.0),
    "kohm": (1.0, 0.0),
    "Mohm": (1e3, 0.0),
}
"""Factor and shift from a file's unit to the canonical one: V, A, %, °C, km, kΩ."""

_OFFSET_ZONE = re.compile(r"([+-])(\d{2}):([0-5]\d)")


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class FileLayout(_Strict):
    """How the file is written.

    Attributes
    ----------
    kind : str
        ``csv`` (also gzip-compressed, by the suffix ``.gz``) or ``parquet``.
    separator, encoding, decimal_point : str
        Of a csv file.
    missing_words : tuple of str
        Cells that mean 'no value' in a csv file.
    """

    kind: Literal["csv", "parquet"]
    separator: str = Field(default=",", min_length=1, max_length=1)
    encoding: str = "utf-8"
    decimal_point: Literal[".", ","] = "."
    missing_words: tuple[str, ...] = ("", "NaN", "nan", "NULL", "null", "None")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.separator == self.decimal_point:
            raise ValueError(f"separator and decimal_point cannot both be {self.separator!r}")
        try:
            "0".encode(self.encoding)
        except LookupError:
            raise ValueError(f"encoding {self.encoding!r} is not known") from None
        return self


class TimeColumn(_Strict):
    """Where the time stands and how it is written.

    Attributes
    ----------
    column : str
        Column of the file.
    format : str
        ``unix_second``, ``unix_millisecond``, ``timestamp`` (a Parquet timestamp) or a strptime text.
    zone : str or None
        ``Asia/Shanghai`` or ``+08:00``; needed unless the time itself names its zone.
    longest_interval_second : float or None
        A longer silence is a gap; None takes ten times the usual interval. [s]
    """

    column: str
    format: str
    zone: str | None = None
    longest_interval_second: float | None = Field(default=None, gt=0.0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        absolute = self.format.startswith("unix_") or "%z" in self.format
        if self.format not in ("unix_second", "unix_millisecond", "timestamp") and "%" not in self.format:
            raise ValueError("format is unix_second, unix_millisecond, timestamp or a text with % directives")
        if absolute and self.zone is not None:
            raise ValueError(f"a time written as {self.format} names its own zone; leave zone out")
        if not absolute and self.zone is None and self.format != "timestamp":
            raise ValueError("zone is needed: a local time without zone is no moment")
        if self.zone is not None:
            zone_of(self.zone)
        return self


def zone_of(name: str) -> tzinfo:
    """Time zone by its name (``Asia/Shanghai``) or offset (``+08:00``).

    Raises
    ------
    ValueError
        If neither is recognised.
    """
    offset = _OFFSET_ZONE.fullmatch(name)
    if offset:
        sign, hours, minutes = offset.groups()
        return timezone((1 if sign == "+" else -1) * timedelta(hours=int(hours), minutes=int(minutes)))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"zone {name!r} is neither a known zone nor an offset such as +08:00") from None


class Quantity(_Strict):
    """What every number needs: unit, scale, offset and the values that mean 'invalid'.

    Attributes
    ----------
    unit : str
        Unit of ``raw × scale + offset``; a key of `UNITS`.
    scale, offset : float
        From the raw number to `unit`.
    sentinels : tuple of float
        Raw numbers that mean 'invalid'.
    sentinel_tolerance : float
        How near to a sentinel a raw number counts as one.
    valid_range : (float, float) or None
        Raw numbers outside mean 'invalid'.
    """

    unit: str
    scale: float = 1.0
    offset: float = 0.0
    sentinels: tuple[float, ...] = ()
    sentinel_tolerance: float = Field(default=1e-4, ge=0.0)
    valid_range: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        if self.scale == 0.0:
            raise ValueError("scale cannot be 0")
        if self.valid_range is not None and self.valid_range[0] >= self.valid_range[1]:
            raise ValueError(f"valid_range must rise, got {list(self.valid_range)}")
        return self

    @property
    def factor(self) -> float:
        """Multiplies the raw number on its way to the canonical unit."""
        return self.scale * UNITS[self.unit][0]

    @property
    def shift(self) -> float:
        """Added after the factor, in the canonical unit."""
        return self.offset * UNITS[self.unit][0] + UNITS[self.unit][1]


class SingleColumn(Quantity):
    """A quantity in one column of the file."""

    column: str


class Voltage(SingleColumn):
    """A voltage column."""

    unit: Literal["V", "mV"]


class Current(SingleColumn):
    """The current column; `positive` says what a positive number of the file means."""

    unit: Literal["A", "mA"]
    positive: Literal["charging", "discharging"]

    @property
    def factor(self) -> float:
        """Multiplies the raw number; carries the sign, positive while charging."""
        return super().factor * self._sign

    @property
    def shift(self) -> float:
        """Added after the factor; carries the sign too."""
        return super().shift * self._sign

    @property
    def _sign(self) -> float:
        return 1.0 if self.positive == "charging" else -1.0


class StateOfCharge(SingleColumn):
    """The state of charge the vehicle reports."""

    unit: Literal["percent", "fraction"]


class StateOfHealth(SingleColumn):
    """The state of health the vehicle reports; compared with ours, never the answer."""

    unit: Literal["percent", "fraction"]


class Temperature(SingleColumn):
    """A temperature column."""

    unit: Literal["degC", "K"]


class Distance(SingleColumn):
    """The odometer."""

    unit: Literal["km", "m"]


class Insulation(SingleColumn):
    """The insulation resistance; cars differ in its unit."""

    unit: Literal["ohm", "kohm", "Mohm"]


class Codes(_Strict):
    """A column of codes and what each means.

    Attributes
    ----------
    column : str or tuple of str
        Column of the file; several for alarms, of which the highest level counts.
    codes : dict of str to int
        Code as written in the file, and its canonical meaning. A code that is not listed is an error.
    sentinels : tuple of str
        Codes that mean 'invalid'.
    """

    column: str | tuple[str, ...]
    codes: dict[str, int] = Field(min_length=1)
    sentinels: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the file, one or several."""
        return (self.column,) if isinstance(self.column, str) else self.column

    def _check_meanings(self, lowest: int, highest: int, meaning: str) -> None:
        if wrong := [code for code in self.codes.values() if not lowest <= code <= highest]:
            raise ValueError(f"codes mean {meaning}; got {wrong[0]}")


class AlarmLevel(Codes):
    """Alarm levels 0 to 4 (GB/T 32960.3-2025; 4 is a thermal event)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_meanings(0, 4, "an alarm level from 0 to 4")
        return self


class ChargeState(Codes):
    """Charge states of GB/T 32960.3: 1 charging parked, 2 charging driven, 3 not charging, 4 charge complete."""

    column: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_meanings(1, 4, "1 charging parked, 2 charging driven, 3 not charging or 4 charge complete")
        return self


class CanonicalColumns(_Strict):
    """One entry per canonical column that the file has; the first three are required."""

    pack_voltage_volt: Voltage
    pack_current_ampere: Current
    reported_soc_percent: StateOfCharge
    cell_voltage_max_volt: Voltage | None = None
    cell_voltage_min_volt: Voltage | None = None
    probe_temperature_max_celsius: Temperature | None = None
    probe_temperature_min_celsius: Temperature | None = None
    odometer_kilometer: Distance | None = None
    insulation_resistance_kiloohm: Insulation | None = None
    alarm_level: AlarmLevel | None = None
    charge_state: ChargeState | None = None
    reported_soh_percent: StateOfHealth | None = None

    @property
    def quantities(self) -> dict[str, SingleColumn]:
        """The numeric entries by canonical name."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: entry for name, entry in given.items() if isinstance(entry, SingleColumn)}

    @property
    def coded(self) -> dict[str, Codes]:
        """The coded entries by canonical name."""
        given = {"alarm_level": self.alarm_level, "charge_state": self.charge_state}
        return {name: entry for name, entry in given.items() if entry is not None}


class NumberedColumns(Quantity):
    """A family: many numbered columns, or all values as a list in one column.

    Attributes
    ----------
    columns : str or None
        Column name with ``{n}`` for the number, such as ``V_{n}``.
    numbers : (int, int) or None
        First and last number; None takes every column that fits.
    list_column : str or None
        Column that holds the whole list, instead of `columns`.
    list_separator : str
        Between the values of a list.
    count : int or None
        Length of a list; None takes the usual length. A list of another length counts as invalid.
    """

    columns: str | None = None
    numbers: tuple[int, int] | None = None
    list_column: str | None = None
    list_separator: str = Field(default=";", min_length=1)
    count: int | None = Field(default=None, ge=1, le=999)

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if (self.columns is None) == (self.list_column is None):
            raise ValueError("give either columns or list_column")
        if self.columns is not None and self.columns.count("{n}") != 1:
            raise ValueError("columns needs {n} once, where the number stands")
        if self.numbers is not None and (self.columns is None or not 0 <= self.numbers[0] <= self.numbers[1] <= 9999):
            raise ValueError("numbers are the first and the last number of columns")
        return self


class CellVoltages(NumberedColumns):
    """The cell voltages."""

    unit: Literal["V", "mV"]


class ProbeTemperatures(NumberedColumns):
    """The temperature probes."""

    unit: Literal["degC", "K"]


class VehicleMapping(_Strict):
    """How one source is turned into the canonical ``telemetry`` table.

    Attributes
    ----------
    name, source : str
        What it describes, and where that knowledge comes from.
    series_count : int or None
        Cells in series, where the cell list shows only part of them; None takes the length of the list.
    file, time, columns, cells, probes
        Layout of the file, its time and its columns.
    """

    name: str = Field(min_length=1)
    source: str = Field(min_length=1)
    file: FileLayout
    time: TimeColumn
    columns: CanonicalColumns
    cells: CellVoltages | None = None
    probes: ProbeTemperatures | None = None
    series_count: int | None = Field(default=None, ge=1, le=10_000)

    @model_validator(mode="after")
    def _check(self) -> Self:
        used = [self.time.column, *(entry.column for entry in self.columns.quantities.values())]
        if twice := sorted({name for name in used if used.count(name) > 1}):
            raise ValueError(f"column {twice[0]!r} is mapped twice")
        if self.file.kind == "csv" and self.time.format == "timestamp":
            raise ValueError("a csv file holds text: give the time's format with % directives")
        return self


def load_vehicle_mapping(path: Path) -> VehicleMapping:
    """Load the mapping of a source, every value checked.

    Parameters
    ----------
    path : Path
        TOML file of at most 1 MB.

    Raises
    ------
    UnreadableFile
        If it is no TOML.
    InvalidInput
        If a key is unknown or missing, or a value is not allowed; every fault is named.
    """
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_MAPPING_BYTE + 1)
        if len(text) > LARGEST_MAPPING_BYTE:
            raise UnreadableFile(path.name, "a mapping is at most 1 MB")
        given = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise UnreadableFile(path.name, "must be TOML in UTF-8", str(fault)) from fault
    except OSError as fault:
        raise UnreadableFile(path.name, "cannot be opened", fault.strerror or "") from fault
    try:
        return VehicleMapping.model_validate_json(json.dumps(given, default=str))
    except ValidationError as fault:
        raise InvalidInput(f"The vehicle mapping {path.name} is not valid.", _problems(fault)) from None


def _problems(fault: ValidationError) -> list[Problem]:
    return [
        Problem(
            ".".join(str(part) for part in error["loc"]) or "mapping",
            error["msg"].removeprefix("Value error, "),
            "" if isinstance(error["input"], dict) else repr(error["input"])[:80],
        )
        for error in fault.errors()
    ]
