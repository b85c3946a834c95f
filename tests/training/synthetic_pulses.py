"""Small pulse tests from an equivalent circuit with known state of health; no measured row."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.measurement import CanonicalTable
from features.pulse import C_RATES, PulseTrain, train_from_turning_points
from features.vocabulary import TableFormat


@dataclass(frozen=True)
class SyntheticType:
    chemistry: str
    rated_capacity_ah: float
    full_volt: float
    resistance_ohm_ah: float


LFP = SyntheticType("LFP", 20.0, 3.30, 0.050)
NMC = SyntheticType("NMC", 21.0, 3.70, 0.080)
_RELAXATION_SECOND = 8.0


def turning_points(
    kind: SyntheticType,
    state_of_health: float,
    charged_fraction: float,
    width_second: float,
    noise: np.random.Generator,
) -> np.ndarray:
    """U1…U41 of one test: resistances rise as health falls, the voltage with the charge."""
    instantaneous = kind.resistance_ohm_ah * (2.2 - 1.2 * state_of_health) * (1.15 - 0.3 * charged_fraction)
    slow = 0.6 * instantaneous * (1.8 - 0.8 * state_of_health)
    volts = [kind.full_volt + 0.25 * (charged_fraction - 0.5)]
    for rate in C_RATES:
        for sign in (1.0, -1.0):
            rest = volts[-1]
            begin = rest + sign * rate * instantaneous
            grown = slow * (1.0 - np.exp(-width_second / _RELAXATION_SECOND))
            end = begin + sign * rate * grown
            released = end - sign * rate * instantaneous
            relaxed = rest + sign * rate * grown * np.exp(-15.0 * width_second / _RELAXATION_SECOND)
            volts += [begin, end, released, relaxed + sign * rate * 2e-4]
    return np.array(volts) + noise.normal(0.0, 5e-5, len(volts))


def synthetic_rows(cell_count: int = 24, kinds: tuple[SyntheticType, ...] = (LFP, NMC), seed: int = 1) -> pd.DataFrame:
    """Rows in the layout of the public pulse tables: three grid tests and one visit per cell."""
    noise = np.random.default_rng(seed)
    rows = []
    for kind in kinds:
        for number in range(cell_count):
            health = float(noise.uniform(0.62, 0.98))
            cell = f"{kind.chemistry}{kind.rated_capacity_ah:g}_{number:03d}"
            tests = [("soc_grid", 0.1, 5.0), ("soc_grid", 0.25, 5.0), ("soc_grid", 0.45, 5.0)]
            for test_kind, charged, width in (*tests, ("random_soc", float(noise.uniform(0.1, 0.9)), 3.0)):
                volts = turning_points(kind, health, charged, width, noise)
                rows.append(
                    {
                        "cell_id": cell,
                        "physical_cell": cell,
                        "chemistry": kind.chemistry,
                        "nominal_ah": kind.rated_capacity_ah,
                        "serial": f"S{number}",
                        "source_file": f"{cell}_SOH_{100 * health:.0f}.xlsx",
                        "test_kind": test_kind,
                        "soc_pct": 100.0 * charged,
                        "width_ms": int(1000 * width),
                        "capacity_ah": health * kind.rated_capacity_ah,
                        "misaligned_row": False,
                        "touches_protection_v": False,
                        **{f"U{place}": value for place, value in enumerate(volts, start=1)},
                    }
                )
    return pd.DataFrame(rows)


def write_public_layout(rows: pd.DataFrame, data_folder: Path) -> Path:
    """The rows where the adapter of the public tables looks for them."""
    folder = data_folder / "pulse_retired"
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(folder / "pulse_features.parquet")
    return data_folder


def trains(rows: pd.DataFrame) -> list[PulseTrain]:
    """One pulse train per row."""
    volts = rows[[f"U{place}" for place in range(1, 42)]].to_numpy(dtype=np.float64)
    plates = zip(rows["width_ms"] / 1000.0, rows["nominal_ah"], strict=True)
    return [train_from_turning_points(row, width, rated) for row, (width, rated) in zip(volts, plates, strict=True)]


def step_frame(train: PulseTrain) -> pd.DataFrame:
    """The train as a canonical step table: a rest, then pulse and rest in turn."""
    first = ("rest", 600.0, 0.0, train.open_circuit_voltage_volt, train.open_circuit_voltage_volt)
    steps = [first]
    for pulse in train.pulses:
        way = "charge" if pulse.current_ampere > 0 else "discharge"
        steps.append((way, pulse.duration_second, pulse.current_ampere, pulse.begin_volt, pulse.end_volt))
        rest = (pulse.relaxation_begin_volt, pulse.relaxation_end_volt)
        steps.append(("rest", pulse.relaxation_duration_second, 0.0, *rest))
    names = ["step_type", "step_duration_second", "current_ampere", "voltage_begin_volt", "voltage_end_volt"]
    frame = pd.DataFrame(steps, columns=names)
    frame.insert(0, "step_index", np.arange(float(len(frame))))
    return frame


def step_table(train: PulseTrain) -> CanonicalTable:
    """The train as a checked canonical table."""
    frame = step_frame(train)
    columns = {name: frame[name].to_numpy(dtype=str if name == "step_type" else np.float64) for name in frame}
    return CanonicalTable(TableFormat.STEP_TABLE, columns)


def write_own_tables(rows: pd.DataFrame, folder: Path) -> tuple[Path, Path]:
    """The rows as a data scientist would bring them: manifest, labels, one file of step tables."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{cell}-{place}" for place, cell in enumerate(rows["cell_id"])]
    frames = [step_frame(train).assign(battery_id=name) for name, train in zip(names, trains(rows), strict=True)]
    pd.concat(frames).to_csv(folder / "steps.csv", index=False)
    pd.DataFrame(
        {
            "battery_id": names,
            "level": "cell",
            "chemistry": rows["chemistry"],
            "rated_capacity_ah": rows["nominal_ah"],
            "run_kind": "pulse_test",
            "run_format": "step_table",
            "run_path": "steps.csv",
        }
    ).to_csv(folder / "manifest.csv", index=False)
    pd.DataFrame(
        {
            "battery_id": names,
            "physical_cell": rows["physical_cell"],
            "remaining_capacity_ah": rows["capacity_ah"],
            "visit": rows["test_kind"] == "random_soc",
        }
    ).to_csv(folder / "labels.csv", index=False)
    return folder / "manifest.csv", folder / "labels.csv"
