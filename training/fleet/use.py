"""How a vehicle is used: days of driving, standing and charging as a current through the string.

Rates and shares are of the capacity the string has left, so a weak pack is driven no deeper than it
can be. Standing days between two recorded ones only move the calendar. At the end the vehicle stands in a
workshop that draws and returns a few pulses. Plain arrays; no physics here.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.measurement import FloatArray
from training.fleet.order import FleetOrder

DRIVING, STANDING, CHARGING = 3.0, 0.0, 1.0
SECONDS_OF_DAY = 86_400.0

_STAND_SECOND = (1200.0, 3000.0)
_DRIVING_RATE = (0.25, 0.5)
_SLOW_RATE, _FAST_RATE = (0.12, 0.3), (0.45, 0.7)
_FAST_SHARE = 0.3
_HIGHEST, _LOWEST = (0.72, 0.9), (0.2, 0.5)
_TAPER_ABOVE, _TAPER = 0.7, 0.35
_REGENERATION, _BRAKING_SHARE = 0.5, 0.12
_PULSE_RATE, _PULSE_STEPS, _REST_STEPS, _PULSE_PAIRS = 0.5, 3, 10, 3


@dataclass(frozen=True, slots=True)
class Use:
    """A record of use.

    Attributes
    ----------
    elapsed_second : ndarray, shape (t,)
        Time in operation, from 0, evenly spaced. [s]
    calendar_second : ndarray, shape (t,)
        Time since the first day began. [s]
    rate : ndarray, shape (t,)
        Current over the remaining capacity, positive while charging. [1/h]
    state : ndarray, shape (t,)
        `DRIVING`, `STANDING` or `CHARGING`.
    first_charged_fraction : float
        Where the first drive begins.
    """

    elapsed_second: FloatArray
    calendar_second: FloatArray
    rate: FloatArray
    state: FloatArray
    first_charged_fraction: float


def drawn_use(order: FleetOrder, chance: np.random.Generator) -> Use:
    """Use drawn at random.

    Parameters
    ----------
    order : FleetOrder
        How many days, over what time, at which step.
    chance : Generator
        Randomness.
    """
    sampling_second, day_count = order.sampling_second, order.day_count
    begins = np.sort(chance.choice(order.calendar_days, day_count, replace=False)) * SECONDS_OF_DAY
    charged = first = float(chance.uniform(*_HIGHEST))
    days: list[tuple[FloatArray, FloatArray]] = []
    for _ in range(day_count):
        lowest, highest = float(chance.uniform(*_LOWEST)), float(chance.uniform(*_HIGHEST))
        days.append(_day(charged, lowest, highest, sampling_second, chance))
        charged = lowest + _moved(days[-1][0][days[-1][1] == CHARGING], sampling_second)
    tested = _pulses()
    days[-1] = np.append(days[-1][0], tested), np.append(days[-1][1], np.full(len(tested), STANDING))
    lengths = [len(rate) for rate, _ in days]
    within = np.concatenate([sampling_second * np.arange(length) for length in lengths])
    return Use(
        elapsed_second=sampling_second * np.arange(sum(lengths), dtype=np.float64),
        calendar_second=np.repeat(begins + 8 * 3600.0, lengths) + within,
        rate=np.concatenate([rate for rate, _ in days]),
        state=np.concatenate([state for _, state in days]),
        first_charged_fraction=first,
    )


def _day(
    charged: float, lowest: float, highest: float, step: float, chance: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    phases = [
        (_drive(charged - lowest, step, chance), DRIVING),
        (_stand(step, chance), STANDING),
        (_charge(lowest, highest, step, chance), CHARGING),
        (_stand(step, chance), STANDING),
    ]
    rate = np.concatenate([rate for rate, _ in phases])
    state = np.concatenate([np.full(len(rate), state) for rate, state in phases])
    return rate, state


def _drive(moved: float, step: float, chance: np.random.Generator) -> FloatArray:
    """Currents that vary, brake, and add up to the charge moved."""
    count = max(4, int(3600.0 * moved / chance.uniform(*_DRIVING_RATE) / step))
    weight: npt.NDArray[np.float64] = np.convolve(chance.exponential(1.0, count), np.ones(3) / 3.0, "same")
    weight = np.where(chance.random(count) < _BRAKING_SHARE, -_REGENERATION * weight, weight)
    taken: FloatArray = -moved * 3600.0 / step * weight / weight.sum()
    return taken


def _charge(lowest: float, highest: float, step: float, chance: np.random.Generator) -> FloatArray:
    """Constant current, reduced above `_TAPER_ABOVE`."""
    rate = chance.uniform(*(_FAST_RATE if chance.random() < _FAST_SHARE else _SLOW_RATE))
    first = max(0.0, min(highest, _TAPER_ABOVE) - lowest)
    second = max(0.0, highest - max(lowest, _TAPER_ABOVE))
    counts = [int(3600.0 * first / rate / step), int(3600.0 * second / (_TAPER * rate) / step)]
    return np.repeat([rate, _TAPER * rate], counts)


def _stand(step: float, chance: np.random.Generator) -> FloatArray:
    return np.zeros(int(chance.uniform(*_STAND_SECOND) / step))


def _pulses() -> FloatArray:
    """Pulses out and back in with rests, as many samples each at any sampling; they move no charge in the end."""
    pulse, rest = np.full(_PULSE_STEPS, _PULSE_RATE), np.zeros(_REST_STEPS)
    return np.tile(np.concatenate([-pulse, rest, pulse, rest]), _PULSE_PAIRS)


def _moved(rate: FloatArray, step: float) -> float:
    return float(rate.sum() * step / 3600.0)
