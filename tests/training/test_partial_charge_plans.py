from pathlib import Path

import pytest

from features.errors import InvalidInput
from features.feature_set import Method
from training.datasets.registry import PUBLIC_SETS
from training.plan import load_plan
from training.recipes.by_method import recipe_of

PLANS = sorted((Path(__file__).parents[2] / "training" / "plans").glob("partial_charge_*.toml"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_every_shipped_plan_names_features_and_sets_that_exist(path: Path) -> None:
    plan = load_plan(path)
    assert plan.method is Method.PARTIAL_CHARGE
    assert recipe_of(plan).feature_set.method is Method.PARTIAL_CHARGE
    assert {dataset.kind for dataset in plan.datasets} <= set(PUBLIC_SETS)


def test_a_window_kernel_without_features_is_refused(tmp_path: Path) -> None:
    text = PLANS[-1].read_text(encoding="utf-8").replace('features = ["charge_slice_"]', "features = []")
    (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"PLAN_NOT_READABLE(.|\n)*features"):
        load_plan(tmp_path / "plan.toml")


def test_a_prototype_of_a_single_row_is_refused(tmp_path: Path) -> None:
    text = PLANS[-1].read_text(encoding="utf-8").replace("rows_per_prototype = 2.0", "rows_per_prototype = 1.0")
    (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"PLAN_NOT_READABLE(.|\n)*rows_per_prototype"):
        load_plan(tmp_path / "plan.toml")
