"""What a search looks like on a terminal, while it runs and when it has ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from training.search import SearchOutcome, Trial


@contextmanager
def trial_progress(console: Console, trial_count: int) -> Iterator[Callable[[Trial], None]]:
    """Show a bar that moves with every trial; a line for each where there is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    done: list[Trial] = []
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("searching", total=trial_count)

        def show(trial: Trial) -> None:
            done.append(trial)
            best = min(each.error_fraction for each in done)
            bar.update(task, advance=1, description=f"best {_percent(best)}")
            if not console.is_terminal:
                error = _percent(trial.error_fraction)
                console.print(f"trial {trial.number} of {trial_count}: error {error}, best {_percent(best)}")

        yield show


def print_search(console: Console, outcome: SearchOutcome) -> None:
    """Print the numbers of the best trial beside those of the plan, and how both did on cells put aside."""
    best, written = outcome.best, outcome.trials[0]
    table = Table(box=SIMPLE, pad_edge=False)
    for number, column in enumerate(("", "as written", f"best of {len(outcome.trials)}")):
        table.add_column(column, justify="right" if number else "left")
    for path, number_found in best.numbers.items():
        table.add_row(path.removeprefix("members."), f"{written.numbers[path]:.6g}", f"{number_found:.6g}")
    table.add_row("error in the search", _percent(written.error_fraction), _percent(best.error_fraction))
    unseen = outcome.unseen_error_fraction
    table.add_row("error on cells put aside", _percent(unseen[written.number]), _percent(unseen[best.number]))
    console.print(table)
    console.print(verdict(outcome))


def verdict(outcome: SearchOutcome) -> str:
    """Return one sentence: whether the numbers found hold on cells the search never saw."""
    best, written = outcome.best, outcome.trials[0]
    if best.number == written.number:
        return "No trial was better than the plan as written."
    before, after = (outcome.unseen_error_fraction[each.number] for each in (written, best))
    figures = f"{_percent(before)} as written, {_percent(after)} with the numbers found"
    if after < before:
        return f"On cells the search never saw: {figures}."
    return f"On cells the search never saw: {figures}. The gain did not carry over; keep the plan as written."


def _percent(fraction: float) -> str:
    return f"{100.0 * fraction:.3f} %"
