from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from features.errors import InvalidInput
from features.extract import extract
from features.feature_set import FEATURE_SETS, Method
from features.measurement import BatteryHistory, MeasurementRun, SourceStamp
from features.pulse import pulse_features
from features.vocabulary import RunKind
from tests.training.synthetic_pulses import LFP, NMC, step_table, synthetic_rows, trains, write_public_layout
from training.datasets import pulse_retired
from training.labels import DatasetSource, LabelledTests, identities, type_key
from training.recipes.pulse import as_stopped_early
from training.table import feature_table

PULSE = Method.PULSE_TEST
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def _labelled(tmp_path, rows=None):
    return pulse_retired.labelled_tests(write_public_layout(synthetic_rows(6) if rows is None else rows, tmp_path))


def _histories(labelled):
    stamp = SourceStamp("steps.csv", "0" * 64, "canonical")
    runs = [MeasurementRun(RunKind.PULSE_TEST, NOW, NOW, stamp, step_table(train)) for train in labelled.tests]
    return [BatteryHistory(who, (run,)) for who, run in zip(identities(labelled.labels), runs, strict=True)]


def test_rows_and_histories_of_the_same_tests_give_identical_features(tmp_path):
    labelled = _labelled(tmp_path)
    through_the_door = LabelledTests(labelled.source, labelled.labels, _histories(labelled))
    vectorised, one_by_one = feature_table([labelled], PULSE), feature_table([through_the_door], PULSE)
    assert np.array_equal(vectorised.values, one_by_one.values, equal_nan=True)
    assert vectorised.labels.equals(one_by_one.labels)


def test_a_row_of_the_table_is_the_vector_the_service_computes(tmp_path):
    labelled = _labelled(tmp_path)
    history, train = _histories(labelled)[0], labelled.tests[0]
    vector = extract(history, NOW)
    assert vector.feature_set_digest == FEATURE_SETS[PULSE].digest
    expected = list(pulse_features(train, history.identity.rated_capacity_ah).values())
    assert np.array_equal(vector.array(), expected, equal_nan=True)


def test_shuffled_files_give_the_same_table(tmp_path):
    rows = synthetic_rows(6)
    first = feature_table([_labelled(tmp_path / "a", rows)], PULSE)
    second = feature_table([_labelled(tmp_path / "b", rows.sample(frac=1.0, random_state=3))], PULSE)
    assert np.array_equal(first.values, second.values, equal_nan=True)
    assert first.labels.equals(second.labels)


def test_a_train_that_stopped_early_has_the_features_of_its_first_pulses_and_no_others(tmp_path):
    labelled = _labelled(tmp_path)
    cut = tuple(replace(train, pulses=train.pulses[:5]) for train in labelled.tests)
    measured_short = feature_table([LabelledTests(labelled.source, labelled.labels, cut)], PULSE)
    whole = feature_table([labelled], PULSE)
    stopped = as_stopped_early(whole)
    by_battery = {tuple(row[:2]): row for row in measured_short.values}
    for row in stopped.values:
        assert np.array_equal(row, by_battery[tuple(row[:2])], equal_nan=True)


def test_two_types_within_two_percent_of_each_other_are_refused(tmp_path):
    close = replace(LFP, rated_capacity_ah=20.2)
    with pytest.raises(InvalidInput, match=r"TYPES_OVERLAP.*LFP20 and LFP20\.2"):
        feature_table([_labelled(tmp_path, synthetic_rows(3, (LFP, close)))], PULSE)


def test_types_of_other_chemistry_or_size_are_told_apart(tmp_path):
    table = feature_table([_labelled(tmp_path, synthetic_rows(3, (LFP, NMC)))], PULSE)
    assert sorted(set(table.type_keys)) == ["LFP20", "NMC21"]


def test_a_data_set_without_a_row_is_refused(tmp_path):
    empty = _labelled(tmp_path)
    nothing = LabelledTests(DatasetSource("mine", "MIT", "0" * 64), empty.labels.iloc[:0], ())
    with pytest.raises(InvalidInput, match=r"NOTHING_TO_TRAIN"):
        feature_table([nothing], PULSE)


def test_a_history_without_a_usable_train_is_named(tmp_path):
    labelled = _labelled(tmp_path)
    histories = _histories(labelled)
    histories[0] = BatteryHistory(histories[0].identity, (_without_pulses(histories[0].runs[0]),))
    broken = LabelledTests(labelled.source, labelled.labels, histories)
    with pytest.raises(InvalidInput, match=histories[0].identity.battery_id):
        feature_table([broken], PULSE)


def _without_pulses(run):
    table = run.table
    rest = {name: table.columns[name][:1] for name in table.columns}
    return replace(run, table=replace(table, columns=rest))


def test_a_type_is_named_by_chemistry_and_size(tmp_path):
    batteries = identities(_labelled(tmp_path).labels)
    assert type_key(batteries[0]) == "LFP20"
    assert type_key(replace(batteries[0], type_designation="XY1")) == "LFP20-XY1"


def test_the_trains_of_the_synthetic_rows_are_whole():
    assert all(len(train.pulses) == 10 for train in trains(synthetic_rows(2)))
