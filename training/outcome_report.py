"""`packgrade-train report`: what outcomes say about the promises, as a table, as JSON, and as an exit code."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from features.errors import InvalidInput
from training.drift import TypeDrift, drift_of
from training.outcomes import read_outcomes
from training.rebundle import OpenedBundle, opened_bundle

EXIT_DONE, EXIT_ALARM = 0, 2


def report(asked: argparse.Namespace, console: Console) -> int:
    """Print how outcomes agree with what was promised; returns 2 if a coverage left its band."""
    outcomes = read_outcomes(asked.outcomes)
    opened = None if asked.bundle is None else opened_bundle(asked.bundle)
    estimated = _estimated(outcomes, opened)
    fair = estimated if asked.include_selected else estimated[estimated["random"]]
    errors = {} if opened is None else calibration_errors(opened)
    drifts, selected = drift_of(fair, errors), drift_of(estimated.drop(fair.index), errors)
    _print(console, "outcomes" if asked.include_selected else "outcomes of batteries drawn by lot", drifts)
    if selected:
        _print(console, "outcomes of batteries selected for a reason: no fair sample, no alarm", selected)
    without = len(outcomes) - len(estimated)
    console.print(
        f"{without} of {len(outcomes)} outcomes are compared with nothing: "
        "no estimate, another definition, or measured again."
    )
    alarms = [each for each in drifts if each.alarms]
    for each in alarms:
        console.print(f"ALARM  {each.sentence}", style="bold red", soft_wrap=True)
    if asked.json is not None:
        _write_json(asked.json, drifts, selected)
    return EXIT_ALARM if alarms else EXIT_DONE


def calibration_errors(opened: OpenedBundle) -> Mapping[tuple[str, str], float]:
    """Mean absolute error on the batteries that calibrated a bundle, by method and type key."""
    errors: dict[tuple[str, str], list[float]] = {}
    for described in opened.bundle.manifest.methods:
        for each in opened.calibration(described.method).batteries:
            key = (described.method.value, each.type)
            errors.setdefault(key, []).append(abs(each.state_of_health - each.point))
    return {key: float(np.mean(values)) for key, values in errors.items()}


def _estimated(outcomes: pd.DataFrame, opened: OpenedBundle | None) -> pd.DataFrame:
    """Outcomes with an estimate of the same capacity, one per battery; with a bundle, its own only."""
    same = outcomes["estimated_definition"] == outcomes["capacity_definition"]
    estimated = outcomes[outcomes["estimated_fraction"].notna() & same]
    if opened is not None:
        estimated = estimated[estimated["bundle_sha256"] == opened.bundle.sha256]
    if estimated.empty:
        raise InvalidInput(
            f"None of the {len(outcomes)} outcomes has an estimate of the capacity that was measured"
            f"{' by this bundle' if opened is not None else ''}. Nothing was compared.",
            code="NOTHING_TO_COMPARE",
        )
    # the band is one of independent batteries: of one measured again and again the last written counts
    return estimated.drop_duplicates("battery_id", keep="last")


def _print(console: Console, title: str, drifts: list[TypeDrift]) -> None:
    heads = ("type", "method", "outcomes", "covered", "band", "mean error", "mean |error|", "at calibration")
    table = Table(*heads, title=title, title_justify="left")
    for each in drifts:
        before = each.calibration_mean_absolute_error
        table.add_row(
            each.type_key,
            each.method,
            str(each.outcome_count),
            f"{each.covered_count} ({100 * each.covered_count / each.outcome_count:.0f} %)",
            f"{each.band[0]}-{each.band[1]} of {each.outcome_count}",
            f"{100 * each.mean_error:+.2f} %",
            f"{100 * each.mean_absolute_error:.2f} %",
            "" if before is None else f"{100 * before:.2f} %",
            style="bold red" if each.alarms else "",
        )
    console.print(table)


def _write_json(file: Path, drifts: list[TypeDrift], selected: list[TypeDrift]) -> None:
    plain = {
        "drawn_by_lot": [{**asdict(each), "alarms": each.alarms} for each in drifts],
        "selected": [asdict(each) for each in selected],
    }
    file.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
