"""Recorded outcomes as a CSV table with everything retraining needs: the one thing training sees of the record.

Per outcome the decision's battery type, estimate, bundle, policy and features, and the capacity
measured later. Nothing is written that names a vehicle or an owner. Text that a spreadsheet would
run is written behind an apostrophe (`features.spreadsheet_text`).
"""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from features.errors import InvalidInput, Problem
from features.feature_set import Method
from features.spreadsheet_text import spreadsheet_safe
from serving.record.decision_body import case_from_body
from serving.record.leaf import Leaf, LeafKind
from serving.record.sqlite import SqliteStore
from serving.record.store import leaves

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


def write_outcomes(record_file: Path, out: Path) -> int:
    """Write every recorded outcome into a new CSV file; returns how many there are.

    Parameters
    ----------
    record_file : Path
        The record.
    out : Path
        CSV file; it is there whole or not at all.

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
    partial, rows = out.with_name(f".{out.name}.partial"), list(_rows(record_file))
    with partial.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, EXPORTED, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(row[name]) for name in EXPORTED} for row in rows)
    partial.replace(out)
    return len(rows)


def _rows(record_file: Path) -> Iterator[dict[str, Any]]:
    store = SqliteStore(record_file)
    for leaf in leaves(store):
        if leaf.kind is LeafKind.OUTCOME:
            with store.reading() as reader:
                decided = reader.by_event_id(leaf.body["decision_id"])
            if decided is not None:
                yield _row(leaf, decided)


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
