"""The shipped plan, small enough to train within a second on synthetic pulses."""

from training.cli import REFERENCE_PLAN
from training.plan import Plan, load_plan


def tiny_plan() -> Plan:
    """Every kind of member, a classifier at 0.80, three folds."""
    plan = load_plan(REFERENCE_PLAN)
    smaller = {"centre_count": 12, "centre_run_count": 2, "round_count": 20, "least_rows": 5, "least_rows_per_leaf": 5}
    members = tuple(
        member.model_copy(update={name: value for name, value in smaller.items() if hasattr(member, name)})
        for member in plan.members
    )
    splits = plan.splits.model_copy(
        update={"fold_count": 3, "calibration_split_count": 10, "unseen_type_keys": ("NMC21",)}
    )
    applicability = plan.applicability.model_copy(update={"component_count": {}})
    booster = {"round_count": 40, "learning_rate": 0.2, "least_rows_per_leaf": 5}
    suitability = plan.suitability.model_copy(update={"cuts": (0.8,), "least_batteries_per_side": 10, **booster})
    changes = {"members": members, "splits": splits, "applicability": applicability, "suitability": suitability}
    return plan.model_copy(update=changes)
