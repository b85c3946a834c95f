"""Do outcomes agree with what was promised? Coverage and error per battery type, with an exact binomial band.

Coverage leaves its band when so few (or so many) batteries inside their interval would be seen less
than once in a hundred times if the promise held. On a handful of batteries no band can be left. A
battery that was measured because its decision was in doubt is no fair sample; such rows are counted
apart and raise no alarm unless that is asked for. Pure arithmetic on a table of outcomes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binom

from training.labels import type_key
from training.outcomes import identity_of

BAND_CONFIDENCE = 0.99
LEAST_OUTCOMES = 10
"""With fewer outcomes of a type nothing is said, whatever the band."""

ALL_TYPES = "all"


@dataclass(frozen=True, slots=True)
class TypeDrift:
    """Outcomes of one type under one method.

    Attributes
    ----------
    type_key, method : str
        Which.
    promised_fraction : float
        Coverage the intervals promised.
    outcome_count, covered_count : int
        Outcomes, and those inside their interval.
    band : tuple of int
        Fewest and most covered that agree with the promise.
    mean_error, mean_absolute_error : float
        Measured minus estimated state of health.
    calibration_mean_absolute_error : float or None
        The same on the batteries that calibrated the bundle, where one was given.
    """

    type_key: str
    method: str
    promised_fraction: float
    outcome_count: int
    covered_count: int
    band: tuple[int, int]
    mean_error: float
    mean_absolute_error: float
    calibration_mean_absolute_error: float | None = None

    @property
    def alarms(self) -> bool:
        """Whether coverage left its band on enough outcomes."""
        fewest, most = self.band
        return self.outcome_count >= LEAST_OUTCOMES and not fewest <= self.covered_count <= most

    @property
    def sentence(self) -> str:
        """What the alarm says."""
        fewest, most = self.band
        return (
            f"{self.type_key} ({self.method}): {self.covered_count} of {self.outcome_count} outcomes lie inside their "
            f"{100 * self.promised_fraction:g} % interval; {fewest} to {most} would agree with the promise "
            f"({100 * BAND_CONFIDENCE:g} % band). Recalibrate with these outcomes, or look for what has changed."
        )


def drift_of(outcomes: pd.DataFrame, calibration_errors: Mapping[tuple[str, str], float]) -> list[TypeDrift]:
    """Agreement of outcomes with their promise, per method, promise and type.

    Parameters
    ----------
    outcomes : DataFrame
        Rows of `training.outcomes.read_outcomes` with an estimate.
    calibration_errors : mapping of (method, type key) to float
        Mean absolute error on the batteries that calibrated.

    Returns
    -------
    list of TypeDrift
        Types by name; where a method has several, all of them together last.
    """
    keys = [type_key(identity_of(row)) for row in outcomes.to_dict("records")]
    named = outcomes.assign(type_key=pd.Series(keys, index=outcomes.index, dtype="str"))
    return [
        drift
        for (method, promised), rows in named.groupby(["method", "coverage_fraction"])
        for drift in _of_types(str(method), float(str(promised)), rows, calibration_errors)
    ]


def coverage_band(count: int, promised_fraction: float) -> tuple[int, int]:
    """Fewest and most covered batteries that agree with a promise.

    Examples
    --------
    >>> coverage_band(100, 0.9)
    (82, 97)
    """
    low, high = binom.interval(BAND_CONFIDENCE, count, promised_fraction)
    return int(low), int(high)


def _of_types(
    method: str, promised: float, rows: pd.DataFrame, calibration_errors: Mapping[tuple[str, str], float]
) -> Iterator[TypeDrift]:
    groups = [(str(key), each) for key, each in rows.groupby("type_key")]
    for key, each in groups if len(groups) == 1 else [*groups, (ALL_TYPES, rows)]:
        error = (each["measured_fraction"] - each["estimated_fraction"]).to_numpy(dtype=np.float64)
        covered = each["measured_fraction"].between(each["lower_fraction"], each["upper_fraction"])
        yield TypeDrift(
            type_key=key,
            method=method,
            promised_fraction=promised,
            outcome_count=len(each),
            covered_count=int(covered.sum()),
            band=coverage_band(len(each), promised),
            mean_error=float(error.mean()),
            mean_absolute_error=float(np.abs(error).mean()),
            calibration_mean_absolute_error=calibration_errors.get((method, key)),
        )
