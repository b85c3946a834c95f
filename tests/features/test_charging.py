"""Which parts of a vehicle's record are charging sessions, and the capacity they show."""

import math

import numpy as np
import pytest

from features.charging import (
    SESSION_SCATTER_FRACTION,
    SOC_SCALE_UNCERTAINTY_FRACTION,
    ChargingSession,
    capacity_from_steps,
    charging_sessions,
    window_capacity,
)


def charge(minutes=120.0, current_ampere=50.0, capacity_ah=120.0, soc_begin=30.3, every_second=10.0):
    """A steady charge: time, current and state of charge in steps of 1 %."""
    time = np.arange(0.0, minutes * 60.0 + 1.0, every_second)
    soc = np.floor(soc_begin + 100.0 * current_ampere * time / 3600.0 / capacity_ah)
    return time, np.full(time.size, current_ampere), soc


def session(capacity_ah, uncertainty_ah=0.1):
    return ChargingSession(0.0, 3600.0, 50.0, 40.0, 80.0, capacity_ah, uncertainty_ah)


def test_a_steady_charge_shows_the_capacity_within_half_a_percent_despite_steps_of_one_percent():
    (found,) = charging_sessions(*charge(), 120.0)
    assert found.capacity_ah == pytest.approx(120.0, rel=0.005)
    assert found.charge_moved_ah == pytest.approx(100.0)
    assert found.soc_window_percent == 83.0
    assert found.duration_second == 7200.0


def test_a_correction_of_the_reported_state_of_charge_at_the_end_does_not_move_the_capacity():
    time, current, soc = charge(minutes=60.0)
    soc[-20:] += 4.0
    (found,) = charging_sessions(time, current, soc, 120.0)
    assert found.capacity_ah == pytest.approx(120.0, rel=0.005)


def test_a_window_of_14_percent_shows_no_capacity_and_one_of_15_does():
    time, current, soc = charge(minutes=40.0, soc_begin=30.0)
    (small,) = charging_sessions(time[soc <= 44.0], current[soc <= 44.0], soc[soc <= 44.0], 120.0)
    (enough,) = charging_sessions(time[soc <= 45.0], current[soc <= 45.0], soc[soc <= 45.0], 120.0)
    assert math.isnan(small.capacity_ah)
    assert enough.capacity_ah == pytest.approx(120.0, rel=0.01)


def test_a_silence_of_four_minutes_ends_a_session_and_one_of_two_minutes_does_not():
    time, current, soc = charge()
    for silence_second, sessions in ((120.0, 1), (240.0, 2)):
        kept = (time <= 3600.0) | (time >= 3600.0 + silence_second)
        assert len(charging_sessions(time[kept], current[kept], soc[kept], 120.0)) == sessions


def test_current_fed_back_while_driving_is_no_session():
    time, current, soc = charge()
    driving = np.full(time.size, 3.0)
    assert charging_sessions(time, current, soc, 120.0, charge_state=driving) == ()
    assert charging_sessions(time, current, soc, 120.0, odometer_kilometer=time / 100.0) == ()
    braking = np.where(np.arange(time.size) % 20 < 5, 60.0, -60.0)
    assert charging_sessions(time, braking, soc, 120.0) == ()


def test_a_missing_charge_state_leaves_it_to_the_current():
    time, current, soc = charge()
    unknown = np.full(time.size, np.nan)
    assert len(charging_sessions(time, current, soc, 120.0, charge_state=unknown, odometer_kilometer=unknown)) == 1


def test_rows_without_current_or_state_of_charge_do_not_poison_a_session():
    time, current, soc = charge()
    current[100:103], soc[300:302] = np.nan, np.nan
    found = charging_sessions(time, current, soc, 120.0)
    assert len(found) == 3
    assert all(each.capacity_ah == pytest.approx(120.0, rel=0.02) for each in found if each.soc_window_percent >= 15.0)


def test_discharging_alone_gives_no_session():
    time, current, soc = charge()
    assert charging_sessions(time, -current, soc[::-1], 120.0) == ()


def test_too_few_steps_show_no_capacity():
    assert math.isnan(capacity_from_steps(np.arange(8.0), np.arange(8.0))[0])
    assert capacity_from_steps(np.arange(9.0), np.arange(9.0))[0] == pytest.approx(100.0)


def test_arrays_of_different_length_are_refused():
    with pytest.raises(ValueError, match="one length"):
        charging_sessions(np.arange(3.0), np.arange(2.0), np.arange(3.0), 120.0)


def test_no_session_no_capacity():
    assert window_capacity(()) is None
    assert window_capacity((session(math.nan),)) is None


def test_many_sessions_average_out_their_scatter_but_never_the_error_of_the_state_of_charge():
    one = window_capacity((session(120.0),))
    many = window_capacity(tuple(session(120.0 + 0.5 * (-1) ** n) for n in range(400)))
    assert one.standard_uncertainty_ah == pytest.approx(
        120.0 * math.hypot(SESSION_SCATTER_FRACTION, SOC_SCALE_UNCERTAINTY_FRACTION)
    )
    assert math.isnan(one.scatter_fraction)
    assert many.standard_uncertainty_ah == pytest.approx(120.0 * SOC_SCALE_UNCERTAINTY_FRACTION, rel=0.01)


def test_one_wild_session_does_not_move_the_capacity():
    usual = tuple(session(120.0 + 0.3 * n) for n in range(-5, 6))
    assert window_capacity((*usual, session(300.0))).capacity_ah == pytest.approx(120.0, abs=0.3)


def test_sessions_that_agree_too_well_repeat_a_stored_value():
    assert window_capacity(tuple(session(118.0 + 0.01 * n) for n in range(5))).repeats_a_stored_value
    assert not window_capacity(tuple(session(118.0 + n) for n in range(5))).repeats_a_stored_value
    assert not window_capacity((session(118.0), session(118.0))).repeats_a_stored_value
