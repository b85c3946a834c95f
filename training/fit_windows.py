"""Fitting a window-kernel member: prototypes from the widest tests of one battery type.

Only tests that passed nearly everything any test passed become prototypes; small windows teach the
trees. A prototype is the mean of a cluster of at least two tests in features and label together, so
that a bundle holds no row of the data.
"""

import numpy as np
from sklearn.cluster import KMeans

from features.measurement import FloatArray
from models.kernel import Standardisation
from models.window_kernel import WindowKernelMember
from training.plan_tables import WindowKernelMemberPlan
from training.recipes.recipe import Recipe
from training.table import FeatureTable

_TEN_TO_NINETY_SPREAD = 2.56
_LARGEST_SEED = 2**31 - 1
_TARGET_WEIGHT = 1.0
"""How far apart labels pull tests of like curves: as one standardised feature in each of the curve's."""


def fit_window_kernel(
    plan: WindowKernelMemberPlan, recipe: Recipe, table: FeatureTable, seed: int
) -> WindowKernelMember | None:
    """Fit a window-kernel member.

    Parameters
    ----------
    plan : WindowKernelMemberPlan
        Hyper-parameters.
    recipe : Recipe
        Its features.
    table : FeatureTable
        Training rows of one type.
    seed : int
        Seed of the clusters.

    Returns
    -------
    WindowKernelMember or None
        None where the type has fewer wide tests than `least_rows`.
    """
    names = tuple(name for name in recipe.feature_set.names if name.startswith(plan.features))
    columns = table.columns(names)
    measured_count = np.isfinite(columns).sum(axis=1)
    wide = measured_count >= max(plan.least_measured_share * measured_count.max(initial=0), 1.0)
    if np.count_nonzero(wide) < plan.least_rows:
        return None
    scaling = _standardisation(columns[wide])
    target = np.log(table.state_of_health_fraction[wide])
    offset = float(target.mean())
    prototypes, targets = _prototypes(_scaled(scaling, columns[wide]), target - offset, plan, seed)
    return WindowKernelMember(
        names, plan.least_feature_count, plan.form, plan.noise, scaling, prototypes, targets, offset
    )


def _standardisation(columns: FloatArray) -> Standardisation:
    never = np.isnan(columns).all(axis=0)
    held = np.where(never, 0.0, columns)
    low, high = np.nanpercentile(held, (10.0, 90.0), axis=0)
    spread = (high - low) / _TEN_TO_NINETY_SPREAD + 1e-6
    return Standardisation(np.zeros(columns.shape[1], dtype=np.bool_), np.nanmedian(held, axis=0), spread)


def _scaled(scaling: Standardisation, columns: FloatArray) -> FloatArray:
    """Standardised, NaN where not measured."""
    scaled: FloatArray = np.where(np.isfinite(columns), scaling.standardised(columns), np.nan)
    return scaled


def _prototypes(
    rows: FloatArray, target: FloatArray, plan: WindowKernelMemberPlan, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Means of clusters, in float32 precision, and their mean targets."""
    count = max(1, min(plan.prototype_count, int(len(rows) / plan.rows_per_prototype)))
    pulled = _TARGET_WEIGHT * target / max(float(target.std()), 1e-9)
    points = np.column_stack([np.nan_to_num(rows), pulled])
    clusters = KMeans(count, n_init=1, init="random", max_iter=10, random_state=seed % _LARGEST_SEED).fit(points)
    labels = _without_lonely(clusters.labels_, clusters.cluster_centers_)
    groups = [np.flatnonzero(labels == number) for number in np.unique(labels)]
    prototypes = np.array([_mean_of_measured(rows[group]) for group in groups])
    return prototypes.astype(np.float32).astype(np.float64), np.array([target[group].mean() for group in groups])


def _without_lonely(labels: np.ndarray, centres: FloatArray) -> np.ndarray:
    """Cluster of every row after a cluster of one row has joined its nearest neighbour."""
    joined = labels.copy()
    for lonely in np.flatnonzero(np.bincount(labels, minlength=len(centres)) == 1):
        present = np.setdiff1d(np.unique(joined), [lonely])
        if present.size:
            distance = ((centres[present] - centres[lonely]) ** 2).sum(axis=1)
            joined[joined == lonely] = present[distance.argmin()]
    return joined


def _mean_of_measured(rows: FloatArray) -> FloatArray:
    measured = np.isfinite(rows)
    count = measured.sum(axis=0)
    total = np.where(measured, rows, 0.0).sum(axis=0)
    mean: FloatArray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean
