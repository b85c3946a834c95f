"""From posted files to the battery's history, through the door every file goes through."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from features.errors import InvalidInput, Problem
from features.measurement import BatteryHistory, MeasurementRun
from features.readers.by_format import OpenFiles, read_run
from features.readers.canonical_rows import ReadingCaps
from serving.file_messages import FileGradeRequest, FileRun, shipped_mapping
from serving.form_parts import ReceivedFile
from serving.wire_history import begun_at, history_of

SERVICE_CAPS = ReadingCaps(decompressed_bytes=512 * 2**20, rows=5_000_000, decoded_bytes=512 * 2**20)
"""What a posted canonical file may unpack to: a quarter of what the command line takes."""


def history_from_files(
    request: FileGradeRequest, files: Mapping[str, ReceivedFile], moment: datetime
) -> BatteryHistory:
    """Return the history a request and its files tell.

    Parameters
    ----------
    request : FileGradeRequest
        A request of the right shape.
    files : mapping of str to ReceivedFile
        The form's files by part name.
    moment : datetime
        Moment of receipt: every run is available from then on. Aware.

    Raises
    ------
    InvalidInput
        If a run names no part or a part belongs to no run, and for every rule of battery, inspection,
        file and measurement; every part is looked at, so that one answer names all of them.
    """
    _require_matching(request, files)
    try:
        battery_id = request.battery.identity().battery_id
    except InvalidInput:
        return history_of(request, [])  # raises again, with the battery's place in the request; no file is read
    opened = OpenFiles(SERVICE_CAPS)
    readers = [partial(_run, run, files[run.file], battery_id, moment, opened) for run in request.runs]
    return history_of(request, readers)


def _run(run: FileRun, file: ReceivedFile, battery_id: str, moment: datetime, opened: OpenFiles) -> MeasurementRun:
    return read_run(
        kind=run.kind,
        run_format=run.format,
        path=file.path,
        available_at=moment,
        battery_id=battery_id,
        started_at=begun_at(run.started_at, moment),
        train=run.train,
        provenance=run.provenance,
        mapping=shipped_mapping(run.mapping),
        files=opened,
    )


def _require_matching(request: FileGradeRequest, files: Mapping[str, ReceivedFile]) -> None:
    named = {run.file for run in request.runs}
    problems = [
        Problem(f"runs[{index}].file", "names no part of the form", run.file)
        for index, run in enumerate(request.runs)
        if run.file not in files
    ]
    problems += [Problem(name, "belongs to no run") for name in files if name not in named]
    if problems:
        raise InvalidInput("The runs and the form's files do not match. Nothing was graded.", problems)
