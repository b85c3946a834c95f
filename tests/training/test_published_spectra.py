import numpy as np
import pandas as pd
import pytest

from features.errors import InvalidInput
from features.feature_set import Method
from features.measurement import BatteryHistory
from training.datasets import denso_eis, faraji_niri_eis, zhang_eis
from training.datasets.published_spectra import Spectra
from training.labels import LabelledTests
from training.table import feature_table

HERTZ = np.logspace(-2, 4, 31)


def an_arc(width_ohm: float) -> np.ndarray:
    return 0.001 + width_ohm / (1.0 + 2j * np.pi * HERTZ * 0.01)


def written(folder, name: str, spectra: list[np.ndarray], style: str = "Zreal", **columns: list):
    parts = {"real": np.real, "imag": np.imag}
    named = {
        f"{style[0]}{part.capitalize() if style[1].isupper() else part}_{hertz:.2g}Hz": [
            float(take(each)[place]) for each in spectra
        ]
        for part, take in parts.items()
        for place, hertz in enumerate(HERTZ)
    }
    (folder / "eis").mkdir(exist_ok=True)
    pd.DataFrame({**columns, **named}).to_parquet(folder / "eis" / name)
    return folder


def denso(folder, cells: list[str], health: list[float], widths: list[float], **rest: list):
    count = len(cells)
    columns = {"cell_id": cells, "soh_rel_initial": health, "temp_c": [25] * count, "soc": [0.5] * count, **rest}
    return written(folder, "denso_eis.parquet", [an_arc(each) for each in widths], **columns)


def cells_of(tests: LabelledTests) -> list[str]:
    return tests.labels["physical_cell"].tolist()


def test_a_spectrum_published_under_several_cells_is_kept_once_as_a_cell_of_its_own(tmp_path) -> None:
    folder = denso(tmp_path, ["a", "a", "b", "b"], [1.0, 0.8, 1.0, 0.9], [0.002, 0.003, 0.002, 0.004])
    tests = denso_eis.labelled_tests(folder)
    assert cells_of(tests) == [denso_eis.SHARED_CELL, "a", "b"]
    assert tests.labels["visit"].tolist() == [False, True, True]
    assert cells_of(denso_eis.labelled_tests(folder, as_published=True)) == ["a", "a", "b", "b"]


def test_a_spectrum_with_two_capacities_is_left_out(tmp_path) -> None:
    folder = denso(tmp_path, ["a", "a", "a"], [1.0, 0.80, 0.75], [0.002, 0.003, 0.003])
    assert denso_eis.labelled_tests(folder).labels["battery_id"].tolist() == ["a-stage1"]


def test_the_last_check_up_nearest_25_celsius_and_half_charge_is_the_visit(tmp_path) -> None:
    folder = denso(
        tmp_path,
        ["a"] * 4,
        [1.0, 0.8, 0.8, 0.8],
        [0.002, 0.003, 0.004, 0.005],
        temp_c=[25, -10, 25, 25],
        soc=[0.5, 0.5, 0.1, 0.5],
    )
    assert denso_eis.labelled_tests(folder).labels["visit"].tolist() == [False, False, False, True]


def test_a_spectrum_becomes_a_history_with_its_temperature_and_plate(tmp_path) -> None:
    folder = denso(tmp_path, ["a", "a"], [1.0, 0.8], [0.002, 0.003], temp_c=[25, -10])
    tests = denso_eis.labelled_tests(folder)
    history = tests.tests[1]
    assert isinstance(history, BatteryHistory)
    table = history.runs[0].table
    assert history.identity.rated_capacity_ah == 46.7
    assert tests.labels["remaining_capacity_ah"][1] == pytest.approx(0.8 * 46.7)
    assert set(table.floats("surface_temperature_celsius")) == {-10.0}
    assert table.floats("real_impedance_ohm") == pytest.approx(an_arc(0.003).real)


def test_the_published_sign_of_the_coin_cells_is_turned_to_the_fields(tmp_path) -> None:
    columns = {"cell_id": ["c", "c"], "cycle": [1, 2], "capacity_mah": [36.0, 30.0]}
    folder = written(
        tmp_path, "zhang2020_eis.parquet", [an_arc(0.5).conj(), an_arc(0.6).conj()], style="ZReal", **columns
    )
    tests = zhang_eis.labelled_tests(folder)
    assert (tests.tests[0].runs[0].table.floats("imaginary_impedance_ohm") <= 0.0).all()
    assert tests.labels["remaining_capacity_ah"].tolist() == [0.036, 0.030]
    assert tests.labels["visit"].tolist() == [False, True]


def test_a_coin_cell_below_a_fifth_of_its_rated_capacity_is_left_out(tmp_path) -> None:
    columns = {"cell_id": ["c", "c"], "cycle": [1, 2], "capacity_mah": [36.0, 8.0]}
    folder = written(tmp_path, "zhang2020_eis.parquet", [an_arc(0.5), an_arc(0.6)], style="ZReal", **columns)
    assert zhang_eis.labelled_tests(folder).labels["battery_id"].tolist() == ["c-cycle1"]


def test_one_spectrum_under_two_states_of_charge_counts_once_and_its_charge_is_unknown(tmp_path) -> None:
    columns = {"cell_id": ["f"] * 3, "soh": [0.9] * 3, "temp_c": [25.0] * 3, "soc": [5.0, 20.0, 50.0]}
    spectra = [an_arc(0.002), an_arc(0.003), an_arc(0.002)]
    folder = written(tmp_path, "farajiniri2023_eis.parquet", spectra, style="ZReal", **columns)
    labels = faraji_niri_eis.labelled_tests(folder).labels
    assert labels["visit"].tolist() == [False, True]
    assert labels["charged_fraction"].fillna(-1.0).tolist() == [0.2, -1.0]


@pytest.mark.parametrize("adapter", [denso_eis, faraji_niri_eis, zhang_eis])
def test_a_missing_file_is_named(adapter, tmp_path) -> None:
    with pytest.raises(InvalidInput) as refused:
        adapter.labelled_tests(tmp_path)
    assert refused.value.code == "DATASET_NOT_READABLE"
    assert adapter.FILE.path.as_posix() in str(refused.value)


def test_a_value_that_breaks_the_schema_is_named(tmp_path) -> None:
    folder = denso(tmp_path, ["a", "a"], [1.0, 80.0], [0.002, 0.003])
    with pytest.raises(InvalidInput, match="soh_rel_initial") as refused:
        denso_eis.labelled_tests(folder)
    assert "80.0" in str(refused.value)


def test_equal_spectra_share_a_number() -> None:
    spectra = Spectra(HERTZ, np.stack([an_arc(0.002), an_arc(0.003), an_arc(0.002)]))
    assert spectra.numbers().tolist() == [0, 1, 0]


@pytest.mark.real_data
def test_the_published_sets_hold_what_the_adapters_say(data_dir) -> None:
    once = denso_eis.labelled_tests(data_dir).labels
    assert (len(once), once["physical_cell"].nunique(), int(once["visit"].sum())) == (309, 25, 24)
    assert (once["physical_cell"] == denso_eis.SHARED_CELL).sum() == 2
    assert len(denso_eis.labelled_tests(data_dir, as_published=True).labels) == 359
    faraji_niri = faraji_niri_eis.labelled_tests(data_dir).labels
    assert (len(faraji_niri), int(faraji_niri["visit"].sum())) == (251, 17)
    coin_cells = zhang_eis.labelled_tests(data_dir).labels
    assert (len(coin_cells), int(coin_cells["visit"].sum())) == (1329, 8)


@pytest.mark.real_data
@pytest.mark.parametrize("adapter", [denso_eis, faraji_niri_eis])
def test_every_published_spectrum_of_a_traction_cell_gives_the_whole_arc(adapter, data_dir) -> None:
    table = feature_table([adapter.labelled_tests(data_dir)], Method.IMPEDANCE)
    assert np.isfinite(table.columns(("arc_width_ohm_ah_at_25c", "ohmic_resistance_ohm_ah"))).all()
