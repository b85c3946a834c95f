"""Which cells are weak, and what must not make one look weak."""

import math

import numpy as np
import pytest

from features.consistency import cell_consistency, settled_rows, temperature_spread_kelvin
from features.consistency_findings import consistency_findings
from features.findings import Severity

DAY = 86_400.0
WEAK = 7


def parked_pack(days=90, cells=20, rows_per_day=48):
    """A pack at rest: time, current and cell voltages with 2 mV of noise."""
    time = np.concatenate([day * DAY + np.arange(rows_per_day) * 30.0 for day in range(days)])
    noise = np.random.default_rng(7).normal(0.0, 0.002, (time.size, cells))
    return time, np.zeros(time.size), 3.70 + noise


def compared(time, current, voltage):
    return cell_consistency(time, current, tuple(voltage.T), 120.0)


def test_a_sound_pack_has_no_weak_cell():
    cells = compared(*parked_pack())
    assert cells.weak_cells == ()
    assert consistency_findings(cells, 3.0) == ()
    assert cells.rest_spread_volt < 0.012


def test_a_cell_60_millivolt_low_is_weak_and_named():
    time, current, voltage = parked_pack()
    voltage[:, WEAK - 1] -= 0.060
    cells = compared(time, current, voltage)
    (finding,) = consistency_findings(cells, 3.0)
    assert cells.weakest_cell == WEAK
    assert finding.code == "consistency.weak_cell"
    assert finding.severity is Severity.CAUTION
    assert finding.evidence["cell"] == WEAK
    assert finding.evidence["below_median_volt"] == pytest.approx(0.060, abs=0.002)


def test_a_constant_offset_of_33_millivolt_is_no_weak_cell_but_the_same_offset_sinking_is():
    time, current, voltage = parked_pack()
    voltage[:, WEAK - 1] -= 0.033
    assert compared(time, current, voltage).weak_cells == ()
    voltage[:, WEAK - 1] -= 0.010 * time / (30.0 * DAY) - 0.020
    cells = compared(time, current, voltage)
    assert cells.weak_cells == (WEAK,)
    assert cells.weakest_drift_volt_per_month == pytest.approx(-0.010, abs=0.0005)
    assert cells.change_volt[WEAK - 1] == pytest.approx(-0.0225, abs=0.002)


def test_a_cell_above_the_others_is_not_weak():
    time, current, voltage = parked_pack()
    voltage[:, WEAK - 1] += 0.060
    assert compared(time, current, voltage).weak_cells == ()


def test_from_300_millivolt_on_a_cell_disqualifies():
    time, current, voltage = parked_pack()
    voltage[:, WEAK - 1] -= 0.31
    finding = consistency_findings(compared(time, current, voltage), 3.0)[0]
    assert finding.disqualifies
    voltage[:, WEAK - 1] += 0.03
    assert not consistency_findings(compared(time, current, voltage), 3.0)[0].disqualifies


def test_missing_readings_change_nothing():
    time, current, voltage = parked_pack()
    voltage[::5, 3] = np.nan
    voltage[::7, :] = np.nan
    voltage[:, 11] = np.nan
    cells = compared(time, current, voltage)
    assert cells.weak_cells == ()
    assert math.isnan(cells.below_median_volt[11])
    assert cells.rest_spread_volt < 0.012


def test_cells_polled_at_different_moments_under_load_are_not_weak():
    time, current, voltage = parked_pack()
    loaded = np.arange(time.size) % 2 == 0
    current[loaded], voltage[loaded, 10:] = -80.0, voltage[loaded, 10:] - 0.15
    current[5::48], current[6::48], voltage[6::48, :10] = 0.0, 0.0, 3.70
    cells = compared(time, current, voltage)
    assert cells.weak_cells == ()
    assert cells.load_spread_volt == pytest.approx(0.15, abs=0.01)


def test_a_row_is_settled_only_after_a_row_at_rest_shortly_before():
    time = np.array([0.0, 30.0, 60.0, 90.0, 900.0, 930.0])
    current = np.array([0.0, 0.0, 50.0, 0.0, 0.0, 1.0])
    assert settled_rows(time, current, 120.0).tolist() == [False, True, False, False, False, True]


def test_a_record_of_ten_days_shows_no_drift_and_one_of_thirty_does():
    assert np.isnan(compared(*parked_pack(days=10)).drift_volt_per_month).all()
    assert np.isfinite(compared(*parked_pack(days=30)).drift_volt_per_month).all()


def test_highest_and_lowest_cell_alone_tell_the_spread_but_no_single_cell():
    time, current, voltage = parked_pack()
    extrema = np.column_stack([voltage.max(axis=1) + 0.2, voltage.min(axis=1)])
    cells = compared(time, current, extrema)
    assert cells.weakest_cell == 0
    assert math.isnan(cells.weakest_below_median_volt)
    assert [each.code for each in consistency_findings(cells, math.nan)] == ["consistency.cell_spread"]


def test_without_cells_and_probes_nothing_is_said():
    time, current, _ = parked_pack()
    nothing = np.empty((time.size, 0))
    cells = compared(time, current, nothing)
    assert consistency_findings(cells, temperature_spread_kelvin(nothing.T)) == ()


def test_a_hot_corner_is_a_finding_from_10_kelvin_on():
    probes = np.tile([[20.0], [22.0], [31.0]], 100)
    cells = compared(*parked_pack())
    assert [each.code for each in consistency_findings(cells, temperature_spread_kelvin(probes))] == [
        "consistency.temperature_spread"
    ]
    assert consistency_findings(cells, temperature_spread_kelvin(probes[:2])) == ()


def test_entropy_is_nought_for_like_cells_and_grows_with_their_scatter():
    time, current, voltage = parked_pack()
    assert compared(time, current, voltage).deviation_entropy_bit == 0.0
    voltage += np.linspace(-0.04, 0.04, voltage.shape[1])
    assert compared(time, current, voltage).deviation_entropy_bit > 3.5
    assert compared(time, current, voltage).deviation_volt == pytest.approx(0.024, abs=0.001)


def test_sentinels_are_no_voltages():
    time, current, voltage = parked_pack()
    voltage[::3, 3], voltage[:, 5] = 5.0, 0.0
    cells = compared(time, current, voltage)
    assert cells.weak_cells == ()
    assert cells.rest_spread_volt < 0.012


def test_a_sensor_that_stands_still_while_the_others_move_is_named_and_left_out():
    time, current, voltage = parked_pack()
    voltage[:, 3] = 3.5
    assert compared(time, current, voltage).stuck_cells == ()
    voltage += 0.2 * np.sin(time / DAY)[:, None]
    voltage[:, 3] = 3.5
    cells = compared(time, current, voltage)
    assert cells.stuck_cells == (4,)
    assert cells.weak_cells == ()
    assert [each.code for each in consistency_findings(cells, 3.0)] == ["consistency.cell_sensor_stuck"]
