"""``packgrade record correct`` on a terminal: a named person overrides or withdraws a recorded decision."""

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import datetime
from uuid import uuid4

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from features.errors import InvalidInput, Problem
from models.policy_file import load_policy
from serving.correction_messages import CorrectionRequest, correction_from_request
from serving.due_dates import DueDates
from serving.events.corrections import record_correction
from serving.events.verdicts import CorrectionAction
from serving.grading import GradingRequest, open_record
from serving.record.derived import SALT_BYTE
from serving.record.entry import Recorded
from serving.settings import Settings, software_version


def print_correction(console: Console, settings: Settings, told: Mapping[str, str], moment: datetime) -> None:
    """Record a correction and say what it does from here on.

    Parameters
    ----------
    console : Console
        Where to print.
    settings : Settings
        Deployment whose record holds the decision.
    told : mapping of str to str
        ``decision_id``, ``action``, ``reason`` and ``person``, as in ``POST /v1/corrections``.
    moment : datetime
        Moment of the correction, aware.

    Raises
    ------
    InvalidInput
        If an option breaks its rule, or there is nothing to override or withdraw.
    PackGradeError
        If the record holds no such decision or cannot be written.
    """
    request = _request(told)
    recorded = _recorded(settings, request, moment)
    done = "no longer binds" if request.action is CorrectionAction.OVERRIDE else "counts for nothing"
    again = " (recorded before)" if recorded.replayed else ""
    text = f"Entry {recorded.leaf.sequence}{again}: decision {request.decision_id} {done}; it stays in the record."
    console.print(Text(text))


def _request(told: Mapping[str, str]) -> CorrectionRequest:
    try:
        return CorrectionRequest.model_validate_json(json.dumps(dict(told)))
    except ValidationError as error:
        problems = [
            Problem(
                ".".join(map(str, each["loc"])),
                each["msg"],
                "" if "person" in each["loc"] else repr(each["input"])[:80],
            )
            for each in error.errors(include_url=False)
        ]
        raise InvalidInput("The correction cannot be taken. Nothing was recorded.", problems) from error


def _recorded(settings: Settings, request: CorrectionRequest, moment: datetime) -> Recorded:
    """The correction is its own key, without the person: the same one again is the same entry."""
    told = request.model_dump_json(exclude={"person"})
    sha256 = hashlib.sha256(f"correction {told}".encode()).hexdigest()
    asked = GradingRequest(settings.station, f"correction-{sha256}", sha256, uuid4().hex, moment)
    due_dates = DueDates(load_policy(settings.policy_file).traceability)
    with open_record(settings.record_file, software_version(), settings.witness_file, settings.log_key_file) as ledger:
        return record_correction(ledger, correction_from_request(request), asked, os.urandom(SALT_BYTE), due_dates)
