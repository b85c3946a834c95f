"""Two pulse trains with a counted charge between them, as a data scientist's own tables; no measured row."""

from pathlib import Path

import numpy as np
import pandas as pd

from features.pulse import train_from_turning_points
from tests.training.synthetic_pulses import LFP, NMC, SyntheticType, step_frame, turning_points

MOVED_FRACTION = 0.20
_WIDTH_SECOND = 5.0


def pair_frame(kind: SyntheticType, health: float, charged: float, noise: np.random.Generator) -> pd.DataFrame:
    """Step table of a train, a charge of 20 % of rated at 1 C, a rest and a second train."""
    volts = [
        turning_points(kind, health, at, _WIDTH_SECOND, noise)
        for at in (charged, charged + MOVED_FRACTION * (2.0 - health))
    ]
    first, second = (
        step_frame(train_from_turning_points(each, _WIDTH_SECOND, kind.rated_capacity_ah)) for each in volts
    )
    charge = {
        "step_type": "charge",
        "step_duration_second": 3600.0 * MOVED_FRACTION,
        "current_ampere": kind.rated_capacity_ah,
        "voltage_begin_volt": volts[0][-1] + 0.05,
        "voltage_end_volt": volts[1][0] + 0.05,
    }
    whole = pd.concat([first, pd.DataFrame([charge]), second], ignore_index=True)
    return whole.assign(step_index=np.arange(float(len(whole))))


def write_own_pairs(
    folder: Path, cell_count: int = 12, kinds: tuple[SyntheticType, ...] = (LFP, NMC)
) -> tuple[Path, Path]:
    """Manifest and labels of pairs: per cell one visit and one further test."""
    folder.mkdir(parents=True, exist_ok=True)
    noise, frames, rows = np.random.default_rng(7), [], []
    for kind in kinds:
        for number in range(cell_count):
            health, cell = float(noise.uniform(0.62, 0.98)), f"{kind.chemistry}{number:03d}"
            for name, charged in ((f"{cell}-visit", float(noise.uniform(0.1, 0.6))), (f"{cell}-grid", 0.25)):
                frames.append(pair_frame(kind, health, charged, noise).assign(battery_id=name))
                rows.append((name, cell, kind, health * kind.rated_capacity_ah))
    pd.concat(frames).to_csv(folder / "steps.csv", index=False)
    names = [name for name, *_ in rows]
    manifest = {
        "battery_id": names,
        "level": "cell",
        "chemistry": [kind.chemistry for _, _, kind, _ in rows],
        "rated_capacity_ah": [kind.rated_capacity_ah for _, _, kind, _ in rows],
        "run_kind": "pulse_test",
        "run_format": "step_table",
        "run_path": "steps.csv",
    }
    pd.DataFrame(manifest).to_csv(folder / "manifest.csv", index=False)
    labels = {
        "battery_id": names,
        "physical_cell": [cell for _, cell, _, _ in rows],
        "remaining_capacity_ah": [capacity for *_, capacity in rows],
        "visit": [name.endswith("visit") for name in names],
    }
    pd.DataFrame(labels).to_csv(folder / "labels.csv", index=False)
    return folder / "manifest.csv", folder / "labels.csv"
