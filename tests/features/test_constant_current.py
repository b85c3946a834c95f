import numpy as np
import pytest

from features.constant_current import SETTLING_SECOND, longest_steady_stretch

RATED_AH = 10.0


def a_charge(second: float = 3600.0, ampere: float = 5.0, from_volt: float = 3.6) -> tuple[np.ndarray, ...]:
    """10 s samples, 0.1 V per 900 s."""
    time = np.arange(0.0, second + 1.0, 10.0)
    return time, from_volt + time / 9000.0, np.full(time.size, ampere)


def joined(*parts: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Records one after another, 10 s apart."""
    time, begin = [], 0.0
    for part in parts:
        time.append(begin + part[0])
        begin = time[-1][-1] + 10.0
    return np.concatenate(time), *(np.concatenate([part[place] for part in parts]) for place in (1, 2))


def a_rest(second: float, volt: float) -> tuple[np.ndarray, ...]:
    return a_charge(second, 0.0)[0], np.full(int(second / 10.0) + 1, volt), np.zeros(int(second / 10.0) + 1)


def test_a_steady_charge_is_found_whole_with_all_its_charge() -> None:
    found = longest_steady_stretch(*a_charge(), RATED_AH, 1)
    assert found is not None
    assert (len(found.rows), found.moved_ah[-1]) == (361, pytest.approx(5.0))


def test_a_charge_is_no_discharge() -> None:
    assert longest_steady_stretch(*a_charge(), RATED_AH, -1) is None


def test_a_voltage_hold_does_not_belong_to_the_stretch() -> None:
    charge = a_charge()
    gliding = a_charge(1800.0)[0], np.full(181, 4.0), 5.0 * np.exp(-np.arange(181) / 60.0)
    found = longest_steady_stretch(*joined(charge, gliding), RATED_AH, 1)
    assert found is not None
    assert 361 <= len(found.rows) <= 365


def test_of_two_stages_the_one_that_moved_more_charge_is_taken() -> None:
    found = longest_steady_stretch(*joined(a_charge(600.0, 8.0), a_charge(3600.0, 4.0)), RATED_AH, 1)
    assert found is not None
    assert found.level_ampere == 4.0


def test_what_follows_a_rest_settles_first_and_what_begins_under_current_does_not() -> None:
    rested = longest_steady_stretch(*joined(a_rest(300.0, 3.55), a_charge()), RATED_AH, 1)
    cut = longest_steady_stretch(*a_charge(), RATED_AH, 1)
    assert rested is not None
    assert cut is not None
    assert len(cut.rows) - len(rested.rows) == SETTLING_SECOND / 10.0


@pytest.mark.parametrize(("pause_second", "one_stretch"), [(300.0, True), (1200.0, False)])
def test_a_short_pause_is_bridged_and_a_long_one_ends_the_stretch(pause_second: float, one_stretch: bool) -> None:
    first, second = a_charge(1800.0), a_charge(1800.0, from_volt=3.8)
    found = longest_steady_stretch(*joined(first, a_rest(pause_second, 3.75), second), RATED_AH, 1)
    assert found is not None
    assert bool(found.moved_ah[-1] > 4.9) is one_stretch


def test_after_a_pause_nothing_counts_until_the_voltage_is_back_but_all_charge_does() -> None:
    first, second = a_charge(1800.0), a_charge(1800.0, from_volt=3.75)
    found = longest_steady_stretch(*joined(first, a_rest(100.0, 3.7), second), RATED_AH, 1)
    assert found is not None
    volt = joined(first, a_rest(100.0, 3.7), second)[1][found.rows]
    assert np.all(np.diff(volt) >= 0.0)
    assert found.moved_ah[-1] == pytest.approx(5.0, abs=0.03)


@pytest.mark.parametrize(("silent_second", "one_stretch"), [(110.0, True), (400.0, False)])
def test_a_long_silence_ends_a_stretch_and_a_short_one_does_not(silent_second: float, one_stretch: bool) -> None:
    time, volt, current = a_charge()
    kept = (time < 1800.0) | (time >= 1800.0 + silent_second)
    found = longest_steady_stretch(time[kept], volt[kept], current[kept], RATED_AH, 1)
    assert found is not None
    assert bool(found.moved_ah[-1] > 4.9) is one_stretch


def test_ripple_of_two_percent_is_constant_current() -> None:
    time, volt, current = a_charge()
    ripple = 1.0 + 0.02 * np.sin(np.arange(time.size))
    found = longest_steady_stretch(time, volt, current * ripple, RATED_AH, 1)
    assert found is not None
    assert len(found.rows) == time.size


def test_a_record_without_current_holds_no_stretch() -> None:
    assert longest_steady_stretch(*a_rest(600.0, 3.6), RATED_AH, 1) is None


def test_a_current_that_never_keeps_a_level_holds_no_long_stretch() -> None:
    time, volt, _ = a_charge()
    found = longest_steady_stretch(time, volt, np.geomspace(0.5, 10.0, time.size), RATED_AH, 1)
    assert found is None or found.moved_ah[-1] < 1.0
