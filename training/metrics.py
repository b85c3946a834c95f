"""Figures of merit: errors, coverage, shares and their confidence bounds, from plain arrays.

Nothing here knows a model, a policy or a file. State of health is a fraction of rated capacity;
means over batteries expect one row per battery.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.metrics import (
    brier_score_loss,
    mean_absolute_error,
    mean_absolute_percentage_error,
    r2_score,
    roc_auc_score,
)

from features.measurement import FloatArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Share:
    """A counted share with its exact (Clopper-Pearson) two-sided 95 % bounds.

    Attributes
    ----------
    count, total : int
        How many of how many.
    """

    count: int
    total: int

    @property
    def fraction(self) -> float:
        """Share; NaN of nothing."""
        return self.count / self.total if self.total else float("nan")

    @property
    def bounds(self) -> tuple[float, float]:
        """Clopper & Pearson, Biometrika 26 (1934) 404; (0, 1) of nothing.

        Examples
        --------
        >>> [round(bound, 4) for bound in Share(0, 100).bounds]
        [0.0, 0.0362]
        """
        if not self.total:
            return 0.0, 1.0
        interval = binomtest(self.count, self.total).proportion_ci(0.95, method="exact")
        return float(interval.low), float(interval.high)

    @classmethod
    def of(cls, mask: BoolArray) -> "Share":
        """Share of true values."""
        return cls(int(np.count_nonzero(mask)), len(mask))


@dataclass(frozen=True, slots=True)
class PointErrors:
    """How far point estimates of state of health are off, as fractions.

    Attributes
    ----------
    row_count : int
        Rows judged.
    mean_absolute_percentage_error, mean_absolute_error : float
        Means over rows.
    explained_fraction : float
        Share of the variance between rows that the estimates explain (R²): at 0 they are no better
        than the mean of the rows; NaN where there is no variance.
    """

    row_count: int
    mean_absolute_percentage_error: float
    mean_absolute_error: float
    explained_fraction: float


@dataclass(frozen=True, slots=True)
class SuitabilityScores:
    """How good P(state of health < cut) is.

    Attributes
    ----------
    brier : float
        Mean squared error of the probability.
    area_under_curve : float
        NaN where all batteries lie on one side of the cut.
    mean_probability, observed_share : float
        Average forecast against what happened.
    """

    brier: float
    area_under_curve: float
    mean_probability: float
    observed_share: float


def point_errors(measured: FloatArray, estimated: FloatArray) -> PointErrors:
    """Mean absolute and mean absolute percentage error over rows.

    Examples
    --------
    >>> round(point_errors(np.array([0.8, 0.5]), np.array([0.84, 0.5])).mean_absolute_percentage_error, 6)
    0.025
    """
    return PointErrors(
        len(measured),
        float(mean_absolute_percentage_error(measured, estimated)),
        float(mean_absolute_error(measured, estimated)),
        float(r2_score(measured, estimated)) if np.ptp(measured) > 0.0 else float("nan"),
    )


def suitability_scores(below: BoolArray, probability: FloatArray) -> SuitabilityScores:
    """Scores of probabilities against what lies below the cut."""
    both_sides = 0 < np.count_nonzero(below) < len(below)
    return SuitabilityScores(
        float(brier_score_loss(below, probability, pos_label=True)) if len(below) else float("nan"),
        float(roc_auc_score(below, probability)) if both_sides else float("nan"),
        float(np.mean(probability)),
        float(np.mean(below)),
    )


def reliability(below: BoolArray, probability: FloatArray, bin_count: int = 5) -> FloatArray:
    """Reliability table: mean forecast, observed share and count per bin of equal width; empty bins left out.

    Returns
    -------
    ndarray, shape (bins, 3)
    """
    bins = np.minimum((probability * bin_count).astype(int), bin_count - 1)
    rows = [
        (float(probability[bins == number].mean()), float(below[bins == number].mean()), float((bins == number).sum()))
        for number in range(bin_count)
        if (bins == number).any()
    ]
    return np.array(rows).reshape(-1, 3)
