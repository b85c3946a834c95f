"""An equivalent circuit of a retired cell: open-circuit voltage, series resistance, polarisation.

About twenty fitted numbers per battery type and an open-circuit curve, all in
``simulated_battery_parameters.json``; ``python -m benchmarks.fit_simulator`` fits them again. No row of
any data set is kept. Resistances are in ohm·Ah (response over C-rate), so that one circuit stands for
cells of every size; current is positive while charging.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from features.measurement import FloatArray
from features.vocabulary import Chemistry

PARAMETERS = Path(__file__).with_name("simulated_battery_parameters.json")
REFERENCE_CHARGED_FRACTION = 0.4
REFERENCE_WIDTH_SECOND = 3.0
FIRST_C_RATE = 0.5
"""A train begins with the charge pulse at 0.5 C; a rested cell keeps more of that pulse than of later ones."""

TERMS: Mapping[str, tuple[str, ...]] = {
    "instantaneous_resistance": ("health", "charged"),
    "polarisation": (
        "health",
        "charged",
        "charged_squared",
        "log_c_rate",
        "log_c_rate_squared",
        "discharging",
        "discharging_log_c_rate",
        "health_log_c_rate",
        "log_width",
    ),
    "relaxed_share": (
        "one",
        "health_scale",
        "log_c_rate",
        "discharging",
        "discharging_log_c_rate",
        "first_pulse",
    ),
    "residual": ("one", "health_scale", "discharging", "first_pulse"),
}
"""Terms of the natural logarithm of each quantity; ``health`` has one coefficient per health knot."""


@dataclass(frozen=True)
class PulseConditions:
    """Conditions of n pulses; arrays of shape (n,).

    Attributes
    ----------
    state_of_health_fraction, charged_fraction : ndarray
        Remaining over rated capacity; charge held over remaining capacity.
    c_rate : ndarray
        Current over rated capacity, positive while charging. [1/h]
    width_second : ndarray
        [s]
    """

    state_of_health_fraction: FloatArray
    charged_fraction: FloatArray
    c_rate: FloatArray
    width_second: FloatArray

    def design(self, quantity: str, health_knots: FloatArray) -> FloatArray:
        """Values of a quantity's terms, shape (n, coefficients)."""
        columns = self._terms(health_knots)
        return np.concatenate([columns[name] for name in TERMS[quantity]], axis=1)

    def _terms(self, health_knots: FloatArray) -> dict[str, FloatArray]:
        health = self.state_of_health_fraction
        scale = (health - health_knots[0]) / (health_knots[-1] - health_knots[0])
        charged = self.charged_fraction - REFERENCE_CHARGED_FRACTION
        log_c = np.log(np.abs(self.c_rate))
        discharging = (self.c_rate < 0.0).astype(np.float64)
        named = {
            "one": np.ones_like(health),
            "health_scale": scale,
            "charged": charged,
            "charged_squared": charged**2,
            "log_c_rate": log_c,
            "log_c_rate_squared": log_c**2,
            "discharging": discharging,
            "discharging_log_c_rate": discharging * log_c,
            "health_log_c_rate": scale * log_c,
            "log_width": np.log(self.width_second / REFERENCE_WIDTH_SECOND),
            "first_pulse": np.isclose(self.c_rate, FIRST_C_RATE, atol=0.05).astype(np.float64),
        }
        return {"health": _between_knots(health, health_knots), **{k: v[:, None] for k, v in named.items()}}


def _between_knots(values: FloatArray, knots: FloatArray) -> FloatArray:
    """Weights of the knots in a piecewise-linear curve that goes on straight outside, shape (n, knots)."""
    left = np.clip(np.searchsorted(knots, values) - 1, 0, len(knots) - 2)
    share = (values - knots[left]) / (knots[left + 1] - knots[left])
    weights = np.zeros((len(values), len(knots)))
    rows = np.arange(len(values))
    weights[rows, left], weights[rows, left + 1] = 1.0 - share, share
    return weights


@dataclass(frozen=True)
class PulseResponse:
    """Response to one pulse, each over the C-rate. [ohm·Ah]

    Attributes
    ----------
    instantaneous : float
        At once.
    polarisation : float
        Added until the end of the pulse.
    relaxation : float
        Given back during the rest.
    residual : float
        Left over at the end of the rest.
    width_exponent : float
        Polarisation grows with this power of time (constant-phase element).
    """

    instantaneous: float
    polarisation: float
    relaxation: float
    residual: float
    width_exponent: float

    def during_pulse(self, share_of_width: FloatArray) -> FloatArray:
        """Response at a time in pulse widths since the current began."""
        return np.asarray(self.instantaneous + self.polarisation * share_of_width**self.width_exponent)

    def during_rest(self, widths_rested: FloatArray, rest_in_widths: float) -> FloatArray:
        """Response at a time in pulse widths since the current stopped, down to the residual at the rest's end."""
        exponent = self.width_exponent
        at_end = (1.0 + rest_in_widths) ** exponent - rest_in_widths**exponent
        falling = ((1.0 + widths_rested) ** exponent - widths_rested**exponent - at_end) / (1.0 - at_end)
        return np.asarray(self.residual + self.relaxation * falling)


@dataclass(frozen=True)
class EquivalentCircuit:
    """The circuit of one battery type.

    Attributes
    ----------
    chemistry : Chemistry
        Chemistry of the type.
    rated_capacity_ah : float
        Rated capacity of the type the numbers were fitted on. [Ah]
    health_knots : ndarray
        States of health at which ``health`` coefficients are given.
    charged_knots, open_circuit_volt : ndarray
        Open-circuit voltage over charged fraction. [V]
    coefficients : mapping of str to ndarray
        Per quantity, in the order of ``TERMS``.
    """

    chemistry: Chemistry
    rated_capacity_ah: float
    health_knots: FloatArray
    charged_knots: FloatArray
    open_circuit_volt: FloatArray
    coefficients: Mapping[str, FloatArray]

    def response(
        self, state_of_health_fraction: float, charged_fraction: float, c_rate: float, width_second: float
    ) -> PulseResponse:
        """Response of a cell to one pulse."""
        asked = (state_of_health_fraction, charged_fraction, c_rate, width_second)
        conditions = PulseConditions(*(np.array([value]) for value in asked))
        values = {
            name: math.exp(float((conditions.design(name, self.health_knots) @ held)[0]))
            for name, held in self.coefficients.items()
        }
        exponent = float(self.coefficients["polarisation"][-1])
        wider = (width_second / REFERENCE_WIDTH_SECOND) ** exponent
        return PulseResponse(
            instantaneous=values["instantaneous_resistance"],
            polarisation=values["polarisation"],
            relaxation=values["polarisation"] * values["relaxed_share"],
            residual=values["residual"] * wider,
            width_exponent=exponent,
        )


@cache
def fitted_circuits() -> Mapping[str, EquivalentCircuit]:
    """Return the fitted circuits by battery type."""
    types = json.loads(PARAMETERS.read_text(encoding="utf-8"))["types"]
    return {
        key: EquivalentCircuit(
            chemistry=Chemistry(held["chemistry"]),
            rated_capacity_ah=held["rated_capacity_ah"],
            health_knots=np.array(held["health_knots"]),
            charged_knots=np.array(held["charged_knots"]),
            open_circuit_volt=np.array(held["open_circuit_volt"]),
            coefficients={name: np.array(held[name]) for name in TERMS},
        )
        for key, held in types.items()
    }


def circuit_of(chemistry: Chemistry, rated_capacity_ah: float) -> EquivalentCircuit:
    """Return the fitted circuit of a chemistry whose cells come nearest in size.

    Raises
    ------
    ValueError
        If no cell of that chemistry was fitted.
    """
    candidates = [each for each in fitted_circuits().values() if each.chemistry is chemistry]
    if not candidates:
        raise ValueError(f"No circuit was fitted for chemistry {chemistry.value}.")
    return min(candidates, key=lambda each: abs(math.log(each.rated_capacity_ah / rated_capacity_ah)))
