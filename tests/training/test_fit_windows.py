from pathlib import Path

import numpy as np
import pytest

from features.feature_set import Method
from tests.training.test_charge_curves import PLAN, SOURCE, a_curve
from training.datasets.charge_curves import labelled_windows
from training.fit import fit_models
from training.fit_windows import fit_window_kernel
from training.plan import load_plan
from training.recipes.by_method import recipe_of
from training.table import FeatureTable, feature_table

WHOLE_PLAN = load_plan(Path(__file__).parents[2] / "training" / "plans" / "partial_charge_lsd.toml")
MEMBER = WHOLE_PLAN.members[0].model_copy(update={"least_rows": 10, "prototype_count": 12})
RECIPE = recipe_of(WHOLE_PLAN)
CAPACITIES_AH = np.random.default_rng(0).uniform(12.0, 19.0, 30)


@pytest.fixture(scope="module")
def table() -> FeatureTable:
    """Thirty cells of one type; charge in a slice falls with capacity."""
    curves = [a_curve(f"cell-{number:02d}", capacity) for number, capacity in enumerate(CAPACITIES_AH)]
    return feature_table([labelled_windows(curves, PLAN, SOURCE)], Method.PARTIAL_CHARGE)


def test_a_fitted_member_tells_windows_it_was_not_fitted_on(table: FeatureTable) -> None:
    member = fit_window_kernel(MEMBER, RECIPE, table, 0)
    assert member is not None
    narrow = table.columns(["window_charge_fraction"])[:, 0] < 0.25
    said = np.exp(member.predict(table.values[narrow], table.feature_set.names))
    assert np.abs(said - table.state_of_health_fraction[narrow]).mean() < 0.02


def test_no_prototype_is_a_training_row(table: FeatureTable) -> None:
    member = fit_window_kernel(MEMBER, RECIPE, table, 0)
    assert member is not None
    rows = member.standardisation.standardised(table.columns(member.names))
    for prototype in member.prototypes:
        assert np.abs(rows - np.nan_to_num(prototype)).max(axis=1).min() > 1e-4


def test_only_wide_tests_become_prototypes(table: FeatureTable) -> None:
    member = fit_window_kernel(MEMBER, RECIPE, table, 0)
    assert member is not None
    assert np.isfinite(member.prototypes).sum(axis=1).min() > 50


def test_the_same_seed_fits_the_same_member(table: FeatureTable) -> None:
    first, again = (fit_window_kernel(MEMBER, RECIPE, table, 0) for _ in range(2))
    assert first is not None
    assert again is not None
    assert first.array_bytes() == again.array_bytes()


def test_a_type_with_too_few_wide_tests_goes_without_the_member(table: FeatureTable) -> None:
    assert fit_window_kernel(MEMBER.model_copy(update={"least_rows": 31}), RECIPE, table, 0) is None


def test_a_plan_with_the_member_fits_a_type(table: FeatureTable) -> None:
    plan = WHOLE_PLAN.model_copy(update={"members": (MEMBER, *WHOLE_PLAN.members[1:])})
    fitted = fit_models(plan, table, ()).types["NMC20"]
    assert [member.name for member, _ in fitted.members] == ["slices", "trees"]
