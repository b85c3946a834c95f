from typing import get_args

import pytest

from features.errors import InvalidInput
from features.feature_set import Method
from tests.training.synthetic_pulses import synthetic_rows, write_own_tables, write_public_layout
from training.datasets.registry import PUBLIC_SETS, labelled_tests
from training.plan_datasets import CanonicalTablesPlan, DatasetPlan, settings
from training.table import feature_table


def _kinds():
    union = get_args(DatasetPlan)[0]
    return {kind for each in get_args(union) for kind in get_args(each.model_fields["kind"].annotation)}


def test_every_data_set_a_plan_may_name_has_a_reader():
    assert _kinds() == {*PUBLIC_SETS, "canonical_tables"}


def test_settings_are_what_a_plan_says_beside_the_kind(tmp_path):
    own = CanonicalTablesPlan(
        kind="canonical_tables", name="mine", licence="own", manifest=tmp_path / "m.csv", labels=tmp_path / "l.csv"
    )
    assert settings(own) == {
        "name": "mine",
        "licence": "own",
        "manifest": tmp_path / "m.csv",
        "labels": tmp_path / "l.csv",
    }


def test_several_data_sets_of_a_plan_train_together(tiny_plan, tmp_path):
    rows = synthetic_rows(4)
    manifest, labels = write_own_tables(rows, tmp_path / "own")
    own = CanonicalTablesPlan(kind="canonical_tables", name="mine", licence="own", manifest=manifest, labels=labels)
    plan = tiny_plan.model_copy(update={"datasets": (*tiny_plan.datasets, own)})
    table = feature_table(labelled_tests(plan, write_public_layout(rows, tmp_path)), Method.PULSE_TEST)
    assert [source.name for source in table.sources] == ["pulse_retired", "mine"]
    assert len(table) == 2 * len(rows)


def test_a_data_set_of_pulse_trains_cannot_train_another_method(tiny_plan, tmp_path):
    tests = labelled_tests(tiny_plan, write_public_layout(synthetic_rows(2), tmp_path))
    with pytest.raises(InvalidInput, match=r"TESTS_OF_ANOTHER_METHOD.*pulse_retired holds PulseTrain.*impedance"):
        feature_table(tests, Method.IMPEDANCE)


def test_histories_of_one_train_cannot_train_two_pulse_trains(tiny_plan, tmp_path):
    manifest, labels = write_own_tables(synthetic_rows(2), tmp_path / "own")
    own = CanonicalTablesPlan(kind="canonical_tables", name="mine", licence="own", manifest=manifest, labels=labels)
    plan = tiny_plan.model_copy(update={"datasets": (own,), "method": Method.TWO_PULSE_TRAINS})
    with pytest.raises(
        InvalidInput, match=r"NO_FEATURES.*16 test\(s\) of mine(.|\n)*needs one usable two_pulse_trains"
    ):
        feature_table(labelled_tests(plan, None), Method.TWO_PULSE_TRAINS)
