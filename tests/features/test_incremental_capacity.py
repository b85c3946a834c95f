import numpy as np
import pytest

from features.charge_curve import GRIDS, ChargeCurve, slice_charges
from features.incremental_capacity import IncrementalPeaks, differential_voltage, incremental_peaks
from features.vocabulary import Chemistry

NMC = GRIDS[Chemistry.NMC][1]


def a_curve(peaks: dict[float, float], low_volt: float = 3.42, high_volt: float = 4.18) -> ChargeCurve:
    """Charge of a constant 0.3 per volt and Gaussian peaks of 25 mV; keys are volts, values heights per volt."""
    volt = np.linspace(low_volt, high_volt, 2001)
    density = 0.3 + sum(height * np.exp(-((volt - at) ** 2) / (2 * 0.025**2)) for at, height in peaks.items())
    charge = np.r_[0.0, np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(volt))]
    return ChargeCurve(volt, charge)


def peaks_of(curve: ChargeCurve) -> IncrementalPeaks:
    return incremental_peaks(slice_charges(curve, NMC), curve, NMC)


def test_the_highest_peak_is_found_with_its_height_and_area() -> None:
    found = peaks_of(a_curve({3.905: 2.0}))
    assert found.volt == pytest.approx(3.905)
    assert found.height_per_volt == pytest.approx(2.3, rel=0.06)
    assert found.area_fraction == pytest.approx(0.3 * 0.1 + 2.0 * 0.025 * np.sqrt(2 * np.pi) * 0.954, rel=0.02)


def test_a_worn_electrode_has_a_lower_and_smaller_peak() -> None:
    fresh, worn = peaks_of(a_curve({3.905: 2.0})), peaks_of(a_curve({3.905: 1.4}))
    assert worn.height_per_volt < fresh.height_per_volt
    assert worn.area_fraction < fresh.area_fraction


def test_two_peaks_have_a_charge_between_them() -> None:
    found = peaks_of(a_curve({3.705: 1.0, 3.905: 2.0}))
    assert found.second_volt == pytest.approx(3.705)
    assert found.between_fraction == pytest.approx(0.3 * 0.2 + 0.5 * 3.0 * 0.025 * np.sqrt(2 * np.pi), rel=0.02)


def test_one_peak_has_no_second() -> None:
    assert np.isnan(peaks_of(a_curve({3.905: 2.0})).second_volt)


def test_a_peak_the_window_only_touches_is_none() -> None:
    assert np.isnan(peaks_of(a_curve({3.905: 2.0}, high_volt=3.90)).volt)


def test_a_peak_near_the_edge_has_a_height_and_no_area() -> None:
    found = peaks_of(a_curve({3.905: 2.0}, high_volt=3.945))
    assert found.volt == pytest.approx(3.905)
    assert np.isnan(found.area_fraction)


def test_a_window_of_a_few_slices_has_no_peak() -> None:
    assert np.isnan(peaks_of(a_curve({3.905: 2.0}, 3.89, 3.93)).volt)


def a_plateau(hump_at: float = 0.3, slope: float = 0.05) -> ChargeCurve:
    charge = np.linspace(0.0, 0.6, 601)
    return ChargeCurve(3.30 + slope * charge + 0.02 / (1.0 + np.exp(-(charge - hump_at) / 0.01)), charge)


@pytest.mark.parametrize("hump_at", [0.2, 0.3, 0.45])
def test_the_hump_splits_the_charge_of_the_plateau(hump_at: float) -> None:
    found = differential_voltage(a_plateau(hump_at))
    assert found.below_hump_fraction == pytest.approx(hump_at, abs=0.01)
    assert found.above_hump_fraction == pytest.approx(0.6 - hump_at, abs=0.01)


def test_a_plateau_without_a_hump_has_its_slope_only() -> None:
    charge = np.linspace(0.0, 0.6, 601)
    found = differential_voltage(ChargeCurve(3.30 + 0.05 * charge, charge))
    assert found.flattest_volt == pytest.approx(0.05)
    assert np.isnan(found.hump_at_volt)


def test_an_ohmic_drop_moves_the_hump_and_changes_no_slope() -> None:
    plain = a_plateau()
    moved = differential_voltage(ChargeCurve(plain.volt + 0.04, plain.moved_fraction))
    assert moved.hump_at_volt == pytest.approx(differential_voltage(plain).hump_at_volt + 0.04)
    assert moved.flattest_volt == pytest.approx(differential_voltage(plain).flattest_volt)


def test_a_charge_of_less_than_the_base_has_no_slope() -> None:
    assert np.isnan(differential_voltage(ChargeCurve(np.array([3.3, 3.4]), np.array([0.0, 0.02]))).flattest_volt)
