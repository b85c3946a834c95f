import pytest

from features.errors import InvalidInput
from training.cli import REFERENCE_PLAN
from training.plan import load_plan
from training.plan_search import searched_numbers


def _plan(tmp_path, member, line):
    text, _, _ = REFERENCE_PLAN.read_text(encoding="utf-8").partition("[search]")
    path = tmp_path / "plan.toml"
    path.write_text(f'{text}[search]\ninner_fold_count = 3\n\n[search.members."{member}"]\n{line}\n', encoding="utf-8")
    return path


def test_a_range_that_holds_the_number_as_written_is_taken(tmp_path):
    plan = load_plan(_plan(tmp_path, "ratios_2.5c", "noise = { lowest = 0.005, highest = 0.05, logarithmic = true }"))
    (number,) = searched_numbers(plan.search, plan.members)
    assert (number.path, number.written) == ("members.ratios_2.5c.noise", 0.02)


@pytest.mark.parametrize(
    ("member", "line", "said"),
    [
        ("ratio", "noise = { lowest = 0.005, highest = 0.05 }", "one member has that name, the plan has 0"),
        ("ratios", "noises = { lowest = 0.005, highest = 0.05 }", "ratios.noises: must be a number of the member"),
        ("ratios", "shape = { lowest = 1, highest = 2 }", "ratios.shape: must be a number of the member"),
        ("trees", "falls_with_resistance = { lowest = 0, highest = 1 }", "must be a number of the member"),
        ("ratios", "noise = { lowest = 0.03, highest = 0.05 }", "hold the 0.02 the plan is written with, got 0.03"),
        ("ratios", "noise = { lowest = 0.05, highest = 0.005 }", "bounds rise"),
        ("ratios", "rows_per_centre = { lowest = 1.5, highest = 3.0 }", "1.5 is refused: Input should be greater"),
        ("ratios", "centre_count = { lowest = 300.5, highest = 1200 }", "300.5 is refused"),
        ("ratios", "linear_share = { lowest = 0.0, highest = 1.0, logarithmic = true }", "begins above 0, got 0.0"),
        ("ratios", 'noise = { lowest = "low", highest = 0.05 }', "search.members.ratios.noise.lowest"),
        ("ratios", "noise = { lowest = 0.005 }", "search.members.ratios.noise.highest"),
        ("ratios", "noise = { lowest = 0.005, highest = 0.05, step = 0.01 }", "search.members.ratios.noise.step"),
        ("ratios", "", "search.members.ratios"),
    ],
)
def test_a_range_that_fits_no_number_of_the_plan_is_refused_by_name(tmp_path, member, line, said):
    with pytest.raises(InvalidInput, match=r"PLAN_NOT_READABLE") as refused:
        load_plan(_plan(tmp_path, member, line))
    assert said in str(refused.value)


def test_what_may_be_searched_is_no_parameter_of_a_run():
    plan = load_plan(REFERENCE_PLAN)
    assert plan.search is not None
    assert plan.parameters() == plan.model_copy(update={"search": None}).parameters()
