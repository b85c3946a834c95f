import numpy as np
import pandas as pd
import pytest

from features.feature_set import Method
from tests.training.synthetic_pulses import LFP, synthetic_rows, turning_points, write_public_layout
from training.datasets import pulse_pairs, pulse_retired
from training.table import feature_table


def grid_rows(cell_count=4, charges=(0.10, 0.15, 0.25, 0.30, 0.35, 0.50), visit_factor=0.95):
    """Grid tests of LFP cells at both widths, and a visit that answers lower than the grid."""
    noise = np.random.default_rng(5)
    template = synthetic_rows(1, (LFP,)).iloc[0].to_dict()
    rows = []
    for number in range(cell_count):
        health = float(noise.uniform(0.65, 0.95))
        for kind, charged, width in (
            *(("soc_grid", charged, width) for charged in charges for width in (3.0, 5.0)),
            ("random_soc", 0.25, 3.0),
        ):
            volts = turning_points(LFP, health, charged, width, np.random.default_rng(number))
            if kind == "random_soc":
                volts = volts[0] + 0.002 + visit_factor * (volts - volts[0])
            named = {"cell_id": f"c{number}", "physical_cell": f"c{number}", "capacity_ah": health * 20.0}
            asked = {"test_kind": kind, "soc_pct": 100.0 * charged, "width_ms": int(1000 * width)}
            rows.append({**template, **named, **asked, **{f"U{n}": v for n, v in enumerate(volts, start=1)}})
    return pd.DataFrame(rows)


def pairs(rows, folder):
    return pulse_pairs.labelled_tests(write_public_layout(rows, folder))


def test_every_two_grid_tests_15_20_or_25_percent_apart_are_a_pair_of_one_width(tmp_path):
    found = pairs(grid_rows(1), tmp_path)
    grid = [test for test, visit in zip(found.tests, found.labels["visit"], strict=True) if not visit]
    widths = [(each.first.pulses[0].duration_second, each.second.pulses[0].duration_second) for each in grid]
    assert all(first == second for first, second in widths)
    moved = sorted(round(each.moved_charge_ah / 20.0, 4) for each in grid)
    # 10-25, 15-30, 35-50 · 10-30, 15-35, 30-50 · 10-35, 25-50, each at 3 and at 5 s
    assert moved == [0.15] * 6 + [0.20] * 6 + [0.25] * 4


def test_a_battery_with_a_visit_gives_its_pairs_again_as_visited_and_one_without_does_not(tmp_path):
    rows = grid_rows(2)
    found = pairs(rows[(rows["cell_id"] == "c0") | (rows["test_kind"] == "soc_grid")], tmp_path)
    by_battery = found.labels.groupby("battery_id")["visit"].agg(["size", "sum"])
    assert by_battery.loc["c0"].tolist() == [48, 32]
    assert by_battery.loc["c1"].tolist() == [16, 0]


def test_as_visited_the_answers_are_lower_by_the_ratio_of_the_batterys_own_visit(tmp_path):
    table = feature_table([pairs(grid_rows(), tmp_path)], Method.TWO_PULSE_TRAINS)
    resistance = {
        which: table.columns((f"{which}_instantaneous_resistance_ohm_ah_1.0c_charge",))[:, 0]
        for which in ("first", "second")
    }
    grid, visited = ~table.visits, table.visits
    assert np.median(resistance["first"][visited]) == pytest.approx(0.95 * np.median(resistance["first"][grid]), 2e-3)
    carried = np.sort(np.unique(np.round(resistance["second"][visited], 6)))
    on_grid = np.unique(np.round(resistance["second"][grid], 6))
    assert np.isin(carried, on_grid).mean() == pytest.approx(0.5, abs=0.1)  # once both trains, once the first alone
    voltage = table.columns(("first_open_circuit_voltage_volt",))[:, 0]
    assert np.median(voltage[visited]) == pytest.approx(np.median(voltage[grid]) + 0.002, abs=1e-4)


def test_a_visit_outside_the_grid_tells_nothing_about_the_grid(tmp_path):
    rows = grid_rows(1)
    rows.loc[rows["test_kind"] == "random_soc", "soc_pct"] = 70.0
    assert not pairs(rows, tmp_path).labels["visit"].any()


def test_a_ratio_of_two_voltages_near_zero_is_held_within_30_percent(tmp_path):
    rows = grid_rows(1, visit_factor=3.0)
    table = feature_table([pairs(rows, tmp_path)], Method.TWO_PULSE_TRAINS)
    resistance = table.columns(("first_instantaneous_resistance_ohm_ah_1.0c_charge",))[:, 0]
    assert resistance[table.visits].max() <= 1.31 * resistance[~table.visits].max()


@pytest.mark.parametrize("column", ["serial", "source_file"])
def test_a_column_that_leaks_the_label_changes_no_feature(tmp_path, column):
    rows = grid_rows(2)
    before = feature_table([pairs(rows, tmp_path / "before")], Method.TWO_PULSE_TRAINS).values
    scrambled = rows.assign(**{column: rows[column].to_numpy()[::-1]})
    assert np.array_equal(feature_table([pairs(scrambled, tmp_path / "after")], Method.TWO_PULSE_TRAINS).values, before)


def test_where_on_the_grid_a_pair_lies_is_counted_and_is_no_feature(tmp_path):
    rows = grid_rows(2)
    moved_up = rows.assign(soc_pct=rows["soc_pct"] + 5.0)
    before, after = (
        feature_table([pairs(each, tmp_path / name)], Method.TWO_PULSE_TRAINS)
        for name, each in (("before", rows), ("after", moved_up))
    )
    assert np.array_equal(after.values, before.values)
    assert (after.labels["charged_fraction"] - before.labels["charged_fraction"]).to_numpy() == pytest.approx(0.05)


@pytest.mark.real_data
def test_the_published_grid_gives_1560_counted_pairs_of_260_batteries(data_dir):
    found = pulse_pairs.labelled_tests(data_dir)
    moved = np.array([test.moved_charge_ah for test in found.tests]) / found.labels["rated_capacity_ah"]
    width = np.array([test.first.pulses[0].duration_second for test in found.tests])
    counted = ~found.labels["visit"] & (moved.round(6) == 0.2) & (width == 5.0)
    counted &= (found.labels["charged_fraction"] + moved).round(6) <= 0.5
    assert counted.sum() == 1560
    assert found.labels["battery_id"][counted].nunique() == 260
    assert found.labels["battery_id"][found.labels["visit"]].nunique() == 212
    assert set(found.labels["chemistry"][found.labels["visit"]]) == {"LFP", "LMO", "NMC"}
    assert found.source.licence == pulse_retired.LICENCE
