"""The ordered features per method, their meaning, and the digest that ties a bundle to them.

A model is only valid for the features it was trained on. Name, unit, meaning and version of every
feature go into a SHA-256; bundles carry it, and a bundle with another digest is refused. Raise
`version` of a set when an equation changes although its names do not.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property

import numpy as np

from features.capacity_test import CAPACITY_TEST_DEFINITIONS
from features.findings import Finding
from features.impedance import IMPEDANCE_DEFINITIONS
from features.measurement import FloatArray
from features.partial_charge import PARTIAL_CHARGE_DEFINITIONS
from features.pulse import PULSE_DEFINITIONS
from features.telemetry_definitions import FIELD_TELEMETRY_DEFINITIONS
from features.two_trains import TWO_TRAIN_DEFINITIONS
from features.vocabulary import FeatureDefinition, Provenance


class Method(StrEnum):
    """How remaining capacity is known."""

    CAPACITY_TEST = "capacity_test"
    TWO_PULSE_TRAINS = "two_pulse_trains"
    PULSE_TEST = "pulse_test"
    PARTIAL_CHARGE = "partial_charge"
    IMPEDANCE = "impedance"
    FIELD_TELEMETRY = "field_telemetry"


@dataclass(frozen=True)
class FeatureSet:
    """The features of one method, in order.

    Attributes
    ----------
    method : Method
        Method they belong to.
    version : int
        Raised whenever an equation changes.
    definitions : tuple of FeatureDefinition
        The features, in the order of the model's columns.
    """

    method: Method
    version: int
    definitions: tuple[FeatureDefinition, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Feature names in order."""
        return tuple(definition.name for definition in self.definitions)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over version, names, units and meanings, 64 hex digits."""
        described = [[each.name, each.unit, each.meaning] for each in self.definitions]
        text = json.dumps([self.method.value, self.version, described], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()


FEATURE_SETS: Mapping[Method, FeatureSet] = {
    each.method: each
    for each in (
        FeatureSet(Method.CAPACITY_TEST, 1, CAPACITY_TEST_DEFINITIONS),
        FeatureSet(Method.TWO_PULSE_TRAINS, 1, TWO_TRAIN_DEFINITIONS),
        FeatureSet(Method.PULSE_TEST, 1, PULSE_DEFINITIONS),
        FeatureSet(Method.PARTIAL_CHARGE, 1, PARTIAL_CHARGE_DEFINITIONS),
        FeatureSet(Method.IMPEDANCE, 1, IMPEDANCE_DEFINITIONS),
        FeatureSet(Method.FIELD_TELEMETRY, 2, FIELD_TELEMETRY_DEFINITIONS),
    )
}
"""The feature sets this release computes. A method without one gives no features yet."""


@dataclass(frozen=True)
class MethodFeatures:
    """The features of one method.

    Attributes
    ----------
    method : Method
        Which method's features these are.
    feature_set_digest : str
        Digest of the feature set; empty for a method this release computes no features of.
    values : mapping of str to float
        Feature values in the set's order; NaN = not measurable from what was given.
    provenance : Provenance
        Who vouches for the run they come from.
    """

    method: Method
    feature_set_digest: str
    values: Mapping[str, float]
    provenance: Provenance = Provenance.BENCH_MEASURED

    def __post_init__(self) -> None:
        if any(map(math.isinf, self.values.values())):
            infinite = [name for name, value in self.values.items() if math.isinf(value)]
            raise ValueError(f"Features of {self.method.value} are infinite: {', '.join(infinite)}.")

    def array(self) -> FloatArray:
        """Values in order, shape (number of features,)."""
        return np.fromiter(self.values.values(), dtype=np.float64, count=len(self.values))


@dataclass(frozen=True)
class FeatureVector:
    """The features of one battery at one moment; the only thing a model sees.

    Attributes
    ----------
    battery_id : str
        Whose they are.
    as_of : datetime
        Nothing that became available later went in.
    method : Method or None
        Which method's features these are; None when no run could be used.
    feature_set_digest : str
        Digest of the feature set; empty without a method.
    values : mapping of str to float
        Feature values in the set's order; NaN = not measurable from what was given.
    findings : tuple of Finding
        What was noticed on the way.
    source_digests : tuple of str
        SHA-256 of every source the features rest on.
    provenance : Provenance
        Who vouches for the run the method's features come from.
    further : tuple of MethodFeatures
        Usable features of the other methods, best evidence first.
    """

    battery_id: str
    as_of: datetime
    method: Method | None
    feature_set_digest: str
    values: Mapping[str, float]
    findings: tuple[Finding, ...] = ()
    source_digests: tuple[str, ...] = ()
    provenance: Provenance = Provenance.BENCH_MEASURED
    further: tuple[MethodFeatures, ...] = ()

    def __post_init__(self) -> None:
        if any(map(math.isinf, self.values.values())):
            infinite = [name for name, value in self.values.items() if math.isinf(value)]
            raise ValueError(f"Features of {self.battery_id} are infinite: {', '.join(infinite)}.")

    @property
    def measured(self) -> tuple[MethodFeatures, ...]:
        """Features of every method that could be measured, best evidence first; empty without any."""
        if self.method is None:
            return ()
        return (MethodFeatures(self.method, self.feature_set_digest, self.values, self.provenance), *self.further)

    def of(self, method: Method) -> MethodFeatures | None:
        """Features of one method, if it could be measured."""
        return next((each for each in self.measured if each.method is method), None)

    def array(self) -> FloatArray:
        """Values in order, shape (number of features,)."""
        return np.fromiter(self.values.values(), dtype=np.float64, count=len(self.values))
