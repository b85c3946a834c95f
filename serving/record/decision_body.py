"""A decision as it is written in the record, and the case read back from it.

Everything a decision rests on goes into the leaf: identity, inspection, features, what the record said
before, estimate, decision, and the digests of bundle and policy. A missing feature is null. What is
written is plain JSON; `case_from_body` and `past_from_body` give back the very case and its past, so
that it can be decided again.
"""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any

from pydantic import TypeAdapter

from features.measurement import MeasurementRun
from models.decision import CapacityEstimate, GradingCase, GradingDecision
from models.past import NOTHING_PAST, RecordedPast

Json = dict[str, Any]

_CASE = TypeAdapter(GradingCase)


def decision_body(
    case: GradingCase,
    decision: GradingDecision,
    bundle: Mapping[str, str],
    runs: tuple[MeasurementRun, ...],
    past: RecordedPast = NOTHING_PAST,
) -> Json:
    """The body of a decision leaf.

    Parameters
    ----------
    case : GradingCase
        What was decided on.
    decision : GradingDecision
        What was decided.
    bundle : mapping of str to str
        ``name``, ``version`` and ``sha256`` of the bundle.
    runs : tuple of MeasurementRun
        The runs given; only their kind, source and times are written, never their rows.
    past : RecordedPast, optional
        What the record said of the battery before.

    Returns
    -------
    dict
        Plain JSON without NaN.
    """
    return {
        "battery": _plain(case.identity),
        "inspection": _plain(case.inspection),
        "runs": [_run_body(run) for run in runs],
        "vector": _plain(case.vector),
        "past": past.as_json(),
        **outcome_body(decision),
        "bundle": dict(bundle),
    }


def outcome_body(decision: GradingDecision) -> Json:
    """The part of the body that a replay must reproduce bit for bit."""
    return {
        "estimate": None if decision.estimate is None else estimate_body(decision.estimate),
        "certificate": certificate_body(decision),
        "decision": {
            "outcome": decision.outcome.value,
            "grade": decision.grade,
            "suitable_uses": list(decision.suitable_uses),
            "reasons": [_plain(reason) for reason in decision.reasons],
            "next_test": None if decision.next_test is None else _plain(decision.next_test),
        },
        "policy": _plain(decision.policy),
    }


def certificate_body(decision: GradingDecision) -> Json | None:
    """Thresholds in force for the deciding method with the levels they promise; None without any."""
    if decision.thresholds is None or decision.estimate is None:
        return None
    return {"method": decision.estimate.method.value, **_plain(decision.thresholds)}


def estimate_body(estimate: CapacityEstimate) -> Json:
    """An estimate with its state of health written out."""
    return {**_plain(estimate), "state_of_health_fraction": estimate.state_of_health_fraction}


def case_from_body(body: Mapping[str, Any]) -> GradingCase:
    """The case a recorded decision rested on.

    Raises
    ------
    pydantic.ValidationError
        If the body was not written by `decision_body`.
    """
    vector = _with_nan(body["vector"])
    vector["further"] = [_with_nan(each) for each in vector["further"]]
    return _CASE.validate_python({"identity": body["battery"], "inspection": body["inspection"], "vector": vector})


def past_from_body(body: Mapping[str, Any]) -> RecordedPast:
    """What the record said before a recorded decision; a decision older than this entry respected nothing."""
    return RecordedPast.from_json(body.get("past"))


def _with_nan(features: Mapping[str, Any]) -> Json:
    values = {name: math.nan if value is None else value for name, value in features["values"].items()}
    return {**features, "values": values}


def _run_body(run: MeasurementRun) -> Json:
    return {
        "kind": run.kind.value,
        "started_at": _plain(run.started_at),
        "available_at": _plain(run.available_at),
        "source": _plain(run.source),
        "row_count": run.table.row_count,
        "train": run.train,
    }


def _plain(value: Any) -> Any:  # noqa: PLR0911 - one return per kind of value reads best
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return value
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return [_plain(each) for each in value]
