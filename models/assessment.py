"""What the models say about a case: an estimate, or the reasons why there is none.

Data sufficiency before applicability, applicability before the estimate. A direct measurement
needs no model and no known type; every trained method needs both.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from features.feature_set import Method, MethodFeatures
from features.findings import Finding
from models.applicability import (
    HIGHEST_PLAUSIBLE_FRACTION,
    UNCALIBRATED,
    above_rated,
    insufficient_data,
    not_calibrated,
    other_rate,
    other_temperature,
    outside_calibrated_conditions,
    outside_known_range,
    temperature_unknown,
    type_not_calibrated,
    type_not_certified,
    unknown_type,
)
from models.bundle import Bundle
from models.capacity import DIRECT_COVERAGE_FRACTION, DirectCapacity, TrainedEstimator
from models.decision import Assessment, CapacityEstimate, GradingCase, cut_key
from models.fusion import fused
from models.manifest import KnownType
from models.predictions import Predicted, Question, predicted
from models.terms import CapacityTestTerms, GradingTerms
from models.thresholds import Thresholds

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
        Cuts of the policy, and which evidence speaks about them.

    Returns
    -------
    Assessment
        Of the best evidence (`models.fusion`).
    """
    return assess_many((case,), bundle, terms)[0]


def assess_many(cases: Sequence[GradingCase], bundle: Bundle, terms: GradingTerms) -> list[Assessment]:
    """Assess several batteries, asking each trained model once; to the last bit what `assess` says of each.

    Parameters
    ----------
    cases : sequence of GradingCase
        Batteries of any types and methods.
    bundle, terms
        As for `assess`.

    Returns
    -------
    list of Assessment
        In the order of the cases.
    """
    known = [bundle.known_type(case.identity) for case in cases]
    measured = [case.vector.measured for case in cases]
    questions = [
        _question(features, bundle, of_type) for each, of_type in zip(measured, known, strict=True) for features in each
    ]
    answers = iter(predicted(questions, terms.cuts))
    return [
        _of_best_evidence(case, [_Told(features, next(answers)) for features in each], bundle, of_type, terms)
        for case, each, of_type in zip(cases, measured, known, strict=True)
    ]


def _question(features: MethodFeatures, bundle: Bundle, known: KnownType | None) -> Question | None:
    """What to ask the trained model of a method; None where it has nothing to say."""
    estimator = bundle.estimators.get(features.method)
    if estimator is None or known is None or any(_unfit(features, estimator, known)):
        return None
    return Question(estimator, known.key, features)


@dataclass(frozen=True, slots=True)
class _Told:
    """One method's features of a battery, and what its trained model says about them, if it was asked."""

    features: MethodFeatures
    answer: Predicted | None


def _of_best_evidence(
    case: GradingCase, told: Sequence[_Told], bundle: Bundle, known: KnownType | None, terms: GradingTerms
) -> Assessment:
    if not told:
        return Assessment(None, (insufficient_data(None),), known is not None)
    one = fused([_of_method(case, each, bundle, known, terms) for each in told])
    certified = frozenset() if known is None else terms.certification.methods_for(known.key)
    return replace(one, certified_methods=certified)


def _of_method(
    case: GradingCase, told: _Told, bundle: Bundle, known: KnownType | None, terms: GradingTerms
) -> Assessment:
    if told.features.method is Method.CAPACITY_TEST:
        return _capacity_test(case, told.features, terms, known is not None)
    if told.features.method is Method.FIELD_TELEMETRY and told.answer is None:
        return _charge_window(case, told.features, bundle, known, terms)
    return _of_trained_method(case, told, bundle, known, terms)


def _capacity_test(case: GradingCase, features: MethodFeatures, terms: GradingTerms, known_type: bool) -> Assessment:
    values, agreed = features.values, terms.capacity_test
    capacity_ah = values["discharged_capacity_ah"]
    if math.isnan(capacity_ah):
        return Assessment(None, (insufficient_data(Method.CAPACITY_TEST),), known_type)
    uncertainty_ah = math.hypot(
        agreed.relative_standard_uncertainty * capacity_ah, values["discharged_capacity_uncertainty_ah"]
    )
    definition = _discharge_definition(values["discharge_rate_c"], values["surface_temperature_celsius"])
    estimate = _direct(case, features, DirectCapacity(capacity_ah, uncertainty_ah), definition, terms)
    doubts, notes = tuple(_capacity_doubts(estimate, values, agreed)), tuple(_capacity_notes(values, agreed))
    return Assessment(estimate, doubts, known_type, notes)


def _capacity_doubts(
    estimate: CapacityEstimate, values: Mapping[str, float], agreed: CapacityTestTerms
) -> Iterator[Finding]:
    rate_c, temperature = values["discharge_rate_c"], values["surface_temperature_celsius"]
    lowest, highest = agreed.lowest_temperature_celsius, agreed.highest_temperature_celsius
    if estimate.state_of_health_fraction > HIGHEST_PLAUSIBLE_FRACTION:
        yield above_rated(estimate.state_of_health_fraction)
    if not agreed.lowest_rate_c <= rate_c <= agreed.highest_rate_c:
        yield other_rate(rate_c, agreed.lowest_rate_c, agreed.highest_rate_c)
    if temperature < lowest or temperature > highest:
        yield other_temperature(temperature, lowest, highest)


def _capacity_notes(values: Mapping[str, float], agreed: CapacityTestTerms) -> Iterator[Finding]:
    if math.isnan(values["surface_temperature_celsius"]):
        yield temperature_unknown(agreed.lowest_temperature_celsius, agreed.highest_temperature_celsius)


def _discharge_definition(rate_c: float, temperature_celsius: float) -> str:
    at = "unknown temperature" if math.isnan(temperature_celsius) else f"{temperature_celsius:.0f} °C"
    return f"{rate_c:.2f}C discharge from full to cut-off, {at}"


def _charge_window(
    case: GradingCase, features: MethodFeatures, bundle: Bundle, known: KnownType | None, terms: GradingTerms
) -> Assessment:
    """What the charging sessions say where no trained estimator was asked; shown, never graded."""
    capacity_ah = features.values["window_capacity_ah"]
    if math.isnan(capacity_ah):
        return Assessment(None, (insufficient_data(Method.FIELD_TELEMETRY),), known is not None)
    measured = DirectCapacity(capacity_ah, features.values["window_capacity_uncertainty_ah"])
    estimate = _direct(case, features, measured, _WINDOW_DEFINITION, terms)
    return Assessment(estimate, _nothing_asked(case, features, bundle, known), known is not None)


def _direct(
    case: GradingCase, features: MethodFeatures, measured: DirectCapacity, definition: str, terms: GradingTerms
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
        probability_below_cut=measured.probability_below(terms.cuts, rated_ah),
        calibrated=features.method is not Method.FIELD_TELEMETRY,
        provenance=features.provenance,
    )


def _of_trained_method(
    case: GradingCase, told: _Told, bundle: Bundle, known: KnownType | None, terms: GradingTerms
) -> Assessment:
    features, answer = told.features, told.answer
    if answer is None or known is None:
        return Assessment(None, _nothing_asked(case, features, bundle, known), known is not None)
    if not math.isfinite(answer.distance):
        return Assessment(None, (insufficient_data(features.method),), True)
    doubts = tuple(_doubts(case, features, known, terms, answer.distance))
    estimate = _estimate(case, features, bundle, answer, terms, calibrated=not doubts)
    return Assessment(estimate, doubts, True, thresholds=_in_force(features, known, terms))


def _in_force(features: MethodFeatures, known: KnownType, terms: GradingTerms) -> Thresholds | None:
    return terms.certification.thresholds(features.method, known.key)


def _doubts(
    case: GradingCase, features: MethodFeatures, known: KnownType, terms: GradingTerms, distance: float
) -> Iterator[Finding]:
    method = features.method
    if known.calibration_batteries[method] == 0:
        yield type_not_calibrated(known.key, method)
    elif _in_force(features, known, terms) is None:
        yield type_not_certified(known.key, method, terms.certification.why_none(method, known.key))
    uncalibrated = UNCALIBRATED.get(method, frozenset())
    yield from (outside_calibrated_conditions(each) for each in case.vector.findings if each.code in uncalibrated)
    if distance > 1.0:
        width = features.values.get("log_pulse_width")
        yield outside_known_range(known.key, distance, None if width is None else 10.0**width)


def _nothing_asked(
    case: GradingCase, features: MethodFeatures, bundle: Bundle, known: KnownType | None
) -> tuple[Finding, ...]:
    """Why no trained model was asked: it is not there, too little was measured, or the type is not its."""
    estimator = bundle.estimators.get(features.method)
    if estimator is None:
        return (not_calibrated(features.method),)
    unknown = (unknown_type(case.identity),) if known is None else ()
    return (*_unfit(features, estimator, known), *unknown)


def _unfit(features: MethodFeatures, estimator: TrainedEstimator, known: KnownType | None) -> Iterator[Finding]:
    if not estimator.sufficient(features.values):
        yield insufficient_data(features.method)
    if known is not None and features.method not in known.calibration_batteries:
        yield type_not_calibrated(known.key, features.method)


def _estimate(
    case: GradingCase,
    features: MethodFeatures,
    bundle: Bundle,
    answer: Predicted,
    terms: GradingTerms,
    *,
    calibrated: bool,
) -> CapacityEstimate:
    described = bundle.manifest.calibrated(features.method)
    if described is None:
        raise ValueError(
            f"Bundle {bundle.manifest.name} has an estimator for {features.method.value} its manifest does not name."
        )
    rated_ah = case.identity.rated_capacity_ah
    return CapacityEstimate(
        method=features.method,
        remaining_capacity_ah=answer.point * rated_ah,
        lower_ah=answer.lower * rated_ah,
        upper_ah=answer.upper * rated_ah,
        coverage_fraction=described.coverage_fraction,
        rated_capacity_ah=rated_ah,
        capacity_definition=described.capacity_definition,
        probability_below_cut={cut_key(cut): p for cut, p in zip(terms.cuts, answer.probability_below, strict=True)},
        calibrated=calibrated,
        provenance=features.provenance,
    )
