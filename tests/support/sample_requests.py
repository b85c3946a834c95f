"""The request bodies that ship with the service, made from simulated batteries.

    python -m tests.support.sample_requests

writes them to ``serving/samples``. Their truth lies well inside a grade, so that a model trained on
real cells decides them alike. The codes are made up: maker 04Q, traceability ``SAMPLE0``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.measurement import CanonicalTable
from features.pulse import C_RATES
from features.vocabulary import Chemistry, Level, RunKind
from tests.support.simulated_battery import SimulatedBattery, columns_of, wire_table
from tests.support.simulated_vehicle import Vehicle

SAMPLES = Path(__file__).resolve().parents[2] / "serving" / "samples"
CHARGED = 0.5
TELEMETRY_ROWS_PER_REPORT = 12
"""The vehicle of the sample reports every 120 s, not every 10 s."""

_APPEARANCE = {"leakage": False, "swelling": False, "burn": False, "water_ingress": False, "deformation": False}
_CODE_LETTER = {Chemistry.LFP: "B", Chemistry.NMC: "E", Chemistry.LMO: "C"}
_LEVEL_LETTER = {Level.CELL: "C", Level.PACK: "P"}


def sample_batteries() -> Mapping[str, SimulatedBattery]:
    """Return the batteries by sample name."""
    return {
        "healthy_lfp35_cell": _cell(1, Chemistry.LFP, 35.0, 33.6),
        "worn_lfp20_cell": _cell(2, Chemistry.LFP, 20.0, 15.1),
        "spent_lmo10_cell": _cell(3, Chemistry.LMO, 10.0, 5.0),
        "borderline_lmo10_cell": _cell(4, Chemistry.LMO, 10.0, 6.2),
        "thinly_measured_nmc21_cell": _cell(5, Chemistry.NMC, 21.0, 19.95),
        "unknown_type_lfp50_cell": _cell(6, Chemistry.LFP, 50.0, 45.0),
        "insulation_fault_nmc_pack": SimulatedBattery(
            150.0, 129.0, Chemistry.NMC, _code(Level.PACK, Chemistry.NMC, 7), Level.PACK, series_count=96
        ),
    }


def sample_requests() -> Mapping[str, Mapping[str, Any]]:
    """Return request bodies of ``POST /v1/grade`` by sample name."""
    return {name: _request(battery, *_measurement(name, battery)) for name, battery in sample_batteries().items()}


def sample_text(request: Mapping[str, Any]) -> str:
    """Return a sample as it is written."""
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")) + "\n"


def _cell(serial: int, chemistry: Chemistry, rated_ah: float, remaining_ah: float) -> SimulatedBattery:
    return SimulatedBattery(rated_ah, remaining_ah, chemistry, _code(Level.CELL, chemistry, serial))


def _code(level: Level, chemistry: Chemistry, serial: int) -> str:
    """GB/T 34014 code of a battery made on 4 March 2021."""
    return f"04Q{_LEVEL_LETTER[level]}{_CODE_LETTER[chemistry]}01SAMPLE0B34{serial:07d}"


def _measurement(name: str, battery: SimulatedBattery) -> tuple[RunKind, CanonicalTable]:
    if name == "spent_lmo10_cell":
        return RunKind.CAPACITY_TEST, battery.capacity_test()
    if name == "insulation_fault_nmc_pack":
        return RunKind.FIELD_TELEMETRY, _report_every_two_minutes(battery)
    amplitudes = (0.5,) if name == "thinly_measured_nmc21_cell" else C_RATES
    return RunKind.PULSE_TEST, battery.pulse_train(state_of_charge=CHARGED, amplitudes=amplitudes)


def _report_every_two_minutes(pack: SimulatedBattery) -> CanonicalTable:
    """Telemetry of a day without the list of cells."""
    table = pack.telemetry(Vehicle(day_count=1, insulation_ohm_per_volt=42.0))
    columns = {
        name: values[::TELEMETRY_ROWS_PER_REPORT]
        for name, values in columns_of(table).items()
        if not name.removeprefix("cell_voltage_")[0].isdigit()
    }
    return CanonicalTable(table.format, columns)


def _request(battery: SimulatedBattery, kind: RunKind, table: CanonicalTable) -> Mapping[str, Any]:
    identity = battery.identity
    declared: dict[str, Any] = {
        "battery_id": identity.battery_id,
        "scheme": identity.scheme.value,
        "level": identity.level.value,
        "chemistry": identity.chemistry.value,
        "rated_capacity_ah": identity.rated_capacity_ah,
    }
    if identity.level is Level.PACK:
        declared["series_count"] = identity.series_count
    run = {"kind": kind.value, "format": table.format.value, "table": wire_table(table)}
    return {"battery": declared, "runs": [run], "inspection": _APPEARANCE}


def main() -> None:
    """Write every sample."""
    for name, request in sample_requests().items():
        (SAMPLES / f"{name}.json").write_text(sample_text(request), encoding="utf-8")


if __name__ == "__main__":
    main()
