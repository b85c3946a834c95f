"""A capacity measured later on a battery that was graded.

An outcome stands beside its decision and never alters it: the record then tells what was said and
what turned out. Its battery, type and features are those of the decision; nothing is copied. A
capacity test given as a run goes through the one door of features, so it obeys the same rules as a
test that grades. Nothing here knows HTTP or files.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from features.errors import InvalidInput, PackGradeError, Problem
from features.extract import extract
from features.findings import Severity
from features.measurement import BatteryHistory, BatteryIdentity, MeasurementRun
from features.vocabulary import Provenance
from serving.due_dates import DueDates
from serving.grading import GradingRequest
from serving.record.decision_body import case_from_body
from serving.record.entry import NewEntry, Recorded
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger

HIGHEST_PLAUSIBLE_FRACTION = 1.5
"""Beyond this share of the plate a capacity is a unit mistake (mAh for Ah) or another battery's."""

RATE_TOLERANCE = 0.1
"""A test whose rate differs by more than this share is not of the definition it is declared under."""

_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_RATE_OF_DEFINITION = re.compile(r"(\d+(?:\.\d+)?) ?C\b")


@dataclass(frozen=True)
class MeasuredOutcome:
    """A capacity measured on a graded battery.

    Attributes
    ----------
    decision_id : str
        Decision on the battery it was measured on.
    capacity_definition : str
        Which capacity it is, in the words of the bundle it is to be compared with.
    measured : float or MeasurementRun
        Capacity in Ah, or the capacity test it follows from.
    measured_at : datetime
        When the measurement ended, aware.
    measured_by : str
        Station that measured.
    chosen_at_random : bool or None
        Whether the battery was drawn by lot to be measured, whatever its decision said; None if
        nobody says so. Batteries measured because they were in doubt are no fair sample.
    """

    decision_id: str
    capacity_definition: str
    measured: float | MeasurementRun
    measured_at: datetime
    measured_by: str
    chosen_at_random: bool | None = None


class UnknownDecision(PackGradeError):  # noqa: N818 - reads as what it is: the decision is unknown
    """An outcome names a decision the record does not hold. Nothing was recorded."""

    def __init__(self, decision_id: str) -> None:
        super().__init__(
            "NOT_FOUND",
            f"The record holds no decision {decision_id}. Nothing was recorded.",
            [Problem("decision_id", "must be a decision of this record", decision_id)],
        )


def record_outcome(ledger: Ledger, outcome: MeasuredOutcome, request: GradingRequest, due_dates: DueDates) -> Recorded:
    """Record a measured capacity beside the decision it belongs to.

    Parameters
    ----------
    ledger : Ledger
        The record's writer.
    outcome : MeasuredOutcome
        What was measured.
    request : GradingRequest
        Who reports it, under which key, when.
    due_dates : DueDates
        When the platform must be told.

    Returns
    -------
    Recorded
        Committed; the earlier entry if this station used this key for the same report.

    Raises
    ------
    UnknownDecision
        If the record holds no such decision.
    InvalidInput
        If the capacity is not plausible or lies in the future, or its test is no full discharge of
        the definition.
    PackGradeError
        If the record cannot be written, or the key was used for something else.
    """
    earlier = ledger.find(request.station, request.idempotency_key)
    if earlier is not None and earlier.leaf.request_sha256 == request.request_sha256:
        return earlier
    return ledger.append(_entry(ledger, outcome, request, due_dates))


def record_outcomes(
    ledger: Ledger, reports: Mapping[str, tuple[MeasuredOutcome, GradingRequest]], due_dates: DueDates
) -> list[Recorded]:
    """Record many outcomes in one transaction, or none of them.

    Parameters
    ----------
    ledger : Ledger
        The record's writer.
    reports : mapping of str to tuple
        What was measured and who reports it, by the place a refusal names (``row 3``).
    due_dates : DueDates
        When the platform must be told.

    Returns
    -------
    list of Recorded
        In the order of the reports.

    Raises
    ------
    InvalidInput
        Naming every report that `record_outcome` would refuse; then nothing is recorded.
    PackGradeError
        If the record cannot be written, or a key was used for something else.
    """
    entries, problems = list[NewEntry](), list[Problem]()
    for where, (outcome, request) in reports.items():
        try:
            entries.append(_entry(ledger, outcome, request, due_dates))
        except (InvalidInput, UnknownDecision) as error:
            problems.extend(problem.inside(where) for problem in error.problems)
    if problems:
        raise _refused(problems)
    answers = ledger.append_many(entries)
    for answer in answers:
        if isinstance(answer, PackGradeError):
            raise answer
    return [answer for answer in answers if isinstance(answer, Recorded)]


def _entry(ledger: Ledger, outcome: MeasuredOutcome, request: GradingRequest, due_dates: DueDates) -> NewEntry:
    decided = ledger.by_event_id(outcome.decision_id)
    if decided is None or decided.leaf.kind is not LeafKind.DECISION:
        raise UnknownDecision(outcome.decision_id)
    due = due_dates.of(LeafKind.OUTCOME, request.moment)
    return request.entry(LeafKind.OUTCOME, decided.leaf.battery_id, {**_body(decided, outcome, request.moment), **due})


def _body(decided: Recorded, outcome: MeasuredOutcome, moment: datetime) -> dict[str, Any]:
    identity = case_from_body(decided.leaf.body).identity
    measured = _measured(outcome, identity, moment)
    _require_plausible(measured["remaining_capacity_ah"], identity)
    if outcome.measured_at < _EARLIEST:
        raise _refused([Problem("measured_at", "must not be before 1990", outcome.measured_at.isoformat())])
    if outcome.measured_at > moment:
        rule = f"cannot be later than the report, {moment.astimezone(UTC).isoformat(timespec='seconds')}"
        raise _refused([Problem("measured_at", rule, outcome.measured_at.isoformat())])
    return {
        "decision_id": outcome.decision_id,
        "decision_leaf_sha256": decided.leaf_sha256,
        "capacity_definition": outcome.capacity_definition,
        "measured_at": outcome.measured_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "measured_by": outcome.measured_by,
        "chosen_at_random": outcome.chosen_at_random,
        **measured,
    }


def _measured(outcome: MeasuredOutcome, identity: BatteryIdentity, moment: datetime) -> dict[str, Any]:
    if isinstance(outcome.measured, MeasurementRun):
        return _of_run(outcome.measured, outcome.capacity_definition, identity, moment)
    return {"remaining_capacity_ah": float(outcome.measured), "test": None}


def _of_run(run: MeasurementRun, definition: str, identity: BatteryIdentity, moment: datetime) -> dict[str, Any]:
    if run.source.provenance is not Provenance.BENCH_MEASURED:
        rule = "must be bench_measured: what a BMS reports or a person enters proves no capacity"
        raise _refused([Problem("capacity_test.provenance", rule, run.source.provenance.value)])
    vector = extract(BatteryHistory(identity, [run]), moment)
    values = {name: None if math.isnan(value) else value for name, value in vector.values.items()}
    capacity_ah, rate_c = values.get("discharged_capacity_ah"), values.get("discharge_rate_c")
    if capacity_ah is None or rate_c is None:
        told = [each for each in vector.findings if each.severity is not Severity.NOTE]
        problems = [Problem("capacity_test", each.message.en, each.code) for each in told]
        raise _refused(problems or [Problem("capacity_test", "must be one full discharge")])
    _require_rate(rate_c, definition)
    return {"remaining_capacity_ah": capacity_ah, "test": {"values": values, "source_sha256": run.source.sha256}}


def _require_rate(rate_c: float, definition: str) -> None:
    declared = _RATE_OF_DEFINITION.match(definition)
    if declared is not None and abs(rate_c - float(declared[1])) > RATE_TOLERANCE * float(declared[1]):
        rule = f"must be the discharge of {definition!r}, within {100 * RATE_TOLERANCE:.0f} % of its rate"
        raise _refused([Problem("capacity_test", rule, f"{rate_c:.3f}C")])


def _require_plausible(capacity_ah: float, identity: BatteryIdentity) -> None:
    highest = HIGHEST_PLAUSIBLE_FRACTION * identity.rated_capacity_ah
    if not (math.isfinite(capacity_ah) and 0.0 < capacity_ah <= highest):
        rule = f"must be above 0 and at most {highest:g} Ah, half more than the plate says; is the unit Ah?"
        raise _refused([Problem("remaining_capacity_ah", rule, f"{capacity_ah:g}")])


def _refused(problems: list[Problem]) -> InvalidInput:
    return InvalidInput("The outcome breaks the rules named below. Nothing was recorded.", problems)
