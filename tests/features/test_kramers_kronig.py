import numpy as np
import pytest

from features.kramers_kronig import relative_residuals
from tests.support.simulated_spectrum import SpectrumCircuit

HERTZ = np.logspace(-2, 2, 41)


@pytest.mark.parametrize("celsius", [-10.0, 25.0])
def test_a_battery_at_rest_obeys_the_relations(celsius: float) -> None:
    spectrum = SpectrumCircuit(charge_transfer_second=0.05).impedance_ohm(HERTZ, 50.0, celsius)
    assert relative_residuals(HERTZ, spectrum).max() < 0.005


def test_noise_is_not_followed() -> None:
    noise = np.random.default_rng(3).normal(0.0, 0.01, (2, len(HERTZ)))
    spectrum = SpectrumCircuit().impedance_ohm(HERTZ, 50.0, 25.0) * (1.0 + noise[0] + 1j * noise[1])
    residual = np.sqrt(np.mean(relative_residuals(HERTZ, spectrum) ** 2))
    assert 0.007 < residual < 0.02


def test_an_imaginary_part_of_the_wrong_sign_cannot_be_followed() -> None:
    spectrum = SpectrumCircuit().impedance_ohm(HERTZ, 50.0, 25.0)
    assert np.median(relative_residuals(HERTZ, spectrum.conj())) > 0.005


def test_two_points_are_refused() -> None:
    with pytest.raises(ValueError, match="at least three points, got 2"):
        relative_residuals(HERTZ[:2], np.ones(2, dtype=np.complex128))
