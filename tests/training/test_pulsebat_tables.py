"""The public original Excel tables: the same tests as the collected set, under the same names."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import InvalidInput
from features.pulse import pulse_feature_matrix, pulse_slots
from tests.training.synthetic_pulses import LFP, turning_points
from training.datasets import pulse_retired, pulsebat_tables
from training.datasets.pulsebat_tables import is_shifted
from training.labels import LabelledTests

NMC_FILE = "NMC_2.1Ah_W_5000.xlsx"


def sheet(ids: list[str], chemistry: str = "NMC", rated: float = 2.1) -> pd.DataFrame:
    noise = np.random.default_rng(3)
    volts = [turning_points(LFP, 0.9, 0.3, 5.0, noise)[:21] for _ in ids]
    plate = {"Mat": chemistry, "No.": 1, "ID": ids, "Qn": rated, "Q": 0.9 * rated, "SOH": 0.9, "Pt": 5, "SOC": 5}
    return pd.DataFrame({"File_Name": "x_SOC_5-70.xlsx", **plate}).join(
        pd.DataFrame(volts, columns=[f"U{n}" for n in range(1, 22)])
    )


def written(
    table: pd.DataFrame, data_folder: Path, name: str = "NMC_2.1Ah_W_5000.xlsx", sheet_name: str = "SOC ALL"
) -> Path:
    folder = data_folder / pulsebat_tables.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    table.to_excel(folder / name, sheet_name=sheet_name, index=False)
    return data_folder


def test_ageing_stages_of_one_cell_are_one_physical_cell(tmp_path: Path) -> None:
    found = pulsebat_tables.labelled_tests(written(sheet(["D3-100", "D3-200", "E4-100"]), tmp_path))
    assert found.labels["battery_id"].tolist() == ["NMC2.1_D3-100", "NMC2.1_D3-200", "NMC2.1_E4-100"]
    assert found.labels["physical_cell"].tolist() == ["NMC2.1_D3", "NMC2.1_D3", "NMC2.1_E4"]
    assert not found.labels["visit"].any()


def test_the_pulse_width_comes_from_the_file_name_and_the_charge_is_no_feature(tmp_path: Path) -> None:
    found = pulsebat_tables.labelled_tests(written(sheet(["D3-100"]), tmp_path, "NMC_2.1Ah_W_3000.xlsx"))
    (train,) = found.tests
    assert {pulse.duration_second for pulse in train.pulses} == {3.0}
    assert len(train.pulses) == 5
    assert found.labels["charged_fraction"].tolist() == [0.05]


def test_a_row_published_two_columns_off_is_left_out(tmp_path: Path) -> None:
    table = sheet(["D3-100", "D3-200"])
    volts = table.loc[1, "U1":"U19"].to_numpy()
    table.loc[1, "U3":"U21"] = volts
    found = pulsebat_tables.labelled_tests(written(table, tmp_path))
    assert found.labels["battery_id"].tolist() == ["NMC2.1_D3-100"]
    assert is_shifted(table[[f"U{n}" for n in range(1, 22)]].to_numpy(dtype=np.float64)).tolist() == [False, True]


@pytest.mark.parametrize(
    ("name", "sheet_name", "change", "told"),
    [
        ("NMC.xlsx", "SOC ALL", {}, "tells the pulse width"),
        (NMC_FILE, "Sheet1", {}, "sheet SOC ALL"),
        (NMC_FILE, "SOC ALL", {"U7": 41.0}, "U7"),
        (NMC_FILE, "SOC ALL", {"Q": None}, "row 0 Q"),
        (NMC_FILE, "SOC ALL", {"Mat": "XYZ"}, "XYZ"),
    ],
)
def test_a_table_that_breaks_a_rule_is_refused_with_its_place(
    tmp_path: Path, name: str, sheet_name: str, change: dict[str, object], told: str
) -> None:
    table = written(sheet(["D3-100"]).assign(**change), tmp_path, name, sheet_name)
    with pytest.raises(InvalidInput, match="DATASET_NOT_READABLE") as refused:
        pulsebat_tables.labelled_tests(table)
    assert told in str(refused.value)


def test_an_lfp_cell_beyond_the_56_is_refused_because_it_has_no_name_in_the_other_set(tmp_path: Path) -> None:
    table = written(sheet(["57号"], "LFP", 35.0), tmp_path, "LFP_35Ah_W_5000.xlsx")
    with pytest.raises(InvalidInput, match="must be 1号 to 56号"):
        pulsebat_tables.labelled_tests(table)


def test_without_files_the_refusal_names_the_command_that_brings_them(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="packgrade-train fetch pulsebat"):
        pulsebat_tables.labelled_tests(tmp_path)


@pytest.mark.real_data
def test_the_originals_hold_the_very_tests_of_the_collected_set(data_dir: Path) -> None:
    original, collected = pulsebat_tables.labelled_tests(data_dir), pulse_retired.labelled_tests(data_dir)
    joined = _keyed(original).merge(_keyed(collected), on=["battery_id", "charge"], how="left", validate="one_to_one")
    assert len(joined) == 1890
    assert joined["place_y"].notna().all()
    for name in ("physical_cell", "chemistry", "rated_capacity_ah", "visit", "voltage_limited", "level"):
        assert (joined[f"{name}_x"] == joined[f"{name}_y"]).all(), name
    capacities = joined[["remaining_capacity_ah_x", "remaining_capacity_ah_y"]].to_numpy()
    np.testing.assert_array_equal(capacities[:, 0], capacities[:, 1])
    np.testing.assert_array_equal(_volts(original, joined["place_x"]), _volts(collected, joined["place_y"]))
    ours, theirs = _features(original, joined["place_x"]), _features(collected, joined["place_y"])
    published = np.isfinite(ours)  # the collected set has further amplitudes of the LFP cells
    assert published.sum(axis=1).min() > 40
    np.testing.assert_allclose(ours[published], theirs[published], rtol=1e-3, atol=5e-5)


def _keyed(found: LabelledTests) -> pd.DataFrame:
    """Labels of grid tests with 5 s pulses, by battery and charge."""
    five_second = [test.pulses[0].duration_second == 5.0 for test in found.tests]
    labels = found.labels.assign(place=range(len(found.labels)), charge=found.labels["charged_fraction"].round(4))
    return labels[pd.Series(five_second) & ~found.labels["visit"]]


def _volts(found: LabelledTests, places: pd.Series) -> np.ndarray:
    """Voltages of the first five pulses as the collected set keeps them, in single precision."""
    trains = [found.tests[int(place)] for place in places]
    volts = [
        [train.open_circuit_voltage_volt, *((each.begin_volt, each.end_volt) for each in train.pulses[:5])]
        for train in trains
    ]
    return np.array([np.hstack(row) for row in volts], dtype=np.float32)


def _features(found: LabelledTests, places: pd.Series) -> np.ndarray:
    trains = [found.tests[int(place)] for place in places]
    rated = found.labels["rated_capacity_ah"].to_numpy()[places.astype(int)]
    return pulse_feature_matrix(pulse_slots(trains, rated))
