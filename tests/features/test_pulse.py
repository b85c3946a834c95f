"""Pulse features: what each of them measures, and what a short or damaged train does to them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from features.pulse import (
    PULSE_FEATURE_NAMES,
    Pulse,
    PulseTrain,
    apparent_time_constant_second,
    pulse_feature_matrix,
    pulse_features,
    pulse_slots,
    slot_index,
    train_from_turning_points,
)

RATED_AH = 20.0
INSTANTANEOUS_OHM = 0.002
POLARISATION_OHM = 0.003
TAU_SECOND = 20.0
WIDTH_SECOND = 5.0


def circuit_train(
    scale: float = 1.0, rated_ah: float = RATED_AH, c_rates: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5)
) -> PulseTrain:
    """First-order circuit: one resistor, one RC pair, a flat open-circuit voltage of 3.3 V."""
    growth, decay = 1 - math.exp(-WIDTH_SECOND / TAU_SECOND), math.exp(-15 * WIDTH_SECOND / TAU_SECOND)
    pulses = []
    for current in [sign * rate * rated_ah for rate in c_rates for sign in (1, -1)]:
        instant = current * INSTANTANEOUS_OHM * scale
        slow = current * POLARISATION_OHM * scale * growth
        pulses.append(
            Pulse(
                current,
                WIDTH_SECOND,
                3.3,
                3.3 + instant,
                3.3 + instant + slow,
                3.3 + slow,
                3.3 + slow * decay,
                15 * WIDTH_SECOND,
            )
        )
    return PulseTrain(3.3, 600.0, tuple(pulses))


def test_the_names_are_unique_and_in_the_order_of_the_values() -> None:
    assert len(set(PULSE_FEATURE_NAMES)) == len(PULSE_FEATURE_NAMES)
    assert tuple(pulse_features(circuit_train(), RATED_AH)) == PULSE_FEATURE_NAMES


def test_a_known_circuit_gives_back_its_resistances_and_time_constant() -> None:
    features = pulse_features(circuit_train(), RATED_AH)
    for slot in ("0.5c", "1.0c", "1.5c", "2.0c", "2.5c"):
        for way in ("charge", "discharge"):
            assert features[f"instantaneous_resistance_ohm_ah_{slot}_{way}"] == pytest.approx(0.040)
            assert features[f"break_resistance_ohm_ah_{slot}_{way}"] == pytest.approx(0.040)
            assert features[f"polarisation_ohm_ah_{slot}_{way}"] == pytest.approx(0.060 * (1 - math.exp(-0.25)))
            assert features[f"log_time_constant_{slot}_{way}"] == pytest.approx(math.log10(4.0))
        assert features[f"pulse_end_asymmetry_{slot}"] == pytest.approx(0.0, abs=1e-9)
    assert features["pulse_end_nonlinearity_2.5c_charge"] == pytest.approx(1.0)
    assert features["log_pulse_width"] == pytest.approx(math.log10(5.0))


def test_a_cell_twice_as_large_with_half_the_resistance_has_the_same_features() -> None:
    small = pulse_features(circuit_train(), 20.0)
    large = pulse_features(circuit_train(scale=0.5, rated_ah=40.0), 40.0)
    assert list(large.values()) == pytest.approx(list(small.values()), nan_ok=True)


def test_every_resistance_grows_with_the_circuit_and_every_ratio_stays() -> None:
    fresh, aged = (pulse_features(circuit_train(scale=scale), RATED_AH) for scale in (1.0, 1.5))
    for name in PULSE_FEATURE_NAMES:
        if "ohm_ah" in name:
            assert aged[name] == pytest.approx(1.5 * fresh[name])
        elif "ratio" in name or "time_constant" in name or "nonlinearity" in name:
            assert aged[name] == pytest.approx(fresh[name])


def test_a_single_pulse_is_measured_and_the_rest_is_not_a_number() -> None:
    train = PulseTrain(3.30, math.nan, (Pulse(10.0, 5.0, 3.30, 3.34, 3.36),))
    features = pulse_features(train, RATED_AH)
    measured = {name for name, number in features.items() if not math.isnan(number)}
    assert measured == {
        "open_circuit_voltage_volt",
        "log_pulse_width",
        "instantaneous_resistance_ohm_ah_0.5c_charge",
        "pulse_end_resistance_ohm_ah_0.5c_charge",
        "polarisation_ohm_ah_0.5c_charge",
        "polarisation_ratio_0.5c_charge",
    }
    assert features["instantaneous_resistance_ohm_ah_0.5c_charge"] == pytest.approx(0.08)


def test_the_order_of_the_pulses_does_not_matter() -> None:
    train = circuit_train()
    turned = replace(train, pulses=train.pulses[::-1])
    assert list(pulse_features(turned, RATED_AH).values()) == pytest.approx(
        list(pulse_features(train, RATED_AH).values()), nan_ok=True
    )


def test_of_two_pulses_at_one_amplitude_the_first_counts() -> None:
    train = circuit_train(c_rates=(0.5,))
    repeated = replace(train, pulses=(*train.pulses, replace(train.pulses[0], begin_volt=3.9, end_volt=4.0)))
    assert list(pulse_features(repeated, RATED_AH).values()) == pytest.approx(
        list(pulse_features(train, RATED_AH).values()), nan_ok=True
    )


@pytest.mark.parametrize(
    ("c_rate", "slot"),
    [
        (0.5, 0),
        (-0.42, 0),
        (1.0, 1),
        (-1.58, 2),
        (2.5, 4),
        (2.59, 4),
        (0.25, None),
        (0.75, None),
        (3.0, None),
        (0.1, None),
    ],
)
def test_a_pulse_counts_only_near_one_of_the_five_amplitudes(c_rate: float, slot: int | None) -> None:
    assert slot_index(c_rate) == slot


def test_a_train_without_a_known_amplitude_keeps_only_its_open_circuit_voltage() -> None:
    train = PulseTrain(3.31, 600.0, (Pulse(5.0, 5.0, 3.31, 3.33, 3.34),))
    features = pulse_features(train, RATED_AH)
    assert features.pop("open_circuit_voltage_volt") == 3.31
    assert all(math.isnan(number) for number in features.values())


def test_a_pulse_without_response_gives_numbers_or_nan_and_never_raises() -> None:
    flat = PulseTrain(3.3, 600.0, (Pulse(10.0, 5.0, 3.3, 3.3, 3.3, 3.3, 3.3, 75.0),))
    features = pulse_features(flat, RATED_AH)
    assert features["pulse_end_resistance_ohm_ah_0.5c_charge"] == 0.0
    assert math.isnan(features["polarisation_ratio_0.5c_charge"])
    assert math.isnan(features["log_time_constant_0.5c_charge"])
    assert not any(math.isinf(number) for number in features.values())


def test_a_rest_that_overshoots_still_has_a_bounded_time_constant() -> None:
    tau = apparent_time_constant_second(np.array([0.01, -0.01]), np.array([-0.001, 0.001]), np.array([75.0, 75.0]))
    assert tau[0] == pytest.approx(75.0 / math.log(500.0))
    assert math.isnan(tau[1])


def test_many_trains_at_once_are_the_single_trains_to_the_last_bit() -> None:
    trains = [circuit_train(), circuit_train(1.3), PulseTrain(3.2, 600.0, (Pulse(-20.0, 3.0, 3.2, 3.1, 3.0),))]
    together = pulse_feature_matrix(pulse_slots(trains, RATED_AH))
    for row, train in zip(together, trains, strict=True):
        np.testing.assert_array_equal(row, np.array(list(pulse_features(train, RATED_AH).values())))


def test_the_forty_one_turning_points_of_a_public_row_land_on_their_pulses() -> None:
    train = train_from_turning_points(np.arange(1.0, 42.0), 3.0, 10.0)
    assert train.open_circuit_voltage_volt == 1.0
    assert [pulse.current_ampere for pulse in train.pulses] == [5, -5, 10, -10, 15, -15, 20, -20, 25, -25]
    last_charge = train.pulses[8]
    assert (last_charge.rest_before_volt, last_charge.begin_volt, last_charge.end_volt) == (33.0, 34.0, 35.0)
    assert (last_charge.relaxation_begin_volt, last_charge.relaxation_end_volt) == (36.0, 37.0)
    assert train.pulses[9].rest_before_volt == 37.0
    assert train.pulses[9].relaxation_end_volt == 41.0
    assert last_charge.relaxation_duration_second == 45.0


def test_a_public_row_that_stops_at_u21_has_five_pulses() -> None:
    row = np.arange(1.0, 42.0)
    row[21:] = np.nan
    train = train_from_turning_points(row, 5.0, 10.0)
    assert [pulse.current_ampere for pulse in train.pulses] == [5, -5, 10, -10, 15]
    features = pulse_features(train, 10.0)
    assert not math.isnan(features["pulse_end_nonlinearity_1.5c_charge"])
    assert math.isnan(features["pulse_end_resistance_ohm_ah_1.5c_discharge"])


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="41 turning points"):
        train_from_turning_points(np.ones(21), 5.0, 10.0)


@pytest.mark.parametrize("capacity_ah", [0.0, -1.0, math.nan, math.inf])
def test_a_rated_capacity_that_cannot_be_is_refused(capacity_ah: float) -> None:
    with pytest.raises(ValueError, match="rated capacity"):
        pulse_features(circuit_train(), capacity_ah)


@pytest.mark.parametrize("current", [0.0, math.nan, math.inf])
def test_a_pulse_without_a_current_is_refused(current: float) -> None:
    with pytest.raises(ValueError, match="current"):
        Pulse(current, 5.0, 3.3, 3.3, 3.3)


def test_a_pulse_without_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="lasts"):
        Pulse(10.0, 0.0, 3.3, 3.3, 3.3)


def test_a_train_without_pulses_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pulse"):
        PulseTrain(3.3, 600.0, ())
