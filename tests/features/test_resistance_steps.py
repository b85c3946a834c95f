"""Resistance from the steps of the current in a vehicle."""

import math

import numpy as np
import pytest

from features.charge_count import charge_count
from features.resistance_steps import FEWEST_STEPS, step_resistance

RATED_AH = 120.0


def stepped(step_count=40, every_second=10.0, ampere=-60.0):
    """A pack of 80 mΩ at 360 V whose current alternates between rest and load."""
    current = np.tile(np.repeat([0.0, ampere], 5), step_count // 2 + 1)
    time = every_second * np.arange(current.size)
    return time, current, 360.0 + 0.080 * current


def resistance(time, current, volt):
    return step_resistance(charge_count(time, current, RATED_AH), volt, RATED_AH)


def test_steps_show_the_resistance_whatever_their_direction():
    for ampere in (-60.0, 60.0, -200.0):
        assert resistance(*stepped(ampere=ampere)).resistance_ohm == pytest.approx(0.080)


def test_a_voltage_sampled_one_row_late_does_no_harm():
    time, current, volt = stepped()
    assert resistance(time, current, np.r_[volt[:1], volt[:-1]]).resistance_ohm == pytest.approx(0.080)


def test_noise_averages_out_and_the_uncertainty_says_how_far():
    time, current, volt = stepped(step_count=400)
    found = resistance(time, current, volt + np.random.default_rng(1).normal(0.0, 0.5, volt.size))
    assert abs(found.resistance_ohm - 0.080) <= 3.0 * found.uncertainty_ohm
    assert found.uncertainty_ohm < 0.002


def test_ramps_small_steps_and_slow_sampling_are_no_steps():
    time, current, volt = stepped()
    ramp = np.tile(np.linspace(0.0, -60.0, 6), 40)
    assert resistance(10.0 * np.arange(ramp.size), ramp, 360.0 + 0.08 * ramp).rows.size == 0
    assert math.isnan(resistance(time, 0.3 * current, volt).resistance_ohm)
    assert math.isnan(resistance(4.0 * time, current, volt).resistance_ohm)


def test_nine_steps_tell_nothing_and_ten_do():
    time, current, volt = stepped()
    assert FEWEST_STEPS == 10
    assert math.isnan(resistance(time[:50], current[:50], volt[:50]).resistance_ohm)
    assert resistance(time[:53], current[:53], volt[:53]).resistance_ohm == pytest.approx(0.080)


def test_missing_voltages_are_left_out():
    time, current, volt = stepped()
    volt[::6] = np.nan
    assert resistance(time, current, volt).resistance_ohm == pytest.approx(0.080)


def test_a_current_of_the_wrong_sign_shows_no_resistance():
    time, current, volt = stepped()
    assert math.isnan(resistance(time, -current, volt).resistance_ohm)
