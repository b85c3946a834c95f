"""Fitting one ensemble member on the labelled tests of one battery type.

A kernel member is a Nyström kernel ridge: centres from several k-means runs, none of them a single
training row, so that a bundle holds no row of the data. A tree member is LightGBM, handed on as native text. Both
predict the logarithm of state of health. Everything random is seeded; one thread, so that two runs
add the same numbers in the same order.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.cluster import KMeans

from features.measurement import FloatArray
from models.kernel import KernelMember, Standardisation
from training.plan_tables import KernelMemberPlan, SuitabilityPlan, TreeMemberPlan, TreesPlan
from training.recipes.recipe import Recipe
from training.table import FeatureTable

_TEN_TO_NINETY_SPREAD = 2.56
"""10 to 90 percentile of a normal distribution in standard deviations."""
_LARGEST_SEED = 2**31 - 1
_SEED_STEP = 97


@dataclass(frozen=True)
class TreeText:
    """A fitted tree member: its features, in order, and LightGBM's native text."""

    names: tuple[str, ...]
    text: str


def fit_kernel(plan: KernelMemberPlan, recipe: Recipe, table: FeatureTable, seed: int) -> KernelMember:
    """Fit a kernel member.

    Parameters
    ----------
    plan : KernelMemberPlan
        Hyper-parameters.
    recipe : Recipe
        Its features.
    table : FeatureTable
        Training rows of one type.
    seed : int
        Seed of the centres.

    Returns
    -------
    KernelMember

    Notes
    -----
    Minimises ``Σ (t − f)² / σ² + ‖f‖²`` in the space spanned by the centres (Williams & Seeger, NIPS
    2000), with σ of a visit `visit_noise_factor` times that of a grid row.
    """
    names = recipe.member_features(plan)
    columns = table.columns(names)
    scaling = _standardisation(columns, [name.startswith(recipe.logarithmic) for name in names])
    rows = scaling.standardised(columns)
    centres = _centres(rows, plan, seed)
    target = np.log(table.state_of_health_fraction)
    offset = float(target.mean())
    noise = np.where(table.visits, plan.noise * plan.visit_noise_factor, plan.noise)
    weights = _ridge_weights(
        plan.form.between(rows, centres) / noise[:, None],
        plan.form.between(centres, centres),
        (target - offset) / noise,
    )
    return KernelMember(names, recipe.member_required(plan), plan.form, scaling, centres, weights, offset)


def fit_trees(plan: TreeMemberPlan, recipe: Recipe, table: FeatureTable, seed: int) -> TreeText:
    """Fit a tree member; see `TreeMemberPlan`."""
    names = recipe.member_features(plan)
    rows = _rows(table, names, np.log(table.state_of_health_fraction), plan.visit_weight)
    falling = [-int(plan.falls_with_resistance and name.startswith(recipe.resistances)) for name in names]
    return TreeText(names, _boosted(rows, plan, "l2", seed, {"monotone_constraints": falling} if any(falling) else {}))


def fit_classifier(plan: SuitabilityPlan, recipe: Recipe, table: FeatureTable, cut: float, seed: int) -> TreeText:
    """Fit a classifier of P(state of health < cut) on the rows of all types; see `SuitabilityPlan`."""
    names = recipe.classifier_features(plan.features)
    below = (table.state_of_health_fraction < cut).astype(np.float64)
    return TreeText(names, _boosted(_rows(table, names, below, plan.visit_weight), plan, "binary", seed))


def _boosted(
    rows: lightgbm.Dataset,
    plan: TreesPlan,
    objective: str,
    seed: int,
    constraints: Mapping[str, list[int]] | None = None,
) -> str:
    settings = {
        "objective": objective,
        "extra_trees": True,
        "learning_rate": plan.learning_rate,
        "num_leaves": plan.leaf_count,
        "min_data_in_leaf": plan.least_rows_per_leaf,
        "feature_fraction": plan.feature_share,
        "bagging_fraction": plan.row_share,
        "bagging_freq": 1,
        "lambda_l2": plan.l2,
        "seed": seed % _LARGEST_SEED,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbose": -1,
        **(constraints or {}),
    }
    return str(lightgbm.train(settings, rows, plan.round_count).model_to_string())


def _rows(table: FeatureTable, names: Sequence[str], target: FloatArray, visit_weight: float) -> lightgbm.Dataset:
    columns = [f"f{number}" for number in range(len(names))]
    return lightgbm.Dataset(
        table.columns(names), target, weight=_tree_weights(table, visit_weight), feature_name=columns
    )


def _standardisation(columns: FloatArray, taken_as_logarithm: Sequence[bool]) -> Standardisation:
    logarithmic, count = np.array(taken_as_logarithm), len(taken_as_logarithm)
    raw = Standardisation(logarithmic, np.zeros(count), np.ones(count)).raw(columns)
    never = np.isnan(raw).all(axis=0)
    raw = np.where(never, 0.0, raw)
    low, high = np.nanpercentile(raw, (10.0, 90.0), axis=0)
    return Standardisation(logarithmic, np.nanmedian(raw, axis=0), (high - low) / _TEN_TO_NINETY_SPREAD + 1e-9)


def _centres(rows: FloatArray, plan: KernelMemberPlan, seed: int) -> FloatArray:
    """Centres of several k-means runs, pooled, in float32 precision."""
    weight = np.ones(rows.shape[1])
    weight[0] = plan.first_feature_weight
    count = max(1, min(plan.centre_count, int(len(rows) / plan.rows_per_centre)))
    run_count = min(plan.centre_run_count, math.ceil(plan.centre_count / count))
    runs = [_run_centres(rows * weight, count, seed + _SEED_STEP * run) for run in range(run_count)]
    pooled = np.concatenate(runs)[: plan.centre_count]
    rounded: FloatArray = (pooled / weight).astype(np.float32).astype(np.float64)
    return rounded


def _run_centres(rows: FloatArray, count: int, seed: int) -> FloatArray:
    """K-means centres; a centre of a single row is averaged with its neighbour."""
    clusters = KMeans(count, n_init=1, init="random", max_iter=8, random_state=seed % _LARGEST_SEED).fit(rows)
    centres: FloatArray = clusters.cluster_centers_
    members = np.bincount(clusters.labels_, minlength=count)
    for lonely in np.flatnonzero(members < 2) if count > 1 else ():
        distance = ((centres - centres[lonely]) ** 2).sum(axis=1)
        distance[lonely] = np.inf
        centres[lonely] = 0.5 * (centres[lonely] + centres[distance.argmin()])
    return centres


def _ridge_weights(rows: FloatArray, centres: FloatArray, target: FloatArray) -> FloatArray:
    count = centres.shape[0]
    normal = rows.T @ rows + centres
    normal += 1e-8 * np.trace(centres) / count * np.eye(count)
    normal += 1e-10 * np.trace(normal) / count * np.eye(count)
    return np.asarray(np.linalg.solve(normal, rows.T @ target), dtype=np.float64)


def _tree_weights(table: FeatureTable, visit_weight: float) -> npt.NDArray[np.float64]:
    """Every battery counts with the root of its rows, so that a much-tested one does not rule."""
    frame = pd.DataFrame({"battery_id": table.labels["battery_id"], "visit": table.visits})
    rows_of_battery = frame.groupby(["battery_id", "visit"])["visit"].transform("size").to_numpy()
    weights = np.where(table.visits, visit_weight, 1.0) / np.sqrt(rows_of_battery.astype(np.float64))
    return np.asarray(weights / weights.mean(), dtype=np.float64)
