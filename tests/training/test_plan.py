import pytest

from features.errors import InvalidInput
from training.cli import REFERENCE_PLAN
from training.plan import load_plan


def _changed(tmp_path, old, new):
    path = tmp_path / "plan.toml"
    text = REFERENCE_PLAN.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_the_shipped_plan_is_sound():
    plan = load_plan(REFERENCE_PLAN)
    assert plan.bundle.coverage_fraction == 0.9
    assert [member.name for member in plan.members][-1] == "trees"


def test_every_number_of_a_plan_is_a_parameter_of_its_run():
    parameters = load_plan(REFERENCE_PLAN).parameters()
    assert parameters["members.trees.round_count"] == "160"
    assert parameters["members.ratios.centre_run_count"] == "4"
    assert parameters["interval.scale_level"] == "0.8"


def test_an_unknown_key_is_refused_by_name(tmp_path):
    path = _changed(tmp_path, "fold_count = 5", "fold_count = 5\nfolds = 5")
    with pytest.raises(InvalidInput, match=r"PLAN_NOT_READABLE(.|\n)*splits.folds"):
        load_plan(path)


def test_a_word_for_a_number_is_refused(tmp_path):
    path = _changed(tmp_path, "fold_count = 5", 'fold_count = "5"')
    with pytest.raises(InvalidInput, match=r"splits.fold_count"):
        load_plan(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("centre_run_count = 4", "centre_run_count = 0"),
        ("centre_run_count = 4", "centre_run_count = 1.5"),
        ("pooling_batteries = 5.0", "pooling_batteries = 0.0"),
        ("scale_level = 0.80", "scale_level = 1.0"),
    ],
)
def test_a_number_outside_its_range_is_refused_by_name(tmp_path, old, new):
    with pytest.raises(InvalidInput, match=old.split()[0]):
        load_plan(_changed(tmp_path, old, new))


def test_a_missing_key_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"capacity_definition"):
        load_plan(_changed(tmp_path, 'capacity_definition = "1C discharge after CCCV, 25 °C"', ""))


def test_a_plan_that_is_no_toml_is_refused(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text("[bundle", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"must be UTF-8 TOML"):
        load_plan(path)


def test_own_tables_are_found_beside_the_plan(tmp_path):
    own = (
        '[[datasets]]\nkind = "canonical_tables"\nname = "mine"\nlicence = "own"\n'
        'manifest = "manifest.csv"\nlabels = "labels.csv"'
    )
    plan = load_plan(_changed(tmp_path, '[[datasets]]\nkind = "pulse_retired"', own))
    assert plan.datasets[0].manifest == tmp_path.resolve() / "manifest.csv"
