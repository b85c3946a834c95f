"""Vehicle reports in GB/T 32960.3 frames, both editions, as the canonical ``telemetry`` table.

The file is binary, or text with one frame per line in hexadecimal (spaces and a time before it are no
matter). `gbt32960_source` and `gbt32960_frames` find the frames, `gbt32960_layout` and `gbt32960_samples`
decode them, `gbt32960_log` sorts them by vehicle, `gbt32960_merge` makes rows. A file of several vehicles
needs a battery code named at login. The number of the vehicle and of its SIM card leave this reader in no
form. Current in the result is positive while charging.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from features.battery_code import parse_battery_code
from features.errors import InvalidInput, Problem, UnreadableFile
from features.findings import Evidence, Finding, Message, Severity
from features.measurement import CanonicalTable
from features.readers.gbt32960_current import charging_positive, disagreement_findings, refuse_impossible_current
from features.readers.gbt32960_findings import frame_findings, report_findings, row_findings
from features.readers.gbt32960_log import FrameLog, VehicleLog, decode_frames
from features.readers.gbt32960_merge import Merged, merged_frames
from features.readers.gbt32960_samples import ReportCounts
from features.readers.mapping_checks import sign_findings
from features.readers.reading import Reading
from features.readers.telemetry_clock import gap_findings
from features.readers.vehicle_mapping import TimeColumn
from features.vocabulary import TableFormat

__all__ = ["decode_frames", "read_gbt32960"]

_REQUIRED = ("pack_voltage_volt", "pack_current_ampere", "reported_soc_percent")
_CLOCK = TimeColumn(column="frame time", format="unix_second")


def read_gbt32960(path: Path, battery_id: str | None = None) -> Reading:
    """Read a frame log.

    Parameters
    ----------
    path : Path
        Binary frames, or text with one frame per line in hexadecimal.
    battery_id : str or None
        Code of the battery asked for. Where the log names it at login, its vehicle is taken, and in a
        vehicle of several packs its pack alone.

    Returns
    -------
    Reading
        Canonical ``telemetry`` table, findings, and the moment of the first row.

    Raises
    ------
    UnreadableFile
        If the file holds no report that can be read, or is too large.
    InvalidInput
        If it holds several vehicles and the battery is none that they name, or its current contradicts
        its edition (``FRAMES_CONTRADICT_EDITION``).
    """
    log = decode_frames(path)
    asked = parse_battery_code(battery_id).code if battery_id else None
    vehicle = _vehicle(path.name, log, asked)
    pack, join_findings = _joined(vehicle, asked)
    merged = merged_frames(vehicle.samples, path.name, pack)
    disagreements = disagreement_findings(vehicle.samples)
    refuse_impossible_current(path.name, vehicle.samples, pack)
    _refuse_silent(path.name, merged, vehicle.counts)
    table, sign = charging_positive(path.name, _table(merged), _series_count(merged, pack))
    findings = [
        *frame_findings(log.counts),
        *report_findings(vehicle.counts),
        *join_findings,
        *row_findings(merged),
        *disagreements,
        *sign,
    ]
    findings += [*gap_findings(merged.unix_second, _CLOCK), *sign_findings(table)]
    return Reading(table, tuple(findings), datetime.fromtimestamp(float(merged.unix_second[0]), UTC))


def _vehicle(file_name: str, log: FrameLog, asked: str | None) -> VehicleLog:
    reporting = [each for each in log.vehicles if each.samples]
    if not reporting:
        raise UnreadableFile(file_name, "must hold at least one GB/T 32960.3 report that can be read", _seen(log))
    naming = [each for each in reporting if asked in each.pack_codes]
    if len(naming) == 1:
        return naming[0]
    if len(reporting) > 1:
        rule = "holds several vehicles; ask for a battery by the code one of them names at login"
        problem = Problem(file_name, rule, f"{len(reporting)} vehicles, {len(naming)} name the battery")
        raise InvalidInput(f"{file_name} was not read. Nothing was graded.", [problem])
    return reporting[0]


def _seen(log: FrameLog) -> str:
    counts, without_time = log.counts, sum(each.counts.without_time for each in log.vehicles)
    return (
        f"{counts.frame_count} frames, {counts.encrypted} encrypted, {counts.malformed} malformed, "
        f"{without_time} without time, {counts.checksum_failed} with a wrong check byte, "
        f"{counts.truncated} truncated, {counts.dropped_bytes} bytes beside frames, "
        f"{counts.lines_without_frame} lines without frame"
    )


def _joined(vehicle: VehicleLog, asked: str | None) -> tuple[int | None, list[Finding]]:
    """Subsystem of the battery asked for, None for the whole vehicle, and how battery and log fit."""
    codes = vehicle.pack_codes
    findings = [*_code_findings(vehicle)]
    if asked is None or not codes:
        return None, findings
    if asked not in codes:
        return None, findings + ([_stranger(asked, codes)] if parse_battery_code(asked).valid else [])
    subsystems = sorted({number for each in vehicle.samples for number in each.packs})
    if len(subsystems) < 2 or len(subsystems) != len(codes):
        return None, findings
    pack = subsystems[codes.index(asked)]
    message = Message(
        f"Battery {asked} is code {codes.index(asked) + 1} of {len(codes)} at login: pack {pack} was read.",
        f"电池{asked}为登入报文中第{codes.index(asked) + 1}个编码（共{len(codes)}个）：读取{pack}号电池包。",
    )
    evidence: Evidence = {
        "code_position": codes.index(asked) + 1,
        "subsystem": pack,
        "subsystem_count": len(subsystems),
    }
    return pack, [*findings, Finding("gbt32960.pack_selected", Severity.NOTE, message, evidence)]


def _code_findings(vehicle: VehicleLog) -> Iterator[Finding]:
    codes = vehicle.pack_codes
    if not codes:
        return
    changed = len(vehicle.logins) > 1
    how, how_zh = (" but not always the same", "，但前后不一致") if changed else ("", "")
    shown = ", ".join(codes[:10])
    message = Message(
        f"The vehicle names {len(codes)} battery codes at login{how}: {shown}.",
        f"登入报文含{len(codes)}个电池编码{how_zh}：{shown}。",
    )
    evidence: Evidence = {f"code_{number}": code for number, code in enumerate(codes[:50], start=1)}
    severity = Severity.CAUTION if changed else Severity.NOTE
    yield Finding("gbt32960.pack_codes", severity, message, evidence)


def _stranger(asked: str, codes: tuple[str, ...]) -> Finding:
    message = Message(
        f"The vehicle names {len(codes)} battery codes at login, and {asked} is none of them.",
        f"登入报文中的{len(codes)}个电池编码均不是{asked}。",
    )
    evidence: Evidence = {"battery_id": asked, "code_count": len(codes)}
    return Finding("gbt32960.battery_not_named", Severity.CAUTION, message, evidence)


def _refuse_silent(file_name: str, merged: Merged, counts: ReportCounts) -> None:
    silent = [name for name in _REQUIRED if name not in merged.columns or np.isnan(merged.columns[name]).all()]
    if silent:
        outside = ", ".join(f"{name} {count}" for name, count in counts.out_of_range.items())
        value = ", ".join(silent) + (f"; out of range: {outside}" if outside else "")
        raise UnreadableFile(file_name, "must report each of voltage, current and state of charge", value)


def _table(merged: Merged) -> CanonicalTable:
    columns = {"unix_time_second": merged.unix_second} | merged.columns
    columns["pack_current_ampere"] = 0.0 - merged.columns["pack_current_ampere"]
    return CanonicalTable(TableFormat.TELEMETRY, columns)


def _series_count(merged: Merged, pack: int | None) -> int | None:
    """Cells in series for the check of voltages: packs with as many cells each are in parallel or in series.

    None leaves it to the length of the whole list.
    """
    counts = set(merged.subsystem_cells.values())
    if pack is not None or len(merged.subsystem_cells) < 2 or len(counts) != 1:
        return None
    pack_volt = float(np.nanmedian(merged.columns["pack_voltage_volt"]))
    first = np.stack([merged.columns[f"cell_voltage_{n}_volt"] for n in range(1, min(counts) + 1)])
    cell_volt = float(np.median(known)) if (known := first[np.isfinite(first)]).size else 0.0
    return min(counts) if cell_volt > 0.0 and pack_volt / cell_volt < 1.5 * min(counts) else None
