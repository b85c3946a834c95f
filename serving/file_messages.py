"""Part ``request`` of ``POST /v1/grade/files``: a grading whose measurements lie in the form's other parts."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field

from features.errors import InvalidInput, Problem
from features.readers.by_format import RUN_FORMATS
from features.vocabulary import Provenance, RunKind
from serving.messages import MOST_RUNS, AttributedRequest, BatteryFile, Moment, Request

MAPPINGS = Path(__file__).parent.parent / "features" / "readers" / "mappings"
"""Vehicle mappings that ship."""

PartName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]

_MAPPING_NAME = re.compile(r"[a-z0-9_]{1,40}")


class FileRun(Request):
    """One measurement in a file."""

    kind: RunKind
    format: Annotated[str, Field(max_length=40, json_schema_extra={"enum": list(RUN_FORMATS)})]
    file: PartName = Field(description="Name of the form's part that holds the file.")
    mapping: Annotated[str, Field(max_length=40)] | None = Field(
        None, description="Name of a vehicle mapping that ships with the service; for format bms."
    )
    started_at: Moment | None = Field(None, description="Begin of the test; the file's own statement unless given.")
    train: int | None = Field(None, description="Which pulse train of the file, counted from 1; the first if absent.")
    provenance: Provenance | None = Field(
        None, description="bms_reported for field_telemetry and bench_measured otherwise, unless given."
    )


class FileGradeRequest(BatteryFile, AttributedRequest):
    """A battery and the files it was measured in."""

    runs: list[FileRun] = Field(min_length=1, max_length=MOST_RUNS, fail_fast=True)


def shipped_mapping(name: str | None) -> Path | None:
    """Return the file of a mapping that ships; a client names it and never gives a path.

    Raises
    ------
    InvalidInput
        If no mapping of this name ships.
    """
    if name is None:
        return None
    shipped = sorted(each.stem for each in MAPPINGS.glob("*.toml"))
    if not _MAPPING_NAME.fullmatch(name) or name not in shipped:
        problem = Problem("mapping", f"must be one of {', '.join(shipped)}", repr(name))
        raise InvalidInput("The mapping is not known here. Nothing was graded.", [problem])
    return MAPPINGS / f"{name}.toml"
