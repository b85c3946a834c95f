import numpy as np
import pytest

from training.metrics import Share, point_errors, reliability, suitability_scores


def test_none_wrong_of_a_hundred_may_still_be_three_in_a_hundred():
    assert Share(0, 100).bounds == pytest.approx((0.0, 0.0362), abs=1e-4)


def test_a_share_of_nothing_says_nothing():
    assert np.isnan(Share(0, 0).fraction)
    assert Share(0, 0).bounds == (0.0, 1.0)


def test_errors_are_means_over_rows():
    errors = point_errors(np.array([0.8, 0.5]), np.array([0.84, 0.5]))
    assert errors.mean_absolute_percentage_error == pytest.approx(0.025)
    assert errors.mean_absolute_error == pytest.approx(0.02)


def test_a_perfect_forecast_has_no_brier_score_and_full_area():
    below = np.array([True, False, True, False])
    scores = suitability_scores(below, below.astype(float))
    assert (scores.brier, scores.area_under_curve) == (0.0, 1.0)


def test_where_all_lie_on_one_side_there_is_no_area():
    assert np.isnan(suitability_scores(np.array([True, True]), np.array([0.9, 0.8])).area_under_curve)


def test_reliability_counts_every_battery_once():
    table = reliability(np.array([False, True, True]), np.array([0.05, 0.95, 0.99]))
    assert table[:, 2].sum() == 3
    assert table[-1].tolist() == pytest.approx([0.97, 1.0, 2.0])
