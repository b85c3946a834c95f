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
    assert set(evaluation.unseen_types_retested) == {"LFP20", "LFP35", "LMO10", "NMC2.1", "NMC21"}
    assert all(share.count == share.total > 0 for share in evaluation.unseen_types_retested.values())
    misdeclared = evaluation.misdeclared["all"]
    assert all(figures.visits_safe.fraction >= 0.95 for figures in misdeclared.values())
    assert misdeclared["tester set by the plate"].grid_safe.fraction >= 0.95
