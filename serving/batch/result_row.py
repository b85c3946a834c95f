"""A row of a batch's results: what the record says of one battery, or why it says nothing.

Read from the recorded decision and from nothing else, so a row can be made again from the record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from features.errors import PackGradeError
from models.decision import cut_key
from serving.grading import RecordedDecision


@dataclass(frozen=True)
class ResultRow:
    """One battery of a batch: decided, or with the error that kept it from being decided.

    Attributes
    ----------
    decision_id, sequence
        The decision's identifier and its place in the record; of a recorded refusal the place alone.
    next_test_minutes : float or None
        Bench time of `next_test`; in the table of abstentions, not among the result columns. [min]
    error : str or None
        Why the battery was not decided. The other columns are those of the result file.
    """

    battery_id: str
    decision_id: str | None = None
    sequence: int | None = None
    outcome: str | None = None
    grade: str | None = None
    method: str | None = None
    remaining_capacity_ah: float | None = None
    remaining_capacity_lower_ah: float | None = None
    remaining_capacity_upper_ah: float | None = None
    state_of_health_fraction: float | None = None
    coverage_fraction: float | None = None
    probability_below_cut: dict[str, float] = field(default_factory=dict)
    reasons: str | None = None
    next_test: str | None = None
    next_test_minutes: float | None = None
    bundle_digest: str | None = None
    policy_version: str | None = None
    error: str | None = None

    def cells(self, cuts: Sequence[float]) -> dict[str, object]:
        """Return the row as result columns: one ``p_below_…`` per cut of the policy."""
        cells = {each.name: getattr(self, each.name) for each in fields(self)}
        probabilities = cells.pop("probability_below_cut")
        del cells["next_test_minutes"]
        named = {f"p_below_{cut_key(cut)}": probabilities.get(cut_key(cut)) for cut in cuts}
        before = list(cells)
        position = before.index("reasons")
        return {
            **{name: cells[name] for name in before[:position]},
            **named,
            **{name: cells[name] for name in before[position:]},
        }


def error_row(battery_id: str, fault: PackGradeError, sequence: int | None = None) -> ResultRow:
    """Row of a battery that was not decided.

    Parameters
    ----------
    battery_id : str
        As written in the manifest.
    fault : PackGradeError
        Why.
    sequence : int, optional
        Where the record tells of it.
    """
    return ResultRow(battery_id, sequence=sequence, error="; ".join(str(fault).splitlines()))


def decided_row(battery_id: str, recorded: RecordedDecision) -> ResultRow:
    """Row of a recorded decision."""
    body = recorded.body
    estimate, decision = body["estimate"] or {}, body["decision"]
    next_test = decision["next_test"]
    return ResultRow(
        battery_id=battery_id,
        decision_id=recorded.decision_id,
        sequence=recorded.sequence,
        outcome=decision["outcome"],
        grade=decision["grade"],
        method=body["vector"]["method"],
        remaining_capacity_ah=estimate.get("remaining_capacity_ah"),
        remaining_capacity_lower_ah=estimate.get("lower_ah"),
        remaining_capacity_upper_ah=estimate.get("upper_ah"),
        state_of_health_fraction=estimate.get("state_of_health_fraction"),
        coverage_fraction=estimate.get("coverage_fraction"),
        probability_below_cut=dict(estimate.get("probability_below_cut", {})),
        reasons=";".join(reason["code"] for reason in decision["reasons"]),
        next_test=next_test["test_id"] if next_test else None,
        next_test_minutes=next_test["minutes"] if next_test else None,
        bundle_digest=body["bundle"]["sha256"],
        policy_version=body["policy"]["version"],
    )
