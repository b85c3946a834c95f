"""How charge is counted along a record with lost rows, sentinels and silences."""

import numpy as np
import pytest

from features.charge_count import charge_count


def test_a_lost_row_costs_no_charge():
    time, current = np.arange(0.0, 3601.0, 10.0), np.full(361, 60.0)
    whole = charge_count(time, current, 120.0).charge_ah[-1]
    current[100] = np.nan
    assert whole == pytest.approx(60.0)
    assert charge_count(time, current, 120.0).charge_ah[-1] == pytest.approx(60.0)


def test_nothing_is_counted_across_a_silence_of_four_minutes_and_all_across_one_of_three():
    for silence, expected in ((180.0, 3.0), (240.0, 0.0)):
        time = np.r_[np.arange(0.0, 100.0, 10.0), 90.0 + silence]
        counted = charge_count(time, np.full(time.size, 60.0), 120.0)
        assert counted.charge_ah[-1] - counted.charge_ah[-2] == pytest.approx(expected)


def test_a_silence_is_longer_for_a_slow_logger_but_never_beyond_a_quarter_of_an_hour():
    def silence(every_second):
        return charge_count(np.arange(20) * every_second, np.ones(20), 120.0).longest_silence_second

    assert [silence(each) for each in (1.0, 60.0, 100.0, 300.0, 3600.0)] == [180.0, 180.0, 300.0, 900.0, 900.0]


@pytest.mark.parametrize("sentinel", [1000.0, -1000.0, 3000.0, 3276.7, -3276.8, 2500.0])
def test_a_current_no_battery_of_this_size_carries_is_none(sentinel):
    current = np.full(100, 60.0)
    current[40] = sentinel
    counted = charge_count(np.arange(100.0), current, 120.0)
    assert counted.current_ampere.max() == 60.0
    assert counted.record_rows(np.array([39, 40])).tolist() == [39, 41]


def test_a_large_current_of_a_large_pack_is_one():
    assert charge_count(np.arange(3.0), np.full(3, 1250.0), 250.0).current_ampere.size == 3


def test_put_in_and_taken_out_are_counted_apart():
    counted = charge_count(np.arange(0.0, 7201.0, 10.0), np.repeat([36.0, -18.0], [361, 360]), 120.0)
    assert counted.moved_ah() == pytest.approx((36.0, 18.0), rel=0.01)


def test_observed_time_leaves_the_silence_out():
    time = np.r_[np.arange(0.0, 1000.0, 10.0), 100_000.0]
    assert charge_count(time, np.zeros(time.size), 120.0).observed_second == pytest.approx(990.0)


def test_fewer_than_two_currents_count_nothing():
    assert charge_count(np.arange(3.0), np.array([1.0, np.nan, np.nan]), 120.0) is None
    assert charge_count(np.empty(0), np.empty(0), 120.0) is None


def test_arrays_of_different_length_and_no_capacity_are_refused():
    with pytest.raises(ValueError, match="one length"):
        charge_count(np.arange(3.0), np.arange(2.0), 120.0)
    with pytest.raises(ValueError, match="rated capacity"):
        charge_count(np.arange(3.0), np.arange(3.0), 0.0)
