"""What the models say about a case: an estimate, or the reasons why there is none.

Data sufficiency before applicability, applicability before the estimate. A direct measurement
needs no model and no known type; every trained method needs both.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from features.feature_set import Method
from features.findings import Finding
from models.applicability import (
    HIGHEST_PLAUSIBLE_FRACTION,
    UNCALIBRATED,
    above_rated,
    insufficient_data,
    not_calibrated,
    outside_calibrated_conditions,
    outside_known_range,
    type_not_calibrated,
    unknown_type,
)
from models.bundle import Bundle
from models.capacity import DIRECT_COVERAGE_FRACTION, DirectCapacity, Prediction, TrainedEstimator
from models.decision import Assessment, CapacityEstimate, GradingCase, cut_key
from models.manifest import KnownType

_WINDOW_DEFINITION = "charge moved per reported state of charge while charging"


def assess(
    case: GradingCase, bundle: Bundle, cuts: Sequence[float], capacity_test_relative_uncertainty: float
) -> Assessment:
    """Estimate of a case with the reasons why it may not be used.

    Parameters
    ----------
    case : GradingCase
        Battery, inspection, features.
    bundle : Bundle
        Trained models.
    cuts : sequence of float
        Cuts of the policy, in state of health.
    capacity_test_relative_uncertainty : float
        Relative standard uncertainty of a direct capacity test, from the policy.

    Returns
    -------
    Assessment
    """
    known = bundle.known_type(case.identity)
    method = case.vector.method
    if method is Method.CAPACITY_TEST:
        return _capacity_test(case, cuts, capacity_test_relative_uncertainty, known is not None)
    if method is Method.FIELD_TELEMETRY:
        return _charge_window(case, cuts, known is not None)
    if method is None:
        return Assessment(None, (insufficient_data(None),), known is not None)
    return _trained(case, method, bundle, known, cuts)


def _capacity_test(case: GradingCase, cuts: Sequence[float], relative: float, known_type: bool) -> Assessment:
    values = case.vector.values
    capacity_ah = values["discharged_capacity_ah"]
    if math.isnan(capacity_ah):
        return Assessment(None, (insufficient_data(Method.CAPACITY_TEST),), known_type)
    uncertainty_ah = math.hypot(relative * capacity_ah, values["discharged_capacity_uncertainty_ah"])
    definition = _discharge_definition(values["discharge_rate_c"], values["surface_temperature_celsius"])
    estimate = _direct(case, Method.CAPACITY_TEST, DirectCapacity(capacity_ah, uncertainty_ah), definition, cuts)
    health = estimate.state_of_health_fraction
    doubts = (above_rated(health),) if health > HIGHEST_PLAUSIBLE_FRACTION else ()
    return Assessment(estimate, doubts, known_type)


def _discharge_definition(rate_c: float, temperature_celsius: float) -> str:
    at = "unknown temperature" if math.isnan(temperature_celsius) else f"{temperature_celsius:.0f} °C"
    return f"{rate_c:.2f}C discharge from full to cut-off, {at}"


def _charge_window(case: GradingCase, cuts: Sequence[float], known_type: bool) -> Assessment:
    values = case.vector.values
    capacity_ah = values["window_capacity_ah"]
    if math.isnan(capacity_ah):
        return Assessment(None, (insufficient_data(Method.FIELD_TELEMETRY),), known_type)
    measured = DirectCapacity(capacity_ah, values["window_capacity_uncertainty_ah"])
    estimate = _direct(case, Method.FIELD_TELEMETRY, measured, _WINDOW_DEFINITION, cuts)
    return Assessment(estimate, (not_calibrated(Method.FIELD_TELEMETRY),), known_type)


def _direct(
    case: GradingCase, method: Method, measured: DirectCapacity, definition: str, cuts: Sequence[float]
) -> CapacityEstimate:
    lower_ah, upper_ah = measured.bounds()
    rated_ah = case.identity.rated_capacity_ah
    return CapacityEstimate(
        method=method,
        remaining_capacity_ah=measured.capacity_ah,
        lower_ah=lower_ah,
        upper_ah=upper_ah,
        coverage_fraction=DIRECT_COVERAGE_FRACTION,
        rated_capacity_ah=rated_ah,
        capacity_definition=definition,
        probability_below_cut=measured.probability_below(cuts, rated_ah),
        calibrated=method is not Method.FIELD_TELEMETRY,
        provenance=case.vector.provenance,
    )


def _trained(
    case: GradingCase, method: Method, bundle: Bundle, known: KnownType | None, cuts: Sequence[float]
) -> Assessment:
    estimator = bundle.estimators.get(method)
    if estimator is None:
        return Assessment(None, (not_calibrated(method),), known is not None)
    reasons = _reasons_before(case, method, estimator, known)
    if known is None or reasons:
        return Assessment(None, reasons, known is not None)
    matrix = case.vector.array()[np.newaxis, :]
    prediction = estimator.predict(matrix, tuple(case.vector.values), known.key, cuts)
    distance = float(prediction.distance[0])
    if not math.isfinite(distance):
        return Assessment(None, (insufficient_data(method),), True)
    doubts = tuple(_doubts(case, known, distance))
    return Assessment(_estimate(case, method, bundle, prediction, cuts, calibrated=not doubts), doubts, True)


def _doubts(case: GradingCase, known: KnownType, distance: float) -> Iterator[Finding]:
    if known.visit_count == 0:
        yield type_not_calibrated(known.key)
    yield from (outside_calibrated_conditions(each) for each in case.vector.findings if each.code in UNCALIBRATED)
    if distance > 1.0:
        width = case.vector.values.get("log_pulse_width")
        yield outside_known_range(known.key, distance, None if width is None else 10.0**width)


def _reasons_before(
    case: GradingCase, method: Method, estimator: TrainedEstimator, known: KnownType | None
) -> tuple[Finding, ...]:
    insufficient = () if estimator.sufficient(case.vector.values) else (insufficient_data(method),)
    unknown = () if known is not None else (unknown_type(case.identity),)
    return (*insufficient, *unknown)


def _estimate(
    case: GradingCase,
    method: Method,
    bundle: Bundle,
    prediction: Prediction,
    cuts: Sequence[float],
    *,
    calibrated: bool,
) -> CapacityEstimate:
    described = bundle.manifest.calibrated(method)
    if described is None:
        raise ValueError(
            f"Bundle {bundle.manifest.name} has an estimator for {method.value} its manifest does not name."
        )
    rated_ah = case.identity.rated_capacity_ah
    probabilities = prediction.probability_below[0]
    return CapacityEstimate(
        method=method,
        remaining_capacity_ah=float(prediction.point[0]) * rated_ah,
        lower_ah=float(prediction.lower[0]) * rated_ah,
        upper_ah=float(prediction.upper[0]) * rated_ah,
        coverage_fraction=described.coverage_fraction,
        rated_capacity_ah=rated_ah,
        capacity_definition=described.capacity_definition,
        probability_below_cut={cut_key(cut): float(p) for cut, p in zip(cuts, probabilities, strict=True)},
        calibrated=calibrated,
        provenance=case.vector.provenance,
    )
