from dataclasses import replace

import numpy as np
import pytest

from features.errors import InvalidInput
from training.fit import fit_models
from training.misdeclared import MisdeclaredFigures, Reading, misdeclared_figures
from training.recipes.by_method import recipe_of
from training.splits import require_left_out_types
from training.unseen import bundle_without_type


@pytest.fixture(scope="module")
def without_nmc(tiny_judged):
    models = fit_models(tiny_judged.plan, tiny_judged.table, ())
    return bundle_without_type(tiny_judged.plan, tiny_judged.table, tiny_judged.held_out, models, "NMC21")


@pytest.fixture(scope="module")
def presented(tiny_judged):
    table = tiny_judged.held_out.table
    return table.taken(table.type_keys == "NMC21")


def test_a_bundle_without_a_type_knows_the_others_as_before_and_has_no_classifier(tiny_judged, without_nmc):
    plan, table = tiny_judged.plan, tiny_judged.table
    assert [each.key for each in without_nmc.manifest.known_types] == ["LFP20"]
    alone = fit_models(plan, table.taken(table.type_keys != "NMC21"), ())
    estimator, again = without_nmc.estimators[plan.method], alone.types["LFP20"].ensemble()
    rows, names = table.values[table.type_keys == "LFP20"], table.feature_set.names
    here, there = (each.said(rows, names).joined()[0] for each in (estimator.ensembles["LFP20"], again))
    assert np.array_equal(here, there)
    assert estimator.suitability.classifiers == {}


def test_cells_of_another_type_are_withheld_whatever_the_plate_says(tiny_judged, without_nmc, presented):
    for figures in misdeclared_figures(tiny_judged.plan, without_nmc, presented).values():
        assert (figures.visits_abstained.count, figures.visits_abstained.total) == (24, 24)
        assert figures.grid_safe.fraction >= 0.95


def test_a_battery_that_looks_its_part_is_safe_only_inside_its_interval(tiny_judged, without_nmc):
    own = tiny_judged.held_out.table.taken(tiny_judged.held_out.table.type_keys == "LFP20")
    honest = misdeclared_figures(tiny_judged.plan, without_nmc, own)[Reading.RATES_OF_PLATE]
    wrong = own.labels.assign(remaining_capacity_ah=0.3 * own.labels["rated_capacity_ah"])
    worn = replace(own, labels=wrong)
    dangerous = misdeclared_figures(tiny_judged.plan, without_nmc, worn)[Reading.RATES_OF_PLATE]
    assert honest.visits_abstained == dangerous.visits_abstained
    assert honest.visits_abstained.fraction < 0.2
    assert honest.visits_safe.fraction > 0.8
    assert dangerous.visits_safe == dangerous.visits_abstained


def test_a_tester_set_by_the_plate_multiplies_resistances_by_the_wrong_capacity(tiny_judged):
    recipe, names = recipe_of(tiny_judged.plan), tiny_judged.table.feature_set.names
    read = recipe.read_with(np.ones((1, len(names))), 2.0)[0]
    assert {value for name, value in zip(names, read, strict=True) if "_ohm_ah" in name} == {2.0}
    assert {value for name, value in zip(names, read, strict=True) if "_ohm_ah" not in name} == {1.0}


def test_the_evaluation_presents_every_type_it_leaves_out(tiny_judged):
    figures = tiny_judged.evaluation.misdeclared
    assert set(figures) == {"NMC21", "all"}
    assert set(figures["all"]) == {reading.value for reading in Reading}
    assert tiny_judged.evaluation.plain()["misdeclared"]["all"]["tester set by the plate"]["visits_safe"]["total"] == 24


def test_a_type_the_data_do_not_hold_cannot_be_left_out(tiny_judged):
    with pytest.raises(InvalidInput, match=r"UNSEEN_TYPE_NOT_IN_DATA(.|\n)*LFP20, NMC21 \(got LFP99\)"):
        require_left_out_types(("LFP20", "LFP99"), tiny_judged.table.type_keys)
    require_left_out_types(("LFP20",), tiny_judged.table.type_keys)


def test_figures_together_count_every_test(tiny_judged, without_nmc, presented):
    one = misdeclared_figures(tiny_judged.plan, without_nmc, presented)[Reading.SET_BY_PLATE]
    both = MisdeclaredFigures.together([one, one])
    assert both.grid_safe.total == 2 * one.grid_safe.total
    assert both.grid_safe.fraction == one.grid_safe.fraction
