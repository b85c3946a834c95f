from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import InvalidInput
from features.feature_set import Method
from features.measurement import BatteryIdentity
from features.vocabulary import Chemistry, Level
from training.datasets import calce, lfp102, lsd_second_life, tongji_raw
from training.datasets.charge_curves import RecordedCurve, WindowPlan, labelled_windows
from training.labels import DatasetSource
from training.table import feature_table

SOURCE = DatasetSource("made", "MIT", "0" * 64)
PLAN = WindowPlan(True, 3, (0.1,), (0.2,), (0.2, 0.8), 0)


def a_curve(cell: str = "a", capacity_ah: float = 18.0, begin_volt: float = 3.5) -> RecordedCurve:
    """C/2 from 3.5 to 4.1 V in 240 intervals, of a 20 Ah cell."""
    time = np.linspace(0.0, 2.0 * 3600.0 * capacity_ah / 20.0, 241)
    columns = {
        "test_time_second": time,
        "voltage_volt": np.linspace(begin_volt, 4.1, time.size),
        "current_ampere": np.full(time.size, 10.0),
    }
    return RecordedCurve(BatteryIdentity(cell, Level.CELL, Chemistry.NMC, 20.0), columns, capacity_ah)


def windows_of(*curves: RecordedCurve, plan: WindowPlan = PLAN):
    return labelled_windows(curves, plan, SOURCE)


def spans(labelled) -> list[float]:
    return [float(np.ptp(test.runs[0].table.floats("voltage_volt"))) for test in labelled.tests]


def test_a_curve_gives_itself_and_its_windows() -> None:
    assert spans(windows_of(a_curve())) == pytest.approx([0.6, 0.1, 0.6 * 0.2 / 0.9], abs=2e-3)


def test_the_whole_curve_is_left_out_where_the_plan_says_so() -> None:
    windows = windows_of(a_curve(), plan=WindowPlan(False, 3, (0.1,), (), (0.0, 1.0), 0))
    assert spans(windows) == pytest.approx([0.1], abs=1e-6)


def test_a_window_by_charge_moves_that_share_of_rated_charge_whatever_the_cell_has_left() -> None:
    only = WindowPlan(False, 3, (), (0.3,), (0.2, 0.8), 0)
    for capacity_ah in (18.0, 13.0):
        table = windows_of(a_curve(capacity_ah=capacity_ah), plan=only).tests[0].runs[0].table
        time, current = table.floats("test_time_second"), table.floats("current_ampere")
        assert np.trapezoid(current, time) / 3600.0 == pytest.approx(0.3 * 20.0, rel=1e-6)


def test_windows_of_a_cell_are_spread_over_its_life() -> None:
    life = [a_curve(capacity_ah=capacity) for capacity in np.linspace(19.0, 12.0, 8)]
    capacities = windows_of(*life).labels["remaining_capacity_ah"].unique()
    assert capacities.tolist() == pytest.approx([19.0, 15.0, 12.0])


def test_one_window_of_every_cell_is_its_visit_and_never_the_whole_curve() -> None:
    labels = windows_of(a_curve("a"), a_curve("b"), a_curve("b", 15.0)).labels
    assert labels.groupby("battery_id")["visit"].sum().to_dict() == {"a": 1, "b": 1}
    assert not labels["visit"].to_numpy()[[0, 3, 6]].any()


def test_the_same_seed_gives_the_same_windows_and_another_seed_others() -> None:
    other = WindowPlan(True, 3, (0.1,), (0.2,), (0.2, 0.8), 1)
    first = [test.runs[0].table.sha256 for test in windows_of(a_curve()).tests]
    assert first == [test.runs[0].table.sha256 for test in windows_of(a_curve()).tests]
    assert first != [test.runs[0].table.sha256 for test in windows_of(a_curve(), plan=other).tests]


def test_a_cycle_that_was_broken_off_is_no_label() -> None:
    broken = RecordedCurve(a_curve().identity, a_curve().columns, 0.8)
    assert len(windows_of(a_curve(), broken).tests) == 3


def test_time_that_stands_still_in_the_source_does_not_reach_the_table() -> None:
    curve = a_curve()
    stuttering = {name: np.repeat(values, 2) for name, values in curve.columns.items()}
    assert spans(windows_of(RecordedCurve(curve.identity, stuttering, 18.0)))[0] == pytest.approx(0.6)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"DATASET_NOT_READABLE(.|\n)*lsd_second_life_cycles.parquet"):
        lsd_second_life.labelled_tests(Path("nowhere"))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "partial_charge").mkdir()
    pd.DataFrame({"cell_id": ["a"]}).to_parquet(tmp_path / lsd_second_life.FILE)
    with pytest.raises(InvalidInput, match=r"lacks the column(.|\n)*dq_49_ah"):
        lsd_second_life.labelled_tests(tmp_path)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("dataset", "cells", "type_key"),
    [(lsd_second_life, 62, "NMC2.4"), (lfp102, 2, "LFP102"), (tongji_raw, 8, "NCA3.5"), (calce, 2, "LCO1.1")],
)
def test_a_public_set_gives_features_of_every_cell(data_dir: Path, dataset, cells: int, type_key: str) -> None:
    settings = {"whole": True, "tests_per_cell": 2, "window_volt": (), "window_charge_fraction": (0.15,)}
    labelled = dataset.labelled_tests(data_dir, **settings, charged_range=(0.2, 0.8), seed=0)
    table = feature_table([labelled], Method.PARTIAL_CHARGE)
    assert (len(set(table.physical_cells)), set(table.type_keys)) == (cells, {type_key})
    assert np.isfinite(table.columns(["window_begin_volt"])).all()
