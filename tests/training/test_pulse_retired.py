import numpy as np
import pytest

from features.errors import InvalidInput
from features.feature_set import Method
from tests.training.synthetic_pulses import synthetic_rows, write_public_layout
from training.datasets import pulse_retired
from training.table import feature_table


def _table(rows, folder):
    return feature_table([pulse_retired.labelled_tests(write_public_layout(rows, folder))], Method.PULSE_TEST)


def test_the_misaligned_row_is_dropped(tmp_path):
    rows = synthetic_rows(3)
    rows.loc[4, "misaligned_row"] = True
    assert len(_table(rows, tmp_path)) == len(rows) - 1


def test_a_pulse_cut_short_by_a_voltage_limit_is_marked_and_kept(tmp_path):
    rows = synthetic_rows(3)
    rows.loc[4, "touches_protection_v"] = True
    assert _table(rows, tmp_path).labels["voltage_limited"].sum() == 1


@pytest.mark.parametrize("column", ["soc_pct", "serial", "source_file"])
def test_a_column_that_leaks_the_label_changes_no_feature(tmp_path, column):
    rows = synthetic_rows(3)
    before = _table(rows, tmp_path / "before").values
    scrambled = rows.assign(**{column: rows[column].sample(frac=1.0, random_state=1).to_numpy()})
    assert np.array_equal(_table(scrambled, tmp_path / "after").values, before, equal_nan=True)


def test_the_label_changes_no_feature(tmp_path):
    rows = synthetic_rows(3)
    before = _table(rows, tmp_path / "before").values
    after = _table(rows.assign(capacity_ah=rows["nominal_ah"] * 0.7), tmp_path / "after").values
    assert np.array_equal(after, before, equal_nan=True)


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"DATASET_NOT_READABLE(.|\n)*physical_cell"):
        _table(synthetic_rows(3).drop(columns="physical_cell"), tmp_path)


def test_a_voltage_that_is_none_is_named_with_its_row(tmp_path):
    rows = synthetic_rows(3)
    rows.loc[2, "U7"] = 65.535
    with pytest.raises(InvalidInput, match=r"row 2 U7(.|\n)*65.535"):
        _table(rows, tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"must be a file in the data folder"):
        pulse_retired.labelled_tests(tmp_path)


@pytest.mark.real_data
def test_the_public_tables_give_every_row_but_the_misaligned_one(data_dir):
    labelled = pulse_retired.labelled_tests(data_dir)
    assert len(labelled.labels) == 19_839
    visits = labelled.labels[labelled.labels["visit"]]
    assert visits["battery_id"].nunique() == 212
    assert labelled.labels.groupby("battery_id")["physical_cell"].nunique().max() == 1
