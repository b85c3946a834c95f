"""The unit of work of a batch: a slice of battery orders in, result rows out.

It knows no engine: a loop, a pool or a cluster may call it. Files stay open between batteries of a
slice, because a thousand batteries often lie in one file. A battery that cannot be read becomes a
row with its error and stops nobody else; a record that cannot be written stops the slice.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4, uuid5

from features.errors import InvalidInput, PackGradeError, Problem, UnreadableFile
from features.measurement import BatteryHistory, MeasurementRun
from features.readers.by_format import OpenFiles, read_run
from features.vehicle_number import vehicle_number_problems, without_vehicle_numbers
from serving.batch.manifest import BatteryOrder, RunOrder
from serving.batch.remote import LocalCopies
from serving.batch.result_row import ResultRow, decided_row, error_row
from serving.events.refusals import record_refusals
from serving.grading import Grader, GradingRequest, RecordedDecision, history_sha256
from serving.record.entry import Recorded
from serving.settings import software_version

_EVENT_NAMESPACE = UUID("6f1d1e5c-2b0e-5c7e-9a57-1d3f6c0b9a11")


def grade_slice(
    grader: Grader,
    orders: Sequence[BatteryOrder],
    station: str,
    moment: datetime,
    files: OpenFiles | None = None,
    *,
    operator: str | None = None,
) -> list[ResultRow]:
    """Grade a slice of batteries and record them in one commit, and in another whose measurements were refused.

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
    operator : str, optional
        Pseudonym of who grades.

    Returns
    -------
    list of ResultRow
        One per order, in order; `error` says why a battery was not graded, `sequence` then where that stands.

    Raises
    ------
    PackGradeError
        If the record cannot be written: then nothing of this slice was decided.
    """
    asker = GradingRequest(station, "", "", "", moment, operator)
    with LocalCopies() as copies:
        here = [_order_here(order, copies) for order in orders]
        return _graded_here(grader, here, asker, files or OpenFiles())


def _graded_here(
    grader: Grader,
    fetched: Sequence[tuple[BatteryOrder, PackGradeError | None]],
    asker: GradingRequest,
    files: OpenFiles,
) -> list[ResultRow]:
    orders = [order for order, _ in fetched]
    histories = [fault or _history_or_error(order, asker.moment, files) for order, fault in fetched]
    asked = [
        (each, replace(content_request(grader, each, asker.station, asker.moment), operator=asker.operator))
        for each in histories
        if isinstance(each, BatteryHistory)
    ]
    answers = iter(grader.grade_many(asked))
    done = [next(answers) if isinstance(each, BatteryHistory) else each for each in histories]
    refusals = _recorded_refusals(grader, orders, done, asker, files)
    return [
        _row(order, answer, refusals.get(row)) for row, (order, answer) in enumerate(zip(orders, done, strict=True))
    ]


def _order_here(order: BatteryOrder, copies: LocalCopies) -> tuple[BatteryOrder, PackGradeError | None]:
    """Return the order on local files, or as it is with the fault that kept a file away."""
    try:
        runs = tuple(replace(run, path=copies.of(run.url)) if run.url else run for run in order.runs)
    except PackGradeError as fault:
        return order, fault
    return replace(order, runs=runs), None


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
    if problems := _vehicle_number_problems(order):
        return InvalidInput("The battery is named after its vehicle.", problems)
    try:
        runs = [read_order(run, order.battery_id, moment, files) for run in order.runs]
    except PackGradeError as error:
        return error
    return BatteryHistory(order.identity, runs, order.inspection)


def _vehicle_number_problems(order: BatteryOrder) -> list[Problem]:
    designation = order.identity.type_designation if order.identity else None
    texts = {"battery_id": order.battery_id, "type_designation": designation}
    return [problem.inside(f"row {order.rows[0]}") for problem in vehicle_number_problems(texts.items())]


def _recorded_refusals(
    grader: Grader, orders: Sequence[BatteryOrder], done: Sequence[object], asker: GradingRequest, files: OpenFiles
) -> dict[int, Recorded]:
    """Record the refused measurements of sound batteries; return their entries by row."""
    refused = {
        row: (order.identity.battery_id, answer, refused_request(order, answer, asker, files))
        for row, (order, answer) in enumerate(zip(orders, done, strict=True))
        if isinstance(answer, InvalidInput) and order.identity and not _vehicle_number_problems(order)
    }
    return dict(zip(refused, record_refusals(grader.ledger, list(refused.values())), strict=True))


def refused_request(
    order: BatteryOrder, refused: InvalidInput, asker: GradingRequest, files: OpenFiles
) -> GradingRequest:
    """Return the request of a battery without history, asked by `asker`: its digest is of order, files and fault."""
    runs = [[run.kind, run.run_format, _file_sha256(run.path, files), run.train] for run in order.runs]
    asked = [asdict(order.identity) if order.identity else None, asdict(order.inspection), runs, str(refused)]
    sha256 = hashlib.sha256(json.dumps(asked, default=str, separators=(",", ":")).encode()).hexdigest()
    return replace(asker, idempotency_key=f"content-{sha256}", request_sha256=sha256, event_id=uuid4().hex)


def _file_sha256(path: Path, files: OpenFiles) -> str | None:
    try:
        return files.sha256(path)
    except UnreadableFile:
        return None


def read_order(run: RunOrder, battery_id: str, moment: datetime, files: OpenFiles) -> MeasurementRun:
    """One run of a manifest as a measurement; a vehicle number in the file's name goes no further."""
    run_read = read_run(
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
    name = without_vehicle_numbers(run.path.name)
    return run_read if name == run.path.name else replace(run_read, source=replace(run_read.source, name=name))


def _row(order: BatteryOrder, answer: RecordedDecision | PackGradeError, refusal: Recorded | None) -> ResultRow:
    if isinstance(answer, RecordedDecision):
        return decided_row(order.battery_id, answer)
    return error_row(order.battery_id, answer, refusal.leaf.sequence if refusal else None)
