"""The unit of work of a batch: a slice of battery orders in, result rows out.

It knows no engine: a loop, a pool or a cluster may call it. Files stay open between batteries of a
slice, because a thousand batteries often lie in one file. A battery that cannot be read becomes a
row with its error and stops nobody else; a record that cannot be written stops the slice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from uuid import UUID, uuid5

from features.errors import InvalidInput, PackGradeError
from features.measurement import BatteryHistory, MeasurementRun
from features.readers.by_format import OpenFiles, read_run
from models.decision import cut_key
from serving.batch.manifest import BatteryOrder, RunOrder
from serving.grading import Grader, GradingRequest, RecordedDecision, history_sha256
from serving.settings import software_version

_EVENT_NAMESPACE = UUID("6f1d1e5c-2b0e-5c7e-9a57-1d3f6c0b9a11")


@dataclass(frozen=True)
class ResultRow:
    """One battery of a batch, in the columns of the result file."""

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
    bundle_digest: str | None = None
    policy_version: str | None = None
    error: str | None = None

    def cells(self, cuts: Sequence[float]) -> dict[str, object]:
        """The row as result columns: one ``p_below_…`` per cut of the policy."""
        cells = {each.name: getattr(self, each.name) for each in fields(self)}
        probabilities = cells.pop("probability_below_cut")
        named = {f"p_below_{cut_key(cut)}": probabilities.get(cut_key(cut)) for cut in cuts}
        before = list(cells)
        position = before.index("reasons")
        return {
            **{name: cells[name] for name in before[:position]},
            **named,
            **{name: cells[name] for name in before[position:]},
        }


def grade_slice(
    grader: Grader, orders: Sequence[BatteryOrder], station: str, moment: datetime, files: OpenFiles | None = None
) -> list[ResultRow]:
    """Grade a slice of batteries and record them in one commit.

    Parameters
    ----------
    grader : Grader
        The same grader as the service's.
    orders : sequence of BatteryOrder
        Batteries to grade.
    station : str
        Station the decisions belong to.
    moment : datetime
        Grading moment.
    files : OpenFiles, optional
        Files kept open over slices.

    Returns
    -------
    list of ResultRow
        One per order, in order; `error` says why a battery was not graded.

    Raises
    ------
    PackGradeError
        If the record cannot be written: then nothing of this slice was decided.
    """
    opened = files or OpenFiles()
    histories = [_history_or_error(order, moment, opened) for order in orders]
    asked = [
        (each, content_request(grader, each, station, moment)) for each in histories if isinstance(each, BatteryHistory)
    ]
    answers = iter(grader.grade_many(asked))
    return list(_rows(orders, histories, answers))


def content_request(grader: Grader, history: BatteryHistory, station: str, moment: datetime) -> GradingRequest:
    """Request keyed by its content: what is asked, of which bundle, under which policy and release.

    Feeding the same file twice gives the decisions of the first time; another measurement, mapping,
    bundle, policy or release gives new ones.
    """
    asked = history_sha256(history)
    held = f"{asked}:{grader.bundle.sha256}:{grader.policy.stamp.sha256}:{software_version()}"
    key = f"content-{uuid5(_EVENT_NAMESPACE, held).hex}"
    return GradingRequest(station, key, asked, uuid5(_EVENT_NAMESPACE, f"{station}:{key}").hex, moment)


def _history_or_error(order: BatteryOrder, moment: datetime, files: OpenFiles) -> BatteryHistory | PackGradeError:
    if order.identity is None:
        return InvalidInput(f"Battery {order.battery_id} has rows that break the manifest's rules.", order.problems)
    try:
        runs = [read_order(run, order.battery_id, moment, files) for run in order.runs]
    except PackGradeError as error:
        return error
    return BatteryHistory(order.identity, runs, order.inspection)


def read_order(run: RunOrder, battery_id: str, moment: datetime, files: OpenFiles) -> MeasurementRun:
    """One run of a manifest as a measurement."""
    return read_run(
        kind=run.kind,
        run_format=run.run_format,
        path=run.path,
        available_at=moment,
        battery_id=battery_id,
        started_at=run.started_at,
        train=run.train,
        mapping=run.mapping,
        files=files,
    )


def _rows(
    orders: Sequence[BatteryOrder],
    histories: Sequence[BatteryHistory | PackGradeError],
    answers: Iterator[RecordedDecision | PackGradeError],
) -> Iterator[ResultRow]:
    for order, history in zip(orders, histories, strict=True):
        answer = history if isinstance(history, PackGradeError) else next(answers)
        if isinstance(answer, PackGradeError):
            yield ResultRow(order.battery_id, error="; ".join(str(answer).splitlines()))
        else:
            yield _result_row(order.battery_id, answer)


def _result_row(battery_id: str, recorded: RecordedDecision) -> ResultRow:
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
        bundle_digest=body["bundle"]["sha256"],
        policy_version=body["policy"]["version"],
    )
