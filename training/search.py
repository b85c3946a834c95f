"""Search for better numbers in a plan, judged by whole cells that neither trained nor were searched on.

The cells of the plan's first fold are put aside. On all others every trial is judged by
cross-validation over physical cells; only when the search has ended, the plan as written and the
best one found are fitted on those cells and judged, once, on the ones put aside. What a search
reports for its own trials is too good by the choosing; the last comparison is not.

Sequential and seeded: the same plan, data, trial count and seed give the same trials.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import optuna

from features.errors import PackGradeError
from training.calibrate import HeldOutFacts
from training.crossfit import held_out_predictions, plan_folds
from training.plan import Plan
from training.plan_search import SearchedNumber, changed, searched_numbers
from training.splits import Fold, folds_by_physical_cell
from training.table import FeatureTable

optuna.logging.set_verbosity(optuna.logging.WARNING)

Numbers = Mapping[str, int | float]
"""Searched numbers by path (`SearchedNumber.path`)."""


@dataclass(frozen=True)
class Trial:
    """One set of numbers and how it did.

    Attributes
    ----------
    number : int
        Counted from 1, which is the plan as written.
    numbers : mapping of str to int or float
        What was tried, by path.
    error_fraction : float
        `mean_error_fraction` on held-out cells of the part that searches.
    """

    number: int
    numbers: Numbers
    error_fraction: float


@dataclass(frozen=True)
class SearchOutcome:
    """What a search found.

    Attributes
    ----------
    trials : tuple of Trial
        In the order they were made, the plan as written first.
    unseen_error_fraction : mapping of int to float
        `mean_error_fraction` on the cells put aside, of the first trial and of the best one.
    """

    trials: tuple[Trial, ...]
    unseen_error_fraction: Mapping[int, float]

    @property
    def best(self) -> Trial:
        """Trial with the smallest error, the earliest of equals."""
        return min(self.trials, key=lambda trial: (trial.error_fraction, trial.number))


def search(
    plan: Plan, table: FeatureTable, trial_count: int, seed: int, *, on_trial: Callable[[Trial], None]
) -> SearchOutcome:
    """Search the numbers a plan names, within its bounds.

    Parameters
    ----------
    plan : Plan
        With a ``[search]`` table.
    table : FeatureTable
        Every row of its data.
    trial_count : int
        At least 1; the first is the plan as written.
    seed : int
        Of the sampler (tree-structured Parzen estimator, Bergstra et al., NIPS 2011).
    on_trial : callable
        Called with every trial when it has ended.

    Returns
    -------
    SearchOutcome

    Raises
    ------
    PackGradeError
        ``NO_SEARCH_SPACE`` if the plan has no ``[search]``, ``TOO_FEW_CELLS`` if the cells do not
        make the folds.
    """
    outer = plan_folds(plan, table)[0]
    trials: list[Trial] = []
    for trial in itertools.islice(_trials(plan, table.taken(outer.train), seed), trial_count):
        trials.append(trial)
        on_trial(trial)
    found = SearchOutcome(tuple(trials), {})
    judged = {
        each.number: _error_fraction(plan_with(plan, each.numbers), table, (outer,)) for each in (trials[0], found.best)
    }
    return replace(found, unseen_error_fraction=judged)


def searched_in(plan: Plan) -> tuple[SearchedNumber, ...]:
    """Numbers a plan asks to be searched.

    Raises
    ------
    PackGradeError
        ``NO_SEARCH_SPACE`` if it asks for none.
    """
    if plan.search is None:
        raise PackGradeError(
            "NO_SEARCH_SPACE",
            f"Plan {plan.bundle.name!r} has no [search] table. Nothing was searched. "
            "State inner_fold_count, and bounds for numbers of its members.",
        )
    return searched_numbers(plan.search, plan.members)


def plan_with(plan: Plan, numbers: Numbers) -> Plan:
    """Return the plan with numbers by path in place of its own."""
    searched = searched_in(plan)
    members = tuple(
        changed(member, {each.name: numbers[each.path] for each in searched if each.member == member.name})
        for member in plan.members
    )
    return plan.model_copy(update={"members": members})


def mean_error_fraction(facts: HeldOutFacts) -> float:
    """Mean absolute percentage error as a fraction: mean of that on visits and that on grid rows, where there are any.

    A battery visited once counts in the first as one row, in the second as often as it was tested.
    """
    relative = np.abs(facts.point - facts.measured) / facts.measured
    groups = (relative[facts.visits], relative[~facts.visits])
    return float(np.mean([group.mean() for group in groups if len(group)]))


def _trials(plan: Plan, searching: FeatureTable, seed: int) -> Iterator[Trial]:
    """Trials without end, the plan as written first."""
    searched = searched_in(plan)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial({each.path: each.written for each in searched})
    folds = _inner_folds(plan, searching)
    for number in itertools.count(1):
        asked = study.ask()
        tried = {each.path: _suggested(asked, each) for each in searched}
        error = _error_fraction(plan_with(plan, tried), searching, folds)
        study.tell(asked, error)
        yield Trial(number, tried, error)


def _inner_folds(plan: Plan, searching: FeatureTable) -> Sequence[Fold]:
    count = plan.search.inner_fold_count if plan.search else plan.splits.fold_count
    return folds_by_physical_cell(searching.physical_cells, searching.type_keys, count, plan.splits.seed)


def _suggested(asked: optuna.Trial, number: SearchedNumber) -> int | float:
    low, high, log = number.range.lowest, number.range.highest, number.range.logarithmic
    if isinstance(number.written, int):
        return asked.suggest_int(number.path, int(low), int(high), log=log)
    return asked.suggest_float(number.path, low, high, log=log)


def _error_fraction(plan: Plan, table: FeatureTable, folds: Sequence[Fold]) -> float:
    without = plan.model_copy(update={"suitability": plan.suitability.model_copy(update={"cuts": ()})})
    return mean_error_fraction(held_out_predictions(without, table, lambda _: None, folds).facts)
