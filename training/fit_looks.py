"""What measurements of one battery type look like: a Gaussian mixture, with limits from held-out cells.

A limit is the distance that cells left out of the mixture stay within, with some slack; a limit from
the cells the mixture was fitted to would turn honest batteries away. Cut into slices along one
feature, every slice has its own limit: a cell near empty, where everything changes quickly, then
does not make the rest of its type look more various than it is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GroupKFold

from features.measurement import FloatArray
from models.look import TypeLook, look_of
from training.plan_tables import ApplicabilityPlan
from training.table import FeatureTable

RowNumbers = npt.NDArray[np.int64]

_INNER_FOLDS = 3
_ROWS_PER_COMPONENT = 10
_ROWS_PER_SLICE = 40
_ROWS_FOR_A_LIMIT = 20
_SLICE_SHRINKAGE = 0.1
"""Share by which correlations within a slice are held back, as a slice holds few tests."""


@dataclass(frozen=True)
class _Mixture:
    """Components in standardised looks: means (c, k), precisions (c, k, k), weights (c,)."""

    means: FloatArray
    precisions: FloatArray
    weights: FloatArray

    def squared(self, z: FloatArray) -> FloatArray:
        """Squared distance of rows to every component, shape (n, c)."""
        away = z[:, None, :] - self.means
        squared: FloatArray = np.einsum("nci,cij,ncj->nc", away, self.precisions, away)
        return squared


def fit_look(plan: ApplicabilityPlan, table: FeatureTable, seed: int) -> TypeLook:
    """Look of one type.

    Parameters
    ----------
    plan : ApplicabilityPlan
        Features, components, limits.
    table : FeatureTable
        Training rows of one type in which every look feature was measured.
    seed : int
        Seed of the mixture.

    Returns
    -------
    TypeLook
    """
    looks = look_of(table.columns(plan.features), plan.features)
    centre, spread = np.median(looks, axis=0), looks.std(axis=0) + 1e-3
    z = (looks - centre) / spread
    fitted = _recipe(plan, z, plan.component_count.get(str(table.type_keys[0]), plan.default_component_count), seed)
    nearest, place = np.empty(len(z)), np.empty(len(z), dtype=np.int64)
    for train, held_out in _inner_folds(table.physical_cells):
        squared = fitted(train).squared(z[held_out])
        nearest[held_out], place[held_out] = squared.min(axis=1), squared.argmin(axis=1)
    whole = fitted(np.arange(len(z)))
    limit = _limits(plan, nearest, place, len(whole.weights))
    rated = float(table.labels["rated_capacity_ah"].iloc[0])
    return TypeLook(rated, centre, spread, whole.means, whole.precisions, np.log(whole.weights), limit)


def _recipe(plan: ApplicabilityPlan, z: FloatArray, count: int, seed: int) -> Callable[[RowNumbers], _Mixture]:
    """How a mixture is made of any rows."""
    if plan.sliced_along is None:
        return lambda rows: _mixed(z[rows], count, plan.covariance_floor, seed)
    slices = _slices(z[:, plan.features.index(plan.sliced_along)], count)
    of_the_test = np.array([name in plan.of_the_test for name in plan.features])
    reach = np.where(of_the_test, np.abs(z).max(axis=0), np.nan)
    return lambda rows: _sliced(z[rows], slices[rows], slices, reach, plan.covariance_floor)


def _mixed(z: FloatArray, count: int, covariance_floor: float, seed: int) -> _Mixture:
    components = min(count, max(1, len(z) // _ROWS_PER_COMPONENT))
    mixture = GaussianMixture(components, reg_covar=covariance_floor, random_state=seed, max_iter=200).fit(z)
    return _Mixture(mixture.means_, mixture.precisions_, mixture.weights_)


def _slices(along: FloatArray, count: int) -> RowNumbers:
    """Slice of every row: equally many rows each."""
    slice_count = min(count, max(1, len(along) // _ROWS_PER_SLICE))
    inner_edges = np.quantile(along, np.linspace(0.0, 1.0, slice_count + 1)[1:-1])
    return np.unique(np.searchsorted(inner_edges, along, side="right"), return_inverse=True)[1]


def _sliced(z: FloatArray, slice_of_row: RowNumbers, slices: RowNumbers, reach: FloatArray, floor: float) -> _Mixture:
    """One component per slice; weights are those of all rows, so that every fold has the same slices."""
    gaussians = [_gaussian(_of_slice(z, slice_of_row, number), reach, floor) for number in range(slices.max() + 1)]
    means, precisions = (np.array(each) for each in zip(*gaussians, strict=True))
    return _Mixture(means, precisions, np.bincount(slices) / len(slices))


def _of_slice(z: FloatArray, slice_of_row: RowNumbers, number: int) -> FloatArray:
    """Rows of a slice; with those of its neighbours, or all, where a fold left it too few."""
    reach = np.abs(slice_of_row - number)
    for widest in (0, 1, int(reach.max())):
        rows = z[reach <= widest]
        if len(rows) > z.shape[1]:
            return rows
    return z


def _gaussian(z: FloatArray, reach: FloatArray, floor: float) -> tuple[FloatArray, FloatArray]:
    """Mean and precision; what the test sets (finite reach) is independent, every setting seen within one deviation."""
    count = z.shape[1]
    covariance: FloatArray = np.atleast_2d(np.cov(z, rowvar=False)) if len(z) > 1 else np.zeros((count, count))
    covariance = covariance * (1.0 - _SLICE_SHRINKAGE * (1.0 - np.eye(count)))
    set_by_test = np.isfinite(reach)
    covariance[set_by_test], covariance[:, set_by_test] = 0.0, 0.0
    covariance[set_by_test, set_by_test] = reach[set_by_test] ** 2
    mean = np.where(set_by_test, 0.0, z.mean(axis=0))
    precision: FloatArray = np.asarray(np.linalg.inv(covariance + floor * np.eye(count)), dtype=np.float64)
    return mean, precision


def _limits(plan: ApplicabilityPlan, nearest: FloatArray, place: RowNumbers, count: int) -> FloatArray:
    """Limit of every component; of its own rows where it is a slice with enough of them."""
    limit = np.full(count, np.quantile(nearest, plan.limit_level))
    for number in range(count if plan.sliced_along is not None else 0):
        own = nearest[place == number]
        if len(own) >= _ROWS_FOR_A_LIMIT:
            limit[number] = np.quantile(own, plan.limit_level)
    scaled: FloatArray = limit * plan.limit_slack
    return scaled


def _inner_folds(cells: npt.NDArray[np.object_]) -> list[tuple[RowNumbers, RowNumbers]]:
    """Folds by physical cell; a type of a single cell can only be judged on itself."""
    count = min(_INNER_FOLDS, len(set(cells.tolist())))
    if count < 2:
        everything = np.arange(len(cells))
        return [(everything, everything)]
    return list(GroupKFold(count, shuffle=True, random_state=1).split(cells, groups=cells))
