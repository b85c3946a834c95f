"""The vehicle around a simulated pack: drives, stands, charges, and a BMS that reports it.

The artefacts of a BMS are there on purpose: state of charge in whole percent, current in 0.1 A, cell
voltages in millivolts with a fixed deviation per cell, one cell that may be weak.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np

from features.measurement import FloatArray, TableColumn

SAMPLING_SECOND = 10.0
DRIVING_RATE_C, CHARGING_RATE_C = 0.35, 0.25
STANDING_SECOND = 1800.0
CELL_DEVIATION_VOLT = 0.003
DRIVING_STATE, CHARGING_STATE = 3.0, 1.0

LoadedVolt = Callable[[FloatArray, FloatArray], FloatArray]


class Pack(Protocol):
    """What the vehicle needs to know of its pack."""

    @property
    def rated_capacity_ah(self) -> float:
        """Plate capacity. [Ah]"""

    @property
    def remaining_capacity_ah(self) -> float:
        """True capacity. [Ah]"""

    @property
    def series_count(self) -> int:
        """Cells in series."""


@dataclass(frozen=True)
class Vehicle:
    """How a vehicle is used and what it reports.

    Attributes
    ----------
    first_day : datetime
        Begin of the record.
    day_count : int
        Days with one drive and one charge each.
    highest_charged, lowest_charged : float
        Charged fraction before and after each drive.
    insulation_ohm_per_volt : float
        Insulation resistance over pack voltage. [Ω/V]
    alarm_level : int
        Highest alarm, reported while driving on the last day.
    weak_cell_volt : float
        How far the last cell lies below the others. [V]
    charging_rate_c : float
        Charging current over rated capacity. [1/h]
    """

    first_day: datetime = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
    day_count: int = 2
    highest_charged: float = 0.9
    lowest_charged: float = 0.4
    insulation_ohm_per_volt: float = 2500.0
    alarm_level: int = 0
    weak_cell_volt: float = 0.0
    charging_rate_c: float = CHARGING_RATE_C


def telemetry_columns(
    vehicle: Vehicle, pack: Pack, loaded_volt: LoadedVolt, noise: np.random.Generator
) -> dict[str, TableColumn]:
    """Columns of a canonical telemetry table.

    Parameters
    ----------
    vehicle : Vehicle
        Use and faults.
    pack : Pack
        Capacity and cells in series.
    loaded_volt : callable
        Voltage per cell from charged fraction and C-rate.
    noise : Generator
        Cell deviations and driving.
    """
    days = [_day(vehicle, pack, day, noise) for day in range(vehicle.day_count)]
    time, c_rate, charged, state = (np.concatenate(part) for part in zip(*days, strict=True))
    cells = _cell_volts(vehicle, pack, loaded_volt(charged, c_rate), noise)
    pack_volt = np.round(cells.sum(axis=1), 1)
    last_day = time > time[-1] - 86_400.0
    driven = np.cumsum(np.where(state == DRIVING_STATE, np.maximum(-c_rate, 0.0), 0.0)) * SAMPLING_SECOND / 9.0
    return {
        "unix_time_second": time,
        "pack_voltage_volt": pack_volt,
        "pack_current_ampere": np.round(c_rate * pack.rated_capacity_ah, 1),
        "reported_soc_percent": np.floor(100.0 * charged),
        "cell_voltage_max_volt": cells.max(axis=1),
        "cell_voltage_min_volt": cells.min(axis=1),
        "probe_temperature_max_celsius": np.full(len(time), 26.0),
        "probe_temperature_min_celsius": np.full(len(time), 24.0),
        "odometer_kilometer": np.round(41_250.0 + driven, 1),
        "insulation_resistance_kiloohm": np.round(vehicle.insulation_ohm_per_volt * pack_volt / 1000.0),
        "alarm_level": np.where(last_day & (state == DRIVING_STATE), float(vehicle.alarm_level), 0.0),
        "charge_state": state,
        **{f"cell_voltage_{n + 1}_volt": cells[:, n] for n in range(pack.series_count)},
    }


def _day(
    vehicle: Vehicle, pack: Pack, day: int, noise: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Time, C-rate, charged fraction and charge state of a day: drive, stand, charge, stand."""
    moved = vehicle.highest_charged - vehicle.lowest_charged
    ratio = pack.remaining_capacity_ah / pack.rated_capacity_ah
    standing: FloatArray = np.zeros(int(STANDING_SECOND / SAMPLING_SECOND))
    driving = noise.uniform(0.0, 2.0, int(3600.0 * moved * ratio / DRIVING_RATE_C / SAMPLING_SECOND))
    driving *= -moved * ratio * 3600.0 / SAMPLING_SECOND / driving.sum()
    rate = vehicle.charging_rate_c
    charging = np.full(int(3600.0 * moved * ratio / rate / SAMPLING_SECOND), rate)
    c_rate: FloatArray = np.concatenate([driving, standing, charging, standing])
    begins = vehicle.first_day.timestamp() + 86_400.0 * day
    time: FloatArray = begins + SAMPLING_SECOND * np.arange(len(c_rate), dtype=np.float64)
    charged: FloatArray = vehicle.highest_charged + np.cumsum(c_rate) * SAMPLING_SECOND / 3600.0 / ratio
    state: FloatArray = np.where(c_rate > 0.0, CHARGING_STATE, DRIVING_STATE)
    return time, c_rate, charged, state


def _cell_volts(vehicle: Vehicle, pack: Pack, cell_volt: FloatArray, noise: np.random.Generator) -> FloatArray:
    deviation = noise.normal(0.0, CELL_DEVIATION_VOLT, pack.series_count)
    deviation[-1] -= vehicle.weak_cell_volt
    rounded: FloatArray = np.round(cell_volt[:, None] + deviation[None, :], 3)
    return rounded
