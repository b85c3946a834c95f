"""Pictures of an evaluation, to be read at a glance."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from training.evaluation import ALL_TYPES, Evaluation

_COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8a5fbf", "#c98a1b", "#4a4a4a")


def pictures(evaluation: Evaluation, estimates: pd.DataFrame) -> dict[str, Figure]:
    """All pictures of an evaluation by name.

    Parameters
    ----------
    evaluation : Evaluation
        The figures.
    estimates : DataFrame
        Held-out estimates (`training.crossfit.held_out_estimates`).
    """
    visits = estimates[estimates["visit"]]
    return {
        "predicted_against_measured": predicted_against_measured(visits),
        "coverage_per_type": coverage_per_type(evaluation),
        "reliability": reliability_at_cuts(evaluation.reliability),
    }


def predicted_against_measured(visits: pd.DataFrame) -> Figure:
    """Every visited battery: measured state of health across, predicted with its interval up."""
    figure = Figure(figsize=(7.5, 7.0), layout="constrained")
    axes = figure.subplots()
    for colour, (key, rows) in zip(_COLOURS * 10, visits.groupby("type_key"), strict=False):
        reach = np.abs(rows[["lower", "upper"]].to_numpy().T - rows["estimated"].to_numpy())
        axes.errorbar(
            100 * rows["measured"],
            100 * rows["estimated"],
            100 * reach,
            fmt="o",
            markersize=4,
            elinewidth=0.7,
            alpha=0.75,
            color=colour,
            label=f"{key} ({len(rows)})",
        )
    low, high = 100 * visits["lower"].min() - 2, 100 * visits["upper"].max() + 2
    axes.plot([low, high], [low, high], color="black", linewidth=1)
    for cut in (60, 70, 80):
        axes.axvline(cut, color="grey", linewidth=0.6, linestyle=":")
        axes.axhline(cut, color="grey", linewidth=0.6, linestyle=":")
    axes.set(
        xlim=(low, high),
        ylim=(low, high),
        aspect="equal",
        xlabel="measured state of health [%]",
        ylabel="predicted state of health with interval [%]",
        title="Visited batteries, predicted by models that never saw the cell",
    )
    axes.legend(title="type (batteries)")
    return figure


def coverage_per_type(evaluation: Evaluation) -> Figure:
    """Share of batteries inside their interval, with exact 95 % bounds, against the promise."""
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    keys = [key for key in evaluation.visits if key != ALL_TYPES] + [ALL_TYPES]
    shares = [evaluation.visits[key].covered for key in keys]
    fractions = np.array([share.fraction for share in shares])
    bounds = np.array([share.bounds for share in shares])
    across = np.arange(len(keys))
    axes.errorbar(
        across,
        100 * fractions,
        100 * np.abs(bounds.T - fractions),
        fmt="o",
        capsize=5,
        color=_COLOURS[0],
        label="held-out cells, 95 % bounds",
    )
    splits = [
        evaluation.coverage_over_splits[key].mean if key in evaluation.coverage_over_splits else np.nan for key in keys
    ]
    axes.plot(
        across, 100 * np.array(splits), "D", color=_COLOURS[1], markersize=5, label="mean over calibration splits"
    )
    axes.axhline(100 * evaluation.coverage_fraction, color="black", linewidth=1, label="promised")
    axes.set_xticks(across, [f"{key}\n(n={share.total})" for key, share in zip(keys, shares, strict=True)])
    axes.set(ylabel="batteries inside their interval [%]", ylim=(min(60, 100 * bounds.min() - 5), 102))
    axes.set_title("Does the interval keep its promise, type by type?")
    axes.legend(loc="lower right")
    return figure


def reliability_at_cuts(tables: Mapping[str, list[list[float]]]) -> Figure:
    """Forecast probability of lying below a cut against the share that did; area of a dot = batteries."""
    figure = Figure(figsize=(6.5, 6.0), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], color="black", linewidth=1)
    for colour, (cut, rows) in zip(_COLOURS, tables.items(), strict=False):
        forecast, observed, count = np.array(rows).reshape(-1, 3).T
        axes.plot(100 * forecast, 100 * observed, color=colour, linewidth=0.8)
        axes.scatter(100 * forecast, 100 * observed, s=12 + 4 * count, color=colour, alpha=0.7, label=f"cut {cut}")
    axes.set(
        xlabel="forecast P(state of health below the cut) [%]",
        ylabel="share that was below [%]",
        title="Are the probabilities right? (visited batteries)",
    )
    axes.legend()
    return figure
