import pytest

from features.errors import InvalidInput
from tests.training.synthetic_pulses import synthetic_rows, write_public_layout
from training.datasets import pulse_retired
from training.labels import checked_labels


@pytest.fixture
def labels(tmp_path):
    return pulse_retired.labelled_tests(write_public_layout(synthetic_rows(3), tmp_path)).labels


def test_labels_that_obey_every_rule_pass(labels):
    assert checked_labels(labels, "mine").equals(labels)


def test_a_capacity_in_milliampere_hours_is_refused_as_a_unit_mistake(labels):
    labels["remaining_capacity_ah"] *= 1000.0
    with pytest.raises(InvalidInput, match=r"is the unit Ah"):
        checked_labels(labels, "mine")


def test_a_battery_of_two_physical_cells_is_refused(labels):
    labels.loc[1, "physical_cell"] = "another"
    with pytest.raises(InvalidInput, match=r"belongs to exactly one physical cell"):
        checked_labels(labels, "mine")


def test_a_missing_capacity_is_refused_and_never_becomes_a_silent_nan(labels):
    labels.loc[1, "remaining_capacity_ah"] = float("nan")
    with pytest.raises(InvalidInput, match=r"LABELS_NOT_VALID(.|\n)*row 1 remaining_capacity_ah"):
        checked_labels(labels, "mine")


def test_an_unknown_chemistry_cannot_be_trained_on(labels):
    labels.loc[0, "chemistry"] = "unknown"
    with pytest.raises(InvalidInput, match=r"row 0 chemistry"):
        checked_labels(labels, "mine")


def test_a_column_that_is_no_label_is_refused(labels):
    with pytest.raises(InvalidInput, match=r"serial"):
        checked_labels(labels.assign(serial="7"), "mine")
