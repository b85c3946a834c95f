"""What the models say about a case: an estimate, or the reasons why there is none.

Data sufficiency before applicability, applicability before the estimate. A direct measurement
needs no model and no known type; every trained method needs both.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from features.feature_set import Method, MethodFeatures
from features.findings import Finding
from models.applicability import (
    HIGHEST_PLAUSIBLE_FRACTION,
    UNCALIBRATED,
    above_rated,
    insufficient_data,
    not_calibrated,
    other_rate,
    outside_calibrated_conditions,
    outside_known_range,
    type_not_calibrated,
    unknown_type,
)
from models.bundle import Bundle
from models.capacity import DIRECT_COVERAGE_FRACTION, DirectCapacity, Prediction, TrainedEstimator
from models.decision import Assessment, CapacityEstimate, GradingCase, cut_key
from models.fusion import fused
from models.manifest import KnownType
from models.terms import CapacityTestTerms, GradingTerms

_WINDOW_DEFINITION = "charge moved per reported state of charge while charging"


def assess(case: GradingCase, bundle: Bundle, terms: GradingTerms) -> Assessment:
    """Estimate of a case with the reasons why it may not be used.

    Parameters
    ----------
    case : GradingCase
        Battery, inspection, features of every method that could be measured.
    bundle : Bundle
        Trained models.
    terms : GradingTerms
        Cuts of the policy, and when a direct capacity test speaks about them.

    Returns
    -------
    Assessment
        Of the best evidence (`models.fusion`).
    """
    known = bundle.known_type(case.identity)
    measured = case.vector.measured
    if not measured:
        return Assessment(None, (insufficient_data(None),), known is not None)
    return fused([_of_method(case, features, bundle, known, terms) for features in measured])


def _of_method(
    case: GradingCase, features: MethodFeatures, bundle: Bundle, known: KnownType | None, terms: GradingTerms
) -> Assessment:
    if features.method is Method.CAPACITY_TEST:
        return _capacity_test(case, features, terms, known is not None)
    if features.method is Method.FIELD_TELEMETRY:
        return _charge_window(case, features, terms.cuts, known is not None)
    return _trained(case, features, bundle, known, terms.cuts)


def _capacity_test(case: GradingCase, features: MethodFeatures, terms: GradingTerms, known_type: bool) -> Assessment:
    values, agreed = features.values, terms.capacity_test
    capacity_ah = values["discharged_capacity_ah"]
    if math.isnan(capacity_ah):
        return Assessment(None, (insufficient_data(Method.CAPACITY_TEST),), known_type)
    uncertainty_ah = math.hypot(
        agreed.relative_standard_uncertainty * capacity_ah, values["discharged_capacity_uncertainty_ah"]
    )
    definition = _discharge_definition(values["discharge_rate_c"], values["surface_temperature_celsius"])
    estimate = _direct(case, features, DirectCapacity(capacity_ah, uncertainty_ah), definition, terms.cuts)
    doubts = tuple(_capacity_doubts(estimate, values["discharge_rate_c"], agreed))
    return Assessment(estimate, doubts, known_type)


def _capacity_doubts(estimate: CapacityEstimate, rate_c: float, agreed: CapacityTestTerms) -> Iterator[Finding]:
    if estimate.state_of_health_fraction > HIGHEST_PLAUSIBLE_FRACTION:
        yield above_rated(estimate.state_of_health_fraction)
    if not agreed.lowest_rate_c <= rate_c <= agreed.highest_rate_c:
        yield other_rate(rate_c, agreed.lowest_rate_c, agreed.highest_rate_c)


def _discharge_definition(rate_c: float, temperature_celsius: float) -> str:
    at = "unknown temperature" if math.isnan(temperature_celsius) else f"{temperature_celsius:.0f} °C"
    return f"{rate_c:.2f}C discharge from full to cut-off, {at}"


def _charge_window(case: GradingCase, features: MethodFeatures, cuts: Sequence[float], known_type: bool) -> Assessment:
    capacity_ah = features.values["window_capacity_ah"]
    if math.isnan(capacity_ah):
        return Assessment(None, (insufficient_data(Method.FIELD_TELEMETRY),), known_type)
    measured = DirectCapacity(capacity_ah, features.values["window_capacity_uncertainty_ah"])
    estimate = _direct(case, features, measured, _WINDOW_DEFINITION, cuts)
    return Assessment(estimate, (not_calibrated(Method.FIELD_TELEMETRY),), known_type)


def _direct(
    case: GradingCase, features: MethodFeatures, measured: DirectCapacity, definition: str, cuts: Sequence[float]
) -> CapacityEstimate:
    lower_ah, upper_ah = measured.bounds()
    rated_ah = case.identity.rated_capacity_ah
    return CapacityEstimate(
        method=features.method,
        remaining_capacity_ah=measured.capacity_ah,
        lower_ah=lower_ah,
        upper_ah=upper_ah,
        coverage_fraction=DIRECT_COVERAGE_FRACTION,
        rated_capacity_ah=rated_ah,
        capacity_definition=definition,
        probability_below_cut=measured.probability_below(cuts, rated_ah),
        calibrated=features.method is not Method.FIELD_TELEMETRY,
        provenance=features.provenance,
    )


def _trained(
    case: GradingCase, features: MethodFeatures, bundle: Bundle, known: KnownType | None, cuts: Sequence[float]
) -> Assessment:
    estimator = bundle.estimators.get(features.method)
    if estimator is None:
        return Assessment(None, (not_calibrated(features.method),), known is not None)
    reasons = _reasons_before(case, features, estimator, known)
    if known is None or reasons:
        return Assessment(None, reasons, known is not None)
    prediction = estimator.predict(features.array()[np.newaxis, :], tuple(features.values), known.key, cuts)
    distance = float(prediction.distance[0])
    if not math.isfinite(distance):
        return Assessment(None, (insufficient_data(features.method),), True)
    doubts = tuple(_doubts(case, features, known, distance))
    return Assessment(_estimate(case, features, bundle, prediction, cuts, calibrated=not doubts), doubts, True)


def _doubts(case: GradingCase, features: MethodFeatures, known: KnownType, distance: float) -> Iterator[Finding]:
    method = features.method
    if known.calibration_batteries[method] == 0:
        yield type_not_calibrated(known.key, method)
    uncalibrated = UNCALIBRATED.get(method, frozenset())
    yield from (outside_calibrated_conditions(each) for each in case.vector.findings if each.code in uncalibrated)
    if distance > 1.0:
        width = features.values.get("log_pulse_width")
        yield outside_known_range(known.key, distance, None if width is None else 10.0**width)


def _reasons_before(
    case: GradingCase, features: MethodFeatures, estimator: TrainedEstimator, known: KnownType | None
) -> tuple[Finding, ...]:
    method = features.method
    insufficient = () if estimator.sufficient(features.values) else (insufficient_data(method),)
    if known is None:
        return (*insufficient, unknown_type(case.identity))
    untrained = () if method in known.calibration_batteries else (type_not_calibrated(known.key, method),)
    return (*insufficient, *untrained)


def _estimate(
    case: GradingCase,
    features: MethodFeatures,
    bundle: Bundle,
    prediction: Prediction,
    cuts: Sequence[float],
    *,
    calibrated: bool,
) -> CapacityEstimate:
    described = bundle.manifest.calibrated(features.method)
    if described is None:
        raise ValueError(
            f"Bundle {bundle.manifest.name} has an estimator for {features.method.value} its manifest does not name."
        )
    rated_ah = case.identity.rated_capacity_ah
    probabilities = prediction.probability_below[0]
    return CapacityEstimate(
        method=features.method,
        remaining_capacity_ah=float(prediction.point[0]) * rated_ah,
        lower_ah=float(prediction.lower[0]) * rated_ah,
        upper_ah=float(prediction.upper[0]) * rated_ah,
        coverage_fraction=described.coverage_fraction,
        rated_capacity_ah=rated_ah,
        capacity_definition=described.capacity_definition,
        probability_below_cut={cut_key(cut): float(p) for cut, p in zip(cuts, probabilities, strict=True)},
        calibrated=calibrated,
        provenance=features.provenance,
    )
