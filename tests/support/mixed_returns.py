"""A batch of returned batteries as stations get them: several types, tests and troubles, no two alike."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from features.measurement import BatteryHistory, Inspection, MeasurementRun
from features.pulse import C_RATES
from features.vocabulary import Chemistry, Level, RunKind
from tests.support.simulated_battery import SimulatedBattery

_TYPES = ((35.0, Chemistry.LFP), (21.0, Chemistry.NMC), (10.0, Chemistry.LMO))


def mixed_returns(count: int) -> list[BatteryHistory]:
    """Histories of `count` batteries: pulse tests whole, short, doubled or absent, capacity tests, unknown types."""
    return [_returned(number) for number in range(count)]


def _returned(number: int) -> BatteryHistory:
    rated_ah, chemistry = _TYPES[number % len(_TYPES)]
    health = 0.95 - 0.4 * (number % 17) / 17.0
    battery = SimulatedBattery(rated_ah, health * rated_ah, chemistry, battery_id=f"RETURN-{number}")
    return _WAYS[number % len(_WAYS)](battery, number)


def _pulsed(battery: SimulatedBattery, seed: int) -> BatteryHistory:
    return battery.history(_pulse_test(battery, seed))


def _tested_twice(battery: SimulatedBattery, seed: int) -> BatteryHistory:
    whole = battery.run(RunKind.CAPACITY_TEST, battery.capacity_test())
    return battery.history(whole, _pulse_test(battery, seed))


def _stopped_early(battery: SimulatedBattery, seed: int) -> BatteryHistory:
    return battery.history(_pulse_test(battery, seed, C_RATES[:3]))


def _two_trains(battery: SimulatedBattery, seed: int) -> BatteryHistory:
    return battery.history(battery.run(RunKind.PULSE_TEST, battery.two_trains(noise_volt=1e-4, seed=seed)))


def _swollen(battery: SimulatedBattery, seed: int) -> BatteryHistory:
    return battery.history(_pulse_test(battery, seed), inspection=Inspection(swelling=True))


def _of_unknown_type(battery: SimulatedBattery, seed: int) -> BatteryHistory:
    return _pulsed(replace(battery, rated_capacity_ah=1.5 * battery.rated_capacity_ah), seed)


def _never_tested(battery: SimulatedBattery, seed: int) -> BatteryHistory:
    return BatteryHistory(battery.identity)


def _driven(battery: SimulatedBattery, seed: int) -> BatteryHistory:
    pack = replace(battery, level=Level.PACK, series_count=90)
    return pack.history(pack.run(RunKind.FIELD_TELEMETRY, pack.telemetry(seed=seed)))


_WAYS: tuple[Callable[[SimulatedBattery, int], BatteryHistory], ...] = (
    _pulsed,
    _stopped_early,
    _pulsed,
    _two_trains,
    _of_unknown_type,
    _pulsed,
    _swollen,
    _tested_twice,
    _pulsed,
    _never_tested,
    _pulsed,
    _two_trains,
    _pulsed,
    _pulsed,
    _driven,
    _stopped_early,
)


def _pulse_test(battery: SimulatedBattery, seed: int, amplitudes: Sequence[float] = C_RATES) -> MeasurementRun:
    train = battery.pulse_train(
        state_of_charge=0.2 + 0.01 * (seed % 40), noise_volt=1e-4, seed=seed, amplitudes=amplitudes
    )
    return battery.run(RunKind.PULSE_TEST, train)
