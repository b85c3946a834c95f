"""The impedance spectrum of a battery with known truth.

Inductance of the cables, ohmic resistance, a surface film and charge transfer (R‖C each) and
diffusion (Warburg). Charge transfer and film slow down with cold as `features.impedance` assumes,
the ohmic part does not. Resistances are in ohm·Ah, so that one circuit stands for every size; they
grow as health falls. The numbers are round ones of the right size, fitted to nothing.
"""

from dataclasses import dataclass, replace

import numpy as np

from features.impedance import slowing_factor
from features.measurement import CanonicalTable, FloatArray
from features.spectrum import ComplexArray
from features.vocabulary import TableFormat

USUAL_HERTZ: FloatArray = np.logspace(-2.5, 4, 66)


@dataclass(frozen=True)
class SpectrumCircuit:
    """An equivalent circuit at 25 °C.

    Attributes
    ----------
    inductance_henry : float
        Cables and tabs; does not scale with the battery. [H]
    ohmic_ohm_ah, film_ohm_ah, charge_transfer_ohm_ah : float
        [Ω·Ah]
    film_second, charge_transfer_second : float
        Time constants. [s]
    warburg_ohm_ah : float
        Coefficient of ``σ·(1 − j)·ω^−0.5``. [Ω·Ah/s^0.5]
    """

    inductance_henry: float = 6e-8
    ohmic_ohm_ah: float = 0.04
    film_ohm_ah: float = 0.004
    film_second: float = 4e-4
    charge_transfer_ohm_ah: float = 0.01
    charge_transfer_second: float = 3e-3
    warburg_ohm_ah: float = 0.002

    def worn(self, state_of_health_fraction: float) -> "SpectrumCircuit":
        """Return the circuit of a battery that has lost capacity."""
        lost = 1.0 - state_of_health_fraction
        return replace(
            self,
            ohmic_ohm_ah=self.ohmic_ohm_ah * (1.0 + lost),
            film_ohm_ah=self.film_ohm_ah * (1.0 + 3.0 * lost),
            charge_transfer_ohm_ah=self.charge_transfer_ohm_ah * (1.0 + 6.0 * lost),
        )

    def impedance_ohm(self, hertz: FloatArray, rated_capacity_ah: float, celsius: float) -> ComplexArray:
        """Impedance at given frequencies. [Ω]."""
        s, slower = 2j * np.pi * hertz, slowing_factor(celsius)
        film = self.film_ohm_ah / (1.0 + s * self.film_second * slower)
        transfer = self.charge_transfer_ohm_ah / (1.0 + s * self.charge_transfer_second * slower)
        diffusion = self.warburg_ohm_ah * (1.0 - 1.0j) * (2.0 * np.pi * hertz) ** -0.5
        of_battery = self.ohmic_ohm_ah + (film + transfer) * slower + diffusion
        return np.asarray(of_battery / rated_capacity_ah + s * self.inductance_henry, dtype=np.complex128)


def spectrum_table(
    circuit: SpectrumCircuit,
    rated_capacity_ah: float,
    *,
    celsius: float | None = 25.0,
    hertz: FloatArray = USUAL_HERTZ,
    noise_fraction: float = 0.0,
    seed: int = 0,
) -> CanonicalTable:
    """Canonical ``spectrum`` of a circuit; without a temperature it is measured at 25 °C and does not say so."""
    ohm = circuit.impedance_ohm(hertz, rated_capacity_ah, 25.0 if celsius is None else celsius)
    noise = np.random.default_rng(seed).normal(0.0, noise_fraction, (2, len(hertz)))
    ohm = ohm + np.abs(ohm) * (noise[0] + 1j * noise[1])
    columns = {"frequency_hertz": hertz, "real_impedance_ohm": ohm.real, "imaginary_impedance_ohm": ohm.imag}
    if celsius is not None:
        columns["surface_temperature_celsius"] = np.full(len(hertz), celsius)
    return CanonicalTable(TableFormat.SPECTRUM, columns)
