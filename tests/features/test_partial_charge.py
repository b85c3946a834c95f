from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from features.findings import Finding
from features.measurement import CanonicalTable
from features.partial_charge import PARTIAL_CHARGE_DEFINITIONS, partial_charge_features
from features.vocabulary import Chemistry, Level, TableFormat
from tests.support.simulated_battery import SimulatedBattery, columns_of

SOUND = SimulatedBattery(21.0, 20.0, Chemistry.NMC)
LFP = SimulatedBattery(35.0, 33.0, Chemistry.LFP)


def told(battery: SimulatedBattery = SOUND, from_charged: float = 0.2, to_charged: float = 0.9) -> dict[str, float]:
    table = battery.partial_charge(from_charged=from_charged, to_charged=to_charged)
    values, findings = partial_charge_features(table, battery.identity)
    assert findings == ()
    return values


def slices(values: dict[str, float], direction: str = "charge") -> np.ndarray:
    return np.array([value for name, value in values.items() if name.startswith(f"{direction}_slice_")])


def with_columns(table: CanonicalTable, **changed: np.ndarray) -> CanonicalTable:
    return CanonicalTable(TableFormat.TIMESERIES, {**columns_of(table), **changed})


def turned_round(table: CanonicalTable) -> CanonicalTable:
    """The same curve as a discharge."""
    columns = columns_of(table)
    return with_columns(table, voltage_volt=columns["voltage_volt"][::-1], current_ampere=-columns["current_ampere"])


def test_every_feature_is_told_in_the_order_of_its_definition() -> None:
    assert tuple(told()) == tuple(each.name for each in PARTIAL_CHARGE_DEFINITIONS)


def test_no_feature_is_infinite() -> None:
    for battery in (SOUND, LFP):
        assert not np.isinf(list(told(battery).values())).any()


def test_the_slices_of_a_window_add_up_to_its_charge() -> None:
    values = told()
    assert np.nansum(slices(values)) == pytest.approx(values["window_charge_fraction"], abs=0.02)
    assert values["window_charge_fraction"] == pytest.approx(0.7 * 20.0 / 21.0, rel=0.01)


def test_a_worn_cell_takes_less_charge_in_the_same_voltages() -> None:
    sound, worn = slices(told()), slices(told(replace(SOUND, remaining_capacity_ah=15.0)))
    shared = np.isfinite(sound) & np.isfinite(worn)
    assert shared.sum() > 20
    assert worn[shared].sum() < 0.9 * sound[shared].sum()


def test_two_windows_agree_where_they_overlap_wherever_they_begin() -> None:
    early, late = slices(told(from_charged=0.2, to_charged=0.7)), slices(told(from_charged=0.4, to_charged=0.9))
    shared = np.flatnonzero(np.isfinite(early) & np.isfinite(late))[1:-1]
    assert shared.size >= 5
    assert early[shared] == pytest.approx(late[shared], rel=0.03)


def test_the_window_says_where_it_was_and_how_fast() -> None:
    values = told()
    table = SOUND.partial_charge(from_charged=0.2, to_charged=0.9)
    volt = table.floats("voltage_volt")
    assert (values["window_begin_volt"], values["window_end_volt"]) == pytest.approx((volt[0], volt[-1]), abs=0.01)
    assert values["window_direction"] == 1.0
    assert values["window_rate_c"] == pytest.approx(table.floats("current_ampere")[5] / 21.0)


def test_a_discharge_fills_the_discharge_slices_and_leaves_the_charge_slices_open() -> None:
    table = turned_round(SOUND.partial_charge(from_charged=0.2, to_charged=0.9))
    values, findings = partial_charge_features(table, SOUND.identity)
    assert findings == ()
    assert values["window_direction"] == -1.0
    assert np.isfinite(slices(values, "discharge")).sum() > 20
    assert np.isnan(slices(values)).all()


def test_a_table_without_temperature_leaves_it_open_and_one_with_it_gives_the_mean() -> None:
    table = SOUND.partial_charge(from_charged=0.2, to_charged=0.9)
    celsius = np.linspace(24.0, 30.0, table.row_count)
    warm = with_columns(table, surface_temperature_celsius=celsius)
    bare = {name: values for name, values in columns_of(table).items() if name != "surface_temperature_celsius"}
    without = CanonicalTable(TableFormat.TIMESERIES, bare)
    assert np.isnan(partial_charge_features(without, SOUND.identity)[0]["window_temperature_celsius"])
    assert partial_charge_features(warm, SOUND.identity)[0]["window_temperature_celsius"] == pytest.approx(
        27.0, abs=0.1
    )


def test_millivolt_noise_and_quantisation_hardly_move_the_charge_of_a_tenth_of_a_volt() -> None:
    table = SOUND.partial_charge(from_charged=0.2, to_charged=0.9)
    volt = table.floats("voltage_volt")
    noisy = with_columns(table, voltage_volt=np.round(volt + np.random.default_rng(0).normal(0.0, 0.001, volt.size), 3))
    quiet, loud = slices(told()), slices(partial_charge_features(noisy, SOUND.identity)[0])
    middle = np.flatnonzero(np.isfinite(quiet) & np.isfinite(loud))[5:15]
    assert loud[middle].sum() == pytest.approx(quiet[middle].sum(), rel=0.03)


def test_a_pack_is_read_per_cell() -> None:
    table = SOUND.partial_charge(from_charged=0.2, to_charged=0.9)
    pack = replace(SOUND.identity, level=Level.PACK, series_count=96)
    raised = with_columns(table, voltage_volt=96.0 * table.floats("voltage_volt"))
    values = partial_charge_features(raised, pack)[0]
    assert slices(values) == pytest.approx(slices(told()), nan_ok=True)
    assert values["window_end_volt"] == pytest.approx(told()["window_end_volt"])


def finding(table: CanonicalTable, **plate: Any) -> Finding:
    values, findings = partial_charge_features(table, replace(SOUND.identity, **plate))
    assert np.isnan(list(values.values())).all()
    return findings[0]


def test_a_window_too_small_is_told_with_the_window_found_and_the_window_needed() -> None:
    small = finding(SOUND.partial_charge(from_charged=0.50, to_charged=0.53))
    assert small.code == "partial_charge.window_too_small"
    assert small.evidence["needed_window_volt"] == pytest.approx(0.05)
    assert small.evidence["window_end_volt"] - small.evidence["window_begin_volt"] < 0.05
    assert "50 mV" in small.message.en
    assert "50 mV" in small.message.zh


def test_a_window_just_large_enough_is_used() -> None:
    assert np.isfinite(slices(told(from_charged=0.3, to_charged=0.6))).sum() >= 5


def test_lfp_needs_a_tenth_of_its_charge() -> None:
    small = finding(
        LFP.partial_charge(from_charged=0.50, to_charged=0.58), chemistry=Chemistry.LFP, rated_capacity_ah=35.0
    )
    assert small.code == "partial_charge.window_too_small"
    assert small.evidence["needed_charge_fraction"] == 0.10


def test_a_rest_is_no_window() -> None:
    table = SOUND.partial_charge(from_charged=0.2, to_charged=0.9)
    assert finding(with_columns(table, current_ampere=np.zeros(table.row_count))).code == (
        "partial_charge.no_steady_current"
    )


def test_a_chemistry_without_slices_is_said() -> None:
    table = SOUND.partial_charge(from_charged=0.2, to_charged=0.9)
    assert finding(table, chemistry=Chemistry.LTO).code == "partial_charge.chemistry_not_covered"


def test_a_pack_without_its_cells_in_series_is_said() -> None:
    table = SOUND.partial_charge(from_charged=0.2, to_charged=0.9)
    assert finding(table, level=Level.PACK, series_count=None).code == "partial_charge.series_count_missing"
