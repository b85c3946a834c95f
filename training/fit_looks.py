"""What measurements of one battery type look like: a Gaussian mixture, with a limit from held-out cells.

The limit is the distance that cells left out of the mixture stay within, with some slack; a limit
from the cells the mixture was fitted to would turn honest batteries away.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GroupKFold

from features.measurement import FloatArray
from models.look import TypeLook, look_of
from training.plan import ApplicabilityPlan
from training.table import FEATURE_SET, FeatureTable

_INNER_FOLDS = 3


def fit_look(plan: ApplicabilityPlan, table: FeatureTable, seed: int) -> TypeLook:
    """Look of one type.

    Parameters
    ----------
    plan : ApplicabilityPlan
        Features, number of components, limit.
    table : FeatureTable
        Training rows of one type in which every look feature was measured.
    seed : int
        Seed of the mixture.

    Returns
    -------
    TypeLook
    """
    position = {name: number for number, name in enumerate(FEATURE_SET.names)}
    looks = look_of(table.values[:, [position[name] for name in plan.features]], plan.features)
    count = plan.component_count.get(str(table.type_keys[0]), plan.default_component_count)
    distance = np.empty(len(looks))
    for train, held_out in _inner_folds(table.physical_cells):
        unlimited = _mixture(looks[train], count, plan.covariance_floor, seed)
        distance[held_out] = unlimited.distance(looks[held_out])
    limit = float(np.quantile(distance, plan.limit_level)) * plan.limit_slack
    rated = float(table.labels["rated_capacity_ah"].iloc[0])
    return replace(_mixture(looks, count, plan.covariance_floor, seed), limit=limit, rated_capacity_ah=rated)


def _mixture(looks: FloatArray, count: int, covariance_floor: float, seed: int) -> TypeLook:
    """Mixture with a limit of 1, its capacity not yet named."""
    centre, spread = np.median(looks, axis=0), looks.std(axis=0) + 1e-3
    components = min(count, max(1, len(looks) // 10))
    mixture = GaussianMixture(components, reg_covar=covariance_floor, random_state=seed, max_iter=200)
    mixture.fit((looks - centre) / spread)
    return TypeLook(1.0, centre, spread, mixture.means_, mixture.precisions_, np.log(mixture.weights_), 1.0)


def _inner_folds(cells: npt.NDArray[np.object_]) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Folds by physical cell; a type of a single cell can only be judged on itself."""
    count = min(_INNER_FOLDS, len(set(cells.tolist())))
    if count < 2:
        everything = np.arange(len(cells))
        return [(everything, everything)]
    return list(GroupKFold(count, shuffle=True, random_state=1).split(cells, groups=cells))
