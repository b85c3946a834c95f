from dataclasses import replace

from features.feature_set import Method
from features.vocabulary import Provenance
from models.applicability import above_rated, not_calibrated, outside_known_range, unknown_type
from models.decision import Assessment
from models.fusion import fused
from tests.support.cases import a_cell, an_estimate


def said(method: Method, lower: float, upper: float, **more: object) -> Assessment:
    return Assessment(replace(an_estimate(lower, upper), method=method, **more), (), known_type=True)


PULSE = said(Method.PULSE_TEST, 0.76, 0.86)
TWO_TRAINS = said(Method.TWO_PULSE_TRAINS, 0.78, 0.84)
MEASURED = said(Method.CAPACITY_TEST, 0.79, 0.86)


def test_one_method_alone_decides_without_a_word_about_others() -> None:
    assert fused([PULSE]) == PULSE


def test_of_two_methods_the_narrower_interval_decides_and_the_note_says_so() -> None:
    together = fused([PULSE, TWO_TRAINS])
    assert together.estimate == TWO_TRAINS.estimate
    (note,) = together.notes
    assert note.code == "METHOD_DECIDED"
    assert note.evidence["decided_by"] == "two_pulse_trains"
    assert note.evidence["pulse_test_lower_fraction"] == PULSE.estimate.lower_fraction


def test_a_second_method_never_narrows_the_interval_of_the_one_that_decides() -> None:
    assert fused([PULSE, said(Method.PARTIAL_CHARGE, 0.80, 0.90)]).estimate == PULSE.estimate


def test_a_measured_capacity_decides_whatever_its_width() -> None:
    assert fused([MEASURED, TWO_TRAINS]).estimate == MEASURED.estimate


def test_a_bench_measurement_decides_before_a_capacity_the_bms_reported() -> None:
    reported = said(Method.CAPACITY_TEST, 0.81, 0.83, provenance=Provenance.BMS_REPORTED)
    assert fused([reported, PULSE]).estimate == PULSE.estimate


def test_calibrated_intervals_that_do_not_touch_ask_for_another_test() -> None:
    together = fused([MEASURED, said(Method.PULSE_TEST, 0.60, 0.78)])
    assert [reason.code for reason in together.abstentions] == ["METHODS_DISAGREE"]
    assert "60.0–78.0 %" in together.abstentions[0].message.en


def test_intervals_that_touch_in_one_point_do_not_disagree() -> None:
    assert fused([MEASURED, said(Method.PULSE_TEST, 0.60, 0.79)]).abstentions == ()


def test_an_uncalibrated_number_neither_decides_nor_disagrees() -> None:
    telemetry = replace(
        said(Method.FIELD_TELEMETRY, 0.50, 0.60, calibrated=False),
        abstentions=(not_calibrated(Method.FIELD_TELEMETRY),),
    )
    assert fused([PULSE, telemetry]) == PULSE


def test_a_measurement_unlike_its_type_is_told_although_another_method_decides() -> None:
    odd = replace(PULSE, abstentions=(outside_known_range("LFP35", 3.0, 3.0),))
    together = fused([MEASURED, odd])
    assert together.estimate == MEASURED.estimate
    assert [note.code for note in together.notes] == ["OUTSIDE_KNOWN_RANGE"]


def test_more_charge_than_the_plate_can_hold_stops_every_method_that_leans_on_the_plate() -> None:
    measured = replace(said(Method.CAPACITY_TEST, 1.15, 1.19), abstentions=(above_rated(1.17),))
    assert fused([measured, PULSE]) == measured


def test_where_none_may_grade_a_missing_calibration_is_the_last_thing_told() -> None:
    uncalibrated = Assessment(None, (not_calibrated(Method.PARTIAL_CHARGE),), known_type=False)
    unknown = Assessment(None, (unknown_type(a_cell()),), known_type=False)
    assert fused([uncalibrated, unknown]) == unknown
    assert fused([uncalibrated]) == uncalibrated
