"""The words PackGrade uses for batteries and measurements.

Closed sets (chemistry, level, run kind, provenance) and the canonical columns with their unit
and sign. Nothing here reads, converts or decides; a word that is not here is refused at the door.
Column names are Battery Data Format machine names where the format has one; current is positive
while charging.
"""

from dataclasses import dataclass
from enum import StrEnum


class Chemistry(StrEnum):
    """Positive-electrode family as declared on the plate."""

    LFP = "LFP"
    NMC = "NMC"
    NCA = "NCA"
    LMO = "LMO"
    LCO = "LCO"
    LTO = "LTO"
    NIMH = "NiMH"
    UNKNOWN = "unknown"


class Level(StrEnum):
    """What kind of thing carries the battery code."""

    CELL = "cell"
    MODULE = "module"
    PACK = "pack"


class Scheme(StrEnum):
    """Which coding scheme a battery identifier belongs to."""

    GBT34014 = "gbt34014"
    GBT34014_CASCADE = "gbt34014_cascade"
    LOCAL = "local"


class RunKind(StrEnum):
    """Which test a run is; the kind says which part of a file may be read."""

    PULSE_TEST = "pulse_test"
    PARTIAL_CHARGE = "partial_charge"
    CAPACITY_TEST = "capacity_test"
    IMPEDANCE = "impedance"
    FIELD_TELEMETRY = "field_telemetry"


class TableFormat(StrEnum):
    """Shape of a canonical table."""

    TIMESERIES = "timeseries"
    STEP_TABLE = "step_table"
    SPECTRUM = "spectrum"
    TELEMETRY = "telemetry"


class Provenance(StrEnum):
    """Who vouches for a measurement."""

    BENCH_MEASURED = "bench_measured"
    BMS_REPORTED = "bms_reported"
    OPERATOR_ENTERED = "operator_entered"


class StepType(StrEnum):
    """State of the tester during one step."""

    REST = "rest"
    CHARGE = "charge"
    DISCHARGE = "discharge"


@dataclass(frozen=True, slots=True)
class Column:
    """One canonical column.

    Attributes
    ----------
    name : str
        Machine name; ends with the unit.
    unit : str
        Unit of the values; empty for counts and words.
    lowest, highest : float
        Values outside are refused as a unit mistake or a sentinel, not judged as battery behaviour.
    required : bool
        Whether the format needs the column.
    """

    name: str
    unit: str
    lowest: float
    highest: float
    required: bool = True


_TEMPERATURE = Column("surface_temperature_celsius", "°C", -60.0, 150.0, required=False)

COLUMNS: dict[TableFormat, tuple[Column, ...]] = {
    TableFormat.TIMESERIES: (
        Column("test_time_second", "s", 0.0, 1e9),
        Column("voltage_volt", "V", -10.0, 1500.0),
        Column("current_ampere", "A", -5000.0, 5000.0),
        _TEMPERATURE,
        Column("step_count", "", 0.0, 1e9, required=False),
    ),
    TableFormat.STEP_TABLE: (
        Column("step_index", "", 0.0, 1e9),
        Column("step_type", "", 0.0, 0.0),
        Column("step_duration_second", "s", 0.0, 1e9),
        Column("current_ampere", "A", -5000.0, 5000.0),
        Column("voltage_begin_volt", "V", -10.0, 1500.0),
        Column("voltage_end_volt", "V", -10.0, 1500.0),
        _TEMPERATURE,
    ),
    TableFormat.SPECTRUM: (
        Column("frequency_hertz", "Hz", 1e-6, 1e7),
        Column("real_impedance_ohm", "Ω", -10.0, 1e4),
        Column("imaginary_impedance_ohm", "Ω", -1e4, 1e4),
        _TEMPERATURE,
    ),
    TableFormat.TELEMETRY: (
        Column("unix_time_second", "s", 0.0, 4.2e9),
        Column("pack_voltage_volt", "V", 0.0, 1500.0),
        Column("pack_current_ampere", "A", -5000.0, 5000.0),
        Column("reported_soc_percent", "%", 0.0, 100.0),
        Column("cell_voltage_max_volt", "V", 0.0, 6.0, required=False),
        Column("cell_voltage_min_volt", "V", 0.0, 6.0, required=False),
        Column("probe_temperature_max_celsius", "°C", -60.0, 150.0, required=False),
        Column("probe_temperature_min_celsius", "°C", -60.0, 150.0, required=False),
        Column("odometer_kilometer", "km", 0.0, 1e7, required=False),
        Column("insulation_resistance_kiloohm", "kΩ", 0.0, 1e6, required=False),
        Column("alarm_level", "", 0.0, 4.0, required=False),
        Column("charge_state", "", 0.0, 255.0, required=False),
        Column("reported_soh_percent", "%", 0.0, 150.0, required=False),
    ),
}
"""Canonical columns per table format, in order. Some also admit the numbered families below."""

NUMBERED_COLUMNS: dict[TableFormat, tuple[Column, ...]] = {
    TableFormat.TIMESERIES: (Column("cell_voltage_{n}_volt", "V", -10.0, 10.0, required=False),),
    TableFormat.TELEMETRY: (
        Column("cell_voltage_{n}_volt", "V", 0.0, 6.0, required=False),
        Column("probe_temperature_{n}_celsius", "°C", -60.0, 150.0, required=False),
    ),
}
"""Families with a running number from 1, such as ``cell_voltage_1_volt``.

On the bench a group may be driven below zero by the others.
"""

MAY_BE_MISSING: frozenset[TableFormat] = frozenset({TableFormat.TELEMETRY})
"""Formats whose cells may be NaN: a vehicle reports 'invalid' now and then, a bench does not.

An optional ``surface_temperature_celsius`` may be NaN in every format.
"""

FORMATS_BY_KIND: dict[RunKind, tuple[TableFormat, ...]] = {
    RunKind.PULSE_TEST: (TableFormat.STEP_TABLE, TableFormat.TIMESERIES),
    RunKind.PARTIAL_CHARGE: (TableFormat.TIMESERIES,),
    RunKind.CAPACITY_TEST: (TableFormat.STEP_TABLE, TableFormat.TIMESERIES),
    RunKind.IMPEDANCE: (TableFormat.SPECTRUM,),
    RunKind.FIELD_TELEMETRY: (TableFormat.TELEMETRY,),
}
"""Which table formats a run kind can be given in."""


@dataclass(frozen=True, slots=True)
class FeatureDefinition:
    """One feature: name (ends in its unit), unit and one-line meaning."""

    name: str
    unit: str
    meaning: str
