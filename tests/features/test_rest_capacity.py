"""Capacity between two rests, and when charge may have moved unseen between them."""

import math

import numpy as np
import pytest

from features.charge_count import charge_count
from features.rest_capacity import rest_capacity, rested_rows

RATED_AH = 120.0


def days(count=4, rest_second=3600.0, moved_ah=50.0, low=30.0, high=80.0):
    """Rest, charge, rest, drive; the reported state of charge is true after every rest: time, current, SoC."""
    rest, moving = int(rest_second / 10.0), 720
    current = np.r_[np.zeros(rest), np.full(moving, 1.0), np.zeros(rest), np.full(moving, -1.0)] * moved_ah / 2.0
    soc = np.r_[np.full(rest, low), np.linspace(low, high, moving), np.full(rest, high), np.linspace(high, low, moving)]
    return 10.0 * np.arange(count * current.size), np.tile(current, count), np.tile(np.floor(soc), count)


def shown(time, current, soc):
    return rest_capacity(charge_count(time, current, RATED_AH), soc, RATED_AH)


def test_50_ah_between_30_and_80_percent_are_a_capacity_of_100_ah():
    found = shown(*days())
    assert found.capacity_ah == pytest.approx(100.0, rel=0.01)
    assert found.standard_uncertainty_ah == pytest.approx(5.5, abs=0.5)
    assert found.pair_count >= 3


def test_a_vehicle_that_counts_by_a_wrong_capacity_gives_itself_away_after_its_rests():
    time, current, soc = days()
    resting = current == 0.0
    soc[~resting] = np.floor(55.0 + 0.8 * (soc[~resting] - 55.0))
    soc[1:][resting[:-1] & ~resting[1:]] = soc[:-1][resting[:-1] & ~resting[1:]]
    assert shown(time, current, soc).capacity_ah == pytest.approx(100.0, rel=0.01)


def test_rests_of_20_minutes_are_none():
    assert math.isnan(shown(*days(rest_second=1200.0)).capacity_ah)


def test_two_pairs_of_rests_tell_nothing():
    time, current, soc = days(count=2)
    assert math.isnan(shown(time[:3200], current[:3200], soc[:3200]).capacity_ah)
    assert math.isfinite(shown(time, current, soc).capacity_ah)


def test_a_silence_under_way_hides_charge_and_one_at_rest_does_not():
    time, current, soc = days()
    day = time.size // 4
    at_rest = np.concatenate([each * day + np.arange(1100, 1300) for each in range(4)])
    under_way = np.concatenate([each * day + np.r_[600:650, 1700:1750] for each in range(4)])
    for silent, told in ((at_rest, True), (under_way, False)):
        rows = np.setdiff1d(np.arange(time.size), silent)
        assert math.isfinite(shown(time[rows], current[rows], soc[rows]).capacity_ah) == told
    soc[current == 0.0] += np.where(np.arange(np.count_nonzero(current == 0.0)) % 360 < 200, 0.0, 5.0)
    rows = np.setdiff1d(np.arange(time.size), at_rest)
    assert shown(time[rows], current[rows], soc[rows]).pair_count < shown(time, current, soc).pair_count


def test_a_window_of_19_percent_tells_nothing_and_one_of_21_does():
    assert math.isnan(shown(*days(moved_ah=19.0, low=50.0, high=69.0)).capacity_ah)
    assert shown(*days(moved_ah=21.0, low=50.0, high=71.0)).capacity_ah == pytest.approx(100.0, rel=0.03)


def test_a_drive_sampled_once_a_minute_tells_nothing():
    time, current, soc = days()
    assert math.isfinite(shown(time[::3], current[::3], soc[::3]).capacity_ah)
    assert math.isnan(shown(time[::6], current[::6], soc[::6]).capacity_ah)


def test_charge_against_the_state_of_charge_tells_nothing():
    time, current, soc = days()
    assert math.isnan(shown(time, -current, soc).capacity_ah)


def test_the_last_row_of_every_long_rest_is_one():
    time, current, _ = days(count=1)
    current[0] = -50.0
    assert rested_rows(charge_count(time, current, RATED_AH), RATED_AH).tolist() == [359, 1439]
