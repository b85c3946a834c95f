"""What a BMS makes of a pack: sensors with errors, whole percents, missing rows. Canonical ``telemetry`` columns.

The state of charge a BMS reports is its own count: set from the voltage at rest when the vehicle starts, then
counted with the capacity it believes in. So it is wrong in the way real ones are, and no feature may
lean on it alone.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.measurement import FloatArray
from training.fleet.pack import Pack
from training.fleet.use import DRIVING, Use

_CURRENT_GAIN, _CURRENT_OFFSET_AMPERE, _CURRENT_STEP_AMPERE = 0.003, 0.1, 0.1
_CELL_OFFSET_VOLT, _CELL_NOISE_VOLT = 0.001, 0.0003
_BELIEVED_CAPACITY, _START_ERROR = 0.03, 0.01
_LOST_ROW_SHARE, _GAP_ROWS = 0.004, (5, 30)
_SENTINEL_SHARE = 0.002
_FROZEN_STRETCHES, _FROZEN_ROWS = 3, (3, 8)
_KILOMETER_PER_AH = 2.4
_INSULATION_OHM_PER_VOLT = (600.0, 4000.0)


@dataclass(frozen=True, slots=True)
class Driven:
    """What truly happened.

    Attributes
    ----------
    use : Use
        The use of the vehicle.
    current_ampere : ndarray, shape (t,)
        Through the pack, positive while charging. [A]
    charged_fraction : ndarray, shape (t,)
        Of the string.
    cell_volt : ndarray, shape (groups, t)
        Terminal voltages. [V]
    """

    use: Use
    current_ampere: FloatArray
    charged_fraction: FloatArray
    cell_volt: FloatArray


def recorded(pack: Pack, driven: Driven, begins_at: float, chance: np.random.Generator) -> pd.DataFrame:
    """Telemetry of a pack as its BMS recorded it.

    Parameters
    ----------
    pack : Pack
        The pack.
    driven : Driven
        What truly happened.
    begins_at : float
        Unix time of the first day. [s]
    chance : Generator
        Randomness of sensors and radio.
    """
    groups, count = driven.cell_volt.shape
    offset = chance.normal(0.0, _CELL_OFFSET_VOLT, (groups, 1))
    cells = np.round(driven.cell_volt + offset + chance.normal(0.0, _CELL_NOISE_VOLT, (groups, count)), 3)
    sensed = driven.current_ampere * (1.0 + chance.normal(0.0, _CURRENT_GAIN)) + chance.normal(
        0, _CURRENT_OFFSET_AMPERE
    )
    pack_volt = np.round(cells.sum(axis=0), 1)
    warm = 24.0 + 6.0 * np.abs(driven.use.rate) + chance.normal(0.0, 0.3, count)
    driven_ah = np.cumsum(np.where(driven.use.state == DRIVING, np.maximum(-driven.current_ampere, 0.0), 0.0))
    step_hour = float(driven.use.elapsed_second[1]) / 3600.0
    table = pd.DataFrame(
        {
            "unix_time_second": begins_at + driven.use.calendar_second,
            "pack_voltage_volt": pack_volt,
            "pack_current_ampere": _CURRENT_STEP_AMPERE * np.round(sensed / _CURRENT_STEP_AMPERE),
            "reported_soc_percent": _reported_percent(driven, chance),
            "cell_voltage_max_volt": cells.max(axis=0),
            "cell_voltage_min_volt": cells.min(axis=0),
            "probe_temperature_max_celsius": np.round(warm + 1.0),
            "probe_temperature_min_celsius": np.round(warm - 1.0),
            "odometer_kilometer": np.round(30_000.0 + driven_ah * step_hour * _KILOMETER_PER_AH, 1),
            "insulation_resistance_kiloohm": np.round(chance.uniform(*_INSULATION_OHM_PER_VOLT) * pack_volt / 1000.0),
            "alarm_level": np.zeros(count),
            "charge_state": driven.use.state,
            **{f"cell_voltage_{number + 1}_volt": cells[number] for number in range(groups)},
        }
    )
    received = table[_received(count, chance)].reset_index(drop=True)
    return _with_sentinels(_with_frozen_lists(received, chance), chance)


def _with_frozen_lists(table: pd.DataFrame, chance: np.random.Generator) -> pd.DataFrame:
    """Now and then the list of cells stands still for minutes while the extremes go on."""
    groups = _groups(table)
    for first in chance.integers(1, len(table) - _FROZEN_ROWS[1], _FROZEN_STRETCHES):
        last = first + int(chance.integers(*_FROZEN_ROWS))
        table.loc[first:last, groups] = table.loc[first - 1, groups].to_numpy()
    return table


def _with_sentinels(table: pd.DataFrame, chance: np.random.Generator) -> pd.DataFrame:
    """What the BMS marked invalid is missing in a canonical table: current, probes, the whole list of cells."""
    probes = ["probe_temperature_max_celsius", "probe_temperature_min_celsius"]
    for names in (["pack_current_ampere"], probes, ["insulation_resistance_kiloohm"], _groups(table)):
        table.loc[chance.random(len(table)) < _SENTINEL_SHARE, names] = np.nan
    return table


def _groups(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table.filter(regex="^cell_voltage_[0-9]")]


def _reported_percent(driven: Driven, chance: np.random.Generator) -> FloatArray:
    """Count of the BMS, set again whenever a drive begins, in whole percent."""
    moved = np.diff(driven.charged_fraction, prepend=driven.charged_fraction[0])
    believed = moved / (1.0 + chance.normal(0.0, _BELIEVED_CAPACITY))
    state = driven.use.state
    starts = np.flatnonzero((state == DRIVING) & (np.roll(state, 1) != DRIVING))
    starts = np.unique(np.append(starts, 0))
    counted = np.empty_like(moved)
    for first, last in zip(starts, [*starts[1:], len(moved)], strict=True):
        set_to = driven.charged_fraction[first] + chance.normal(0.0, _START_ERROR)
        counted[first:last] = set_to + np.cumsum(believed[first:last]) - believed[first]
    percent: FloatArray = np.clip(np.floor(100.0 * counted), 0.0, 100.0)
    return percent


def _received(count: int, chance: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    kept = chance.random(count) >= _LOST_ROW_SHARE
    first = int(chance.integers(0, count))
    kept[first : first + int(chance.integers(*_GAP_ROWS))] = False
    return kept
