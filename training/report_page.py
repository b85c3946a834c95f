"""From a judged bundle to its page: what `html_report` shows, taken from the facts the judgement rests on."""

from pathlib import Path

import numpy as np

from features.measurement import FloatArray
from models.certification import certified_method
from models.policy_file import load_policy
from training.certified import calibrating_batteries
from training.html_report import ReportedMethod, evaluation_page
from training.run import Judged, JudgedBundle
from training.table import FeatureTable

_TEMPERATURE = "surface_temperature_celsius"


def report_page(judged: JudgedBundle, policy_file: Path) -> str:
    """One self-contained HTML page about every method of a judged bundle.

    Parameters
    ----------
    judged : JudgedBundle
        The recipes with their held-out facts.
    policy_file : Path
        Policy whose cuts and risk levels the certificates are about.
    """
    policy, bundle = load_policy(policy_file), judged.plan.bundle
    title = f"{bundle.name} {bundle.version} under policy {policy.stamp.policy_id} {policy.stamp.version}"
    return evaluation_page(title, [_reported(each, policy_file) for each in judged.methods])


def _reported(judged: Judged, policy_file: Path) -> ReportedMethod:
    policy, held_out = load_policy(policy_file), judged.held_out
    batteries = calibrating_batteries(held_out.facts.taken(held_out.facts.visits))
    return ReportedMethod(
        method=judged.plan.method.value,
        evaluation=judged.evaluation,
        estimates=judged.estimates,
        certification=certified_method(batteries, policy.cuts, policy.risk),
        cuts=policy.cuts,
        models=held_out.models,
        temperature_celsius=_temperature(held_out.table)[judged.estimates.index.to_numpy()],
    )


def _temperature(table: FeatureTable) -> FloatArray:
    names = table.feature_set.names
    if _TEMPERATURE not in names:
        return np.full(len(table), np.nan)
    column: FloatArray = table.values[:, names.index(_TEMPERATURE)]
    return column
