"""Which parts of a vehicle's record are charging sessions, and the capacity each of them shows."""

import math

import numpy as np
import pytest

from features.charge_count import charge_count
from features.charging import capacity_from_steps, charging_sessions


def charge(minutes=120.0, current_ampere=50.0, capacity_ah=120.0, soc_begin=30.3, every_second=10.0):
    """A steady charge: time, current and state of charge in steps of 1 %."""
    time = np.arange(0.0, minutes * 60.0 + 1.0, every_second)
    soc = np.floor(soc_begin + 100.0 * current_ampere * time / 3600.0 / capacity_ah)
    return time, np.full(time.size, current_ampere), soc


def sessions_of(time, current, soc, rated_capacity_ah=120.0, **columns):
    """Sessions of a record; rows without current are left out of every column."""
    counted = charge_count(time, current, rated_capacity_ah)
    columns = {name: values[counted.rows] for name, values in columns.items()}
    return charging_sessions(counted, soc[counted.rows], rated_capacity_ah, **columns)


def test_a_steady_charge_shows_the_capacity_within_half_a_percent_despite_steps_of_one_percent():
    (found,) = sessions_of(*charge())
    assert found.capacity_ah == pytest.approx(120.0, rel=0.005)
    assert found.charge_moved_ah == pytest.approx(100.0)
    assert found.soc_window_percent == 83.0
    assert found.duration_second == 7200.0


def test_a_correction_of_the_reported_state_of_charge_at_the_end_does_not_move_the_capacity():
    time, current, soc = charge(minutes=60.0)
    soc[-20:] += 4.0
    (found,) = sessions_of(time, current, soc)
    assert found.capacity_ah == pytest.approx(120.0, rel=0.005)


def test_a_window_of_19_percent_shows_no_capacity_and_one_of_20_does():
    time, current, soc = charge(minutes=40.0, soc_begin=30.0)
    (small,) = sessions_of(time[soc <= 49.0], current[soc <= 49.0], soc[soc <= 49.0])
    (enough,) = sessions_of(time[soc <= 50.0], current[soc <= 50.0], soc[soc <= 50.0])
    assert math.isnan(small.capacity_ah)
    assert enough.capacity_ah == pytest.approx(120.0, rel=0.01)


def test_a_silence_of_four_minutes_ends_a_session_and_one_of_two_minutes_does_not():
    time, current, soc = charge()
    for silence_second, sessions in ((120.0, 1), (240.0, 2)):
        kept = (time <= 3600.0) | (time >= 3600.0 + silence_second)
        assert len(sessions_of(time[kept], current[kept], soc[kept])) == sessions


def test_current_fed_back_while_driving_is_no_session():
    time, current, soc = charge()
    driving = np.where(time < 7200.0, 3.0, 1.0)
    assert sessions_of(time, current, soc, charge_state=driving) == ()
    assert sessions_of(time, current, soc, odometer_kilometer=time / 100.0) == ()
    braking = np.where(np.arange(time.size) % 20 < 5, 60.0, -60.0)
    assert sessions_of(time, braking, soc) == ()


def test_a_missing_charge_state_leaves_it_to_the_current():
    time, current, soc = charge()
    unknown = np.full(time.size, np.nan)
    assert len(sessions_of(time, current, soc, charge_state=unknown, odometer_kilometer=unknown)) == 1


def test_rows_without_current_or_state_of_charge_do_not_end_a_session():
    time, current, soc = charge()
    current[100:103], soc[300:302] = np.nan, np.nan
    (found,) = sessions_of(time, current, soc)
    assert found.capacity_ah == pytest.approx(120.0, rel=0.005)
    assert found.charge_moved_ah == pytest.approx(100.0)


def test_a_pause_goes_on_as_one_session_and_a_drive_ends_it():
    time, current, soc = charge()
    current[100:110] = 0.0
    assert len(sessions_of(time, current, soc)) == 1
    current[104:106] = -30.0
    assert len(sessions_of(time, current, soc)) == 2


def test_a_logger_of_five_minutes_is_not_silent_between_its_rows():
    (found,) = sessions_of(*charge(every_second=300.0))
    assert found.capacity_ah == pytest.approx(120.0, rel=0.02)


def test_discharging_alone_gives_no_session():
    time, current, soc = charge()
    assert sessions_of(time, -current, soc[::-1]) == ()


def test_too_few_steps_show_no_capacity():
    assert math.isnan(capacity_from_steps(np.arange(8.0), np.arange(8.0))[0])
    assert capacity_from_steps(np.arange(9.0), np.arange(9.0))[0] == pytest.approx(100.0)


def test_arrays_of_different_length_are_refused():
    with pytest.raises(ValueError, match="one length"):
        sessions_of(np.arange(3.0), np.arange(2.0), np.arange(3.0))
