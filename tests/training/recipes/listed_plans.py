"""Plans that list their features, small enough to train on a few equations."""

from pathlib import Path
from typing import Any

from features.feature_set import Method
from tests.training.tiny_plan import tiny_plan
from training.plan import ListedPlan
from training.plan_datasets import CanonicalTablesPlan
from training.plan_tables import ListedFeaturesPlan, TreeMemberPlan


def listed_plan(
    method: Method, listed: dict[str, Any], look: tuple[str, ...], manifest: Path, labels: Path
) -> ListedPlan:
    """One tree member on every feature, no classifier, three folds."""
    pulses = tiny_plan()
    trees = next(member for member in pulses.members if isinstance(member, TreeMemberPlan))
    return ListedPlan(
        method=method,
        bundle=pulses.bundle.model_copy(update={"name": "listed"}),
        datasets=(
            CanonicalTablesPlan(kind="canonical_tables", name="mine", licence="own", manifest=manifest, labels=labels),
        ),
        listed_features=ListedFeaturesPlan(**listed),
        splits=pulses.splits.model_copy(update={"unseen_type_keys": ()}),
        members=(trees.model_copy(update={"amplitudes": None, "features": ()}),),
        interval=pulses.interval,
        suitability=pulses.suitability.model_copy(update={"cuts": ()}),
        applicability=pulses.applicability.model_copy(
            update={"features": look, "sliced_along": None, "of_the_test": (), "default_component_count": 2}
        ),
        tracking=pulses.tracking,
        seed=0,
    )
