"""The voltage of aged cells under a given current: PyBaMM's single-particle model with electrolyte.

Ageing is sampled, not simulated: loss of lithium inventory and of active material set the window of
stoichiometries that is left (`pybamm.lithium_ion.ElectrodeSOHSolver`), a contact resistance stands for the
growth of resistance. So the remaining capacity of every cell is known and follows from physics. Parameter
sets are PyBaMM's: Chen et al., J. Electrochem. Soc. 167, 080534, 2020 (NMC 811, 5 Ah) and Prada et al.,
J. Electrochem. Soc. 160, A616, 2013 (LFP, 2.3 Ah). This is the only file that knows PyBaMM.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pybamm

from features.measurement import FloatArray
from features.vocabulary import Chemistry
from training.fleet.aged_cell import AgedCell, Ageing

PARAMETER_SETS = {Chemistry.NMC: "Chen2020", Chemistry.LFP: "Prada2013"}

_RESISTANCE = "Contact resistance [Ohm]"
_LEAKAGE = "Leakage current [A]"
_POINTS = {"x_n": 5, "x_s": 5, "x_p": 5, "r_n": 10, "r_p": 10}


class VoltageLimitMet(ValueError):  # noqa: N818 - reads as what happened
    """A cell met a voltage limit before the end of a given current."""


class CellModel:
    """Cells of one chemistry; everything is per cell of the parameter set.

    Parameters
    ----------
    chemistry : Chemistry
        One of `PARAMETER_SETS`.
    """

    def __init__(self, chemistry: Chemistry) -> None:
        pybamm.set_logging_level("ERROR")
        self._parameters = pybamm.ParameterValues(PARAMETER_SETS[chemistry])
        self._window = pybamm.lithium_ion.ElectrodeSOHSolver(self._parameters, param=self._symbols)

    @cached_property
    def fresh_capacity_ah(self) -> float:
        """Capacity of a cell that has lost nothing. [Ah]."""
        return self.aged(Ageing(0.0, 0.0, 0.0, 0.0)).capacity_ah

    def aged(self, ageing: Ageing) -> AgedCell:
        """Return the cell this ageing leaves."""
        symbols = self._symbols
        negative_ah = self._value(symbols.n.Q_init) * (1.0 - ageing.negative_fraction)
        positive_ah = self._value(symbols.p.Q_init) * (1.0 - ageing.positive_fraction)
        lithium_ah = self._value(symbols.Q_Li_particles_init) * (1.0 - ageing.lithium_fraction)
        window = self._window.solve({"Q_n": negative_ah, "Q_p": positive_ah, "Q_Li": lithium_ah})
        return AgedCell(
            ageing,
            float(window["Q"]),
            float(window["x_100"]),
            float(window["y_100"]),
            negative_ah,
            positive_ah,
        )

    def voltages(
        self,
        cells: Sequence[AgedCell],
        drawn_ah: FloatArray,
        time_second: FloatArray,
        current_ampere: FloatArray,
    ) -> FloatArray:
        """Terminal voltages of cells in series.

        Parameters
        ----------
        cells : sequence of AgedCell, length n
            The string.
        drawn_ah : ndarray, shape (n,)
            Charge taken out of every cell since it was full, at the beginning. [Ah]
        time_second : ndarray, shape (t,)
            Strictly increasing, from 0. [s]
        current_ampere : ndarray, shape (t,)
            Current through the string, positive while charging. [A]

        Returns
        -------
        ndarray, shape (n, t)
            In volt.

        Raises
        ------
        VoltageLimitMet
            If a cell meets a voltage limit before the end.
        """
        simulation = self._simulation(time_second, current_ampere)
        inputs = [self._inputs(cell, drawn) for cell, drawn in zip(cells, drawn_ah, strict=True)]
        solutions = simulation.solve([0.0, time_second[-1]], t_interp=time_second, inputs=inputs)
        solved = [np.asarray(each["Voltage [V]"].data, dtype=np.float64) for each in solutions]
        short = [number for number, volts in enumerate(solved) if len(volts) < len(time_second)]
        if short:
            at = f"{time_second[len(solved[short[0]]) - 1]:.0f} s with {solved[short[0]][-1]:.3f} V"
            raise VoltageLimitMet(
                f"Cell {short[0] + 1} met a voltage limit at {at}: the profile asks more than it holds."
            )
        return np.stack([volts[: len(time_second)] for volts in solved])

    @cached_property
    def _symbols(self) -> pybamm.LithiumIonParameters:
        return pybamm.LithiumIonParameters()

    def _value(self, symbol: pybamm.Symbol) -> float:
        return float(self._parameters.evaluate(symbol))

    def _simulation(self, time_second: FloatArray, current_ampere: FloatArray) -> pybamm.Simulation:
        parameters = self._parameters.copy()
        leakage = pybamm.InputParameter(_LEAKAGE)
        parameters["Current function [A]"] = pybamm.Interpolant(time_second, -current_ampere, pybamm.t) + leakage
        parameters.update({_RESISTANCE: "[input]"}, check_already_exists=False)
        for name in (*_FRACTIONS.values(), *_CONCENTRATIONS.values()):
            parameters[name] = "[input]"
        return pybamm.Simulation(
            pybamm.lithium_ion.SPMe(options={"contact resistance": "true"}),
            parameter_values=parameters,
            solver=pybamm.IDAKLUSolver(atol=1e-5, rtol=1e-4, output_variables=["Voltage [V]"]),
            var_pts=_POINTS,
        )

    def _inputs(self, cell: AgedCell, drawn_ah: float) -> dict[str, float]:
        ageing = cell.ageing
        stoichiometry = {
            "negative": cell.full_negative - drawn_ah / cell.negative_ah,
            "positive": cell.full_positive + drawn_ah / cell.positive_ah,
        }
        lost = {"negative": ageing.negative_fraction, "positive": ageing.positive_fraction}
        inputs = {_RESISTANCE: ageing.added_resistance_ohm, _LEAKAGE: ageing.leakage_ampere}
        for side, share in stoichiometry.items():
            highest = float(self._parameters[f"Maximum concentration in {side} electrode [mol.m-3]"])
            inputs[_CONCENTRATIONS[side]] = share * highest
            inputs[_FRACTIONS[side]] = float(self._parameters[_FRACTIONS[side]]) * (1.0 - lost[side])
        return inputs


_FRACTIONS = {
    side: f"{side.capitalize()} electrode active material volume fraction" for side in ("negative", "positive")
}
_CONCENTRATIONS = {side: f"Initial concentration in {side} electrode [mol.m-3]" for side in ("negative", "positive")}
