import numpy as np
import pytest

from features.charge_curve import GRIDS, SLICE_COUNT, ChargeCurve, charge_curve, slice_charges
from features.vocabulary import Chemistry

NMC = GRIDS[Chemistry.NMC][1]
STRAIGHT = ChargeCurve(np.array([3.5, 4.1]), np.array([0.0, 0.6]))


def test_a_straight_curve_puts_the_same_charge_into_every_slice() -> None:
    slices = slice_charges(STRAIGHT, NMC)
    assert np.nansum(slices) == pytest.approx(0.6)
    assert slices[np.isfinite(slices)] == pytest.approx(0.01)


def test_a_slice_means_the_same_whichever_window_passed_it() -> None:
    volt = np.linspace(3.5, 4.1, 601)
    whole = charge_curve(volt, (volt - 3.5) ** 2, 1)
    part = charge_curve(volt[120:400], (volt[120:400] - 3.5) ** 2, 1)
    shared = np.isfinite(slice_charges(part, NMC))
    shared[np.flatnonzero(shared)[[0, -1]]] = False
    assert shared.sum() > 20
    assert slice_charges(part, NMC)[shared] == pytest.approx(slice_charges(whole, NMC)[shared], abs=1e-5)


@pytest.mark.parametrize(("end_volt", "passed"), [(3.506, 1), (3.504, 0)])
def test_a_slice_counts_from_half_of_it_on(end_volt: float, passed: int) -> None:
    curve = ChargeCurve(np.array([3.50, end_volt]), np.array([0.0, 0.01]))
    assert np.isfinite(slice_charges(curve, NMC)).sum() == passed


def test_a_window_outside_the_grid_passes_no_slice() -> None:
    assert np.isnan(slice_charges(ChargeCurve(np.array([2.8, 3.3]), np.array([0.0, 0.1])), NMC)).all()


def test_charge_never_falls_with_voltage_whatever_the_noise() -> None:
    random = np.random.default_rng(0)
    volt = np.linspace(3.5, 4.1, 2000)
    curve = charge_curve(volt + random.normal(0.0, 0.002, volt.size), np.linspace(0.0, 0.6, volt.size), 1)
    assert np.all(np.diff(curve.volt) > 0.0)
    assert np.all(np.diff(curve.moved_fraction) >= 0.0)


def test_noise_and_quantisation_of_a_millivolt_move_a_slice_by_less_than_a_tenth() -> None:
    random = np.random.default_rng(1)
    volt = np.linspace(3.5, 4.1, 3600)
    noisy = np.round(volt + random.normal(0.0, 0.001, volt.size), 3)
    slices = slice_charges(charge_curve(noisy, np.linspace(0.0, 0.6, volt.size), 1), NMC)
    inner = slices[np.isfinite(slices)][1:-1]
    assert np.abs(inner - 0.01).max() < 0.001


def test_a_discharge_is_the_charge_turned_round() -> None:
    volt, moved = np.linspace(3.5, 4.1, 100), np.linspace(0.0, 0.6, 100)
    charge, discharge = charge_curve(volt, moved, 1), charge_curve(volt[::-1], moved, -1)
    assert discharge.volt == pytest.approx(charge.volt)
    assert discharge.moved_fraction == pytest.approx(charge.moved_fraction)


def test_charge_between_two_voltages_is_known_inside_the_window_only() -> None:
    assert STRAIGHT.moved_between(3.6, 3.8) == pytest.approx(0.2)
    assert np.isnan(STRAIGHT.moved_between(3.4, 3.8))


def test_an_ohmic_drop_moves_the_window_and_leaves_its_mean_slope() -> None:
    shifted = ChargeCurve(STRAIGHT.volt + 0.05, STRAIGHT.moved_fraction)
    assert shifted.mean_slope_volt == pytest.approx(STRAIGHT.mean_slope_volt)
    assert STRAIGHT.mean_slope_volt == pytest.approx(1.0)


def test_arrays_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one length, got \(3,\) and \(2,\)"):
        charge_curve(np.zeros(3), np.zeros(2), 1)


@pytest.mark.parametrize("chemistry", list(GRIDS))
def test_every_grid_covers_where_its_chemistry_moves_charge(chemistry: Chemistry) -> None:
    for grid in GRIDS[chemistry].values():
        assert len(grid.edges_volt) == SLICE_COUNT + 1
        assert grid.highest_volt == pytest.approx(grid.edges_volt[-1])
