"""What a train of current pulses says about a battery, in resistances normalised by rated capacity.

Everything here takes voltages, currents and durations and returns named numbers; nothing here
reads a file, knows a battery type, a state of charge or a model. Current is positive while
charging (Battery Data Format, ``current_ampere``), *begin* is the first sample after the current
changes and *end* the last one before it changes again.

Resistance-like features are in ohm·Ah: the response divided by the C-rate, so that cells of
different size compare. A battery of twice the capacity and half the resistance has the same value.

There is one definition of every feature, :func:`pulse_feature_matrix`, over many trains at once;
:func:`pulse_features` is the same function on one train.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.vocabulary import FeatureDefinition

FloatArray = NDArray[np.float64]

C_RATES: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5)
C_RATE_TOLERANCE = 0.1
"""A pulse belongs to a slot when its C-rate is this near, well below half the slot distance."""

REST_TO_WIDTH_RATIO = 15.0
"""In the public turning-point tables a rest lasts 15 pulse widths (data README)."""

_DIRECTIONS = ("charge", "discharge")
_SLOT_LABELS = ("0.5c", "1.0c", "1.5c", "2.0c", "2.5c")
_SLOT_COUNT = len(C_RATES)
_DECAY_LIMITS = (0.002, 0.998)


@dataclass(frozen=True)
class Pulse:
    """One current pulse and the rest after it, as measured. Voltages that were not measured are NaN.

    Attributes
    ----------
    current_ampere : float
        Mean current of the pulse, positive while charging. [A]
    duration_second : float
        Pulse width. [s]
    rest_before_volt : float
        Last voltage before the pulse. [V]
    begin_volt, end_volt : float
        First and last voltage under current. [V]
    relaxation_begin_volt, relaxation_end_volt : float
        First and last voltage of the rest that follows. [V]
    relaxation_duration_second : float
        Length of that rest, NaN if there was none. [s]
    """

    current_ampere: float
    duration_second: float
    rest_before_volt: float
    begin_volt: float
    end_volt: float
    relaxation_begin_volt: float = math.nan
    relaxation_end_volt: float = math.nan
    relaxation_duration_second: float = math.nan

    def __post_init__(self) -> None:
        if not math.isfinite(self.current_ampere) or self.current_ampere == 0.0:
            raise ValueError(f"a pulse needs a finite current other than zero, got {self.current_ampere} A")
        if not self.duration_second > 0.0 or math.isinf(self.duration_second):
            raise ValueError(f"a pulse lasts a positive, finite time, got {self.duration_second} s")


@dataclass(frozen=True)
class PulseTrain:
    """A rested battery and the pulses given to it, in the order of the test.

    Attributes
    ----------
    open_circuit_voltage_volt : float
        Voltage at the end of the rest before the first pulse. [V]
    rest_before_second : float
        Length of that rest, NaN if unknown. [s]
    pulses : tuple of Pulse
        At least one pulse.
    """

    open_circuit_voltage_volt: float
    rest_before_second: float
    pulses: tuple[Pulse, ...]

    def __post_init__(self) -> None:
        if not self.pulses:
            raise ValueError("a pulse train holds at least one pulse, got none")


@dataclass(frozen=True)
class PulseSlots:
    """Many trains as arrays: axis 0 the train, axis 1 the amplitude of ``C_RATES``, axis 2 charge, discharge.

    Invariants: a slot without a pulse is NaN in every array.

    Attributes
    ----------
    open_circuit_volt : ndarray, shape (n,)
        [V]
    c_rate : ndarray, shape (n, 5, 2)
        Signed current over rated capacity, positive while charging. [1/h]
    width_second, relaxation_second : ndarray, shape (n, 5, 2)
        [s]
    volt : ndarray, shape (n, 5, 2, 5)
        Rest before, begin, end, relaxation begin, relaxation end. [V]
    """

    open_circuit_volt: FloatArray
    c_rate: FloatArray
    width_second: FloatArray
    relaxation_second: FloatArray
    volt: FloatArray


def slot_index(c_rate: float) -> int | None:
    """Amplitude slot of a pulse: the nearest of ``C_RATES`` within ``C_RATE_TOLERANCE``, else None.

    Parameters
    ----------
    c_rate : float
        Current over rated capacity, either sign. [1/h]

    Returns
    -------
    int or None
        Index into ``C_RATES``.

    Examples
    --------
    >>> slot_index(-1.04), slot_index(1.25)
    (1, None)
    """
    nearest = min(max(round(abs(c_rate) * 2.0) - 1, 0), _SLOT_COUNT - 1)
    return nearest if abs(abs(c_rate) - C_RATES[nearest]) <= C_RATE_TOLERANCE else None


def pulse_slots(trains: Sequence[PulseTrain], rated_capacity_ah: float | FloatArray) -> PulseSlots:
    """Arrange trains by amplitude and direction; of two pulses for one slot the first counts.

    Parameters
    ----------
    trains : sequence of PulseTrain
    rated_capacity_ah : float or ndarray, shape (n,)
        Rated capacity of each battery, for the C-rate. [Ah]

    Returns
    -------
    PulseSlots

    Raises
    ------
    ValueError
        If a rated capacity is not positive and finite.

    Examples
    --------
    >>> one = PulseTrain(3.30, 600.0, (Pulse(10.0, 5.0, 3.30, 3.34, 3.36),))
    >>> pulse_slots([one], 20.0).c_rate[0, 0].tolist()
    [0.5, nan]
    """
    n = len(trains)
    rated = np.asarray(rated_capacity_ah, dtype=np.float64)
    if not bool(np.all(np.isfinite(rated) & (rated > 0.0))):
        raise ValueError(f"a rated capacity is positive and finite, got {rated_capacity_ah} Ah")
    capacities = rated.tolist() if rated.ndim else [float(rated)] * n
    rows = [_packed(train, capacity_ah) for train, capacity_ah in zip(trains, capacities, strict=True)]
    packed = np.array(rows, dtype=np.float64).reshape(n, _SLOT_COUNT, 2, len(_EMPTY_SLOT))
    return PulseSlots(
        open_circuit_volt=np.array([train.open_circuit_voltage_volt for train in trains], dtype=np.float64),
        c_rate=packed[..., 0],
        width_second=packed[..., 1],
        relaxation_second=packed[..., 2],
        volt=packed[..., 3:],
    )


_EMPTY_SLOT = (math.nan,) * 8


def _packed(train: PulseTrain, rated_capacity_ah: float) -> list[tuple[float, ...]]:
    """Numbers of one train's slots, by amplitude and then direction."""
    slots: list[tuple[float, ...]] = [_EMPTY_SLOT] * (2 * _SLOT_COUNT)
    for pulse in train.pulses:
        c_rate = pulse.current_ampere / rated_capacity_ah
        amplitude = slot_index(c_rate)
        if amplitude is None:
            continue
        slot = 2 * amplitude + (c_rate < 0.0)
        if slots[slot] is _EMPTY_SLOT:
            slots[slot] = (
                c_rate,
                pulse.duration_second,
                pulse.relaxation_duration_second,
                pulse.rest_before_volt,
                pulse.begin_volt,
                pulse.end_volt,
                pulse.relaxation_begin_volt,
                pulse.relaxation_end_volt,
            )
    return slots


def train_from_turning_points(
    turning_point_volt: FloatArray, width_second: float, rated_capacity_ah: float
) -> PulseTrain:
    """Pulse train of one row U1…U41 of the public tables of retired cells.

    Parameters
    ----------
    turning_point_volt : ndarray, shape (41,)
        U1 … U41, NaN where the row stops early. [V]
    width_second : float
        Pulse width; a rest lasts ``REST_TO_WIDTH_RATIO`` widths. [s]
    rated_capacity_ah : float
        Rated capacity, from which the currents follow. [Ah]

    Returns
    -------
    PulseTrain
        Charge before discharge at each amplitude, pulses without a first voltage left out.

    Raises
    ------
    ValueError
        If there are not 41 voltages or no pulse among them.

    Notes
    -----
    U1 is the voltage after 10 min rest; amplitude *k* = 0…4 uses U(2+8k)…U(9+8k): begin and end of
    the charge pulse, of its rest, of the discharge pulse and of its rest (terencetaothucb,
    Pulse-Voltage-Response-Generation @92aeb9b8).

    Examples
    --------
    >>> row = np.full(41, np.nan); row[:5] = 3.300, 3.340, 3.370, 3.330, 3.310
    >>> train_from_turning_points(row, 5.0, 20.0).pulses[0].current_ampere
    10.0
    """
    if turning_point_volt.shape != (4 * 2 * _SLOT_COUNT + 1,):
        raise ValueError(f"a row has 41 turning points, got an array of shape {turning_point_volt.shape}")
    volts = turning_point_volt.tolist()
    pulses = tuple(
        Pulse(
            sign * rate * rated_capacity_ah,
            width_second,
            volts[first - 1],
            volts[first],
            volts[first + 1],
            volts[first + 2],
            volts[first + 3],
            REST_TO_WIDTH_RATIO * width_second,
        )
        for slot, rate in enumerate(C_RATES)
        for sign, first in ((1.0, 1 + 8 * slot), (-1.0, 5 + 8 * slot))
        if not math.isnan(volts[first])
    )
    return PulseTrain(volts[0], 600.0, pulses)


def apparent_time_constant_second(
    excess_begin_volt: FloatArray, excess_end_volt: FloatArray, relaxation_second: FloatArray
) -> FloatArray:
    """Time constant of a single exponential through both ends of a relaxation.

    Parameters
    ----------
    excess_begin_volt, excess_end_volt : ndarray
        Voltage above the rest before the pulse, at both ends of the rest after it; same sign as the
        current. [V]
    relaxation_second : ndarray
        Length of that rest. [s]

    Returns
    -------
    ndarray
        ``-T / ln(end / begin)``, NaN where the excess does not begin positive. [s]

    Notes
    -----
    First-order equivalent circuit (one resistor and capacitor in series with a resistance). The
    ratio is held within 0.002…0.998, since a few tenths of a millivolt decide it outside. The
    shift of the open-circuit voltage by the charge moved is part of the excess, so the value is
    *apparent*: comparable between batteries tested alike, not a material constant.

    Examples
    --------
    >>> apparent_time_constant_second(np.array([0.010]), np.array([0.010 / np.e]), np.array([30.0])).round(6).tolist()
    [30.0]
    """
    begin = np.where(excess_begin_volt > 0.0, excess_begin_volt, np.nan)
    ratio = np.minimum(np.maximum(excess_end_volt / begin, _DECAY_LIMITS[0]), _DECAY_LIMITS[1])
    tau: FloatArray = -relaxation_second / np.log(ratio)
    return tau


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    out: FloatArray = numerator / np.where(np.abs(denominator) > 1e-6, denominator, np.nan)
    return out


_PER_PULSE = (
    "instantaneous_resistance_ohm_ah",
    "pulse_end_resistance_ohm_ah",
    "polarisation_ohm_ah",
    "break_resistance_ohm_ah",
    "relaxation_ohm_ah",
    "residual_ohm_ah",
    "polarisation_ratio",
    "relaxation_ratio",
    "break_ratio",
    "residual_ratio",
    "log_time_constant",
)
_PER_AMPLITUDE = ("instantaneous_asymmetry", "pulse_end_asymmetry", "relaxation_asymmetry", "rest_drift_volt")
_PER_STEP_UP = ("instantaneous_nonlinearity", "pulse_end_nonlinearity", "relaxation_nonlinearity")

PULSE_FEATURE_NAMES: tuple[str, ...] = (
    "open_circuit_voltage_volt",
    "log_pulse_width",
    *(f"{name}_{slot}_{way}" for name in _PER_PULSE for slot in _SLOT_LABELS for way in _DIRECTIONS),
    *(f"{name}_{slot}" for name in _PER_AMPLITUDE for slot in _SLOT_LABELS),
    *(f"{name}_{slot}_{way}" for name in _PER_STEP_UP for slot in _SLOT_LABELS[1:] for way in _DIRECTIONS),
)
"""Names of the features, in the order of the columns of :func:`pulse_feature_matrix`."""

_UNITS_AND_MEANINGS: dict[str, tuple[str, str]] = {
    "open_circuit_voltage_volt": ("V", "voltage at the end of the rest before the train"),
    "log_pulse_width": ("1", "log10 of the median pulse width in seconds"),
    "instantaneous_resistance_ohm_ah": ("ohm·Ah", "(begin - rest before) / C-rate"),
    "pulse_end_resistance_ohm_ah": ("ohm·Ah", "(end - rest before) / C-rate"),
    "polarisation_ohm_ah": ("ohm·Ah", "(end - begin) / C-rate"),
    "break_resistance_ohm_ah": ("ohm·Ah", "(end - relaxation begin) / C-rate"),
    "relaxation_ohm_ah": ("ohm·Ah", "(relaxation begin - relaxation end) / C-rate"),
    "residual_ohm_ah": ("ohm·Ah", "(relaxation end - rest before) / C-rate"),
    "polarisation_ratio": ("1", "polarisation over instantaneous resistance"),
    "relaxation_ratio": ("1", "relaxation over instantaneous resistance"),
    "break_ratio": ("1", "break resistance over instantaneous resistance"),
    "residual_ratio": ("1", "residual over instantaneous resistance"),
    "log_time_constant": ("1", "log10 of the apparent relaxation time constant in pulse widths"),
    "instantaneous_asymmetry": ("1", "(charge - discharge) / (charge + discharge) of the instantaneous resistance"),
    "pulse_end_asymmetry": ("1", "(charge - discharge) / (charge + discharge) of the pulse-end resistance"),
    "relaxation_asymmetry": ("1", "(charge - discharge) / (charge + discharge) of the relaxation"),
    "rest_drift_volt": ("V", "rest before the discharge pulse - rest before the charge pulse"),
    "instantaneous_nonlinearity": ("1", "instantaneous resistance over its value at 0.5 C"),
    "pulse_end_nonlinearity": ("1", "pulse-end resistance over its value at 0.5 C"),
    "relaxation_nonlinearity": ("1", "relaxation over its value at 0.5 C"),
}


def _definition(name: str) -> FeatureDefinition:
    quantity = next(each for each in _UNITS_AND_MEANINGS if name == each or name.startswith(f"{each}_"))
    unit, meaning = _UNITS_AND_MEANINGS[quantity]
    where = name.removeprefix(quantity).replace("_", " ").strip()
    return FeatureDefinition(name, unit, f"{meaning}, {where}" if where else meaning)


PULSE_DEFINITIONS: tuple[FeatureDefinition, ...] = tuple(_definition(name) for name in PULSE_FEATURE_NAMES)
"""Features of the method ``pulse_test``: name, unit, meaning."""


def pulse_feature_matrix(slots: PulseSlots) -> FloatArray:
    """Features of many trains; the one place where they are defined.

    Parameters
    ----------
    slots : PulseSlots
        Trains arranged by amplitude and direction.

    Returns
    -------
    ndarray, shape (n, len(PULSE_FEATURE_NAMES))
        NaN where a feature could not be measured.

    Notes
    -----
    With the rest before a pulse at *Vr*, its begin *Vb* and end *Ve*, the relaxation from *Vs* to
    *Vt*, and the signed C-rate *c* (responses of either direction come out positive):

    ==============================  =============================================  =========
    instantaneous_resistance        (Vb − Vr) / c                                  ohm·Ah
    pulse_end_resistance            (Ve − Vr) / c                                  ohm·Ah
    polarisation                    (Ve − Vb) / c                                  ohm·Ah
    break_resistance                (Ve − Vs) / c                                  ohm·Ah
    relaxation                      (Vs − Vt) / c                                  ohm·Ah
    residual                        (Vt − Vr) / c                                  ohm·Ah
    polarisation_, relaxation_,     the same over the instantaneous resistance;    1
    break_, residual_ratio          they do not see a contact or cable in series
                                    as a change of capacity
    log_time_constant               log10 of the apparent time constant in         1
                                    pulse widths
    …_asymmetry                     (charge − discharge) / (charge + discharge)    1
    …_nonlinearity                  value over its value at 0.5 C                  1
    rest_drift                      rest before the discharge pulse − rest before  V
                                    the charge pulse of the same amplitude
    log_pulse_width                 log10 of the median pulse width in seconds     1
    ==============================  =============================================  =========

    Definitions of our own on the turning points of the public tables (terencetaothucb,
    Pulse-Voltage-Response-Generation @92aeb9b8), read as the response of an equivalent circuit. A
    resistance sampled 0.1 s after the edge already holds charge transfer, so "instantaneous" means
    the tester's first sample.

    Examples
    --------
    >>> one = PulseTrain(3.30, 600.0, (Pulse(10.0, 5.0, 3.30, 3.34, 3.36, 3.32, 3.305, 75.0),))
    >>> row = dict(zip(PULSE_FEATURE_NAMES, pulse_feature_matrix(pulse_slots([one], 20.0))[0].tolist()))
    >>> round(row["instantaneous_resistance_ohm_ah_0.5c_charge"], 6)
    0.08
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return _feature_matrix(slots)


def _feature_matrix(slots: PulseSlots) -> FloatArray:
    n = slots.open_circuit_volt.shape[0]
    volt = slots.volt.transpose(0, 3, 1, 2)
    responses = (volt[:, _RESPONSE_TO] - volt[:, _RESPONSE_FROM]) / slots.c_rate[:, None]
    tau = apparent_time_constant_second(
        responses[:, _RELAXATION_BEGIN], responses[:, _RESIDUAL], slots.relaxation_second
    )
    three = responses[:, _ASYMMETRIC]
    charge, discharge = three[..., 0], three[..., 1]
    blocks = (
        slots.open_circuit_volt,
        np.log10(_median_width_second(slots.width_second)),
        responses[:, :_RELAXATION_BEGIN],
        _ratio(responses[:, _OVER_INSTANTANEOUS], responses[:, :1]),
        np.log10(tau / slots.width_second),
        _ratio(charge - discharge, charge + discharge),
        volt[:, 0, :, 1] - volt[:, 0, :, 0],
        _ratio(three[:, :, 1:], three[:, :, :1]),
    )
    return np.concatenate([block.reshape(n, math.prod(block.shape[1:])) for block in blocks], axis=1)


_RESPONSE_TO = np.array((1, 2, 2, 2, 3, 4, 3))
_RESPONSE_FROM = np.array((0, 0, 1, 3, 4, 0, 0))
"""Columns of `PulseSlots.volt` whose differences are the first six responses of `_PER_PULSE` and the relaxation's
first voltage above the rest before the pulse."""
_RESIDUAL, _RELAXATION_BEGIN = 5, 6
_OVER_INSTANTANEOUS = np.array((2, 4, 3, 5))
_ASYMMETRIC = np.array((0, 1, 4))


def _median_width_second(width_second: FloatArray) -> FloatArray:
    """Median over the pulses a train has; sorting puts the NaN of empty slots last."""
    flat = np.sort(width_second.reshape(-1, 2 * _SLOT_COUNT), axis=1)
    count = (~np.isnan(flat)).sum(axis=1)
    row = np.arange(flat.shape[0])
    middle: FloatArray = 0.5 * (flat[row, np.maximum(count - 1, 0) // 2] + flat[row, count // 2 % flat.shape[1]])
    return middle


def pulse_features(train: PulseTrain, rated_capacity_ah: float) -> dict[str, float]:
    """Named features of one pulse train; NaN where one could not be measured.

    Parameters
    ----------
    train : PulseTrain
        Any non-empty set of pulses, missing amplitudes allowed.
    rated_capacity_ah : float
        Rated capacity of the battery, positive. [Ah]

    Returns
    -------
    dict of str to float
        In the order of ``PULSE_FEATURE_NAMES``; units in :func:`pulse_feature_matrix`.

    Raises
    ------
    ValueError
        If the rated capacity is not positive and finite.

    Examples
    --------
    A 20 Ah cell answers 10 A with 40 mV at once: 4 mOhm, or 0.08 ohm·Ah.

    >>> train = PulseTrain(3.30, 600.0, (Pulse(10.0, 5.0, 3.30, 3.34, 3.36, 3.32, 3.305, 75.0),))
    >>> features = pulse_features(train, 20.0)
    >>> round(features["instantaneous_resistance_ohm_ah_0.5c_charge"], 6)
    0.08
    >>> round(features["polarisation_ratio_0.5c_charge"], 6), features["polarisation_ratio_2.5c_discharge"]
    (0.5, nan)
    """
    return features_of_trains((train,), rated_capacity_ah)[0]


def features_of_trains(trains: Sequence[PulseTrain], rated_capacity_ah: float | FloatArray) -> list[dict[str, float]]:
    """Named features of many trains, computed together; see :func:`pulse_features`.

    Parameters
    ----------
    trains : sequence of PulseTrain
    rated_capacity_ah : float or ndarray, shape (len(trains),)
        Rated capacity of each battery. [Ah]

    Returns
    -------
    list of dict of str to float
        In the order of the trains, to the last bit what each train alone gives.

    Raises
    ------
    ValueError
        If a rated capacity is not positive and finite.
    """
    matrix = pulse_feature_matrix(pulse_slots(trains, rated_capacity_ah))
    return [dict(zip(PULSE_FEATURE_NAMES, row, strict=True)) for row in matrix.tolist()]
