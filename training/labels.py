"""Measured capacities as labels: one row per test, and every rule a label must obey.

A label is a capacity measured on the bench, never one a BMS reported. Who was measured
(`physical_cell`) is kept apart from under which name (`battery_id`): one cell may appear as several
ageing stages, and all of them stay on one side of every split. What is only used to count
(`charged_fraction`) never becomes a feature: it is charge counted from empty and leaks the label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
import pandera.pandas as pa

from features.errors import InvalidInput, Problem
from features.measurement import BatteryHistory, BatteryIdentity
from features.pulse import PulseTrain
from features.two_trains import TrainPair
from features.vocabulary import Chemistry, Level
from training.schema_check import schema_problems

PLAUSIBLE_STATE_OF_HEALTH = (0.2, 1.3)
"""Outside, a label is a unit mistake (mAh for Ah) or belongs to another battery."""

_SHOWN_FAULTS = 20

LABEL_SCHEMA = pa.DataFrameSchema(
    {
        "battery_id": pa.Column(str, pa.Check.str_length(1, 64)),
        "physical_cell": pa.Column(str, pa.Check.str_length(1, 64)),
        "level": pa.Column(str, pa.Check.isin([level.value for level in Level])),
        "chemistry": pa.Column(str, pa.Check.isin([each.value for each in Chemistry if each is not Chemistry.UNKNOWN])),
        "rated_capacity_ah": pa.Column(float, pa.Check.in_range(0.0, 1e5, include_min=False)),
        "type_designation": pa.Column(str, nullable=True),
        "remaining_capacity_ah": pa.Column(float, pa.Check.in_range(0.0, 1e5, include_min=False)),
        "visit": pa.Column(bool),
        "charged_fraction": pa.Column(float, nullable=True),
        "voltage_limited": pa.Column(bool),
    },
    strict=True,
    ordered=True,
)
"""Rows of a labelled data set, in this order and with these names.

``visit`` says the test looks like a battery arriving at a station (random state of charge, its own
capacity measurement); ``voltage_limited`` that a pulse was cut short by a voltage limit.
"""

Labels = Annotated[pd.DataFrame, LABEL_SCHEMA]


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """Where labelled tests came from.

    Attributes
    ----------
    name : str
        Name of the set.
    licence : str
        Licence; a bundle may be shipped only if every set that trained it permits it.
    sha256 : str
        Digest of the bytes that were read.
    """

    name: str
    licence: str
    sha256: str


@dataclass(frozen=True)
class LabelledTests:
    """A data set: labels, and for each row what was measured.

    Attributes
    ----------
    source : DatasetSource
        Where it came from.
    labels : DataFrame
        Rows of `LABEL_SCHEMA`.
    tests : sequence of PulseTrain, TrainPair or BatteryHistory
        What was measured, one per row of `labels`: all of one class, which a method of
        `training.table` can compute features of.

    Raises
    ------
    InvalidInput
        If a label breaks a rule or there is not one test per label.
    """

    source: DatasetSource
    labels: Labels
    tests: Sequence[PulseTrain] | Sequence[TrainPair] | Sequence[BatteryHistory]

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", checked_labels(self.labels, self.source.name))
        if len(self.labels) != len(self.tests):
            raise InvalidInput(
                f"{self.source.name} has {len(self.labels)} labels for {len(self.tests)} tests. Nothing was trained."
            )


def checked_labels(labels: pd.DataFrame, name: str) -> Labels:
    """Labels that obey every rule.

    Parameters
    ----------
    labels : DataFrame
        Rows of `LABEL_SCHEMA`.
    name : str
        Data set, for the message.

    Returns
    -------
    DataFrame
        The same rows, numbered from 0.

    Raises
    ------
    InvalidInput
        ``LABELS_NOT_VALID``, naming row, rule and value: unknown or missing column, wrong type, a
        capacity that is not plausible, a battery that belongs to two physical cells.
    """
    problems = schema_problems(labels, LABEL_SCHEMA, name) or [*_capacity_problems(labels), *_cell_problems(labels)]
    if problems:
        shown = problems[:_SHOWN_FAULTS]
        message = f"The labels of {name} break {len(problems)} rule(s). Nothing was trained; correct the rows below."
        raise InvalidInput(message, shown, code="LABELS_NOT_VALID")
    return labels.reset_index(drop=True)


def type_key(identity: BatteryIdentity) -> str:
    """Short name of a battery type: chemistry, rated capacity, and level and designation where they tell more.

    Examples
    --------
    >>> type_key(BatteryIdentity("a", Level.CELL, Chemistry.NMC, 2.1))
    'NMC2.1'
    """
    level = "" if identity.level is Level.CELL else f"-{identity.level.value}"
    designation = f"-{identity.type_designation}" if identity.type_designation else ""
    return f"{identity.chemistry.value}{identity.rated_capacity_ah:g}{level}{designation}"


def identities(labels: Labels) -> list[BatteryIdentity]:
    """Battery of every row, as its plate declares it."""
    designations = [None if pd.isna(word) else str(word) for word in labels["type_designation"]]
    plates = zip(labels["battery_id"], labels["level"], labels["chemistry"], labels["rated_capacity_ah"], strict=True)
    return [
        BatteryIdentity(battery_id, Level(level), Chemistry(chemistry), rated, type_designation=designation)
        for (battery_id, level, chemistry, rated), designation in zip(plates, designations, strict=True)
    ]


def _capacity_problems(labels: pd.DataFrame) -> list[Problem]:
    fraction = labels["remaining_capacity_ah"] / labels["rated_capacity_ah"]
    low, high = PLAUSIBLE_STATE_OF_HEALTH
    rule = f"remaining over rated capacity must lie between {low} and {high}; is the unit Ah?"
    return [
        Problem(f"row {row} remaining_capacity_ah", rule, f"{value:.3f}")
        for row, value in fraction[~fraction.between(low, high)].items()
    ]


def _cell_problems(labels: pd.DataFrame) -> list[Problem]:
    cells = labels.groupby("battery_id")["physical_cell"].unique()
    return [
        Problem(f"battery_id {battery_id}", "belongs to exactly one physical cell", ", ".join(sorted(names)))
        for battery_id, names in cells.items()
        if len(names) > 1
    ]
