import numpy as np
import pytest

from features.errors import InvalidInput
from training.fleet.order import FleetOrder
from training.fleet.use import CHARGING, DRIVING, STANDING, drawn_use

STEP_SECOND = 30.0
PULSED_ROWS = 78


@pytest.fixture(scope="module")
def use():
    return drawn_use(FleetOrder(1, day_count=6, sampling_second=STEP_SECOND), np.random.default_rng(7))


def test_a_vehicle_is_never_driven_empty_nor_charged_beyond_full(use):
    charged = use.first_charged_fraction + np.cumsum(use.rate) * STEP_SECOND / 3600.0
    assert charged.min() > 0.15
    assert charged.max() < 0.95


def test_it_stands_without_current_and_charges_with_a_positive_one(use):
    standing = use.rate[:-PULSED_ROWS][use.state[:-PULSED_ROWS] == STANDING]
    assert np.all(standing == 0.0)
    assert np.all(use.rate[use.state == CHARGING] > 0.0)
    assert use.rate[use.state == DRIVING].mean() < 0.0


def test_the_record_ends_with_pulses_out_and_back_that_move_no_charge_in_the_end(use):
    pulses = use.rate[-PULSED_ROWS:]
    assert np.all(use.state[-PULSED_ROWS:] == STANDING)
    assert use.rate[-PULSED_ROWS - 1] == 0.0
    assert np.count_nonzero(pulses == -0.5) == np.count_nonzero(pulses == 0.5) == 9
    assert pulses.sum() == 0.0


def test_driving_brakes_now_and_then(use):
    assert np.any(use.rate[use.state == DRIVING] > 0.0)


def test_recorded_days_are_six_different_ones_in_order(use):
    assert np.all(np.diff(use.calendar_second) > 0.0)
    assert len(set((use.calendar_second // 86_400.0).tolist())) == 6


def test_the_same_seed_gives_the_same_use():
    order = FleetOrder(1)
    first, second = (drawn_use(order, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first.rate, second.rate)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"pack_count": 0}, "packs"),
        ({"group_count": 1}, "groups"),
        ({"day_count": 200}, "days"),
        ({"month_count": 0.0}, "months"),
        ({"sampling_second": 0.5}, "sampling"),
        ({"seed": -1}, "seed"),
    ],
)
def test_an_order_out_of_range_is_refused_by_name(changed, named):
    with pytest.raises(InvalidInput) as refused:
        FleetOrder(**{"pack_count": 1, **changed})
    assert named in {problem.where for problem in refused.value.problems}
