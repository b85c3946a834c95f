"""Recorded outcomes as a CSV table with everything retraining needs: the one thing training sees of the record.

Per outcome the decision's battery type, estimate, bundle, policy and features, and the capacity
measured later. Nothing is written that names a vehicle or an owner. Text that a spreadsheet would
run is written behind an apostrophe (`features.spreadsheet_text`).
"""

import csv
import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import InvalidInput, Problem
from features.feature_set import Method
from features.spreadsheet_text import spreadsheet_safe
from models.manifest import Manifest
from serving.events.verdicts import CorrectionAction
from serving.record.decision_body import case_from_body
from serving.record.leaf import Leaf, LeafKind
from serving.record.source import RecordSource

EXPORTED = (
    "outcome_id",
    "decision_id",
    "battery_id",
    "level",
    "chemistry",
    "rated_capacity_ah",
    "type_designation",
    "decided_at",
    "outcome",
    "grade",
    "method",
    "estimated_fraction",
    "lower_fraction",
    "upper_fraction",
    "coverage_fraction",
    "estimated_definition",
    "bundle_name",
    "bundle_version",
    "bundle_sha256",
    "policy_id",
    "policy_version",
    "policy_sha256",
    "feature_set_digest",
    "features",
    "remaining_capacity_ah",
    "capacity_definition",
    "measured_at",
    "measured_by",
    "chosen_at_random",
    "recorded_at",
)
"""Columns of the exported table, in order; ``features`` is a JSON object, null where not measurable."""


@dataclass(frozen=True)
class WrittenOutcomes:
    """What a table holds.

    Attributes
    ----------
    count : int
        Outcomes written.
    left_out : Counter of str
        Outcomes left out, by why they cannot recalibrate the bundle.
    """

    count: int
    left_out: Counter[str]


def write_outcomes(record: RecordSource, out: Path, for_bundle: Manifest | None = None) -> WrittenOutcomes:
    """Write recorded outcomes into a new CSV file.

    Parameters
    ----------
    record : RecordSource
        The record.
    out : Path
        CSV file; it is there whole or not at all.
    for_bundle : Manifest, optional
        Write only what can recalibrate this bundle: outcomes of the capacity it estimates, on batteries it
        estimated by a trained method, each battery once, its last in the order of the log. Without it
        every outcome is written.

    Raises
    ------
    InvalidInput
        If the file exists or its folder does not.
    RecordUnavailable
        If the record cannot be read.
    """
    if out.exists() or not out.parent.is_dir():
        rule = "must be a new file in a folder that exists"
        raise InvalidInput("The outcomes were not written.", [Problem("--out", rule, out.name)])
    reports, withdrawn = _reported(record)
    left_out = Counter[str]()
    if for_bundle is not None:
        reports = _recalibrating(reports, for_bundle, withdrawn, left_out)
    partial = out.with_name(f".{out.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, EXPORTED, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_cells(*report) for report in reports)
    partial.replace(out)
    return WrittenOutcomes(len(reports), left_out)


def _reported(record: RecordSource) -> tuple[list[tuple[Leaf, Leaf]], set[str]]:
    """Every outcome with its decision, in the order of the log, and the decisions somebody withdrew."""
    reports, withdrawn = list[tuple[Leaf, Leaf]](), set[str]()
    for leaf in record.leaves():
        if leaf.kind is LeafKind.OUTCOME:
            decided = record.by_event_id(leaf.body["decision_id"])
            if decided is not None:
                reports.append((leaf, decided))
        elif leaf.kind is LeafKind.CORRECTION and leaf.body["action"] == CorrectionAction.WITHDRAW:
            withdrawn.add(leaf.body["decision_id"])
    return reports, withdrawn


def _recalibrating(
    reports: Sequence[tuple[Leaf, Leaf]], bundle: Manifest, withdrawn: Collection[str], left_out: Counter[str]
) -> list[tuple[Leaf, Leaf]]:
    """Reports a bundle can learn from, a battery once; the others are counted in `left_out`."""
    by_battery = dict[str | None, tuple[Leaf, Leaf]]()
    for reported, decided in reports:
        why_not = "of a withdrawn decision" if decided.event_id in withdrawn else _objection(reported, decided, bundle)
        if why_not or by_battery.pop(decided.battery_id, None) is not None:
            left_out[why_not or "measured again later"] += 1
        if not why_not:
            by_battery[decided.battery_id] = reported, decided
    return list(by_battery.values())


def _objection(reported: Leaf, decided: Leaf, bundle: Manifest) -> str:
    """Why an outcome cannot teach a bundle; empty if it can."""
    decision = decided.body
    estimate = decision["estimate"]
    if decision["bundle"]["sha256"] != bundle.sha256:
        return "estimated by another bundle"
    method = None if estimate is None else bundle.calibrated(Method(estimate["method"]))
    if method is None:
        return "not estimated by a trained method"
    if reported.body["capacity_definition"] != method.capacity_definition:
        return "of another capacity definition"
    return ""


def _cells(reported: Leaf, decided: Leaf) -> dict[str, object]:
    row = _row(reported, decided)
    return {name: _cell(row[name]) for name in EXPORTED}


def _row(reported: Leaf, decided: Leaf) -> dict[str, Any]:
    outcome, decision = reported.body, decided.body
    plate = ("level", "chemistry", "rated_capacity_ah", "type_designation")
    policy = decision["policy"]
    return {
        "outcome_id": reported.event_id,
        "battery_id": decided.battery_id,
        **{name: decision["battery"][name] for name in plate},
        "decided_at": decided.recorded_at,
        "outcome": decision["decision"]["outcome"],
        "grade": decision["decision"]["grade"],
        **_estimate(decision),
        **{f"bundle_{name}": decision["bundle"][name] for name in ("name", "version", "sha256")},
        "policy_id": policy["policy_id"],
        "policy_version": policy["version"],
        "policy_sha256": policy["sha256"],
        **{name: outcome[name] for name in ("decision_id", "remaining_capacity_ah", "capacity_definition")},
        **{name: outcome[name] for name in ("measured_at", "measured_by", "chosen_at_random")},
        "recorded_at": reported.recorded_at,
    }


def _estimate(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Estimate and the features of its method; without an estimate those of the method that was tried."""
    vector, estimate = case_from_body(decision).vector, decision["estimate"]
    method = vector.method if estimate is None else Method(estimate["method"])
    measured = None if method is None else vector.of(method)
    values = {} if measured is None else measured.values
    fractions = dict.fromkeys(("estimated_fraction", "lower_fraction", "upper_fraction"))
    if estimate is not None:
        ah = (estimate["remaining_capacity_ah"], estimate["lower_ah"], estimate["upper_ah"])
        fractions = {name: each / estimate["rated_capacity_ah"] for name, each in zip(fractions, ah, strict=True)}
    return {
        "method": method and method.value,
        **fractions,
        "coverage_fraction": estimate and estimate["coverage_fraction"],
        "estimated_definition": estimate and estimate["capacity_definition"],
        "feature_set_digest": measured and measured.feature_set_digest,
        "features": json.dumps({name: None if math.isnan(value) else value for name, value in values.items()}),
    }


def _cell(value: object) -> object:
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    return spreadsheet_safe(value) if isinstance(value, str) else value
