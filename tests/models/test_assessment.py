from dataclasses import replace

import numpy as np
import pytest

from features.capacity_test import CAPACITY_TEST_DEFINITIONS
from features.extract import extract
from features.feature_set import Method
from features.field_telemetry import FIELD_TELEMETRY_DEFINITIONS
from features.measurement import CanonicalTable
from features.vocabulary import Chemistry, RunKind, TableFormat
from models.assessment import assess
from models.bundle import REFERENCE_BUNDLE, Bundle, load_bundle
from models.certification import certified
from models.decision import GradingCase
from models.risk_levels import CalibrateBy, RiskLevels, RiskRule, WhenNotCertifiable
from models.terms import CapacityTestTerms, GradingTerms
from tests.support.cases import CUTS, MOMENT, a_case, a_cell
from tests.support.simulated_battery import SimulatedBattery

BUNDLE = load_bundle(REFERENCE_BUNDLE)
CELL = SimulatedBattery(35.0, 30.0, Chemistry.LFP)
RULE = RiskRule(RiskLevels(0.02, 0.05, 0.95), CalibrateBy.MIX, WhenNotCertifiable.RETEST, 25)
CERTIFICATION = certified(BUNDLE.calibration, CUTS, RULE)
TERMS = GradingTerms(CUTS, CapacityTestTerms(0.01, 0.18, 1.2, 15.0, 35.0), CERTIFICATION)


def case_of(battery: SimulatedBattery, *runs: object) -> GradingCase:
    history = battery.history(*runs)
    return GradingCase(history.identity, history.inspection, extract(history, MOMENT))


def assessed(case: GradingCase, bundle: Bundle = BUNDLE, terms: GradingTerms = TERMS):
    return assess(case, bundle, terms)


def codes(case: GradingCase) -> list[str]:
    return [finding.code for finding in assessed(case).abstentions]


def direct(method: Method, **values: float) -> GradingCase:
    names = CAPACITY_TEST_DEFINITIONS if method is Method.CAPACITY_TEST else FIELD_TELEMETRY_DEFINITIONS
    return a_case(method=method, values={each.name: np.nan for each in names} | values)


def test_a_full_pulse_train_of_a_known_type_gives_a_calibrated_estimate() -> None:
    said = assessed(case_of(CELL))
    assert said.abstentions == ()
    assert said.known_type
    assert said.estimate.calibrated
    assert said.estimate.lower_ah < 30.0 < said.estimate.upper_ah
    assert said.estimate.coverage_fraction == 0.9


def test_an_unknown_type_gets_no_estimate() -> None:
    case = case_of(CELL)
    unknown = replace(case, identity=a_cell(rated_capacity_ah=50.0))
    said = assessed(unknown)
    assert (said.estimate, said.known_type, codes(unknown)) == (None, False, ["UNKNOWN_TYPE"])


def test_a_train_of_one_amplitude_is_insufficient() -> None:
    thin = CELL.run(RunKind.PULSE_TEST, CELL.pulse_train(amplitudes=(1.0,)))
    assert codes(case_of(CELL, thin)) == ["INSUFFICIENT_DATA"]


def test_a_measurement_unlike_its_declared_type_may_not_grade() -> None:
    lmo = SimulatedBattery(10.0, 8.5, Chemistry.LMO)
    misdeclared = replace(lmo, declared_chemistry=Chemistry.NMC, rated_capacity_ah=21.0, remaining_capacity_ah=17.85)
    case = case_of(lmo)
    said = assessed(replace(case, identity=misdeclared.identity))
    assert [finding.code for finding in said.abstentions] == ["OUTSIDE_KNOWN_RANGE"]
    assert not said.estimate.calibrated


def test_pulses_away_from_the_reference_temperature_may_not_grade() -> None:
    def at(celsius: float) -> list[str]:
        columns = {**CELL.pulse_train().columns, "surface_temperature_celsius": np.full(21, celsius)}
        table = CanonicalTable(TableFormat.STEP_TABLE, columns)
        return codes(case_of(CELL, CELL.run(RunKind.PULSE_TEST, table)))

    assert at(25.0) == []
    assert at(45.0) == ["OUTSIDE_KNOWN_RANGE"]
    assert at(-10.0) == ["OUTSIDE_KNOWN_RANGE"]


def test_a_dead_flat_train_is_insufficient_not_a_fault_of_ours() -> None:
    flat = {**CELL.pulse_train().columns, **dict.fromkeys(("voltage_begin_volt", "voltage_end_volt"), np.full(21, 3.3))}
    case = case_of(CELL, CELL.run(RunKind.PULSE_TEST, CanonicalTable(TableFormat.STEP_TABLE, flat)))
    assert codes(case) == ["INSUFFICIENT_DATA"]
    assert assessed(case).estimate is None


def test_a_method_without_estimator_is_not_calibrated() -> None:
    assert codes(a_case(method=Method.PARTIAL_CHARGE)) == ["METHOD_NOT_CALIBRATED"]
    assert codes(a_case(method=None)) == ["INSUFFICIENT_DATA"]


def test_a_type_no_visit_calibrated_may_not_grade_but_is_estimated() -> None:
    lab_aged = next(each for each in BUNDLE.manifest.known_types if each.calibration_batteries[Method.PULSE_TEST] == 0)
    unvisited = tuple(
        each.model_copy(update={"calibration_batteries": {Method.PULSE_TEST: 0}}) if each.key == "LFP35" else each
        for each in BUNDLE.manifest.known_types
    )
    bundle = replace(BUNDLE, manifest=BUNDLE.manifest.model_copy(update={"known_types": unvisited}))
    said = assessed(case_of(CELL), bundle)
    assert lab_aged.key == "NMC2.1"
    assert [finding.code for finding in said.abstentions] == ["METHOD_NOT_CALIBRATED"]
    assert said.estimate is not None
    assert not said.estimate.calibrated


def test_an_estimate_carries_the_thresholds_certified_for_its_method_and_type() -> None:
    said = assessed(case_of(CELL))
    assert said.thresholds == CERTIFICATION.thresholds(Method.PULSE_TEST, "LFP35")
    assert Method.PULSE_TEST in said.certified_methods
    assert assessed(direct_capacity_test()).thresholds is None


def test_a_type_left_out_of_the_certificate_may_not_grade_and_is_told_why() -> None:
    rule = replace(RULE, least_batteries_per_type=40)
    terms = replace(TERMS, certification=certified(BUNDLE.calibration, CUTS, rule))
    said = assessed(case_of(CELL), terms=terms)
    assert (said.estimate.calibrated, said.thresholds) == (False, None)
    assert Method.PULSE_TEST not in said.certified_methods
    (reason,) = said.abstentions
    assert reason.code == "METHOD_NOT_CALIBRATED"
    assert "39 calibration batteries of type LFP35 are fewer than the policy asks of a type (40)" in reason.message.en


def test_where_nothing_can_be_promised_the_method_may_not_grade_and_the_missing_batteries_are_told() -> None:
    rule = replace(RULE, levels=RiskLevels(0.01, 0.05, 0.95))
    terms = replace(TERMS, certification=certified(BUNDLE.calibration, CUTS, rule))
    (reason,) = assessed(case_of(CELL), terms=terms).abstentions
    assert reason.code == "METHOD_NOT_CALIBRATED"
    assert "at least 299 without an error are needed, 87 are missing" in reason.message.en
    assert "299" in reason.message.zh


@pytest.mark.parametrize(
    ("celsius", "doubted", "noted"),
    [
        (25.0, [], []),
        (15.0, [], []),
        (14.9, ["OUTSIDE_KNOWN_RANGE"], []),
        (35.1, ["OUTSIDE_KNOWN_RANGE"], []),
        (np.nan, [], ["TEMPERATURE_NOT_MEASURED"]),
    ],
)
def test_a_capacity_at_another_temperature_is_not_compared_and_an_unknown_one_is_noted(
    celsius: float, doubted: list[str], noted: list[str]
) -> None:
    said = assessed(direct_capacity_test(surface_temperature_celsius=celsius))
    assert [reason.code for reason in said.abstentions] == doubted
    assert [note.code for note in said.notes] == noted
    if doubted:
        assert f"{celsius:.1f} °C; the cuts are for 15 to 35 °C" in said.abstentions[0].message.en


def direct_capacity_test(**values: float) -> GradingCase:
    measured = {"discharged_capacity_ah": 28.0, "discharged_capacity_uncertainty_ah": 0.0, "discharge_rate_c": 1.0}
    return direct(Method.CAPACITY_TEST, **{**measured, "surface_temperature_celsius": 25.0, **values})


def test_a_capacity_test_carries_the_policys_uncertainty() -> None:
    estimate = assessed(direct_capacity_test()).estimate
    assert estimate.upper_ah - estimate.lower_ah == pytest.approx(2 * 1.6449 * 0.28, abs=1e-3)
    assert estimate.capacity_definition == "1.00C discharge from full to cut-off, 25 °C"
    assert estimate.calibrated


def test_a_capacity_test_without_a_full_discharge_is_insufficient() -> None:
    assert codes(direct(Method.CAPACITY_TEST)) == ["INSUFFICIENT_DATA"]


@pytest.mark.parametrize(("capacity_ah", "doubted"), [(40.0, []), (41.0, ["OUTSIDE_KNOWN_RANGE"])])
def test_more_charge_than_the_plate_can_hold_puts_the_plate_in_doubt(capacity_ah: float, doubted: list[str]) -> None:
    case = direct(
        Method.CAPACITY_TEST,
        discharged_capacity_ah=capacity_ah,
        discharged_capacity_uncertainty_ah=0.1,
        discharge_rate_c=1.0,
    )
    assert codes(case) == doubted


@pytest.mark.parametrize(
    ("rate", "doubted"), [(0.1, ["OUTSIDE_KNOWN_RANGE"]), (0.2, []), (1.0, []), (1.3, ["OUTSIDE_KNOWN_RANGE"])]
)
def test_a_capacity_of_another_rate_is_not_judged_by_these_cuts(rate: float, doubted: list[str]) -> None:
    case = direct(
        Method.CAPACITY_TEST,
        discharged_capacity_ah=28.0,
        discharged_capacity_uncertainty_ah=0.1,
        discharge_rate_c=rate,
    )
    assert codes(case) == doubted


def test_a_charge_window_of_the_vehicle_is_shown_and_may_not_grade() -> None:
    case = direct(Method.FIELD_TELEMETRY, window_capacity_ah=30.0, window_capacity_uncertainty_ah=1.5)
    said = assessed(case)
    assert said.estimate.remaining_capacity_ah == 30.0
    assert not said.estimate.calibrated
    assert codes(case) == ["METHOD_NOT_CALIBRATED"]
    assert codes(direct(Method.FIELD_TELEMETRY)) == ["INSUFFICIENT_DATA"]
