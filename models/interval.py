"""An interval that holds: normalised split conformal, calibrated per battery on station-like visits.

Half width = quantile x scale of the type x difficulty of the case. The quantile is one number over
all calibration batteries; the scale says how hard a type is; the difficulty grows when the members
of the ensemble disagree. Fitted in `training/calibrate`; only arithmetic here. Source: Lei et al.,
*JASA* 113 (2018) 1094, locally weighted split conformal; Papadopoulos et al., 2002.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from features.measurement import FloatArray

Positive = Annotated[float, Field(gt=0.0)]


class TypeScale(BaseModel):
    """How hard one type is.

    Attributes
    ----------
    scale_fraction : float
        Typical error of the type, in state of health.
    typical_disagreement : float
        Median disagreement of the ensemble's members for this type (standard deviation of log state of health).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    scale_fraction: Positive
    typical_disagreement: Positive


class ConformalInterval(BaseModel):
    """The calibrated interval.

    Attributes
    ----------
    coverage_fraction : float
        Nominal coverage.
    quantile : float
        Conformal quantile of ``|error| / (scale x difficulty)``.
    difficulty_slope : float
        How much a disagreement as large as usual adds to the difficulty (which starts at 1).
    largest_relative_disagreement : float
        Beyond this multiple of the usual disagreement the difficulty no longer grows.
    types : mapping of str to TypeScale
        Scale per type key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    coverage_fraction: Annotated[float, Field(gt=0.0, lt=1.0)]
    quantile: Positive
    difficulty_slope: Annotated[float, Field(ge=0.0)]
    largest_relative_disagreement: Positive
    types: Mapping[str, TypeScale]

    def spread_fraction(self, type_key: str, disagreement: FloatArray) -> FloatArray:
        """Scale x difficulty per case, in state of health, shape (n,)."""
        of_type = self.types[type_key]
        relative = np.minimum(disagreement / of_type.typical_disagreement, self.largest_relative_disagreement)
        spread: FloatArray = of_type.scale_fraction * (1.0 + self.difficulty_slope * relative)
        return spread

    def bounds(self, point: FloatArray, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bound of state of health; the lower bound is never negative."""
        half = self.quantile * spread
        return np.maximum(point - half, 0.0), point + half
