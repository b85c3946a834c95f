"""Charging and discharging the equivalent circuit from empty to full, and what a tester sees of it.

A constant current moves the charged fraction in proportion to the remaining capacity; the voltage is
open circuit plus current times the resistance settled after a minute. Full and empty are set by the
voltage limits of the chemistry, so that a 1 C discharge delivers exactly the remaining capacity.
"""

from dataclasses import dataclass

import numpy as np

from features.measurement import FloatArray
from features.vocabulary import Chemistry
from tests.support.equivalent_circuit import EquivalentCircuit

SAMPLING_SECOND = 10.0
SETTLED_SECOND = 60.0
CHARGE_RATE_C = 1.0 / 3.0
TAPER_TO_RATE_C = 0.05
CONSTANT_CURRENT_UNTIL = 0.95
REST_SECOND = 900.0

LIMITS_VOLT = {Chemistry.LFP: (2.5, 3.40, 3.65), Chemistry.NMC: (2.7, 4.16, 4.2), Chemistry.LMO: (2.0, 4.16, 4.2)}
"""Cut-off, rested full cell, charge limit, per cell: data sheets of the families. [V]"""

Step = tuple[float, float, float, float]
Record = tuple[FloatArray, FloatArray, FloatArray]


@dataclass(frozen=True)
class FullCycle:
    """A cell on a tester. Steps are (duration, current, first voltage, last voltage); voltages per cell."""

    circuit: EquivalentCircuit
    rated_capacity_ah: float
    remaining_capacity_ah: float

    def loaded_volt(self, charged: FloatArray, c_rate: FloatArray) -> FloatArray:
        """Voltage per cell under a current that has flowed for a minute."""
        cutoff, full, limit = LIMITS_VOLT[self.circuit.chemistry]
        knots, curve = self.circuit.charged_knots, self.circuit.open_circuit_volt
        settled = np.array([self._settled_ohm_ah(float(knot)) for knot in knots])
        resistance = np.interp(charged, knots, settled)
        empty = cutoff + float(settled[0])
        open_circuit = np.interp(charged, np.r_[0.0, knots, 1.0], np.r_[min(empty, curve[0]), curve, full])
        volt: FloatArray = np.clip(open_circuit + c_rate * resistance, cutoff, limit)
        return volt

    def charge(self, from_charged: float, to_charged: float, rate_c: float) -> Record:
        """Constant-current charge over a window: time, voltage, current."""
        return self._constant_current(from_charged, to_charged, rate_c)

    def steps(self, arrives_charged: float, rate_c: float) -> list[Step]:
        """Rest, constant current, constant voltage, rest, discharge, rest."""
        pieces = self._pieces(arrives_charged, rate_c)
        return [
            (self._length(piece), float(np.mean(piece[2])), float(piece[1][0]), float(piece[1][-1])) for piece in pieces
        ]

    def record(self, arrives_charged: float, rate_c: float) -> Record:
        """Return the same as samples: time, voltage, current."""
        time, volt, current, begin = [], [], [], 0.0
        for piece in self._pieces(arrives_charged, rate_c):
            time.append(begin + piece[0])
            volt.append(piece[1])
            current.append(piece[2])
            begin += self._length(piece) + 1.0
        return np.concatenate(time), np.concatenate(volt), np.concatenate(current)

    def _pieces(self, arrives_charged: float, rate_c: float) -> list[Record]:
        cutoff, full, limit = LIMITS_VOLT[self.circuit.chemistry]
        at_arrival = float(self.loaded_volt(np.array([arrives_charged]), np.zeros(1))[0])
        charged = self._constant_current(arrives_charged, CONSTANT_CURRENT_UNTIL, CHARGE_RATE_C)
        charged[1][-1] = limit
        discharged = self._constant_current(1.0, 0.0, -rate_c)
        discharged[1][-1] = cutoff
        recovered = float(self.loaded_volt(np.zeros(1), np.zeros(1))[0])
        return [
            _rest(at_arrival, at_arrival),
            charged,
            self._constant_voltage(limit),
            _rest(limit, full),
            discharged,
            _rest(cutoff, recovered),
        ]

    def _constant_current(self, from_charged: float, to_charged: float, rate_c: float) -> Record:
        current = rate_c * self.rated_capacity_ah
        length = 3600.0 * (to_charged - from_charged) * self.remaining_capacity_ah / current
        time = _clock(length)
        charged = from_charged + (to_charged - from_charged) * time / length
        return time, self.loaded_volt(charged, np.full(len(time), rate_c)), np.full(len(time), current)

    def _constant_voltage(self, limit: float) -> Record:
        first, last = CHARGE_RATE_C * self.rated_capacity_ah, TAPER_TO_RATE_C * self.rated_capacity_ah
        missing = 3600.0 * (1.0 - CONSTANT_CURRENT_UNTIL) * self.remaining_capacity_ah
        decay_second = missing / (first - last)
        time = _clock(decay_second * float(np.log(first / last)))
        return time, np.full(len(time), limit), first * np.exp(-time / decay_second)

    def _settled_ohm_ah(self, charged: float) -> float:
        health = self.remaining_capacity_ah / self.rated_capacity_ah
        response = self.circuit.response(health, charged, -1.0, SETTLED_SECOND)
        return response.instantaneous + response.polarisation

    @staticmethod
    def _length(piece: Record) -> float:
        return float(piece[0][-1])


def _clock(length_second: float) -> FloatArray:
    """Sampling moments from 0 to the end, the end included."""
    usual = np.arange(0.0, length_second - 1.0, SAMPLING_SECOND)
    return np.append(usual, length_second)


def _rest(from_volt: float, to_volt: float) -> Record:
    time = _clock(REST_SECOND)
    falling = np.exp(-time / (REST_SECOND / 8.0))
    return time, to_volt + (from_volt - to_volt) * falling, np.zeros(len(time))
