"""Measured capacities as a CSV file: the door for stations that keep a table instead of calling the API.

A file is taken whole or not at all. Every row is read by the wire's own schema, and a row is its own
idempotency key, so that the same file twice records nothing new.
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from features.errors import InvalidInput, Problem
from features.spreadsheet_text import from_spreadsheet_safe
from models.policy_file import load_policy
from serving.due_dates import DueDates
from serving.events.outcomes import record_outcomes
from serving.grading import GradingRequest, open_record
from serving.outcome_messages import OutcomeRequest, outcome_from_request
from serving.record.entry import Recorded
from serving.settings import Settings, software_version

NEEDED = ("decision_id", "remaining_capacity_ah", "capacity_definition", "measured_at")
OPTIONAL = ("station", "chosen_at_random")
"""Columns of a file of measured capacities."""

LARGEST_FILE_BYTES = 8 * 1024 * 1024
_TRUTH = {"true": True, "false": False, "": None}


def add_outcomes(settings: Settings, file: Path, moment: datetime) -> list[Recorded]:
    """Record every measured capacity of a CSV file, or none of them.

    Parameters
    ----------
    settings : Settings
        Deployment whose record holds the decisions.
    file : Path
        CSV, UTF-8, with the columns `NEEDED` and any of `OPTIONAL`.
    moment : datetime
        Moment of the report, aware.

    Returns
    -------
    list of Recorded
        In the order of the rows; a row recorded before is the entry of that time.

    Raises
    ------
    InvalidInput
        Naming row, column, rule and value of everything that is wrong; then nothing was recorded.
    PackGradeError
        If the record cannot be written.
    """
    requests = _requests(file)
    reports = {
        where: (outcome_from_request(request, settings.station, moment), _asked(settings, request, moment))
        for where, request in requests.items()
    }
    due_dates = DueDates(load_policy(settings.policy_file).traceability)
    with open_record(settings.record_file, software_version(), settings.witness_file, settings.log_key_file) as ledger:
        return record_outcomes(ledger, reports, due_dates)


def _requests(file: Path) -> dict[str, OutcomeRequest]:
    requests, problems = dict[str, OutcomeRequest](), list[Problem]()
    for number, row in enumerate(_read_rows(file), start=2):
        where = f"{file.name} row {number}"
        try:
            requests[where] = OutcomeRequest.model_validate(_typed(row))
        except ValidationError as error:
            problems += [_problem(where, each) for each in error.errors(include_url=False)]
    if problems or not requests:
        raise _refused(problems or [Problem(file.name, "must hold at least one row")])
    return requests


def _read_rows(file: Path) -> list[dict[str, Any]]:
    try:
        if file.stat().st_size > LARGEST_FILE_BYTES:
            raise _refused([Problem(file.name, "must be at most 8 MiB", f"{file.stat().st_size} bytes")])
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened, restkey="beyond the last column", strict=True)
            _require_columns(file, reader.fieldnames or ())
            return list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _refused([Problem(file.name, "must be a readable CSV file in UTF-8", str(error)[:80])]) from error


def _require_columns(file: Path, found: Sequence[str]) -> None:
    known = (*NEEDED, *OPTIONAL)
    problems = [Problem(file.name, "needs the column", name) for name in NEEDED if name not in found]
    problems += [Problem(file.name, f"is none of {', '.join(known)}", name[:40]) for name in found if name not in known]
    if len(set(found)) != len(found):
        problems.append(Problem(file.name, "must name every column once", ", ".join(found)[:80]))
    if problems:
        raise _refused(problems)


def _typed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Cells as the wire's types; what is no number or truth value stays text and is refused there."""
    cells = {name: cell.strip() if isinstance(cell, str) else cell for name, cell in row.items()}
    cells["remaining_capacity_ah"] = _number(cells["remaining_capacity_ah"])
    for name in ("capacity_definition", "station"):
        if isinstance(cells.get(name), str):
            cells[name] = from_spreadsheet_safe(cells[name]) or None
    if isinstance(asked := cells.get("chosen_at_random"), str):
        cells["chosen_at_random"] = _TRUTH.get(asked.lower(), asked)
    return cells


def _number(cell: Any) -> Any:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return cell


def _problem(where: str, fault: Mapping[str, Any]) -> Problem:
    column = ".".join(str(part) for part in fault["loc"])
    return Problem(f"{where} {column}".strip(), fault["msg"], repr(fault["input"])[:80])


def _asked(settings: Settings, request: OutcomeRequest, moment: datetime) -> GradingRequest:
    """The row is its own key: the same row again is the same report."""
    told = request.model_dump_json(exclude_none=True)
    sha256 = hashlib.sha256(f"outcome row {told}".encode()).hexdigest()
    return GradingRequest(settings.station, f"outcome-{sha256}", sha256, uuid4().hex, moment)


def _refused(problems: list[Problem]) -> InvalidInput:
    return InvalidInput("The file of outcomes was not taken. Nothing was recorded.", problems)
