"""Frames of GB/T 32960.3 as a vehicle writes them, both editions.

Written from the tables of the standard, not from the decoder: numbers go in with their units, bytes come
out. What a test wants broken it breaks afterwards.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

VIN = "LTEST0000VEHICLE1"
CHINA = timedelta(hours=8)
CURRENT_OFFSET_AMPERE = {2016: 1000.0, 2025: 3000.0}


@dataclass(frozen=True)
class Pack:
    """One subsystem: its cells in volt (None = invalid) and probes in °C."""

    number: int = 1
    cells: Sequence[float | None] = ()
    probes: Sequence[float | None] = ()
    volt: float | None = 350.0
    ampere: float | None = 0.0
    first_cell: int = 1
    total: int | None = None


@dataclass(frozen=True)
class Report:
    """One moment of a vehicle; None means 'invalid'. Positive current discharges."""

    moment: datetime
    volt: float | None = 350.0
    ampere: float | None = 0.0
    soc_percent: int | None = 50
    odometer_km: float | None = 12_345.6
    insulation_kohm: int | None = 2000
    charge_state: int | None = 3
    alarm_level: int | None = 0
    alarm_bits: Sequence[int] = ()
    packs: Sequence[Pack] = field(default_factory=lambda: (Pack(),))


def word(value: float | None, steps_per_unit: float = 1.0, offset: float = 0.0) -> bytes:
    return struct.pack(">H", 0xFFFF if value is None else round((value + offset) * steps_per_unit))


def byte(value: float | None, offset: float = 0.0) -> bytes:
    return struct.pack(">B", 0xFF if value is None else round(value + offset))


def clock(moment: datetime) -> bytes:
    local = moment.astimezone(UTC) + CHINA
    return bytes([local.year - 2000, local.month, local.day, local.hour, local.minute, local.second])


def vehicle_block(report: Report, edition: int) -> bytes:
    odometer = 0xFFFFFFFF if report.odometer_km is None else round(report.odometer_km * 10)
    block = b"\x01\x01" + byte(report.charge_state) + b"\x01" + word(0.0) + struct.pack(">I", odometer)
    block += word(report.volt, 10) + word(report.ampere, 10, CURRENT_OFFSET_AMPERE[edition]) + byte(report.soc_percent)
    block += b"\x01\x0f" + word(report.insulation_kohm)
    return block + (b"\x00\x00" if edition == 2016 else b"")


def drive_motor_block(edition: int) -> bytes:
    return b"\x02\x01\x01" + bytes(11 if edition == 2016 else 9)


def position_block(edition: int) -> bytes:
    return b"\x05\x00" + (b"" if edition == 2016 else b"\x01") + struct.pack(">II", 106_551_557, 29_563_009)


def extremes_block(report: Report) -> bytes:
    cells = [cell for pack in report.packs for cell in pack.cells if cell is not None]
    probes = [probe for pack in report.packs for probe in pack.probes if probe is not None]
    block = b"\x06"
    block += b"\x01\x01" + word(max(cells, default=None), 1000) + b"\x01\x02" + word(min(cells, default=None), 1000)
    block += b"\x01\x01" + byte(max(probes, default=None), 40) + b"\x01\x02" + byte(min(probes, default=None), 40)
    return block


def alarm_block(report: Report, edition: int, codes: Sequence[int] = (0x01020304,)) -> bytes:
    flags = sum(1 << bit for bit in report.alarm_bits)
    lists = byte(len(codes)) + b"".join(struct.pack(">I", code) for code in codes) + b"\x00\x00\x00"
    block = (b"\x07" if edition == 2016 else b"\x06") + byte(report.alarm_level) + struct.pack(">I", flags) + lists
    return block + (b"" if edition == 2016 else b"\x01\x17\x04")


def cell_block(packs: Sequence[Pack], edition: int) -> bytes:
    block = (b"\x08" if edition == 2016 else b"\x07") + byte(len(packs))
    for pack in packs:
        block += byte(pack.number) + word(pack.volt, 10) + word(pack.ampere, 10, CURRENT_OFFSET_AMPERE[edition])
        block += word(len(pack.cells) if pack.total is None else pack.total)
        if edition == 2016:
            block += word(pack.first_cell) + byte(len(pack.cells))
        block += b"".join(word(cell, 1000) for cell in pack.cells)
    return block


def probe_block(packs: Sequence[Pack], edition: int) -> bytes:
    block = (b"\x09" if edition == 2016 else b"\x08") + byte(len(packs))
    for pack in packs:
        block += byte(pack.number) + word(len(pack.probes)) + b"".join(byte(probe, 40) for probe in pack.probes)
    return block


def blocks(report: Report, edition: int) -> list[bytes]:
    """The blocks of a full report, in the order vehicles send them."""
    every = [vehicle_block(report, edition), drive_motor_block(edition), position_block(edition)]
    every += [extremes_block(report)] if edition == 2016 else []
    every += [alarm_block(report, edition)]
    every += [cell_block(report.packs, edition), probe_block(report.packs, edition)] if report.packs else []
    return every


def frame(
    body: bytes, edition: int, command: int = 0x02, *, answer: int = 0xFE, encryption: int = 0x01, vin: str = VIN
) -> bytes:
    unit = bytes([command, answer]) + vin.encode().ljust(17, b"\x00") + bytes([encryption])
    unit += struct.pack(">H", len(body)) + body
    check = 0
    for each in unit:
        check ^= each
    return (b"##" if edition == 2016 else b"$$") + unit + bytes([check])


def report_frame(report: Report, edition: int, command: int = 0x02, **header: object) -> bytes:
    return frame(clock(report.moment) + b"".join(blocks(report, edition)), edition, command, **header)  # type: ignore[arg-type]


def login_frame(moment: datetime, codes: Sequence[str], edition: int, vin: str = VIN) -> bytes:
    body = clock(moment) + b"\x00\x07" + b"89860000000000000001"
    if edition == 2016:
        body += bytes([len(codes), 24])
    else:
        body += bytes([1, len(codes)])
    return frame(body + b"".join(code.encode().ljust(24, b"\x00") for code in codes), edition, 0x01, vin=vin)


def logout_frame(moment: datetime, edition: int) -> bytes:
    return frame(clock(moment) + b"\x00\x07", edition, 0x04)


def hex_lines(frames: Sequence[bytes]) -> str:
    return "".join(f"2025-11-01 08:00:{n % 60:02d}.123 {each.hex(' ').upper()}\n" for n, each in enumerate(frames))
