"""The two editions of GB/T 32960.3 as data: where a number stands, and how long a block is.

Nothing here reads. A block is described by its parts: a number is that many fixed bytes, a `Repeat`
is a count followed by that many items. The paid text of the standard was not read in full; every block
says how sure it is: ``two sources`` (two independent public descriptions agree), ``one source``, or
``unsure``. Blocks that carry nothing about the battery are here only so that they can be passed over.
"""

from dataclasses import dataclass, field
from enum import IntEnum


class Command(IntEnum):
    """Commands whose frames carry what we read; every other command is counted and passed over."""

    LOGIN = 0x01
    REALTIME = 0x02
    REISSUE = 0x03
    LOGOUT = 0x04


COMMAND_MARK = 0xFE
"""Answer byte of a frame that is itself a report; anything else answers one."""
NOT_ENCRYPTED = 0x01
FIRST_MAKER_BLOCK, LAST_MAKER_BLOCK = 0x80, 0xFE
"""Blocks a maker defines for itself: a WORD of length, then that many bytes (both editions)."""
LARGEST_LIST_COUNT_2016 = 200
"""Cell voltages in one list of one 2016 frame; longer lists come in several frames."""
HIGHEST_CELL_MILLIVOLT = 6000
HIGHEST_PROBE_RAW = 190
"""Canonical limits of a cell (6 V) and of a probe (150 °C = raw 190); beyond is a fault, not a battery."""
PROBE_OFFSET_KELVIN = 40


@dataclass(frozen=True, slots=True)
class Repeat:
    """A count, then that many items of the given parts; 0xFE.. and 0xFF.. count as none."""

    count_bytes: int
    item: tuple["int | Repeat", ...]


Parts = tuple[int | Repeat, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A block that is passed over or read at fixed places: name, parts, and how sure that is."""

    name: str
    parts: Parts
    status: str = "two sources"


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a block: ``(raw - zero) / divisor`` in the unit of its canonical column.

    Attributes
    ----------
    column : str
        Canonical telemetry column.
    position, size : int
        First byte after the block's type byte, and number of bytes.
    zero, divisor : int
        Raw number that means zero, and raw steps per unit.
    lowest_raw, highest_raw : int
        Valid raw numbers: the standard's range cut to the canonical limits.
    """

    column: str
    position: int
    size: int
    zero: int
    divisor: int
    highest_raw: int
    lowest_raw: int = 0


def _vehicle_numbers(current_zero: int, highest_current: int) -> tuple[Number, ...]:
    return (
        Number("charge_state", 1, 1, 0, 1, 4, lowest_raw=1),
        Number("odometer_kilometer", 5, 4, 0, 10, 9_999_999),
        Number("pack_voltage_volt", 9, 2, 0, 10, 15_000),
        Number("pack_current_ampere", 11, 2, current_zero, 10, highest_current),
        Number("reported_soc_percent", 13, 1, 0, 1, 100),
        Number("insulation_resistance_kiloohm", 16, 2, 0, 1, 60_000),
    )


_EXTREMES = (
    Number("cell_voltage_max_volt", 2, 2, 0, 1000, HIGHEST_CELL_MILLIVOLT),
    Number("cell_voltage_min_volt", 6, 2, 0, 1000, HIGHEST_CELL_MILLIVOLT),
    Number("probe_temperature_max_celsius", 10, 1, PROBE_OFFSET_KELVIN, 1, HIGHEST_PROBE_RAW),
    Number("probe_temperature_min_celsius", 13, 1, PROBE_OFFSET_KELVIN, 1, HIGHEST_PROBE_RAW),
)
_FAULT_CODES = Repeat(1, (4,))


@dataclass(frozen=True, slots=True)
class Edition:
    """One edition: what its frames begin with and how its blocks are numbered.

    Attributes
    ----------
    year : int
        2016 or 2025.
    marker : bytes
        First two bytes of a frame.
    blocks : dict of int to Block
        Every block of known length, by type byte.
    vehicle, alarms, cells, probes : int
        Type bytes of blocks that are looked up by what they are.
    numbers : dict of int to tuple of Number
        What is read at fixed places, by type byte.
    splits_cell_lists : bool
        Whether a cell list states its first cell and its own count beside the total.
    current_zero : int
        Raw current that means 0 A, in 0.1 A.
    signature : int or None
        Type byte that begins the signature at the end.
    alarm_bits : dict of int to str
        Bits of the general alarm word that speak of the battery.
    """

    year: int
    marker: bytes
    blocks: dict[int, Block]
    numbers: dict[int, tuple[Number, ...]]
    alarms: int
    cells: int
    probes: int
    splits_cell_lists: bool
    current_zero: int
    vehicle: int = 0x01
    signature: int | None = None
    alarm_bits: dict[int, str] = field(default_factory=dict)


BATTERY_ALARM_BITS_2016 = {
    1: "battery temperature high",
    2: "pack over-voltage",
    3: "pack under-voltage",
    5: "cell over-voltage",
    6: "cell under-voltage",
    9: "pack does not match",
    10: "cell consistency poor",
    11: "insulation",
    18: "overcharge",
}
THERMAL_EVENT_BIT = 23
"""Bits of the general alarm word that speak of the battery; the others are not judged."""

EDITION_2016 = Edition(
    year=2016,
    marker=b"##",
    blocks={
        0x01: Block("vehicle", (20,)),
        0x02: Block("drive motors", (Repeat(1, (12,)),)),
        0x03: Block("fuel cell", (6, Repeat(2, (1,)), 10), "one source"),
        0x04: Block("engine", (5,)),
        0x05: Block("position", (9,)),
        0x06: Block("extremes", (14,)),
        0x07: Block("alarms", (5, _FAULT_CODES, _FAULT_CODES, _FAULT_CODES, _FAULT_CODES)),
    },
    numbers={
        0x01: _vehicle_numbers(10_000, 20_000),
        0x06: _EXTREMES,
        0x07: (Number("alarm_level", 0, 1, 0, 1, 3),),
    },
    alarms=0x07,
    cells=0x08,
    probes=0x09,
    splits_cell_lists=True,
    current_zero=10_000,
    alarm_bits=BATTERY_ALARM_BITS_2016,
)

EDITION_2025 = Edition(
    year=2025,
    marker=b"$$",
    blocks={
        0x01: Block("vehicle", (18,)),
        0x02: Block("drive motors", (Repeat(1, (10,)),)),
        0x03: Block("fuel cell system", (12,), "one source"),
        0x04: Block("engine", (2,)),
        0x05: Block("position", (10,)),
        0x06: Block("alarms", (5, _FAULT_CODES, _FAULT_CODES, _FAULT_CODES, _FAULT_CODES, Repeat(1, (2,)))),
        0x30: Block("fuel cell stacks", (Repeat(1, (10, Repeat(2, (1,)))),), "one source"),
        0x31: Block("super capacitors", (5, Repeat(2, (2,)), Repeat(2, (1,)))),
        0x32: Block("super capacitor extremes", (18,), "one source"),
    },
    numbers={
        0x01: _vehicle_numbers(30_000, 60_000),
        0x06: (Number("alarm_level", 0, 1, 0, 1, 4),),
    },
    alarms=0x06,
    cells=0x07,
    probes=0x08,
    splits_cell_lists=False,
    current_zero=30_000,
    signature=0xFF,
    alarm_bits=BATTERY_ALARM_BITS_2016 | {THERMAL_EVENT_BIT: "thermal event"},
)

EDITIONS = {each.marker: each for each in (EDITION_2016, EDITION_2025)}
MAKER_BLOCK = Block("maker's own", (Repeat(2, (1,)),))
OFFSET_DIFFERENCE_AMPERE = (EDITION_2025.current_zero - EDITION_2016.current_zero) / 10.0
"""What a current is wrong by when it is written with the other edition's offset: 2000 A."""
