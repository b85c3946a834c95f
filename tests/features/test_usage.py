"""Cycles by depth, temperature exposure, fast charging and age."""

import math
import time
from datetime import UTC, date, datetime

import numpy as np
import pytest

from features.charging import ChargingSession
from features.usage import calendar_age_year, cycle_depths, fast_charge_fraction, temperature_exposure


def days(depth_percent, count):
    down = np.linspace(90.0, 90.0 - depth_percent, 200)
    return np.tile(np.r_[down, down[::-1]], count)


def test_ten_days_of_50_percent_are_five_full_cycles():
    found = cycle_depths(days(50.0, 10))
    assert found.equivalent_full_cycles == pytest.approx(5.0)
    assert found.counts == (0.0, 0.0, 10.0, 0.0, 0.0)
    assert found.mean_depth_fraction == pytest.approx(0.5)


def test_a_small_swing_inside_a_large_one_counts_as_its_own_cycle():
    found = cycle_depths(np.array([90.0, 50.0, 60.0, 20.0, 90.0]))
    assert found.counts == (1.0, 0.0, 0.0, 1.0, 0.0)


def test_flicker_of_one_percent_is_no_cycle():
    flickering = np.floor(days(50.0, 4)) + np.tile([0.0, 1.0], 800)
    assert cycle_depths(flickering).equivalent_full_cycles == pytest.approx(2.0, abs=0.1)
    assert cycle_depths(np.tile([50.0, 51.0], 500)).equivalent_full_cycles == 0.0


def test_missing_reports_and_a_charge_nobody_recorded_change_nothing():
    soc = days(50.0, 10)
    soc[::7] = np.nan
    assert cycle_depths(soc).equivalent_full_cycles == pytest.approx(5.0, abs=0.1)
    only_drives = np.tile(np.linspace(90.0, 40.0, 200), 10)
    assert cycle_depths(only_drives).equivalent_full_cycles == pytest.approx(4.75, abs=0.3)


@pytest.mark.parametrize("soc", [[], [50.0], [50.0, 50.0], [math.nan, math.nan], [math.nan, 50.0]])
def test_nothing_that_moves_is_no_cycle(soc):
    found = cycle_depths(np.array(soc))
    assert found.equivalent_full_cycles == 0.0
    assert math.isnan(found.mean_depth_fraction)


def test_counting_a_million_rows_of_a_years_record_takes_a_fraction_of_a_second():
    soc = np.repeat(days(50.0, 365), 7)
    begin = time.process_time()
    cycle_depths(soc)
    assert time.process_time() - begin < 1.0


def test_temperatures_are_shares_of_the_rows_that_report_one():
    hottest, coldest = np.array([41.0, 39.0, np.nan, 20.0]), np.array([30.0, -1.0, np.nan, 10.0])
    found = temperature_exposure(hottest, coldest)
    assert found.hot_fraction == pytest.approx(1 / 3)
    assert found.cold_fraction == pytest.approx(1 / 3)
    assert math.isnan(temperature_exposure(hottest[2:3], coldest[2:3]).mean_celsius)


def test_fast_is_from_four_tenths_of_the_rated_current_on():
    slow = ChargingSession(0, 9, 0.0, 3600.0, 47.0, 20.0, 60.0, math.nan, math.nan)
    fast = ChargingSession(0, 9, 0.0, 3600.0, 48.0, 20.0, 60.0, math.nan, math.nan)
    assert fast_charge_fraction((slow, fast), 120.0) == pytest.approx(48.0 / 95.0)
    assert math.isnan(fast_charge_fraction((), 120.0))


def test_age_needs_a_declared_date():
    last = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert calendar_age_year(date(2021, 1, 1), last) == pytest.approx(5.0, abs=0.01)
    assert math.isnan(calendar_age_year(None, last))
