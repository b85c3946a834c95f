from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.errors import InvalidInput
from training.calibrate import HeldOutFacts, calibrate, calibrate_interval, conformal_quantile, spread_of


def _facts(count, error=0.01, type_key="LFP20", visit=True, seed=0):
    draw = np.random.default_rng(seed)
    measured = draw.uniform(0.6, 1.0, count)
    point = measured + draw.normal(0.0, error, count)
    return HeldOutFacts(
        np.full(count, type_key, dtype=object),
        np.full(count, visit),
        measured,
        point,
        draw.uniform(0.005, 0.015, count),
        point - 0.01,
        point + 0.01,
        {},
    )


def _together(*parts):
    names = [each.name for each in fields(HeldOutFacts)][:-1]
    return HeldOutFacts(*(np.concatenate([getattr(part, name) for part in parts]) for name in names), {})


@given(arrays(np.float64, st.integers(10, 60), elements=st.floats(0.0, 10.0)))
def test_the_conformal_quantile_covers_the_promised_share_of_its_own_scores(scores):
    assert np.mean(scores <= conformal_quantile(scores, 0.9)) >= 0.9


def test_the_interval_covers_what_it_promises_on_batteries_it_was_not_calibrated_on(tiny_plan):
    covered = []
    for seed in range(60):
        facts, new = _facts(120, seed=seed), _facts(120, seed=seed + 1000)
        interval = calibrate_interval(tiny_plan, facts)
        lower, upper = interval.bounds(new.point, spread_of(interval, new))
        covered.append(np.mean((lower <= new.measured) & (new.measured <= upper)))
    assert 0.895 <= np.mean(covered) <= 0.915


def _easy_and_hard(seed):
    return _together(_facts(80, seed=seed), _facts(40, error=0.02, type_key="LFP35", seed=seed + 500))


def test_easy_and_hard_types_together_are_covered_as_promised(tiny_plan):
    covered = []
    for seed in range(60):
        new, interval = _easy_and_hard(seed + 1000), calibrate_interval(tiny_plan, _easy_and_hard(seed))
        lower, upper = interval.bounds(new.point, spread_of(interval, new))
        covered.append(np.mean((lower <= new.measured) & (new.measured <= upper)))
    assert 0.89 <= np.mean(covered) <= 0.915


def test_no_battery_makes_the_scale_that_judges_it(tiny_plan):
    facts = _facts(50)
    worse = replace(facts, point=facts.point + np.where(np.arange(50) == 7, 0.5, 0.0))
    honest, spoilt = calibrate(tiny_plan, facts), calibrate(tiny_plan, worse)
    assert spoilt.spread[7] == honest.spread[7]
    assert (spoilt.spread[np.arange(50) != 7] >= honest.spread[np.arange(50) != 7]).all()


def test_a_type_with_larger_errors_gets_a_wider_interval(tiny_plan):
    interval = calibrate_interval(tiny_plan, _together(_facts(50), _facts(50, error=0.03, type_key="LFP35")))
    assert interval.types["LFP35"].scale_fraction > 2.0 * interval.types["LFP20"].scale_fraction


def test_a_type_with_few_batteries_leans_on_all_types(tiny_plan):
    many, few = _facts(100, error=0.03), _facts(4, error=0.001, type_key="LFP35")
    alone = np.quantile(np.abs(few.measured - few.point), 0.80)
    assert calibrate_interval(tiny_plan, _together(many, few)).types["LFP35"].scale_fraction > 2.0 * alone


def test_a_type_never_visited_takes_its_scale_from_grid_rows_and_adds_no_score(tiny_plan):
    visits = _facts(50)
    both = _together(visits, _facts(30, type_key="NMC2.1", visit=False))
    calibration = calibrate(tiny_plan, both)
    assert set(calibration.interval.types) == {"LFP20", "NMC2.1"}
    assert len(calibration.scores) == 50
    assert calibration.interval.quantile == calibrate_interval(tiny_plan, visits).quantile


def test_a_type_never_visited_is_widened_by_what_visits_add_to_other_types(tiny_plan):
    grid = _facts(200, type_key="NMC2.1", visit=False, seed=3)
    same_errors = _facts(200, visit=False, seed=4)
    for visits, widened in ((_facts(200, error=0.02), True), (_facts(200, error=0.005), False)):
        types = calibrate_interval(tiny_plan, _together(visits, same_errors, grid)).types
        alone = calibrate_interval(tiny_plan, _together(visits, grid)).types
        ratio = types["NMC2.1"].scale_fraction / alone["NMC2.1"].scale_fraction
        assert (ratio > 1.5) if widened else (ratio == 1.0)


def test_grid_rows_of_a_visited_type_change_nothing(tiny_plan):
    visits = _facts(50)
    with_grid = _together(visits, _facts(50, error=0.2, visit=False, seed=9))
    assert calibrate_interval(tiny_plan, with_grid) == calibrate_interval(tiny_plan, visits)


def test_too_few_visited_batteries_cannot_make_the_promise(tiny_plan):
    with pytest.raises(InvalidInput, match=r"TOO_FEW_VISITS.*8 visited.*9 are needed"):
        calibrate_interval(tiny_plan, _facts(8))
    assert calibrate_interval(tiny_plan, _facts(9)).quantile > 0


def _with_classifier(facts, probability):
    return replace(facts, classifier_probability={"0.80": probability})


def test_a_classifier_that_knows_more_joins_the_predictive_distribution(tiny_plan):
    facts = _facts(200, error=0.06)
    knows = np.where(facts.measured < 0.8, 0.97, 0.03)
    assert calibrate(tiny_plan, _with_classifier(facts, knows)).booster_weights["0.80"] > 0.5


def test_a_classifier_that_knows_nothing_is_left_out(tiny_plan):
    facts = _facts(200, error=0.06)
    guesses = np.random.default_rng(5).uniform(0.01, 0.99, 200)
    assert calibrate(tiny_plan, _with_classifier(facts, guesses)).booster_weights == {"0.80": 0.0}
