"""The capacity all sessions of a vehicle show together, its uncertainty, and from which window on."""

import math

import pytest

from features.charging import ChargingSession
from features.session_capacity import (
    LEAST_TOTAL_SOC_WINDOW_PERCENT,
    SESSION_SCATTER_FRACTION,
    SOC_SCALE_UNCERTAINTY_FRACTION,
    window_capacity,
)


def session(capacity_ah, uncertainty_ah=0.1, window_percent=40.0):
    return ChargingSession(0, 360, 0.0, 3600.0, 50.0, 40.0, 40.0 + window_percent, capacity_ah, uncertainty_ah)


def test_no_session_no_capacity():
    assert window_capacity(()) is None
    assert window_capacity((session(math.nan),)) is None


def test_windows_of_40_percent_together_tell_a_capacity_and_39_do_not():
    assert LEAST_TOTAL_SOC_WINDOW_PERCENT == 40.0
    assert window_capacity((session(120.0, window_percent=20.0), session(120.0, window_percent=19.0))) is None
    assert window_capacity((session(120.0, window_percent=20.0),) * 2).capacity_ah == 120.0
    assert window_capacity((session(120.0, window_percent=40.0),)).total_window_percent == 40.0


def test_a_session_weighs_by_its_window():
    small, large = session(100.0, window_percent=20.0), session(120.0, window_percent=60.0)
    assert window_capacity((small, small, large)).capacity_ah == 120.0


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
