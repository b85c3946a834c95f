"""Whether a fleet looks like the batteries its bundle was calibrated on, type by type.

Compared are predicted states of health: those of the fleet, and the held-out ones of the calibration
batteries, which the bundle carries. A fleet that differs is not wrong (a fleet may be older); it says that
the bundle's error was measured on other batteries than these.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.measurement import BatteryIdentity, FloatArray
from models.bundle import Bundle
from serving.batch.result_row import ResultRow

FEWEST_BATTERIES = 8
"""Below this many of a type nothing is said."""
_CRITICAL_AT_5_PERCENT = 1.358


@dataclass(frozen=True)
class TypeDrift:
    """One type of a fleet beside the batteries that calibrated its method.

    Attributes
    ----------
    type_key, method : str
        Type in the bundle's words, and method.
    fleet, calibration : ndarray
        Predicted states of health, sorted.
    """

    type_key: str
    method: str
    fleet: FloatArray
    calibration: FloatArray

    @property
    def distance(self) -> float:
        """Largest difference of the two cumulative distributions (Kolmogorov and Smirnov), 0 to 1."""
        everywhere = np.concatenate([self.fleet, self.calibration])
        ours = np.searchsorted(self.fleet, everywhere, side="right") / len(self.fleet)
        theirs = np.searchsorted(self.calibration, everywhere, side="right") / len(self.calibration)
        return float(np.abs(ours - theirs).max())

    @property
    def differs(self) -> bool:
        """Whether a distance this large comes about by chance less than once in twenty times."""
        n, m = len(self.fleet), len(self.calibration)
        return self.distance > _CRITICAL_AT_5_PERCENT * float(np.sqrt((n + m) / (n * m)))

    @property
    def outside_share(self) -> float:
        """Share of the fleet below or above every calibration battery."""
        outside = (self.fleet < self.calibration[0]) | (self.fleet > self.calibration[-1])
        return float(outside.mean())


def type_name(bundle: Bundle, identity: BatteryIdentity | None) -> str:
    """Return a battery's type in the bundle's words, or as it is declared."""
    if identity is None:
        return "not declared"
    known = bundle.known_type(identity)
    declared = f"{identity.chemistry} {identity.rated_capacity_ah:g} Ah {identity.level}"
    return known.key if known else f"{declared}, not trained"


def fleet_drift(bundle: Bundle, types: Sequence[str], rows: Sequence[ResultRow]) -> list[TypeDrift]:
    """Types of a fleet that the bundle was calibrated on, each beside its calibration batteries.

    Parameters
    ----------
    bundle : Bundle
        Bundle that graded.
    types : sequence of str
        `type_name` of each row.
    rows : sequence of ResultRow
        Rows of the batch.
    """
    found = list[TypeDrift]()
    for method, batteries in bundle.calibration.items():
        for key in batteries.counts:
            fleet = _predicted([row for row, name in zip(rows, types, strict=True) if name == key], method.value)
            if len(fleet) >= FEWEST_BATTERIES:
                calibration = np.sort(batteries.score[batteries.type_keys == key])
                found.append(TypeDrift(key, method.value, fleet, calibration))
    return found


def _predicted(rows: Sequence[ResultRow], method: str) -> FloatArray:
    return np.sort(
        [
            row.state_of_health_fraction
            for row in rows
            if row.method == method and row.state_of_health_fraction is not None
        ]
    )
