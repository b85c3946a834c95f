"""Fitting every model of a bundle: members and look per battery type, and the classifiers at the cuts.

What comes out is not calibrated yet: `training.calibrate` adds the interval and the probabilities
from batteries the models did not see. One thread and seeds from the plan make two runs equal.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from lightgbm import Booster
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no type hints

from models.capacity import Ensemble, TreesMember
from models.decision import cut_key
from models.kernel import KernelMember
from models.look import Looks, TypeLook
from training.fit_looks import fit_look
from training.fit_members import (
    TreeText,
    fit_classifier,
    fit_kernel,
    fit_trees,
    measured_rows,
    required_features,
)
from training.plan import KernelMemberPlan, MemberPlan, Plan
from training.table import FEATURE_SET, BoolArray, FeatureTable, needs_larger_amplitudes

REQUIRED_FEATURES = tuple(
    name
    for name in FEATURE_SET.names
    if name == "open_circuit_voltage_volt" or (name in required_features("all") and not needs_larger_amplitudes(name))
)
"""Every resistance up to the charge pulse at 1.5 C: without one of them nothing is said."""

FittedMember = KernelMember | TreeText


@dataclass(frozen=True)
class FittedType:
    """Members, with the plan of each, and the look of one battery type."""

    members: tuple[tuple[MemberPlan, FittedMember], ...]
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
    types : mapping of str to FittedType
        Per type key.
    classifiers : mapping of str to TreeText
        Per cut (`cut_key`) that has enough batteries on both sides.
    look_features : tuple of str
        Features of the looks.
    look_margin : float
        See `models.look.Looks`.
    """

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
        With every type that has rows to train on.
    """
    usable = table.taken(_usable(plan, table))
    first_amplitudes = usable.taken(_of_width(usable, plan.rows.pulse_width_second))
    keys = sorted(set(first_amplitudes.type_keys.tolist()))
    with threadpool_limits(1):
        types = {key: _fit_type(plan, _of_type(usable, key), _of_type(first_amplitudes, key)) for key in keys}
        visited = first_amplitudes.taken(_of_visited_types(first_amplitudes))
        classifiers = {
            cut_key(cut): fit_classifier(plan.suitability, visited, cut, plan.seed) for cut in classifier_cuts
        }
    return FittedModels(types, classifiers, plan.applicability.features, plan.applicability.margin)


def supported_classifier_cuts(plan: Plan, table: FeatureTable) -> tuple[float, ...]:
    """Cuts of the plan with enough visited cells on both sides."""
    visits = table.taken(_usable(plan, table) & table.visits)
    cells, enough = visits.physical_cells, plan.suitability.least_batteries_per_side
    below_cut = {cut: visits.state_of_health_fraction < cut for cut in plan.suitability.cuts}
    return tuple(
        cut
        for cut, below in below_cut.items()
        if min(len(set(cells[below].tolist())), len(set(cells[~below].tolist()))) >= enough
    )


def _fit_type(plan: Plan, usable: FeatureTable, first_amplitudes: FeatureTable) -> FittedType:
    rows_all = usable.taken(_of_width(usable, plan.rows.all_amplitudes_pulse_width_second))
    rows_all = rows_all.taken(measured_rows(rows_all, required_features("all")))
    members = tuple(
        (each, fitted)
        for each in plan.members
        if (fitted := _fit_member(each, rows_all if each.amplitudes == "all" else first_amplitudes, plan.seed))
    )
    looked_at = first_amplitudes.taken(measured_rows(first_amplitudes, plan.applicability.features))
    return FittedType(members, fit_look(plan.applicability, looked_at, plan.seed))


def _fit_member(plan: MemberPlan, rows: FeatureTable, seed: int) -> FittedMember | None:
    if isinstance(plan, KernelMemberPlan):
        return fit_kernel(plan, rows, seed) if len(rows) >= plan.least_rows else None
    return fit_trees(plan, rows, seed)


def _usable(plan: Plan, table: FeatureTable) -> BoolArray:
    limited = table.labels["voltage_limited"].to_numpy(dtype=np.bool_)
    return measured_rows(table, REQUIRED_FEATURES) & (plan.rows.voltage_limited | ~limited)


def _of_width(table: FeatureTable, width_second: Iterable[float]) -> BoolArray:
    return np.isin(table.pulse_width_second, list(width_second))


def _of_type(table: FeatureTable, key: str) -> FeatureTable:
    return table.taken(table.type_keys == key)


def _of_visited_types(table: FeatureTable) -> BoolArray:
    return np.isin(table.type_keys.astype(str), table.type_keys[table.visits].astype(str))
