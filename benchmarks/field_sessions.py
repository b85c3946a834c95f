"""What the two cars of the development data show: charging sessions, capacity, cells, resistance, usage.

``python -m benchmarks.field_sessions [--sessions]`` reads ``field_bms`` below PACKGRADE_DATA_DIR through the shipped
mappings and prints per car the features, the findings and, if asked for, every session.
"""

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np

from features.charge_count import charge_count
from features.charging import ChargingSession, charging_sessions
from features.field_telemetry import field_telemetry_features
from features.measurement import BatteryIdentity, CanonicalTable
from features.readers.bms_telemetry import load_vehicle_mapping, read_bms_telemetry
from features.vocabulary import Chemistry, Level

RATED_AH = 120.0
"""Plate of both cars as far as their charge and their reported state of charge show; no source states it."""
CARS = {"car2": "car2.csv.gz", "car3": "car3.parquet"}
MAPPINGS = Path(__file__).parents[1] / "features" / "readers" / "mappings"


def sessions_of(table: CanonicalTable) -> tuple[ChargingSession, ...]:
    """Charging sessions of a record."""
    counted = charge_count(table.floats("unix_time_second"), table.floats("pack_current_ampere"), RATED_AH)
    if counted is None:
        return ()
    rows = counted.rows
    return charging_sessions(
        counted,
        table.floats("reported_soc_percent")[rows],
        RATED_AH,
        charge_state=table.floats("charge_state")[rows],
        odometer_kilometer=table.floats("odometer_kilometer")[rows],
    )


def print_car(name: str, folder: Path, *, each_session: bool) -> None:
    """One car's record."""
    mapping = load_vehicle_mapping(MAPPINGS / f"{name}.toml")
    begin = time.process_time()
    table = read_bms_telemetry(folder / CARS[name], mapping).table
    read = time.process_time()
    values, findings = field_telemetry_features(table, BatteryIdentity(name, Level.PACK, Chemistry.NMC, RATED_AH))
    done = time.process_time()
    print(f"\n{name}: {table.row_count:,} rows, read in {read - begin:.2f} CPU-s, features in {done - read:.3f} CPU-s")
    for finding in findings:
        print(f"  {finding.severity.value:<13} {finding.code}: {finding.message.en}")
    sessions = sessions_of(table)
    capacities = np.array([each.capacity_ah for each in sessions if math.isfinite(each.capacity_ah)])
    if capacities.size > 1:
        spread = capacities.std(ddof=1) / capacities.mean()
        print(f"  {capacities.size} of {len(sessions)} sessions show a capacity: SD {spread:.2%} of the mean")
    for session in sessions if each_session else ():
        window = f"{session.soc_begin_percent:5.1f} -> {session.soc_end_percent:5.1f} %"
        print(f"    {window}  {session.charge_moved_ah:6.2f} Ah  {session.capacity_ah:7.2f} Ah")
    for feature, value in values.items():
        if math.isfinite(value):
            print(f"    {feature:<38} {value:.4g}")


def main() -> None:
    """Print both cars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", action="store_true")
    asked = parser.parse_args()
    folder = Path(os.environ.get("PACKGRADE_DATA_DIR", ".")) / "field_bms"
    for name in CARS:
        print_car(name, folder, each_session=asked.sessions)


if __name__ == "__main__":
    main()
