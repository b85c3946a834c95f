import numpy as np
import pandas as pd
import pytest

from features.errors import InvalidInput
from features.feature_set import Method
from tests.training.synthetic_pulses import synthetic_rows, write_own_tables, write_public_layout
from training.datasets import canonical_tables, pulse_retired
from training.table import feature_table


@pytest.fixture
def own(tmp_path):
    return write_own_tables(synthetic_rows(3), tmp_path / "own")


def _read(own):
    return canonical_tables.labelled_tests("mine", "own", *own, Method.PULSE_TEST)


def test_own_tables_give_the_features_of_the_same_tests_in_the_public_layout(tmp_path):
    rows = synthetic_rows(3)
    public = feature_table([pulse_retired.labelled_tests(write_public_layout(rows, tmp_path))], Method.PULSE_TEST)
    mine = feature_table([_read(write_own_tables(rows, tmp_path / "own"))], Method.PULSE_TEST)
    assert np.allclose(np.sort(mine.values, axis=0), np.sort(public.values, axis=0), rtol=0, atol=0, equal_nan=True)
    assert sorted(mine.labels["remaining_capacity_ah"]) == sorted(public.labels["remaining_capacity_ah"])


def test_visits_are_those_the_labels_flag(own):
    assert _read(own).labels["visit"].sum() == 6


def test_without_a_visit_column_every_test_is_a_visit(own):
    pd.read_csv(own[1]).drop(columns="visit").to_csv(own[1], index=False)
    assert _read(own).labels["visit"].all()


def test_a_battery_without_a_label_is_named(own):
    pd.read_csv(own[1]).iloc[1:].to_csv(own[1], index=False)
    with pytest.raises(InvalidInput, match=r"needs a label for (.|\n)*LFP20_000-0"):
        _read(own)


def test_a_label_without_a_run_is_named(own):
    pd.read_csv(own[0]).iloc[1:].to_csv(own[0], index=False)
    with pytest.raises(InvalidInput, match=r"needs a run of (.|\n)*LFP20_000-0"):
        _read(own)


def test_a_capacity_that_is_no_number_is_named_with_its_row(own):
    labels = pd.read_csv(own[1]).astype({"remaining_capacity_ah": object})
    labels.loc[2, "remaining_capacity_ah"] = "about 17"
    labels.to_csv(own[1], index=False)
    with pytest.raises(InvalidInput, match=r"remaining_capacity_ah(.|\n)*about 17"):
        _read(own)


def test_an_unknown_label_column_is_refused(own):
    pd.read_csv(own[1]).assign(soh=0.8).to_csv(own[1], index=False)
    with pytest.raises(InvalidInput, match=r"soh"):
        _read(own)


def test_an_unknown_manifest_column_is_refused_rather_than_left_out(own):
    pd.read_csv(own[0]).assign(type_desigation="XY").to_csv(own[0], index=False)
    with pytest.raises(InvalidInput, match=r"type_desigation"):
        _read(own)


def test_columns_of_the_batch_manifest_that_no_feature_needs_are_allowed(own):
    before = _read(own)
    pd.read_csv(own[0]).assign(leakage=False, nominal_voltage_volt=3.2).to_csv(own[0], index=False)
    assert _read(own).labels.equals(before.labels)


def test_a_type_designation_makes_a_type_of_its_own(own):
    pd.read_csv(own[0]).assign(type_designation="XY1").to_csv(own[0], index=False)
    assert set(feature_table([_read(own)], Method.PULSE_TEST).type_keys) == {"LFP20-XY1", "NMC21-XY1"}


def test_another_kind_of_run_cannot_train_the_pulse_method(own):
    pd.read_csv(own[0]).assign(run_kind="capacity_test").to_csv(own[0], index=False)
    with pytest.raises(InvalidInput, match=r"run_kind(.|\n)*capacity_test"):
        _read(own)


def test_a_missing_measurement_file_is_named(own):
    (own[0].parent / "steps.csv").unlink()
    with pytest.raises(InvalidInput, match=r"steps\.csv"):
        _read(own)


def test_a_changed_measurement_changes_the_digest_of_the_data_set(own):
    before = _read(own).source.sha256
    steps = own[0].parent / "steps.csv"
    steps.write_text(steps.read_text().replace("600.0", "601.0", 1))
    assert _read(own).source.sha256 != before
