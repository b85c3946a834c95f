from dataclasses import replace

import numpy as np
import pytest

from features.errors import PackGradeError
from training.crossfit import plan_folds
from training.plan_search import SearchPlan
from training.search import mean_error_fraction, plan_with, search, searched_in

SPACE = {
    "inner_fold_count": 2,
    "members": {
        "ratios": {
            "length_scale": {"lowest": 0.5, "highest": 5.0, "logarithmic": True},
            "centre_count": {"lowest": 8, "highest": 16},
        },
        "ratios_2.5c": {"weight": {"lowest": 1.0, "highest": 9.0}},
    },
}
LENGTH, COUNT, WEIGHT = "members.ratios.length_scale", "members.ratios.centre_count", "members.ratios_2.5c.weight"


@pytest.fixture(scope="module")
def plan(tiny_plan):
    members = tuple(each for each in tiny_plan.members if each.name in SPACE["members"])
    return tiny_plan.model_copy(update={"members": members, "search": SearchPlan.model_validate(SPACE)})


@pytest.fixture(scope="module")
def table(tiny_judged):
    return tiny_judged.table


@pytest.fixture(scope="module")
def outcome(plan, table):
    return search(plan, table, 6, 3, on_trial=lambda _: None)


def test_the_same_seed_gives_the_same_trials_and_another_seed_others(plan, table, outcome):
    again = search(plan, table, 3, 3, on_trial=lambda _: None)
    assert again.trials == outcome.trials[:3]
    other = search(plan, table, 2, 4, on_trial=lambda _: None)
    assert other.trials[0] == outcome.trials[0]
    assert other.trials[1] != outcome.trials[1]


def test_the_first_trial_is_the_plan_as_written_and_the_best_is_never_worse(plan, outcome):
    assert outcome.trials[0].numbers == {each.path: each.written for each in searched_in(plan)}
    assert outcome.best.error_fraction == min(trial.error_fraction for trial in outcome.trials)
    assert outcome.best.error_fraction <= outcome.trials[0].error_fraction


def test_every_number_tried_lies_within_its_bounds_and_whole_numbers_stay_whole(outcome):
    for trial in outcome.trials:
        assert 0.5 <= trial.numbers[LENGTH] <= 5.0
        assert 1.0 <= trial.numbers[WEIGHT] <= 9.0
        assert isinstance(trial.numbers[COUNT], int)
        assert 8 <= trial.numbers[COUNT] <= 16
    assert len({trial.numbers[LENGTH] for trial in outcome.trials}) == 6


def test_what_the_cells_put_aside_measured_moves_no_trial_but_the_last_comparison(plan, table, outcome):
    aside = plan_folds(plan, table)[0].held_out
    labels = table.labels.copy()
    labels.loc[labels.index[aside], "remaining_capacity_ah"] *= 0.5
    halved = search(plan, replace(table, labels=labels), 3, 3, on_trial=lambda _: None)
    assert halved.trials == outcome.trials[:3]
    assert halved.unseen_error_fraction[1] > 5 * outcome.unseen_error_fraction[1]


def test_only_the_plan_as_written_and_the_best_meet_the_cells_put_aside(outcome):
    assert set(outcome.unseen_error_fraction) == {1, outcome.best.number}


def test_every_trial_is_told_when_it_has_ended(plan, table, outcome):
    told = []
    search(plan, table, 2, 3, on_trial=told.append)
    assert tuple(told) == outcome.trials[:2]


def test_other_numbers_change_their_member_and_nothing_else(plan):
    changed = plan_with(plan, {LENGTH: 2.5, COUNT: 9, WEIGHT: 7.0})
    before, after = ({member.name: member for member in each.members} for each in (plan, changed))
    assert after["ratios"] == before["ratios"].model_copy(update={"length_scale": 2.5, "centre_count": 9})
    assert after["ratios_2.5c"] == before["ratios_2.5c"].model_copy(update={"weight": 7.0})
    assert changed.model_copy(update={"members": plan.members}) == plan


def test_a_plan_without_a_search_table_is_refused(tiny_plan, table):
    silent = tiny_plan.model_copy(update={"search": None})
    with pytest.raises(PackGradeError, match=r"NO_SEARCH_SPACE  Plan 'pulse-reference' has no \[search\] table"):
        search(silent, table, 1, 0, on_trial=lambda _: None)


def test_more_inner_folds_than_cells_are_refused(plan, table):
    many = plan.model_copy(update={"search": plan.search.model_copy(update={"inner_fold_count": 40})})
    with pytest.raises(PackGradeError, match=r"TOO_FEW_CELLS"):
        search(many, table, 1, 0, on_trial=lambda _: None)


def test_the_error_is_the_mean_of_that_on_visits_and_that_on_grid_rows(tiny_judged):
    facts = tiny_judged.held_out.facts
    point = np.where(facts.visits, 1.02, 1.04) * facts.measured
    assert mean_error_fraction(replace(facts, point=point)) == pytest.approx(0.03)
    assert mean_error_fraction(replace(facts, point=point).taken(facts.visits)) == pytest.approx(0.02)
    assert mean_error_fraction(replace(facts, point=point).taken(~facts.visits)) == pytest.approx(0.04)
