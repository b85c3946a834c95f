"""Fit the numbers of the simulated battery and say how far it is from real ones.

    PACKGRADE_DATA_DIR=… python -m benchmarks.fit_simulator [--write]

Prints, per battery type, the robust scatter of the real pulses around the fitted circuit. With
``--write`` the numbers replace ``tests/support/simulated_battery_parameters.json``. Only fitted numbers
are written; no row of the data is.
"""

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.measurement import FloatArray
from features.pulse import C_RATES, PULSE_FEATURE_NAMES, pulse_feature_matrix, pulse_slots
from features.vocabulary import Chemistry
from tests.support.equivalent_circuit import PARAMETERS, REFERENCE_WIDTH_SECOND, TERMS, PulseConditions
from training.datasets.pulse_retired import labelled_tests

HEALTH_KNOTS = {
    "LFP20": (Chemistry.LFP, 20.0, (0.68, 0.82)),
    "LFP35": (Chemistry.LFP, 35.0, (0.80, 0.92)),
    "LMO10": (Chemistry.LMO, 10.0, (0.60, 0.72, 0.82, 0.88, 0.91)),
    "NMC21": (Chemistry.NMC, 21.0, (0.80, 1.0)),
}
"""LMO has more knots: its worn cells have a lower series resistance than its fresher ones."""

CHARGED_KNOTS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FITTED_CHARGED_RANGE = (0.08, 0.8)
VISIT_WEIGHT = 8.0
"""A visit is what arrives at a station, so it counts more; a constant takes up how grid tests differ."""
SMALL_AMPLITUDE_WEIGHT = 1.5
SMALLEST_RESPONSE_OHM_AH = 2e-4
SOURCE = (
    "Fitted by benchmarks/fit_simulator.py on the 3 s and 5 s pulse tests of retired cells published in "
    "terencetaothucb/Pulse-Voltage-Response-Generation @92aeb9b8 and "
    "terencetaothucb/pulse-excitation-informativeness-for-battery-capacity-diagnosis @ea2dde5f (MIT). "
    "Regression coefficients and median open-circuit voltages only; no rows."
)
_FEATURE = {
    "instantaneous_resistance": "instantaneous_resistance_ohm_ah",
    "polarisation": "polarisation_ohm_ah",
    "relaxed_share": "relaxation_ohm_ah",
    "residual": "residual_ohm_ah",
}


@dataclass(frozen=True)
class Tests:
    """Pulse tests of one type; arrays of shape (n,), features (n, k)."""

    features: FloatArray
    health: FloatArray
    charged: FloatArray
    width_second: FloatArray
    visits: FloatArray

    def feature(self, name: str) -> FloatArray:
        """One column of the features."""
        column: FloatArray = self.features[:, PULSE_FEATURE_NAMES.index(name)]
        return column


def main() -> None:
    """Fit every type, print the scatter, write if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="replace the shipped numbers")
    options = parser.parse_args()
    types = {key: fitted(*described, key) for key, described in HEALTH_KNOTS.items()}
    if options.write:
        PARAMETERS.write_text(json.dumps({"source": SOURCE, "types": types}, indent=1) + "\n", encoding="utf-8")


def fitted(chemistry: Chemistry, rated_capacity_ah: float, knots: tuple[float, ...], key: str) -> dict[str, Any]:
    """Numbers of one type, as they are written."""
    tests = tests_of(chemistry, rated_capacity_ah)
    coefficients: dict[str, FloatArray] = {}
    for quantity in TERMS:
        coefficients[quantity], scatter = _regressed(tests, quantity, np.array(knots), coefficients)
        print(f"{key:6s} {quantity:25s} scatter {100 * scatter:5.1f} %")
    return {
        "chemistry": chemistry.value,
        "rated_capacity_ah": rated_capacity_ah,
        "health_knots": list(knots),
        "charged_knots": list(CHARGED_KNOTS),
        "open_circuit_volt": _open_circuit_volt(tests).round(4).tolist(),
        **{name: values.round(4).tolist() for name, values in coefficients.items()},
    }


def tests_of(chemistry: Chemistry, rated_capacity_ah: float) -> Tests:
    """Tests of one type with pulses of 3 s or 5 s."""
    dataset = labelled_tests(Path(os.environ["PACKGRADE_DATA_DIR"]))
    labels = dataset.labels
    widths = np.array([test.pulses[0].duration_second for test in dataset.tests])  # type: ignore[union-attr]
    of_type = (labels["chemistry"] == chemistry.value) & (labels["rated_capacity_ah"] == rated_capacity_ah)
    rows = np.flatnonzero(of_type.to_numpy() & np.isin(widths, (3.0, 5.0)))
    held = labels.iloc[rows]
    health = (held["remaining_capacity_ah"] / held["rated_capacity_ah"]).to_numpy()
    trains = [dataset.tests[row] for row in rows.tolist()]
    return Tests(
        features=pulse_feature_matrix(pulse_slots(trains, rated_capacity_ah)),  # type: ignore[arg-type]
        health=health,
        charged=held["charged_fraction"].to_numpy() / health,
        width_second=widths[rows],
        visits=held["visit"].to_numpy(),
    )


def _regressed(
    tests: Tests, quantity: str, knots: FloatArray, earlier: dict[str, FloatArray]
) -> tuple[FloatArray, float]:
    """Robust weighted least squares on the logarithm; the last column takes up how grid tests differ."""
    parts = list(_pulses(tests, quantity, knots, earlier))
    design, target, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    held, scatter = np.ones(len(target)), 0.0
    coefficients = np.zeros(design.shape[1])
    for _ in range(9):
        root = np.sqrt(weight * held)
        coefficients = np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0]
        away = np.abs(target - design @ coefficients)
        scatter = 1.4826 * float(np.median(away))
        held = 1.0 / np.maximum(1.0, away / (1.5 * scatter))
    return coefficients[:-1], scatter


def _pulses(
    tests: Tests, quantity: str, knots: FloatArray, earlier: dict[str, FloatArray]
) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    lowest, highest = FITTED_CHARGED_RANGE
    for rate in C_RATES:
        for way, sign in (("charge", 1.0), ("discharge", -1.0)):
            response = tests.features[:, PULSE_FEATURE_NAMES.index(f"{_FEATURE[quantity]}_{rate:.1f}c_{way}")]
            if quantity == "relaxed_share":
                response = (
                    response / tests.features[:, PULSE_FEATURE_NAMES.index(f"polarisation_ohm_ah_{rate:.1f}c_{way}")]
                )
            rows = (response > SMALLEST_RESPONSE_OHM_AH) & (tests.charged > lowest) & (tests.charged < highest)
            count = int(rows.sum())
            width = tests.width_second[rows]
            at = PulseConditions(tests.health[rows], tests.charged[rows], np.full(count, sign * rate), width)
            grid = 1.0 - tests.visits[rows].astype(np.float64)
            target = np.log(response[rows])
            if quantity == "residual":
                target = target - earlier["polarisation"][-1] * np.log(width / REFERENCE_WIDTH_SECOND)
            weight = np.where(grid > 0.0, 1.0, VISIT_WEIGHT) * (SMALL_AMPLITUDE_WEIGHT if rate <= 1.5 else 1.0)
            yield np.column_stack([at.design(quantity, knots), grid]), target, weight


def _open_circuit_volt(tests: Tests) -> FloatArray:
    """Median voltage of the grid tests around each knot, shifted to the visits."""
    measured = tests.feature("open_circuit_voltage_volt")
    grid = ~tests.visits.astype(np.bool_)
    near = [grid & (np.abs(tests.charged - knot) < 0.03) for knot in CHARGED_KNOTS]
    curve = np.array([np.median(measured[rows]) for rows in near])
    visits = ~grid
    shift = np.median(measured[visits] - np.interp(tests.charged[visits], CHARGED_KNOTS, curve))
    rising: FloatArray = np.maximum.accumulate(curve + shift)
    return rising


if __name__ == "__main__":
    main()
