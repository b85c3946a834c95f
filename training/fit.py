"""Fitting every model of a bundle: members and look per battery type, and the classifiers at the cuts.

What comes out is not calibrated yet: `training.calibrate` adds the interval and the probabilities
from batteries the models did not see. One thread and seeds from the plan make two runs equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from lightgbm import Booster
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no type hints

from models.capacity import Ensemble, TreesMember
from models.decision import cut_key
from models.kernel import KernelMember
from models.look import Looks, TypeLook
from models.window_kernel import WindowKernelMember
from training.fit_looks import fit_look
from training.fit_members import TreeText, fit_classifier, fit_kernel, fit_trees
from training.fit_windows import fit_window_kernel
from training.plan import Plan
from training.plan_tables import KernelMemberPlan, WindowKernelMemberPlan
from training.recipes.by_method import recipe_of
from training.recipes.recipe import Member, Recipe
from training.table import BoolArray, FeatureTable

FittedMember = KernelMember | WindowKernelMember | TreeText


@dataclass(frozen=True)
class FittedType:
    """Members, with the plan of each, and the look of one battery type."""

    members: tuple[tuple[Member, FittedMember], ...]
    look: TypeLook

    def ensemble(self) -> Ensemble:
        """Members as the service runs them."""
        return Ensemble(
            tuple(
                TreesMember(fitted.names, Booster(model_str=fitted.text)) if isinstance(fitted, TreeText) else fitted
                for _, fitted in self.members
            ),
            tuple(plan.weight for plan, _ in self.members),
        )


@dataclass(frozen=True)
class FittedModels:
    """Everything fitted, nothing calibrated.

    Attributes
    ----------
    required : tuple of str
        Features without which nothing is said.
    types : mapping of str to FittedType
        Per type key.
    classifiers : mapping of str to TreeText
        Per cut (`cut_key`) that has enough batteries on both sides.
    look_features : tuple of str
        Features of the looks.
    look_margin : float
        See `models.look.Looks`.
    """

    required: tuple[str, ...]
    types: Mapping[str, FittedType]
    classifiers: Mapping[str, TreeText]
    look_features: tuple[str, ...]
    look_margin: float

    def looks(self) -> Looks:
        """Return the looks of all types, as the service holds them."""
        return Looks(self.look_features, {key: each.look for key, each in self.types.items()}, self.look_margin)


def fit_models(plan: Plan, table: FeatureTable, classifier_cuts: Sequence[float]) -> FittedModels:
    """Fit all models on the rows of a table.

    Parameters
    ----------
    plan : Plan
        Members, classifiers and looks, with their seeds.
    table : FeatureTable
        Rows that train; which of them a model takes is in the plan.
    classifier_cuts : sequence of float
        Cuts that get a classifier (`supported_classifier_cuts` of the whole table, so that every
        fold has the same).

    Returns
    -------
    FittedModels
        With every type that has rows enough for a member and a look.
    """
    recipe = recipe_of(plan)
    usable = table.taken(recipe.usable(table))
    typical = usable.taken(recipe.typical(usable))
    keys = sorted(set(typical.type_keys.tolist()))
    with threadpool_limits(1):
        fitted = {key: _fit_type(plan, recipe, _of_type(usable, key)) for key in keys}
        visited = typical.taken(_of_visited_types(typical))
        classifiers = {
            cut_key(cut): fit_classifier(plan.suitability, recipe, visited, cut, plan.seed) for cut in classifier_cuts
        }
    types = {key: each for key, each in fitted.items() if each is not None}
    applicability = plan.applicability
    return FittedModels(recipe.required, types, classifiers, applicability.features, applicability.margin)


def supported_classifier_cuts(plan: Plan, table: FeatureTable) -> tuple[float, ...]:
    """Cuts of the plan with enough visited cells on both sides."""
    visits = table.taken(recipe_of(plan).usable(table) & table.visits)
    cells, enough = visits.physical_cells, plan.suitability.least_batteries_per_side
    below_cut = {cut: visits.state_of_health_fraction < cut for cut in plan.suitability.cuts}
    return tuple(
        cut
        for cut, below in below_cut.items()
        if min(len(set(cells[below].tolist())), len(set(cells[~below].tolist()))) >= enough
    )


def _fit_type(plan: Plan, recipe: Recipe, usable: FeatureTable) -> FittedType | None:
    """Members and look of a type; None where no member has enough rows, or no row a look."""
    members = tuple(
        (each, fitted)
        for each in plan.members
        if (fitted := _fit_member(each, recipe, usable.taken(recipe.member_rows(each, usable)), plan.seed))
    )
    looked_at = usable.taken(recipe.typical(usable) & usable.measured(plan.applicability.features))
    if not members or not len(looked_at):
        return None
    return FittedType(members, fit_look(plan.applicability, looked_at, plan.seed))


def _fit_member(plan: Member, recipe: Recipe, rows: FeatureTable, seed: int) -> FittedMember | None:
    if isinstance(plan, KernelMemberPlan):
        return fit_kernel(plan, recipe, rows, seed) if len(rows) >= plan.least_rows else None
    if isinstance(plan, WindowKernelMemberPlan):
        return fit_window_kernel(plan, recipe, rows, seed)
    return fit_trees(plan, recipe, rows, seed) if len(rows) else None


def _of_type(table: FeatureTable, key: str) -> FeatureTable:
    return table.taken(table.type_keys == key)


def _of_visited_types(table: FeatureTable) -> BoolArray:
    return np.isin(table.type_keys.astype(str), table.type_keys[table.visits].astype(str))
