"""From a request's columns of JSON values to the battery's history.

A column is checked whole: one pass over its types says whether it holds numbers (words in
``step_type``); booleans never pass for numbers, and null stands for "not reported" only where the
format allows gaps. Ranges, order and signs are the business of `features.measurement`.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from features.errors import InvalidInput, Problem
from features.measurement import BatteryHistory, CanonicalTable, MeasurementRun, SourceStamp, TableColumn
from features.vocabulary import MAY_BE_MISSING, Provenance, RunKind, TableFormat
from serving.messages import BatteryFile, GradeRequest, WireRun
from serving.wire import canonical_sha256, shortened

_WORD_COLUMN = "step_type"
_COLUMN_WITH_GAPS = "surface_temperature_celsius"
_SHOWN_PER_COLUMN = 3
_NUMBERS = frozenset({int, float})

Part = TypeVar("Part")


def history_from_request(request: GradeRequest, moment: datetime) -> BatteryHistory:
    """Return the history a request tells.

    Parameters
    ----------
    request : GradeRequest
        A request of the right shape.
    moment : datetime
        Moment of receipt: every run is available from then on. Aware.

    Raises
    ------
    InvalidInput
        If identity, inspection or a run breaks a rule; every part is looked at, so that one answer
        names all of them.
    """
    readers = [partial(measurement_run, run, f"runs[{index}]", moment) for index, run in enumerate(request.runs)]
    return history_of(request, readers)


def history_of(described: BatteryFile, readers: Sequence[Callable[[], MeasurementRun]]) -> BatteryHistory:
    """Return the history of a described battery and its measurements.

    Parameters
    ----------
    described : BatteryFile
        Battery and inspection.
    readers : sequence of callable
        Each returns one run, in the order of the request.

    Raises
    ------
    InvalidInput
        As `history_from_request`.
    """
    problems: list[Problem] = []
    identity = _built("battery", described.battery.identity, problems)
    inspection = _built("inspection", described.inspection.inspection, problems)
    runs = [_built(f"runs[{index}]", read, problems) for index, read in enumerate(readers)]
    if problems or identity is None or inspection is None:
        raise InvalidInput("The request breaks the rules named below. Nothing was graded.", problems)
    return BatteryHistory(identity, [run for run in runs if run is not None], inspection)


def _built(where: str, build: Callable[[], Part], problems: list[Problem]) -> Part | None:
    try:
        return build()
    except InvalidInput as error:
        problems.extend(error.inside(where).problems)
        return None


def measurement_run(run: WireRun, where: str, moment: datetime) -> MeasurementRun:
    """Return the measurement a run of a request tells.

    Parameters
    ----------
    run : WireRun
        A run of the right shape.
    where : str
        Its place in the request, for the record.
    moment : datetime
        Moment of receipt. Aware.

    Raises
    ------
    InvalidInput
        If the run or its table breaks a rule.
    """
    started_at = begun_at(run.started_at, moment) or moment
    source = SourceStamp(
        name=f"request {where}",
        sha256=canonical_sha256([run.format.value, run.table]),
        reader=f"wire {run.format.value}",
        provenance=run.provenance or _usual_provenance(run.kind),
    )
    table = _table(run.format, run.table)
    return MeasurementRun(run.kind, started_at, moment, source, table, train=run.train)


def begun_at(told: str | None, moment: datetime) -> datetime | None:
    """Return when a run began, as far as the request tells.

    Raises
    ------
    InvalidInput
        If that is later than the receipt of the request.
    """
    if told is None:
        return None
    begun = datetime.fromisoformat(told)
    if begun > moment:
        rule = f"cannot be later than the receipt of the request, {moment.isoformat(timespec='seconds')}"
        raise InvalidInput("The run has not begun yet.", [Problem("started_at", rule, told)])
    return begun


def _usual_provenance(kind: RunKind) -> Provenance:
    return Provenance.BMS_REPORTED if kind is RunKind.FIELD_TELEMETRY else Provenance.BENCH_MEASURED


def _table(table_format: TableFormat, columns: dict[str, list[Any]]) -> CanonicalTable:
    problems: list[Problem] = []
    arrays = {name: _column(table_format, name, values, problems) for name, values in columns.items()}
    if problems:
        error = InvalidInput(f"The {table_format.value} table holds values of the wrong type.", problems)
        raise error.inside("table")
    try:
        return CanonicalTable(table_format, arrays)
    except InvalidInput as error:
        raise error.inside("table") from error


def _column(table_format: TableFormat, name: str, values: Sequence[Any], problems: list[Problem]) -> TableColumn:
    may_have_gaps = table_format in MAY_BE_MISSING or name == _COLUMN_WITH_GAPS
    allowed, rule = _NUMBERS | {type(None)} if may_have_gaps else _NUMBERS, "must be a number"
    if name == _WORD_COLUMN:
        allowed, rule = frozenset({str}), "must be a word"
    elif may_have_gaps:
        rule = "must be a number or null"
    if set(map(type, values)) <= allowed:
        try:
            return np.array(values, dtype=np.str_) if name == _WORD_COLUMN else np.array(values, dtype=np.float64)
        except OverflowError:
            problems.extend(_too_large(name, values))
    else:
        problems.extend(_wrong_types(name, values, allowed, rule))
    return np.empty(0)


def _wrong_types(name: str, values: Sequence[Any], allowed: frozenset[type], rule: str) -> list[Problem]:
    wrong = (Problem(f"{name}[{row}]", rule, _shown(v)) for row, v in enumerate(values) if type(v) not in allowed)
    return list(islice(wrong, _SHOWN_PER_COLUMN))


def _too_large(name: str, values: Sequence[Any]) -> Iterator[Problem]:
    for row, value in enumerate(values):
        try:
            float(0 if value is None else value)
        except OverflowError:
            yield Problem(f"{name}[{row}]", "must be a finite number", f"{value.bit_length()} bits long")
            return


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"an array of {len(value)}"
    return shortened(repr(value))
