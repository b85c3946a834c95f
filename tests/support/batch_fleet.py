"""A fleet of simulated cells as an analyst hands it over: one file of pulses, one manifest."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from features.vocabulary import Chemistry
from tests.support.simulated_battery import SimulatedBattery

NAMES = ["battery_id", "level", "chemistry", "rated_capacity_ah", "run_kind", "run_format", "run_path"]


def simulated_cells(count: int) -> list[SimulatedBattery]:
    """LFP cells of 35 Ah between 74 and 96 % of their rated capacity."""
    return [
        SimulatedBattery(35.0, 35.0 * health, Chemistry.LFP, f"CELL-{number:04d}")
        for number, health in enumerate(np.linspace(0.74, 0.96, count))
    ]


def written_fleet(folder: Path, cells: Sequence[SimulatedBattery]) -> Path:
    """Write the pulses of all cells into one Parquet file; return the manifest beside it."""
    tables = []
    for cell in cells:
        table = pd.DataFrame(dict(cell.pulse_train().columns))
        table.insert(0, "battery_id", cell.battery_id)
        tables.append(table)
    pd.concat(tables).to_parquet(folder / "pulses.parquet", index=False)
    rows = [(each.battery_id, "cell", "LFP", 35.0, "pulse_test", "step_table", "pulses.parquet") for each in cells]
    pd.DataFrame(rows, columns=NAMES).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"
