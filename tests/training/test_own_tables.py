"""What `docs/training.md` tells a data scientist to do with tables of their own, done for every method."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.measurement import CanonicalTable
from features.vocabulary import Chemistry
from tests.support.simulated_battery import SimulatedBattery
from tests.support.simulated_spectrum import SpectrumCircuit
from tests.training.synthetic_pairs import pair_frame
from tests.training.synthetic_pulses import LFP, step_frame, trains, turning_points
from training.cli import PLANS, main

GUIDE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
RATED_AH = 20.0


def _block(begins):
    """A fenced block of the guide by its first words."""
    blocks = [re.sub(r"(?m)^ {3}", "", each) for each in re.findall(r"```(?:toml)?\n(.*?)```", GUIDE, re.DOTALL)]
    return next(block for block in blocks if block.strip().startswith(begins))


def _guide_row(method):
    """Run kind, first run format and plan of a method, as the guide's table has them."""
    row = next(line for line in GUIDE.splitlines() if line.startswith(f"| `{method}` |"))
    words = re.findall(r"`([a-z_.]+)`", row)
    return words[1], next((word for word in words[2:-1]), "step_table"), words[-1]


def _pulses(health, noise):
    volts = turning_points(LFP, health, noise.uniform(0.1, 0.9), 3.0, noise)
    row = {f"U{place}": value for place, value in enumerate(volts, start=1)} | {
        "width_ms": 3000,
        "nominal_ah": RATED_AH,
    }
    return step_frame(trains(pd.DataFrame([row]))[0])


def _pair(health, noise):
    return pair_frame(LFP, health, noise.uniform(0.1, 0.6), noise)


def _spectrum(health, noise):
    hertz = np.logspace(-2.5, 4, 66)
    ohm = SpectrumCircuit().worn(health).impedance_ohm(hertz, RATED_AH, 25.0)
    ohm = ohm * (1.0 + noise.normal(0.0, 1e-3, len(hertz)))
    columns = {"frequency_hertz": hertz, "real_impedance_ohm": ohm.real, "imaginary_impedance_ohm": ohm.imag}
    return pd.DataFrame(columns).assign(surface_temperature_celsius=25.0)


def _charge(health, noise):
    battery = SimulatedBattery(RATED_AH, health * RATED_AH, Chemistry.LFP)
    begins = noise.uniform(0.15, 0.25)
    return _frame(battery.partial_charge(from_charged=begins, to_charged=begins + 0.6))


def _frame(table: CanonicalTable):
    return pd.DataFrame({name: np.asarray(values) for name, values in table.columns.items()})


MEASURED = {
    "pulse_test": _pulses,
    "two_pulse_trains": _pair,
    "partial_charge": _charge,
    "impedance": _spectrum,
}


def _write_tables(folder, method, cell_count=24):
    noise, frames, tests, labels = np.random.default_rng(4), [], [], []
    run_kind, run_format, _ = _guide_row(method)
    for number in range(cell_count):
        health, name = float(noise.uniform(0.65, 0.98)), f"A-{number:04d}"
        for of_cell in ("visit", "grid"):
            frames.append(MEASURED[method](health, noise).assign(battery_id=f"{name}-{of_cell}"))
            plate = ("cell", "LFP", RATED_AH, run_kind, run_format, "measurements.csv")
            tests.append((f"{name}-{of_cell}", *plate))
            labels.append((f"{name}-{of_cell}", name, health * RATED_AH, of_cell == "visit"))
    pd.concat(frames).to_csv(folder / "measurements.csv", index=False)
    for file, rows in (("manifest.csv", tests), ("labels.csv", labels)):
        header = _block("battery_id," + ("level" if file == "manifest.csv" else "physical_cell")).splitlines()[0]
        pd.DataFrame(rows, columns=header.split(",")).to_csv(folder / file, index=False)


def _write_plan(folder, method):
    """The shipped plan of the method with the guide's data set, smaller, so that it trains in a second."""
    text = (PLANS / _guide_row(method)[2]).read_text(encoding="utf-8")
    text = re.sub(r"\[\[datasets\]\]\n.*?\n(?=\n\[)", lambda _: _block("[[datasets]]"), text, flags=re.DOTALL)
    text = re.sub(r"unseen_type_keys = \[.*?\]\n", "", text)
    for name, small in (("fold_count", 3), ("centre_count", 10), ("round_count", 10), ("least_rows", 5)):
        text = re.sub(rf"(?m)^{name} = \d+", f"{name} = {small}", text)
    plan = folder / "plan.toml"
    plan.write_text(text, encoding="utf-8")
    return plan


@pytest.mark.parametrize("method", MEASURED)
def test_the_guide_s_own_tables_are_judged_with_the_guide_s_plan(method, tmp_path, capsys):
    _write_tables(tmp_path, method)
    assert main(["evaluate", str(_write_plan(tmp_path, method)), "--no-tracking"]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert re.search(r"(?m)^ *all +24 ", printed)


def test_a_row_of_the_guide_names_a_shipped_plan_of_its_method():
    for method in MEASURED:
        assert f'method = "{method}"' in (PLANS / _guide_row(method)[2]).read_text(encoding="utf-8")
