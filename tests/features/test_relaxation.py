import numpy as np
import pytest

from features.relaxation import relaxation_after_charge

RATED_AH = 10.0


def a_record(drop_volt: float = 0.05, rest_second: float = 2400.0, wait_second: float = 5.0) -> tuple[np.ndarray, ...]:
    """Ten minutes of charge, then a rest that falls with a time constant of 300 s."""
    charging, resting = np.arange(0.0, 601.0, 10.0), np.arange(0.0, rest_second + 1.0, 5.0)
    time = np.r_[charging, 600.0 + wait_second + resting]
    volt = np.r_[np.linspace(4.0, 4.2, charging.size), 4.2 - drop_volt * (1.0 - np.exp(-resting / 300.0))]
    return time, volt, np.r_[np.full(charging.size, 5.0), np.zeros(resting.size)]


def test_the_drops_follow_the_relaxation() -> None:
    begin, *drops = relaxation_after_charge(*a_record(), RATED_AH)
    assert begin == pytest.approx(4.2)
    assert drops == pytest.approx([0.05 * (1.0 - np.exp(-t / 300.0)) for t in (60.0, 300.0, 600.0, 1800.0)], rel=1e-3)


def test_a_polarised_cell_falls_further() -> None:
    assert relaxation_after_charge(*a_record(0.08), RATED_AH)[2] > relaxation_after_charge(*a_record(), RATED_AH)[2]


def test_a_short_rest_gives_the_drops_it_reached() -> None:
    found = relaxation_after_charge(*a_record(rest_second=400.0), RATED_AH)
    assert np.isfinite(found[:3]).all()
    assert np.isnan(found[3:]).all()


def test_a_rest_whose_begin_was_not_seen_gives_nothing() -> None:
    assert np.isnan(relaxation_after_charge(*a_record(wait_second=60.0), RATED_AH)).all()


def test_a_rest_after_a_discharge_is_no_relaxation_after_charge() -> None:
    time, volt, current = a_record()
    assert np.isnan(relaxation_after_charge(time, volt, -current, RATED_AH)).all()


def test_the_rest_ends_with_the_next_current() -> None:
    time, volt, current = a_record()
    current[np.searchsorted(time, 600.0 + 350.0) :] = -5.0
    found = relaxation_after_charge(time, volt, current, RATED_AH)
    assert np.isfinite(found[2])
    assert np.isnan(found[3])
