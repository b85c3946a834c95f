"""Outcomes as `packgrade record outcomes --out` writes them: what was said of a battery, and what it turned out to be.

A table of rows, each an estimate with its features and the capacity measured later; every rule a row
must obey to teach anything. Reading refuses what is broken. What a row can be used for is asked by
`training.drift` (watching) and `training.recalibrate` (learning).
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from features.errors import InvalidInput, Problem
from features.feature_set import FEATURE_SETS, Method
from features.measurement import BatteryIdentity, FloatArray
from features.spreadsheet_text import from_spreadsheet_safe
from features.vocabulary import Chemistry, Level
from training.labels import PLAUSIBLE_STATE_OF_HEALTH
from training.schema_check import schema_problems

_SHOWN_FAULTS = 20
_HEX_64 = pa.Check.str_matches(r"^[0-9a-f]{64}$")
_TEXT = ("battery_id", "type_designation", "capacity_definition", "estimated_definition", "measured_by")
_TRUTH = {"true": True, "false": False}

OUTCOMES_SCHEMA = pa.DataFrameSchema(
    {
        "outcome_id": pa.Column(str, unique=True),
        "decision_id": pa.Column(str),
        "battery_id": pa.Column(str, pa.Check.str_length(1, 64)),
        "level": pa.Column(str, pa.Check.isin([each.value for each in Level])),
        "chemistry": pa.Column(str, pa.Check.isin([each.value for each in Chemistry])),
        "rated_capacity_ah": pa.Column(float, pa.Check.gt(0.0), coerce=True),
        "type_designation": pa.Column(str, nullable=True),
        "method": pa.Column(str, pa.Check.isin([each.value for each in Method]), nullable=True),
        "estimated_fraction": pa.Column(float, pa.Check.in_range(0.0, 3.0), nullable=True, coerce=True),
        "lower_fraction": pa.Column(float, pa.Check.in_range(0.0, 3.0), nullable=True, coerce=True),
        "upper_fraction": pa.Column(float, pa.Check.in_range(0.0, 3.0), nullable=True, coerce=True),
        "coverage_fraction": pa.Column(float, pa.Check.in_range(0.0, 1.0), nullable=True, coerce=True),
        "estimated_definition": pa.Column(str, nullable=True),
        "bundle_sha256": pa.Column(str, _HEX_64),
        "feature_set_digest": pa.Column(str, nullable=True),
        "features": pa.Column(str),
        "remaining_capacity_ah": pa.Column(float, pa.Check.gt(0.0), coerce=True),
        "capacity_definition": pa.Column(str),
        "measured_at": pa.Column(str),
        "chosen_at_random": pa.Column(str, pa.Check.isin(["true", "false"]), nullable=True),
    },
    strict="filter",
)
"""The columns that are read; the others inform people and are left behind."""


def read_outcomes(file: Path) -> pd.DataFrame:
    """Outcomes of a file, one row each, numbered from 0.

    Parameters
    ----------
    file : Path
        CSV written by `packgrade record outcomes --out`.

    Returns
    -------
    DataFrame
        Rows of `OUTCOMES_SCHEMA`; ``row`` (line of the file), ``measured_fraction`` and ``random`` (bool) beside
        them, ``features`` parsed.

    Raises
    ------
    InvalidInput
        ``OUTCOMES_NOT_READABLE``, naming row, column, rule and value of what is broken.
    """
    try:
        read = pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as problem:
        rule = "must be the CSV that packgrade record outcomes --out writes"
        raise refused(file.name, [Problem(file.name, rule, str(problem)[:200])]) from problem
    if read.empty:
        raise refused(file.name, [Problem(file.name, "must hold at least one outcome")])
    read.index = read.index + 2
    problems = schema_problems(read, OUTCOMES_SCHEMA, file.name)
    table = read if problems else _understood(OUTCOMES_SCHEMA.validate(read))
    problems = problems or [*_capacity_problems(table), *_feature_problems(table), *_interval_problems(table)]
    if problems:
        raise refused(file.name, problems)
    return table.reset_index(names="row")


def identity_of(row: Mapping[Any, Any]) -> BatteryIdentity:
    """Battery of a row, as its plate declares it."""
    designation = row["type_designation"]
    return BatteryIdentity(
        battery_id=str(row["battery_id"]),
        level=Level(row["level"]),
        chemistry=Chemistry(row["chemistry"]),
        rated_capacity_ah=float(row["rated_capacity_ah"]),
        type_designation=None if pd.isna(designation) else str(designation),
    )


def feature_rows(outcomes: pd.DataFrame, method: Method) -> FloatArray:
    """Recorded features in the order of the method's set; NaN where not measurable, shape (n, features)."""
    names = FEATURE_SETS[method].names
    rows = [[_number(each.get(name)) for name in names] for each in outcomes["features"]]
    return np.array(rows, dtype=np.float64).reshape(len(outcomes), len(names))


def refused(name: str, problems: Sequence[Problem]) -> InvalidInput:
    """What is said of a table that cannot be used."""
    more = f" {len(problems) - _SHOWN_FAULTS} more are not shown." if len(problems) > _SHOWN_FAULTS else ""
    message = f"The outcomes of {name} cannot be used: {len(problems)} problem(s). Nothing was changed.{more}"
    return InvalidInput(message, problems[:_SHOWN_FAULTS], code="OUTCOMES_NOT_READABLE")


def _understood(table: pd.DataFrame) -> pd.DataFrame:
    read = table.copy()
    for name in _TEXT:
        if name in read:
            read[name] = read[name].map(from_spreadsheet_safe, na_action="ignore")
    return read.assign(
        features=read["features"].map(_parsed),
        measured_fraction=read["remaining_capacity_ah"] / read["rated_capacity_ah"],
        random=read["chosen_at_random"].map(_TRUTH).eq(True),
    )


def _parsed(written: str) -> dict[str, float | None] | None:
    try:
        values = json.loads(written)
    except ValueError:
        return None
    sound = isinstance(values, dict) and all(each is None or _is_number(each) for each in values.values())
    return values if sound else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _capacity_problems(table: pd.DataFrame) -> list[Problem]:
    low, high = PLAUSIBLE_STATE_OF_HEALTH
    rule = f"measured over rated capacity must lie between {low} and {high}; is the unit Ah?"
    wrong = table["measured_fraction"][~table["measured_fraction"].between(low, high)]
    return [Problem(f"row {row} remaining_capacity_ah", rule, f"{value:.3f}") for row, value in wrong.items()]


def _feature_problems(table: pd.DataFrame) -> list[Problem]:
    rule = "must be a JSON object of finite numbers and null"
    return [Problem(f"row {row} features", rule) for row, value in table["features"].items() if value is None]


def _interval_problems(table: pd.DataFrame) -> list[Problem]:
    names = ["lower_fraction", "estimated_fraction", "upper_fraction", "coverage_fraction"]
    given = table[names].notna().sum(axis=1)
    disordered = (table["lower_fraction"] > table["estimated_fraction"]) | (
        table["estimated_fraction"] > table["upper_fraction"]
    )
    wrong = ~given.isin([0, len(names)]) | disordered
    rule = "an estimate has lower <= estimated <= upper and a coverage, or none of them"
    return [
        Problem(f"row {row} estimated_fraction", rule, ", ".join(f"{value:g}" for value in table.loc[row, names]))
        for row in table.index[wrong]
    ]
