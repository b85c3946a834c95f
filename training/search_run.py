"""A search with its trace: every trial a run of its own below the run of the search."""

from collections.abc import Callable
from pathlib import Path

from training.datasets.registry import labelled_tests
from training.plan import Plan
from training.plan_search import SearchedNumber
from training.search import SearchOutcome, Trial, search, searched_in
from training.table import feature_table
from training.tracking import RunRecord, TrackingStore


def tracked_search(
    store: TrackingStore,
    plan: Plan,
    data_folder: Path | None,
    trial_count: int,
    seed: int,
    *,
    on_trial: Callable[[Trial], None],
) -> tuple[SearchOutcome, str]:
    """Search a plan's numbers and log every trial when it ends; what is searched is in `training.search`.

    Returns
    -------
    SearchOutcome
    str
        Identifier of the run the trials are below.

    Raises
    ------
    PackGradeError
        As `training.search.search`, and for data that cannot be read; nothing is logged of the latter.
    """
    searched, experiment = searched_in(plan), plan.tracking.experiment
    table = feature_table(labelled_tests(plan, data_folder), plan.method)
    with store.running(experiment, f"search-{plan.bundle.name}-{plan.bundle.version}") as run_id:

        def keep(trial: Trial) -> None:
            store.log(experiment, _trial_record(trial), run_id)
            on_trial(trial)

        outcome = search(plan, table, trial_count, seed, on_trial=keep)
        parameters = plan.parameters() | _asked(searched, trial_count, seed)
        store.fill(run_id, RunRecord("", parameters, _figures(outcome), table.sources, evaluation=_plain(outcome)))
    return outcome, run_id


def _trial_record(trial: Trial) -> RunRecord:
    parameters = {path: str(number) for path, number in trial.numbers.items()}
    evaluation = {"numbers": dict(trial.numbers), "error_fraction": trial.error_fraction}
    metrics = {"error_fraction": trial.error_fraction}
    return RunRecord(f"trial-{trial.number}", parameters, metrics, (), evaluation=evaluation)


def _asked(searched: tuple[SearchedNumber, ...], trial_count: int, seed: int) -> dict[str, str]:
    ranges = {f"search.{each.path}": f"{each.range.lowest} to {each.range.highest}" for each in searched}
    return {"search.trial_count": str(trial_count), "search.seed": str(seed), **ranges}


def _figures(outcome: SearchOutcome) -> dict[str, float]:
    best, written = outcome.best, outcome.trials[0]
    return {
        "best_trial": float(best.number),
        "written.error_fraction": written.error_fraction,
        "best.error_fraction": best.error_fraction,
        "written.unseen_error_fraction": outcome.unseen_error_fraction[written.number],
        "best.unseen_error_fraction": outcome.unseen_error_fraction[best.number],
    }


def _plain(outcome: SearchOutcome) -> dict[str, object]:
    return {"best": dict(outcome.best.numbers), **_figures(outcome)}
