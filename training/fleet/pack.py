"""A pack of the fleet: its string of aged cell groups, how they lie against each other, what is truly left.

A string is full when its first group is and empty when its first group is. Groups differ in capacity,
in resistance and in how far below full they stand when the string is full; a developing weak group also
loses charge while the others do not. Truth is the string's charge between those ends, at rest.
"""

from dataclasses import dataclass

import numpy as np

from features.measurement import FloatArray
from features.vocabulary import Chemistry
from training.fleet.aged_cell import AgedCell, Ageing, Ages

RATED_CAPACITY_AH = {Chemistry.NMC: 150.0, Chemistry.LFP: 200.0}
"""Plates of the fleet. [Ah]"""

_LOSS = (0.02, 0.4)
_LOSS_SPREAD = 0.012
_RESISTANCE_OHM_AH = 0.04
_RESISTANCE_SPREAD = 0.12
_IMBALANCE = 0.006
_WEAK_SHARE = 0.3
_WEAK_LOSS = (0.02, 0.06)


@dataclass(frozen=True, slots=True)
class Pack:
    """One pack.

    Attributes
    ----------
    battery_id : str
        Its name in the fleet.
    chemistry : Chemistry
        Of its cells.
    rated_capacity_ah : float
        Its plate. [Ah]
    cells : tuple of AgedCell
        Its groups in series, per cell of the parameter set.
    below_full_ah : ndarray, shape (groups,)
        Charge every group lacks when the string is full, per cell, at the beginning of the record. [Ah]
    parallel : float
        Cells of the parameter set per group: what turns cell into pack currents.
    weak_group : int or None
        The developing weak group, from 1.
    """

    battery_id: str
    chemistry: Chemistry
    rated_capacity_ah: float
    cells: tuple[AgedCell, ...]
    below_full_ah: FloatArray
    parallel: float
    weak_group: int | None

    def cell_capacity_ah(self, elapsed_hour: float = 0.0) -> float:
        """What the string has left after a time in operation, per cell of the parameter set. [Ah]."""
        lost = np.array([cell.ageing.leakage_ampere for cell in self.cells]) * elapsed_hour
        below = self.below_full_ah + lost
        held = np.array([cell.capacity_ah for cell in self.cells])
        return float(np.min(held - (below - below.min())))

    def weak_group_lost_ah(self, elapsed_hour: float) -> float:
        """What the weak group has lost beside the others after a time in operation; 0 without one. [Ah]."""
        return self.parallel * elapsed_hour * max(cell.ageing.leakage_ampere for cell in self.cells)

    def remaining_capacity_ah(self, elapsed_hour: float) -> float:
        """What the string has left after a time in operation. [Ah]."""
        return self.parallel * self.cell_capacity_ah(elapsed_hour)


def drawn_pack(  # noqa: PLR0917 - a pack follows from all of them, in this order
    battery_id: str, model: Ages, chemistry: Chemistry, group_count: int, hours: float, chance: np.random.Generator
) -> Pack:
    """Pack drawn at random.

    Parameters
    ----------
    battery_id : str
        Its name.
    model : Ages
        Cells of its chemistry.
    chemistry : Chemistry
        One of `RATED_CAPACITY_AH`.
    group_count : int
        Groups in series.
    hours : float
        Length of the record in operation, over which a weak group develops. [h]
    chance : Generator
        Randomness.
    """
    loss = chance.uniform(*_LOSS)
    weak = int(chance.integers(1, group_count + 1)) if chance.random() < _WEAK_SHARE else None
    cells = [
        model.aged(_ageing(loss, model, chance, hours if number + 1 == weak else None)) for number in range(group_count)
    ]
    below = np.abs(chance.normal(0.0, _IMBALANCE, group_count)) * model.fresh_capacity_ah
    plate = RATED_CAPACITY_AH[chemistry]
    return Pack(battery_id, chemistry, plate, tuple(cells), below - below.min(), plate / model.fresh_capacity_ah, weak)


def _ageing(loss: float, model: Ages, chance: np.random.Generator, weakens_over_hour: float | None) -> Ageing:
    """Lithium goes first, material of both electrodes follows; resistance grows with the loss."""
    lithium = max(0.0, loss + chance.normal(0.0, _LOSS_SPREAD))
    leakage = 0.0
    if weakens_over_hour is not None:
        leakage = chance.uniform(*_WEAK_LOSS) * model.fresh_capacity_ah / weakens_over_hour
    resistance = _RESISTANCE_OHM_AH / model.fresh_capacity_ah * (0.5 + 3.0 * lithium)
    return Ageing(
        lithium_fraction=lithium,
        negative_fraction=0.25 * lithium * chance.uniform(0.7, 1.3),
        positive_fraction=0.35 * lithium * chance.uniform(0.7, 1.3),
        added_resistance_ohm=resistance * max(0.3, chance.normal(1.0, _RESISTANCE_SPREAD)),
        leakage_ampere=leakage,
    )
