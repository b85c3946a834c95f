"""Predictions for batteries by models that never saw their cells, and what follows from them.

The very recipe that trains the bundle is fitted once per fold; what it says about the held-out rows
calibrates the bundle and is what every figure rests on. Nothing from a held-out cell, under
whatever name, reaches the models that judge it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pandas as pd
from lightgbm import Booster
from scipy.stats import binom

from features.measurement import FloatArray
from models.decision import cut_key
from models.suitability import Suitability
from training.assemble import calibrated_estimator
from training.calibrate import HeldOutFacts, calibrate, calibrate_interval, spread_of
from training.fit import FittedModels, fit_models, supported_classifier_cuts
from training.fit_members import TreeText
from training.plan import Plan
from training.recipes.by_method import recipe_of
from training.splits import Fold, calibration_splits, folds_by_physical_cell
from training.table import FeatureTable

Progress = Callable[[str], None]


@dataclass(frozen=True)
class HeldOut:
    """Counted rows with the models that did not see them.

    Attributes
    ----------
    table : FeatureTable
        Visits (one row per battery) and grid rows, as the method's recipe counts and presents them.
    facts : HeldOutFacts
        What the models said, row by row.
    fold_of_row : ndarray of int
        Fold that held the row out.
    models : tuple of FittedModels
        Per fold.
    """

    table: FeatureTable
    facts: HeldOutFacts
    fold_of_row: npt.NDArray[np.int64]
    models: tuple[FittedModels, ...]


@dataclass(frozen=True, slots=True)
class SplitCoverage:
    """Coverage of one type over repeated calibration splits.

    Attributes
    ----------
    mean, mean_width : float
        Over all presented batteries of all splits, as fractions.
    battery_count : int
        Batteries of the type.
    p_value : float
        Of 'coverage is at least nominal' against 'below', one-sided exact binomial test with the
        mean coverage on all batteries of the type.
    """

    mean: float
    mean_width: float
    battery_count: int
    p_value: float


def plan_folds(plan: Plan, table: FeatureTable) -> tuple[Fold, ...]:
    """Folds of the plan on a table."""
    return folds_by_physical_cell(table.physical_cells, table.type_keys, plan.splits.fold_count, plan.splits.seed)


def held_out_predictions(
    plan: Plan, table: FeatureTable, progress: Progress, folds: Sequence[Fold] | None = None
) -> HeldOut:
    """Fit the recipe once per fold and predict the rows that are counted.

    Parameters
    ----------
    plan : Plan
        The recipe.
    table : FeatureTable
        All rows.
    progress : callable
        Called with a sentence before each fold.
    folds : sequence of Fold, optional
        Other folds than those of the plan, by physical cell too.
    """
    counted, cuts = recipe_of(plan).counted(table), supported_classifier_cuts(plan, table)
    chosen = plan_folds(plan, table) if folds is None else folds
    models, pieces, fold_numbers, row_numbers = [], [], [], []
    for number, fold in enumerate(chosen):
        progress(f"fold {number + 1} of {len(chosen)}")
        fitted = fit_models(plan, table.taken(fold.train), cuts)
        models.append(fitted)
        for key in fitted.types:
            rows = fold.held_out[(counted.kept & (table.type_keys == key))[fold.held_out]]
            if not len(rows):
                continue
            pieces.append(_facts(counted.table.taken(rows), fitted, key))
            row_numbers.append(rows)
            fold_numbers.append(np.full(len(rows), number))
    order = np.argsort(np.concatenate(row_numbers), kind="stable")
    return HeldOut(
        counted.table.taken(np.concatenate(row_numbers)[order]),
        _joined(pieces).taken(order),
        np.concatenate(fold_numbers)[order],
        tuple(models),
    )


def held_out_estimates(plan: Plan, held_out: HeldOut, cuts: Sequence[float]) -> pd.DataFrame:
    """Estimates for every counted row, models and calibration both without its cell.

    Returns
    -------
    DataFrame
        Label columns, ``method``, ``type_key``, ``measured``, ``estimated``, ``lower``, ``upper`` (state of health),
        ``coverage_fraction``, ``distance``, and per cut ``p_below_…`` and ``p_predictive_below_…``
        (without a classifier).
    """
    frames = [
        frame for number in range(len(held_out.models)) for frame in _fold_estimates(plan, held_out, number, cuts)
    ]
    return pd.concat(frames).sort_index()


def coverage_over_splits(plan: Plan, held_out: HeldOut) -> dict[str, SplitCoverage]:
    """Coverage and width on visits when batteries are split again and again into calibrating and presented.

    Returns
    -------
    dict of str to SplitCoverage
        Per type, and ``all``.
    """
    visits = held_out.facts.taken(held_out.facts.visits)
    cells = held_out.table.physical_cells[held_out.facts.visits]
    splits = calibration_splits(
        cells, visits.type_keys, plan.splits.calibration_share, plan.splits.calibration_split_count, plan.splits.seed
    )
    presented = np.concatenate([split.held_out for split in splits])
    outcomes = np.concatenate([_covered_and_width(plan, visits, split) for split in splits])
    keys = visits.type_keys[presented].astype(str)
    masks = {str(key): keys == key for key in np.unique(keys)} | {"all": np.ones(len(keys), dtype=np.bool_)}
    sizes = {key: int(np.count_nonzero(visits.type_keys == key)) for key in masks} | {"all": len(visits.measured)}
    nominal = plan.bundle.coverage_fraction
    return {key: _split_coverage(outcomes[mask], sizes[key], nominal) for key, mask in masks.items()}


def _facts(table: FeatureTable, fitted: FittedModels, key: str) -> HeldOutFacts:
    said = fitted.types[key].ensemble().said(table.values, table.feature_set.names)
    point, disagreement = said.joined()
    lowest, highest = said.extremes()
    raw = {cut: _classifier_probability(classifier, table) for cut, classifier in fitted.classifiers.items()}
    measured = table.state_of_health_fraction
    return HeldOutFacts(table.type_keys, table.visits, measured, point, disagreement, lowest, highest, raw)


def _classifier_probability(classifier: TreeText, table: FeatureTable) -> FloatArray:
    booster = Booster(model_str=classifier.text)
    return np.asarray(booster.predict(table.columns(classifier.names), num_threads=1), dtype=np.float64)


def _joined(pieces: Sequence[HeldOutFacts]) -> HeldOutFacts:
    names = [each.name for each in fields(HeldOutFacts) if each.name != "classifier_probability"]
    cuts = pieces[0].classifier_probability
    return HeldOutFacts(
        **{name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in names},
        classifier_probability={
            cut: np.concatenate([piece.classifier_probability[cut] for piece in pieces]) for cut in cuts
        },
    )


def _fold_estimates(plan: Plan, held_out: HeldOut, number: int, cuts: Sequence[float]) -> Iterator[pd.DataFrame]:
    inside = held_out.fold_of_row == number
    estimator = calibrated_estimator(held_out.models[number], calibrate(plan, held_out.facts.taken(~inside)))
    for key in sorted(set(held_out.table.type_keys[inside].tolist()) & set(estimator.interval.types)):
        rows = np.flatnonzero(inside & (held_out.table.type_keys == key))
        presented = held_out.table.taken(rows)
        names = presented.feature_set.names
        said = estimator.predict(presented.values, names, key, cuts)
        alone = Suitability(estimator.suitability.scores, {})
        without_classifier = alone.probability_below(cuts, said.point, said.spread, presented.values, names)
        below = {f"p_below_{cut_key(cut)}": said.probability_below[:, place] for place, cut in enumerate(cuts)}
        below |= {f"p_predictive_below_{cut_key(cut)}": without_classifier[:, place] for place, cut in enumerate(cuts)}
        yield presented.labels.set_axis(rows).assign(
            method=plan.method.value,
            type_key=key,
            measured=presented.state_of_health_fraction,
            estimated=said.point,
            lower=said.lower,
            upper=said.upper,
            coverage_fraction=plan.bundle.coverage_fraction,
            distance=said.distance,
            **below,
        )


def _covered_and_width(plan: Plan, visits: HeldOutFacts, split: Fold) -> FloatArray:
    interval = calibrate_interval(plan, visits.taken(split.train))
    presented = visits.taken(split.held_out)
    lower, upper = interval.bounds(presented.point, spread_of(interval, presented))
    covered = (lower <= presented.measured) & (presented.measured <= upper)
    return np.column_stack([covered.astype(np.float64), upper - lower])


def _split_coverage(outcomes: FloatArray, battery_count: int, nominal: float) -> SplitCoverage:
    mean, width = outcomes.mean(axis=0)
    p_value = float(binom.cdf(round(mean * battery_count), battery_count, nominal))
    return SplitCoverage(float(mean), float(width), battery_count, p_value)
