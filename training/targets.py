"""What each method has to reach on batteries it never saw, beside what it reached."""

from collections.abc import Iterator

from features.feature_set import Method
from training.evaluation import ALL_TYPES, Evaluation
from training.metrics import Share
from training.misdeclared import MisdeclaredFigures

Row = tuple[str, str, str]

_MOST_GRID_ERROR = {Method.PULSE_TEST: 0.022, Method.TWO_PULSE_TRAINS: 0.018}
_MOST_VISIT_ERROR = {Method.PULSE_TEST: 0.024}
_SIGNIFICANT = 0.05


def target_rows(method: Method, evaluation: Evaluation) -> Iterator[Row]:
    """Figure, measured and target of a method on held-out physical cells.

    Parameters
    ----------
    method : Method
        Its targets; a method without error targets has those of the interval and of the gate alone.
    evaluation : Evaluation
        What was measured.
    """
    grid, visits = evaluation.grid.get(ALL_TYPES), evaluation.visits[ALL_TYPES]
    if method in _MOST_GRID_ERROR:
        reached = percent(grid.errors.mean_absolute_percentage_error) if grid else "no grid rows"
        yield "grid mean absolute percentage error", reached, f"<= {100 * _MOST_GRID_ERROR[method]:.1f} %"
    if method in _MOST_VISIT_ERROR:
        reached = percent(visits.errors.mean_absolute_percentage_error)
        yield "visits mean absolute percentage error", reached, f"<= {100 * _MOST_VISIT_ERROR[method]:.1f} %"
    splits = evaluation.coverage_over_splits
    low = [key for key, each in splits.items() if each.p_value < _SIGNIFICANT and key != ALL_TYPES]
    yield "visits coverage over splits", percent(splits[ALL_TYPES].mean), "89 to 92 %"
    yield "types significantly below promised coverage", ", ".join(low) or "none", "none"
    yield "mean width over splits", percent(splits[ALL_TYPES].mean_width), "<= 8.0 %"
    yield from _left_out(evaluation)


def percent(fraction: float) -> str:
    """Fraction as percent, two digits."""
    return f"{100 * fraction:.2f} %"


def _left_out(evaluation: Evaluation) -> Iterator[Row]:
    retested = evaluation.unseen_types_retested.values()
    yield "unseen type sent to retest", _together(*retested), "100 %"
    for reading, figures in evaluation.misdeclared.get(ALL_TYPES, {}).items():
        yield f"unseen type declared as known, safe visits ({reading})", _safe(figures), ">= 95 %"


def _safe(figures: MisdeclaredFigures) -> str:
    return f"{_together(figures.visits_safe)} (grid {_together(figures.grid_safe)})"


def _together(*shares: Share) -> str:
    total = sum(share.total for share in shares)
    return percent(sum(share.count for share in shares) / total) if total else "not asked for"
