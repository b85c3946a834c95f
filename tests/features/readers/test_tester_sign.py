import numpy as np
import pytest

from features.readers.tester_sign import SignContradiction, signed_current

REST_CHARGE_DISCHARGE_VOLT = np.array([3.30, 3.40, 3.41, 3.30, 3.20, 3.19])


def test_magnitudes_get_their_sign_from_the_state():
    current, findings = signed_current(
        np.array([0.0, 2, 2, 0, 2, 2]), np.array([0.0, 1, 1, 0, -1, -1]), REST_CHARGE_DISCHARGE_VOLT
    )

    assert current.tolist() == [0.0, 2.0, 2.0, 0.0, -2.0, -2.0]
    assert findings == []


def test_a_tester_that_counts_discharge_as_positive_is_turned_with_a_finding_and_a_usual_one_is_left():
    usual = np.array([0.0, 2, 2, 0, -2, -2])
    state = np.array([0.0, 1, 1, 0, -1, -1])

    turned, findings = signed_current(-usual, state, REST_CHARGE_DISCHARGE_VOLT)
    left, nothing = signed_current(usual, state, REST_CHARGE_DISCHARGE_VOLT)

    assert turned.tolist() == left.tolist() == usual.tolist()
    assert ([each.code for each in findings], nothing) == (["tester.sign_reversed"], [])


def test_without_states_a_sign_against_the_voltage_is_refused_and_one_with_it_is_taken():
    with pytest.raises(SignContradiction):
        signed_current(np.array([0.0, -2, -2, 0, 2, 2]), None, REST_CHARGE_DISCHARGE_VOLT)

    current, _ = signed_current(np.array([0.0, 2, 2, 0, -2, -2]), None, REST_CHARGE_DISCHARGE_VOLT)
    assert current[1] == 2.0


def test_positive_currents_without_any_state_are_said_to_be_read_as_charging():
    _, findings = signed_current(np.array([0.0, 2.0, 2.0]), None, np.array([3.3, 3.4, 3.41]))

    assert [each.code for each in findings] == ["tester.sign_as_written"]
    with pytest.raises(SignContradiction):
        signed_current(np.array([0.0, 2.0, 2.0]), None, np.array([3.3, 3.2, 3.19]))


def test_noise_around_zero_keeps_its_sign_in_a_charging_state():
    current, _ = signed_current(np.array([-0.001, 2.0]), np.array([1.0, 1.0]), np.array([3.3, 3.4]))

    assert current.tolist() == [-0.001, 2.0]
