import pytest

from models.policy_file import SHIPPED_POLICY
from training.cli import REFERENCE_PLAN
from training.plan import load_plan
from training.run import judge


@pytest.mark.real_data
@pytest.mark.long
def test_the_shipped_plan_reaches_its_targets_on_held_out_cells(data_dir):
    evaluation = judge(load_plan(REFERENCE_PLAN), data_dir, SHIPPED_POLICY, lambda _: None).evaluation
    assert evaluation.grid["all"].errors.mean_absolute_percentage_error <= 0.026
    assert evaluation.visits["all"].errors.mean_absolute_percentage_error <= 0.027
    coverage = evaluation.coverage_over_splits
    assert 0.89 <= coverage["all"].mean <= 0.92
    assert all(each.p_value >= 0.05 for each in coverage.values())
    retested = evaluation.unseen_types_retested["NMC21"]
    assert retested.count == retested.total > 0
