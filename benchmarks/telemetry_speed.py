"""How many rows of vehicle telemetry one core turns into features per CPU-second, on a generated Parquet fleet.

``python -m benchmarks.telemetry_speed [--batteries 20] [--days 90] [--cells]`` writes one Parquet file per battery
(pack voltage, current, state of charge, highest and lowest cell and probe, odometer, insulation, alarm, charge
state; ``--cells`` adds 90 cell voltages) and prints rows per CPU-second: of the features alone, from arrays
already decoded; with the Parquet decode; and of the whole way a graded battery takes (decode, every rule of the
canonical table, quality findings, features). One process, no threads; the function measured is the one the
service and the batch job call.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.extract import extract
from features.field_telemetry import field_telemetry_features
from features.measurement import BatteryHistory, BatteryIdentity, CanonicalTable, MeasurementRun, SourceStamp
from features.readers.canonical import read_canonical
from features.vocabulary import Chemistry, Level, Provenance, RunKind, TableFormat
from tests.support.simulated_battery import SimulatedBattery
from tests.support.simulated_vehicle import Vehicle

SERIES_COUNT = 90
RATED_AH = 120.0


@dataclass
class Spent:
    """CPU time of one step over all batteries."""

    name: str
    second: float = 0.0

    def of(self, work: Callable[[], object]) -> object:
        """Run the step once and add its CPU time."""
        begin = time.process_time()
        done = work()
        self.second += time.process_time() - begin
        return done


def written(folder: Path, number: int, days: int, *, cells: bool) -> tuple[Path, SimulatedBattery]:
    """Write one vehicle's record: a drive and a charge a day, every ten seconds."""
    remaining = RATED_AH * (0.98 - 0.02 * (number % 12))
    battery = SimulatedBattery(RATED_AH, remaining, Chemistry.NMC, level=Level.PACK, series_count=SERIES_COUNT)
    table = battery.telemetry(Vehicle(day_count=days), seed=number)
    kept = {name: values for name, values in table.columns.items() if cells or not _is_listed_cell(name)}
    path = folder / f"pack-{number:03d}.parquet"
    pq.write_table(pa.table(kept), path, row_group_size=200_000)
    return path, battery


def _is_listed_cell(name: str) -> bool:
    return name.startswith("cell_voltage_") and name.split("_")[2].isdigit()


def decoded(path: Path) -> dict[str, np.ndarray]:
    """Columns of a file, in one thread."""
    table = pq.read_table(path, use_threads=False)
    return {name: table.column(name).to_numpy() for name in table.column_names}


def main() -> None:
    """Write the fleet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batteries", type=int, default=20)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--cells", action="store_true")
    asked = parser.parse_args()
    decode, features, whole = Spent("Parquet decode"), Spent("features"), Spent("whole way to the feature vector")
    rows = size = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(asked.batteries):
            path, battery = written(Path(folder), number, asked.days, cells=asked.cells)
            identity = battery.identity
            table = CanonicalTable(TableFormat.TELEMETRY, decoded(path))
            field_telemetry_features(table, identity)  # the first call imports and warms caches
            decode.of(lambda path=path: decoded(path))
            features.of(lambda table=table, identity=identity: field_telemetry_features(table, identity))
            whole.of(lambda path=path, identity=identity: _whole_way(path, identity))
            rows, size = rows + table.row_count, size + path.stat().st_size
            path.unlink()
    print(f"{asked.batteries} batteries, {rows:,} rows, {size / 1e6:.1f} MB of Parquet, cells listed: {asked.cells}")
    with_decode = Spent("features with Parquet decode", decode.second + features.second)
    for step in (features, decode, with_decode, whole):
        print(f"  {step.name:<34} {rows / step.second / 1e6:6.2f} M rows/CPU-s")


def _whole_way(path: Path, identity: BatteryIdentity) -> object:
    table = read_canonical(path, TableFormat.TELEMETRY).table
    begin, end = (datetime.fromtimestamp(table.floats("unix_time_second")[row], UTC) for row in (0, -1))
    source = SourceStamp(path.name, "0" * 64, "canonical", Provenance.BMS_REPORTED)
    run = MeasurementRun(RunKind.FIELD_TELEMETRY, begin, end, source, table)
    return extract(BatteryHistory(identity, (run,)), run.available_at)


if __name__ == "__main__":
    main()
