"""Pictures of an evaluation, to be read at a glance."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from features.measurement import FloatArray
from models.thresholds import CutThresholds
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


def risk_against_decided(
    visits: pd.DataFrame, cut: float, promised: tuple[float, float], in_force: CutThresholds | None
) -> Figure:
    """How many batteries a threshold decides against how many of all it decides wrongly, at one cut.

    Parameters
    ----------
    visits : DataFrame
        Held-out estimates, one row per battery.
    cut : float
        State of health the verdict is about.
    promised : tuple of float
        Largest shares of false accepts and of false rejects the policy puts up with.
    in_force : CutThresholds or None
        Certified thresholds, marked with a dot; None where nothing could be promised.
    """
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    score, measured = visits["estimated"].to_numpy(), visits["measured"].to_numpy()
    below = (measured < cut).astype(np.float64)
    accepted = None if in_force is None else float(np.mean(score >= in_force.accept_at_least))
    rejected = None if in_force is None else float(np.mean(score < in_force.reject_below))
    sides = (
        ("accepted", np.argsort(-score), below, promised[0], accepted),
        ("rejected", np.argsort(score), 1.0 - below, promised[1], rejected),
    )
    for axes, (word, order, wrong, most, share) in zip(figure.subplots(1, 2), sides, strict=True):
        _risk_curve(axes, wrong[order], most, share)
        axes.set(xlabel=f"batteries {word} [% of all presented]", title=f"{word} at {cut:.2f}")
    figure.axes[0].set_ylabel("wrongly so [% of all presented]")
    return figure


def _risk_curve(axes: Axes, wrong: FloatArray, most: float, share: float | None) -> None:
    """Accumulated wrong decisions from the most certain battery on."""
    across, up = np.arange(1, len(wrong) + 1) / len(wrong), np.cumsum(wrong) / len(wrong)
    shown = up <= max(4 * most, 0.08)
    axes.plot(100 * across[shown], 100 * up[shown], color=_COLOURS[0], drawstyle="steps-post")
    axes.axhline(100 * most, color="black", linewidth=1, label=f"promised: at most {100 * most:g} %")
    if share is not None:
        wrongly = float(up[round(share * len(wrong)) - 1]) if share > 0.0 else 0.0
        axes.plot([100 * share], [100 * wrongly], "o", color=_COLOURS[1], label=f"certificate: {100 * share:.0f} %")
    axes.legend(loc="upper left")


def error_against(estimates: pd.DataFrame, across: FloatArray, words: str) -> Figure | None:
    """Error of every counted row against something that was measured, per type; None where it was not.

    Parameters
    ----------
    estimates : DataFrame
        Held-out estimates.
    across : ndarray, shape (n,)
        What is drawn across, NaN where unknown.
    words : str
        What it is, with its unit.
    """
    known = np.isfinite(across)
    if not known.any() or np.ptp(across[known]) == 0.0:
        return None
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    axes = figure.subplots()
    error = 100 * (estimates["estimated"] - estimates["measured"]).to_numpy()
    keys = estimates["type_key"].to_numpy()
    for colour, key in zip(_COLOURS * 10, sorted(set(keys)), strict=False):
        rows = known & (keys == key)
        if not rows.any():
            continue
        axes.plot(across[rows], error[rows], ".", color=colour, alpha=0.25, markersize=3)
        centre, median = _binned_median(across[rows], error[rows])
        axes.plot(centre, median, color=colour, linewidth=2, label=f"{key} ({int(rows.sum())} rows)")
    reach = float(np.percentile(np.abs(error[known]), 99))
    axes.set(ylim=(-reach, reach), xlabel=words, ylabel="predicted − measured [points of state of health]")
    axes.axhline(0.0, color="black", linewidth=1)
    axes.set_title("Where is it wrong? Dots: rows; lines: medians")
    axes.legend(title="type")
    return figure


def _binned_median(across: FloatArray, up: FloatArray) -> tuple[FloatArray, FloatArray]:
    order = np.argsort(across)
    bins = [each for each in np.array_split(order, min(10, len(order))) if len(each)]
    return np.array([np.median(across[each]) for each in bins]), np.array([np.median(up[each]) for each in bins])


def feature_importances(gain: Mapping[str, float], most: int = 20) -> Figure | None:
    """Return what the tree members split on, as a share of all gain; None without tree members."""
    total = sum(gain.values())
    if total == 0.0:
        return None
    ranked = sorted(gain.items(), key=lambda item: -item[1])[:most][::-1]
    figure = Figure(figsize=(9.5, 0.6 + 0.28 * len(ranked)), layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in ranked], [100 * share / total for _, share in ranked], color=_COLOURS[0])
    axes.set(xlabel="share of gain in the tree members [%]", title=f"The {len(ranked)} features the trees ask most")
    return figure


def calibration_batteries(visits: pd.DataFrame, cuts: Sequence[float]) -> Figure:
    """Measured state of health of every calibrating battery by type, with the cuts: where a promise has ground."""
    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for row, (key, rows) in enumerate(visits.groupby("type_key")):
        jitter = np.random.default_rng(row).uniform(-0.25, 0.25, len(rows))
        axes.plot(100 * rows["measured"], row + jitter, ".", color=_COLOURS[row % len(_COLOURS)])
        sides = ", ".join(f"{int((rows['measured'] < cut).sum())} below {cut:.2f}" for cut in cuts)
        axes.text(0.01, row + 0.32, f"{key}: {len(rows)} batteries, {sides}", transform=axes.get_yaxis_transform())
    for cut in cuts:
        axes.axvline(100 * cut, color="black", linewidth=1, linestyle=":")
    axes.set(
        xlabel="measured state of health [%]", yticks=[], title="Batteries that calibrate interval and certificate"
    )
    axes.margins(y=0.25)
    return figure
