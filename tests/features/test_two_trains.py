"""What two trains with a known charge between them say, whichever way they were recorded."""

import math
from dataclasses import replace

import numpy as np
import pytest

from features.feature_set import FEATURE_SETS, Method
from features.pulse import Pulse, PulseTrain, pulse_features
from features.two_trains import (
    SLOTS,
    TWO_TRAIN_FEATURE_NAMES,
    TrainPair,
    two_train_feature_matrix,
    two_train_features,
)

RATED_AH = 20.0


def train(open_circuit_volt: float, ohm: float, polarisation: float = 0.5, rated_ah: float = RATED_AH) -> PulseTrain:
    """Train on a resistance: polarisation, relaxation and residual in its proportion."""
    pulses = tuple(
        Pulse(
            rate * rated_ah,
            5.0,
            open_circuit_volt,
            open_circuit_volt + rate * rated_ah * ohm,
            open_circuit_volt + rate * rated_ah * ohm * (1.0 + polarisation),
            open_circuit_volt + rate * rated_ah * ohm * 0.4,
            open_circuit_volt + rate * rated_ah * ohm * 0.1,
            75.0,
        )
        for rate in (0.5, -0.5, 1.0, -1.0, 1.5)
    )
    return PulseTrain(open_circuit_volt, 600.0, pulses)


PAIR = TrainPair(train(3.20, 0.004), train(3.29, 0.003), 4.0)


def test_the_set_is_the_one_the_method_is_registered_with() -> None:
    assert FEATURE_SETS[Method.TWO_PULSE_TRAINS].names == TWO_TRAIN_FEATURE_NAMES
    assert len(set(TWO_TRAIN_FEATURE_NAMES)) == len(TWO_TRAIN_FEATURE_NAMES) == 34
    assert tuple(two_train_features(PAIR, RATED_AH)) == TWO_TRAIN_FEATURE_NAMES


def test_90_millivolt_over_a_fifth_of_the_rated_charge_are_a_slope_of_450_millivolt() -> None:
    features = two_train_features(PAIR, RATED_AH)
    assert features["moved_charge_fraction"] == 0.2
    assert features["open_circuit_slope_volt"] == pytest.approx(0.45)
    assert features["first_open_circuit_voltage_volt"] == 3.20


def test_a_resistance_that_falls_by_a_quarter_over_a_fifth_of_the_charge_changes_by_minus_1_25() -> None:
    features = two_train_features(PAIR, RATED_AH)
    for quantity in ("instantaneous_resistance_change", "pulse_end_resistance_change"):
        assert [features[f"{quantity}_{slot}"] for slot in SLOTS] == pytest.approx([-1.25] * 3)


def test_each_train_shows_what_it_shows_alone() -> None:
    features = two_train_features(PAIR, RATED_AH)
    for which, one in (("first", PAIR.first), ("second", PAIR.second)):
        alone = pulse_features(one, RATED_AH)
        for slot in SLOTS:
            for quantity in ("instantaneous_resistance_ohm_ah", "polarisation_ratio", "residual_ratio"):
                assert features[f"{which}_{quantity}_{slot}"] == alone[f"{quantity}_{slot}"]


def test_many_pairs_at_once_give_the_very_numbers_each_gives_alone() -> None:
    noise = np.random.default_rng(3)
    pairs = [
        TrainPair(
            train(3.2, float(noise.uniform(0.001, 0.01))),
            train(3.3, float(noise.uniform(0.001, 0.01)), float(noise.uniform(0.2, 0.9))),
            float(noise.uniform(3.0, 5.0)),
        )
        for _ in range(20)
    ]
    alone = np.array([list(two_train_features(pair, RATED_AH).values()) for pair in pairs])
    assert np.array_equal(two_train_feature_matrix(pairs, RATED_AH), alone)
    assert np.array_equal(two_train_feature_matrix(pairs, np.full(20, RATED_AH)), alone)


def test_a_battery_twice_as_large_at_half_the_resistance_has_the_same_features() -> None:
    larger = TrainPair(train(3.20, 0.002, rated_ah=40.0), train(3.29, 0.0015, rated_ah=40.0), 8.0)
    expected = list(two_train_features(PAIR, RATED_AH).values())
    assert list(two_train_features(larger, 40.0).values()) == pytest.approx(expected)


def test_a_contact_that_adds_to_no_resistance_but_scales_all_answers_leaves_ratios_and_changes_alone() -> None:
    scaled = TrainPair(train(3.20, 0.0036), train(3.29, 0.0027), 4.0)
    before, after = two_train_features(PAIR, RATED_AH), two_train_features(scaled, RATED_AH)
    for name in TWO_TRAIN_FEATURE_NAMES:
        factor = 0.9 if "resistance_ohm_ah" in name else 1.0
        assert after[name] == pytest.approx(factor * before[name])


def test_a_pulse_one_train_lacks_is_nan_and_no_neighbours_value() -> None:
    short = replace(PAIR.second, pulses=PAIR.second.pulses[:4])
    features = two_train_features(TrainPair(PAIR.first, short, 4.0), RATED_AH)
    assert math.isnan(features["second_instantaneous_resistance_ohm_ah_1.5c_charge"])
    assert math.isnan(features["instantaneous_resistance_change_1.5c_charge"])
    assert math.isfinite(features["first_instantaneous_resistance_ohm_ah_1.5c_charge"])


@pytest.mark.parametrize("moved_ah", [0.0, -4.0, math.nan, math.inf])
def test_trains_without_a_charge_put_in_between_them_are_no_pair(moved_ah: float) -> None:
    with pytest.raises(ValueError, match="has charge put in between"):
        TrainPair(PAIR.first, PAIR.second, moved_ah)


def test_a_rated_capacity_that_is_no_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        two_train_features(PAIR, 0.0)
