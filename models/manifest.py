"""The manifest of a bundle: what it is, what it was trained on, which bytes belong to it.

Pure data with strict types; reading and checking the files is `bundle`'s work. The SHA-256 of the
manifest's canonical JSON is the bundle's digest: it covers every file through its own digest.
"""

import hashlib
from datetime import date
from functools import cached_property
from typing import Annotated, Literal

import rfc8785
from pydantic import BaseModel, ConfigDict, Field

from features.feature_set import Method
from features.measurement import BatteryIdentity
from features.vocabulary import Chemistry, Level

RATED_CAPACITY_TOLERANCE = 0.01
"""Two rated capacities within 1 % are the same type."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0.0, le=2.0)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class KnownType(_Record):
    """A battery type the bundle was trained on.

    Attributes
    ----------
    key : str
        Short name of the type inside the bundle.
    level, chemistry, rated_capacity_ah, type_designation
        As on the plate. [Ah]
    cell_count : int
        Physical cells in training.
    calibration_batteries : mapping of Method to int
        Methods trained for this type, and the batteries of it that calibrate each; 0 where none does.
    """

    key: str
    level: Level
    chemistry: Chemistry
    rated_capacity_ah: Annotated[float, Field(gt=0.0)]
    type_designation: str | None = None
    cell_count: int
    calibration_batteries: dict[Method, Annotated[int, Field(ge=0)]]

    def is_type_of(self, identity: BatteryIdentity) -> bool:
        """Whether a battery is declared as this type: level, chemistry, rated capacity within 1 %, designation."""
        same_size = abs(identity.rated_capacity_ah / self.rated_capacity_ah - 1.0) <= RATED_CAPACITY_TOLERANCE
        both_named = identity.type_designation is not None and self.type_designation is not None
        return (
            identity.chemistry is self.chemistry
            and identity.level is self.level
            and same_size
            and (not both_named or identity.type_designation == self.type_designation)
        )


class CalibratedMethod(_Record):
    """One method the bundle can estimate with.

    Attributes
    ----------
    method : Method
        The method.
    feature_set_digest : str
        Features its models were trained on.
    capacity_definition : str
        Which capacity the labels are.
    coverage_fraction : float
        Nominal coverage of its interval.
    lowest_cut_fraction, highest_cut_fraction : float
        Cuts between these have a calibrated suitability probability.
    """

    method: Method
    feature_set_digest: Sha256
    capacity_definition: str
    coverage_fraction: Annotated[float, Field(gt=0.0, lt=1.0)]
    lowest_cut_fraction: Fraction
    highest_cut_fraction: Fraction


class TrainingData(_Record):
    """What trained the bundle: name, licence, digest and size."""

    name: str
    licence: str
    sha256: Sha256
    row_count: int
    cell_count: int


class Manifest(_Record):
    """Everything a bundle says about itself."""

    format_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z._+-]{0,63}$")]
    created_on: date
    methods: tuple[CalibratedMethod, ...]
    known_types: tuple[KnownType, ...]
    training_data: tuple[TrainingData, ...]
    files: dict[str, Sha256]

    @cached_property
    def sha256(self) -> str:
        """Digest of the bundle: SHA-256 of the manifest's canonical JSON (RFC 8785)."""
        return hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).hexdigest()

    def calibrated(self, method: Method) -> CalibratedMethod | None:
        """The calibrated method of that name, if the bundle has one."""
        return next((each for each in self.methods if each.method is method), None)
