"""What two pulse trains say together, with a known charge moved between them.

One train shows resistances at a state of charge nobody knows. A second one after a counted charge
shows how the open-circuit voltage and the resistances change per charge: the open-circuit curve of an
aged battery is passed through faster. Nothing here needs a state of charge, reads a file or knows a
model; which trains make a pair is `train_pairs`. Current is positive while charging.

There is one definition of every feature, :func:`two_train_feature_matrix`, over many pairs at once;
:func:`two_train_features` is the same function on one pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.pulse import (
    PULSE_DEFINITIONS,
    PULSE_FEATURE_NAMES,
    FloatArray,
    PulseTrain,
    pulse_feature_matrix,
    pulse_slots,
)
from features.vocabulary import FeatureDefinition

SLOTS: tuple[str, ...] = ("1.0c_charge", "1.0c_discharge", "1.5c_charge")
"""Pulses both trains must hold. Those at 0.5 C added nothing on held-out cells, larger ones end the test later."""

_OF_EACH_TRAIN = ("instantaneous_resistance_ohm_ah", "polarisation_ratio", "relaxation_ratio", "residual_ratio")
_CHANGING = ("instantaneous_resistance", "pulse_end_resistance")
_NUMBER = {name: number for number, name in enumerate(PULSE_FEATURE_NAMES)}
_DEFINED = {each.name: each for each in PULSE_DEFINITIONS}
_VOLTAGE, _WIDTH = _NUMBER["open_circuit_voltage_volt"], _NUMBER["log_pulse_width"]


def _columns(quantities: Sequence[str]) -> list[int]:
    return [_NUMBER[f"{quantity}_{slot}"] for quantity in quantities for slot in SLOTS]


_EACH = _columns(_OF_EACH_TRAIN)
_CHANGED = _columns([f"{quantity}_ohm_ah" for quantity in _CHANGING])


@dataclass(frozen=True, slots=True)
class TrainPair:
    """Two pulse trains of one battery and the charge put in between them.

    Attributes
    ----------
    first, second : PulseTrain
        In the order of the test, of one pulse width.
    moved_charge_ah : float
        Net charge between the first pulse of the one and of the other, positive while charging. [Ah]

    Raises
    ------
    ValueError
        If no finite charge was put in.
    """

    first: PulseTrain
    second: PulseTrain
    moved_charge_ah: float

    def __post_init__(self) -> None:
        if not 0.0 < self.moved_charge_ah < float("inf"):
            raise ValueError(f"a pair of trains has charge put in between, got {self.moved_charge_ah} Ah")


def _of_train(which: str, column: int) -> FeatureDefinition:
    known = _DEFINED[PULSE_FEATURE_NAMES[column]]
    return FeatureDefinition(f"{which}_{known.name}", known.unit, f"{known.meaning}, {which} train")


TWO_TRAIN_DEFINITIONS: tuple[FeatureDefinition, ...] = (
    _of_train("first", _VOLTAGE),
    FeatureDefinition(
        "open_circuit_slope_volt",
        "V",
        "change of open-circuit voltage per moved charge, the charge as fraction of rated",
    ),
    FeatureDefinition("moved_charge_fraction", "1", "charge put in between the trains over rated capacity"),
    FeatureDefinition("log_pulse_width", "1", "log10 of the median pulse width in seconds, first train"),
    *(_of_train(which, column) for which in ("first", "second") for column in _EACH),
    *(
        FeatureDefinition(
            f"{quantity}_change_{slot}",
            "1",
            f"relative change of {quantity.replace('_', ' ')} per moved charge as fraction of rated, "
            f"{slot.replace('_', ' ')}",
        )
        for quantity in _CHANGING
        for slot in SLOTS
    ),
)
"""Features of the method ``two_pulse_trains``: name, unit, meaning."""

TWO_TRAIN_FEATURE_NAMES: tuple[str, ...] = tuple(each.name for each in TWO_TRAIN_DEFINITIONS)
"""Names of the features, in the order of the columns of :func:`two_train_feature_matrix`."""


def two_train_feature_matrix(pairs: Sequence[TrainPair], rated_capacity_ah: float | FloatArray) -> FloatArray:
    """Features of many pairs of trains; the one place where they are defined.

    Parameters
    ----------
    pairs : sequence of TrainPair
    rated_capacity_ah : float or ndarray, shape (n,)
        Rated capacity of each battery. [Ah]

    Returns
    -------
    ndarray, shape (n, len(TWO_TRAIN_FEATURE_NAMES))
        NaN where a feature could not be measured.

    Raises
    ------
    ValueError
        If a rated capacity is not positive and finite.

    Notes
    -----
    With *q* the charge put in over rated capacity, *U₁* and *U₂* the open-circuit voltages before the
    trains and *R₁*, *R₂* a resistance of `features.pulse` in either train:

    =========================  ====================  =====
    open_circuit_slope         (U₂ − U₁) / q         V
    moved_charge_fraction      q                     1
    …_change                   (R₂ / R₁ − 1) / q     1
    first_…, second_…          as one train shows    as there
    =========================  ====================  =====

    The slope is dU/dQ times rated capacity, a differential voltage over a wide step. It holds the
    hysteresis between the two histories: a battery that was discharged before the first train and
    charged before the second shows a few millivolts too many (docs/methods/two_pulse_trains.md).

    Examples
    --------
    5 Ah put into a 20 Ah battery lift its open-circuit voltage by 50 mV: 0.2 V per rated charge.

    >>> from features.pulse import Pulse
    >>> first = PulseTrain(3.25, 600.0, (Pulse(20.0, 5.0, 3.25, 3.33, 3.35),))
    >>> second = PulseTrain(3.30, 600.0, (Pulse(20.0, 5.0, 3.30, 3.36, 3.38),))
    >>> row = two_train_feature_matrix([TrainPair(first, second, 5.0)], 20.0)[0]
    >>> features = dict(zip(TWO_TRAIN_FEATURE_NAMES, row.round(6).tolist()))
    >>> features["open_circuit_slope_volt"], features["instantaneous_resistance_change_1.0c_charge"]
    (0.2, -1.0)
    """
    count = len(pairs)
    rated = np.broadcast_to(np.asarray(rated_capacity_ah, dtype=np.float64), (count,))
    trains = [each.first for each in pairs] + [each.second for each in pairs]
    both = pulse_feature_matrix(pulse_slots(trains, np.concatenate([rated, rated])))
    first, second = both[:count], both[count:]
    moved = (np.array([each.moved_charge_ah for each in pairs], dtype=np.float64) / rated)[:, None]
    earlier = first[:, _CHANGED]
    positive = np.where(earlier > 0.0, earlier, np.nan)
    return np.concatenate(
        (
            first[:, [_VOLTAGE]],
            (second[:, [_VOLTAGE]] - first[:, [_VOLTAGE]]) / moved,
            moved,
            first[:, [_WIDTH]],
            first[:, _EACH],
            second[:, _EACH],
            (second[:, _CHANGED] / positive - 1.0) / moved,
        ),
        axis=1,
    )


def two_train_features(pair: TrainPair, rated_capacity_ah: float) -> dict[str, float]:
    """Named features of one pair of trains; NaN where one could not be measured.

    Parameters
    ----------
    pair : TrainPair
        Trains and the charge between them.
    rated_capacity_ah : float
        Rated capacity of the battery. [Ah]

    Returns
    -------
    dict of str to float
        In the order of ``TWO_TRAIN_FEATURE_NAMES``; units in :func:`two_train_feature_matrix`.

    Raises
    ------
    ValueError
        If the rated capacity is not positive and finite.
    """
    row = two_train_feature_matrix((pair,), rated_capacity_ah)[0]
    return dict(zip(TWO_TRAIN_FEATURE_NAMES, row.tolist(), strict=True))
