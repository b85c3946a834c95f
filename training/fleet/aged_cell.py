"""A cell that has aged: what it has lost, and the window of stoichiometries that is left. Data only."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Ageing:
    """What a cell has lost.

    Attributes
    ----------
    lithium_fraction, negative_fraction, positive_fraction : float
        Share of the lithium inventory, and of the active material of either electrode, that is lost.
    added_resistance_ohm : float
        Series resistance beyond the parameter set's own. [Ω]
    leakage_ampere : float
        Current the cell loses on top of the string's, positive while discharging it. [A]
    """

    lithium_fraction: float
    negative_fraction: float
    positive_fraction: float
    added_resistance_ohm: float
    leakage_ampere: float = 0.0


@dataclass(frozen=True, slots=True)
class AgedCell:
    """A cell and the window of stoichiometries its ageing has left.

    Attributes
    ----------
    ageing : Ageing
        What it has lost.
    capacity_ah : float
        Charge between its voltage limits at rest. [Ah]
    full_negative, full_positive : float
        Stoichiometries when full.
    negative_ah, positive_ah : float
        Charge per unit of stoichiometry of either electrode. [Ah]
    """

    ageing: Ageing
    capacity_ah: float
    full_negative: float
    full_positive: float
    negative_ah: float
    positive_ah: float


class Ages(Protocol):
    """Cells of one chemistry, as the fleet needs them."""

    @property
    def fresh_capacity_ah(self) -> float:
        """Capacity of a cell that has lost nothing. [Ah]."""

    def aged(self, ageing: Ageing) -> AgedCell:
        """Return the cell this ageing leaves."""
