import pytest

from features.errors import InvalidInput
from features.feature_set import Method
from training.cli import REFERENCE_PLAN
from training.plan import load_joint_plan, load_plan


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
    path = _changed(tmp_path, "fold_count = 10", "folds = 5\nfold_count = 10")
    with pytest.raises(InvalidInput, match=r"PLAN_NOT_READABLE(.|\n)*splits.folds"):
        load_plan(path)


def test_a_word_for_a_number_is_refused(tmp_path):
    path = _changed(tmp_path, "fold_count = 10", 'fold_count = "5"')
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


def test_a_pulse_member_without_amplitudes_is_refused_by_name(tmp_path):
    path = _changed(tmp_path, 'amplitudes = "up_to_1.5c_charge"\n', "")
    with pytest.raises(InvalidInput, match=r"members.ratios: a pulse test's member has amplitudes"):
        load_plan(path)


def test_amplitudes_belong_to_no_other_method(tmp_path):
    path = _other_method(tmp_path, amplitudes=True)
    with pytest.raises(InvalidInput, match=r"amplitudes belong to the members of a pulse test"):
        load_plan(path)
    assert load_plan(_other_method(tmp_path, amplitudes=False)).method is Method.TWO_PULSE_TRAINS


def test_rows_and_counting_of_pulses_are_refused_in_the_plan_of_another_method(tmp_path):
    path = _other_method(tmp_path, amplitudes=False)
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "\n[counting]\nvisit_pulse_width_second = 3.0\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"two_pulse_trains.counting: Extra inputs"):
        load_plan(path)


def test_a_method_that_cannot_be_trained_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"capacity_test"):
        load_plan(_changed(tmp_path, 'method = "pulse_test"', 'method = "capacity_test"'))


def test_a_joint_plan_names_the_plans_of_its_methods(tmp_path):
    _other_method(tmp_path, amplitudes=False)
    _changed(tmp_path, "seed = 0", "seed = 0")
    joint = load_joint_plan(_joint(tmp_path, "plan.toml", "other.toml"))
    assert [plan.method for plan in joint.methods] == [Method.PULSE_TEST, Method.TWO_PULSE_TRAINS]
    assert joint.bundle.name == "both"


def test_a_method_s_plan_alone_is_a_bundle_of_one(tmp_path):
    joint = load_joint_plan(REFERENCE_PLAN)
    assert [plan.method for plan in joint.methods] == [Method.PULSE_TEST]
    assert joint.bundle.name == "pulse-reference"


def test_one_method_trained_by_two_plans_is_refused(tmp_path):
    _changed(tmp_path, "seed = 0", "seed = 0")
    with pytest.raises(InvalidInput, match=r"plan.toml trains it too \(got pulse_test\)"):
        load_joint_plan(_joint(tmp_path, "plan.toml", "plan.toml"))


def test_a_plan_a_joint_plan_names_and_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(InvalidInput, match=r"Plan none.toml was not loaded"):
        load_joint_plan(_joint(tmp_path, "none.toml"))


def test_a_look_is_sliced_along_one_of_its_own_features(tmp_path):
    path = _changed(tmp_path, 'sliced_along = "open_circuit_voltage_volt"', 'sliced_along = "rest_drift_volt_1.0c"')
    with pytest.raises(InvalidInput, match=r"sliced_along and of_the_test name features of the look, not rest_drift"):
        load_plan(path)


def _joint(folder, *methods):
    path = folder / "joint.toml"
    named = ", ".join(f'"{name}"' for name in methods)
    tables = (
        f"methods = [{named}]",
        '[bundle]\nname = "both"\nversion = "1"\nreproduced_by = "packgrade-train run joint.toml"',
        '[tracking]\nexperiment = "both"\nregistered_name = "both"',
    )
    path.write_text("\n".join(tables), encoding="utf-8")
    return path


def _other_method(folder, *, amplitudes):
    text = REFERENCE_PLAN.read_text(encoding="utf-8")
    rows, counting = text.index("[rows]"), text.index("[counting]")
    splits, members = text.index("[splits]"), text.index("[[members]]")
    assert rows < splits < counting < members
    listed = '[listed_features]\nrequired = ["open_circuit_slope_volt"]\nanchors = ["log_pulse_width"]\n\n'
    text = text[:rows] + text[splits:counting] + listed + text[members:]
    text = text.replace('method = "pulse_test"', 'method = "two_pulse_trains"')
    if not amplitudes:
        text = text.replace('amplitudes = "all"\n', "").replace('amplitudes = "up_to_1.5c_charge"\n', "")
    path = folder / "other.toml"
    path.write_text(text, encoding="utf-8")
    return path
