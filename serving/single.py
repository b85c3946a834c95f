"""One battery from files, through the same grader as everything else."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from features.errors import InvalidInput, Problem
from features.measurement import BatteryHistory
from features.readers.by_format import OpenFiles
from features.vocabulary import RunKind
from serving.batch.manifest import BatteryOrder, RunOrder
from serving.batch.work import content_request, read_order, refused_request
from serving.events.activations import record_activations
from serving.events.operators import operator_pseudonym
from serving.events.refusals import record_refusal
from serving.grading import Grader, GradingRequest, open_record
from serving.messages import BatteryFile, GradeRequest, reply_from_record
from serving.record.derived import SALT_BYTE
from serving.settings import Settings, software_version
from serving.wire_history import history_from_request

_RUN_KEYS = ("kind", "format", "path", "train", "mapping", "started_at")
_LARGEST_BATTERY_FILE_BYTES = 1024 * 1024


def open_grader(settings: Settings, moment: datetime) -> Grader:
    """Grader of a deployment, its record open for writing and told which bundle and policy are in force.

    Raises
    ------
    PackGradeError
        If bundle, policy or record cannot be used.
    """
    ledger = open_record(settings.record_file, software_version(), settings.witness_file, settings.log_key_file)
    grader = Grader.open(settings.bundle_folder, settings.policy_file, ledger)
    record_activations(ledger, grader, moment)
    return grader


def grade_files(
    settings: Settings, battery_file: Path, runs: Sequence[str], moment: datetime, operator: str | None = None
) -> dict[str, Any]:
    """Grade one battery from its description and its measurement files, or record that these were refused.

    Parameters
    ----------
    settings : Settings
        Deployment to grade in.
    battery_file : Path
        JSON with ``battery`` and, if somebody looked, ``inspection``, as in ``POST /v1/grade``.
    runs : sequence of str
        ``kind=…,format=…,path=…`` with optional ``train``, ``mapping``, ``started_at``.
    moment : datetime
        Grading moment.
    operator : str, optional
        Name or badge of who grades.

    Returns
    -------
    dict
        The reply of ``POST /v1/grade``, the battery's code as ``battery_id``, and whether this decision was
        recorded before (``repeated``).

    Raises
    ------
    InvalidInput
        If the description, a run or a file cannot be used.
    """
    described = _battery_file(battery_file)
    plate = history_from_request(
        GradeRequest(battery=described.battery, inspection=described.inspection, runs=[]), moment
    )
    orders = [run_order(text, number) for number, text in enumerate(runs)]
    order = BatteryOrder(plate.identity.battery_id, (1,), plate.identity, plate.inspection, tuple(orders))
    grader, files = open_grader(settings, moment), OpenFiles()
    asker = GradingRequest(settings.station, "", "", "", moment, named_operator(grader, settings.station, operator))
    try:
        measured = [read_order(each, plate.identity.battery_id, moment, files) for each in orders]
        history = BatteryHistory(plate.identity, measured, plate.inspection)
        asked = content_request(grader, history, settings.station, moment)
        recorded = grader.grade(history, replace(asked, operator=asker.operator))
    except InvalidInput as refused:
        asked = refused_request(order, refused, asker, files)
        record_refusal(grader.ledger, order.battery_id, refused, asked)
        raise
    return {"battery_id": plate.identity.battery_id, "repeated": recorded.repeated, **reply_from_record(recorded)}


def named_operator(grader: Grader, station: str, operator: str | None) -> str | None:
    """Return the pseudonym of whoever is named on the command line.

    Raises
    ------
    InvalidInput
        If the name breaks its rule.
    """
    if operator is None:
        return None
    return operator_pseudonym(grader.ledger, station, operator, os.urandom(SALT_BYTE))


def run_order(text: str, number: int) -> RunOrder:
    """The run a ``--run`` option names.

    Raises
    ------
    InvalidInput
        If a key is unknown, missing or given twice, or a value is not of its kind.

    Examples
    --------
    >>> run_order("kind=pulse_test,format=nebula,path=export.xlsx,train=3", 0).train
    3
    """
    pairs = [part.partition("=") for part in text.split(",")]
    given = {key.strip(): value.strip() for key, _, value in pairs}
    where = f"--run {number + 1}"
    problems = [Problem(where, f"is none of {', '.join(_RUN_KEYS)}", key) for key in given if key not in _RUN_KEYS]
    problems += [Problem(where, f"needs {key}=…") for key in _RUN_KEYS[:3] if not given.get(key)]
    if len(given) != len(pairs):
        problems.append(Problem(where, "names a key twice", text[:80]))
    if given.get("kind") and given["kind"] not in set(RunKind):
        problems.append(Problem(where, f"kind must be one of {', '.join(RunKind)}", given["kind"]))
    if "train" in given and not (given["train"].isdecimal() and int(given["train"]) >= 1):
        problems.append(Problem(where, "train counts from 1", given["train"]))
    if problems:
        raise InvalidInput("A run on the command line cannot be used. Nothing was graded.", problems)
    return RunOrder(
        kind=RunKind(given["kind"]),
        run_format=given["format"],
        path=Path(given["path"]),
        started_at=_moment(given.get("started_at"), where),
        train=int(given["train"]) if "train" in given else None,
        mapping=Path(given["mapping"]) if "mapping" in given else None,
    )


def _battery_file(path: Path) -> BatteryFile:
    try:
        if path.stat().st_size > _LARGEST_BATTERY_FILE_BYTES:
            raise _bad_battery_file(path, [Problem(path.name, "must be at most 1 MiB", str(path.stat().st_size))])
        return BatteryFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise _bad_battery_file(path, [Problem(path.name, "must be a readable file", error.strerror or "")]) from error
    except ValidationError as error:
        problems = [
            Problem(".".join(map(str, each["loc"])), each["msg"], repr(each["input"])[:80]) for each in error.errors()
        ]
        raise _bad_battery_file(path, problems) from error


def _bad_battery_file(path: Path, problems: list[Problem]) -> InvalidInput:
    return InvalidInput(f"The battery description {path.name} cannot be used. Nothing was graded.", problems)


def _moment(text: str | None, where: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min  # noqa: DTZ901 - only asked for its missing zone
    if moment.tzinfo is None:
        problem = Problem(where, "started_at is a date and time with a zone, such as 2026-11-20T08:00:00Z", text[:40])
        raise InvalidInput("A run on the command line cannot be used. Nothing was graded.", [problem])
    return moment
