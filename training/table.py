"""Labels and features side by side: the table every model is trained on.

Features are computed by the one definition of their method: over many tests at once where the
method has such a function (`features.pulse.pulse_feature_matrix`), or, where a data set holds
measured histories, through `features.extract`, the door the service uses. Both give the same
numbers. Labels and features live in two arrays on purpose: whatever stands in `labels` cannot slip
into `values`.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.errors import InvalidInput, Problem
from features.extract import extract
from features.feature_set import FEATURE_SETS, FeatureSet, FeatureVector, Method
from features.measurement import BatteryHistory, BatteryIdentity, FloatArray
from features.pulse import PulseTrain, pulse_feature_matrix, pulse_slots
from features.two_trains import TrainPair, two_train_feature_matrix
from models.manifest import TrainingData
from training.labels import LabelledTests, Labels, identities, type_key

BoolArray = npt.NDArray[np.bool_]

_SHOWN_FAULTS = 20


@dataclass(frozen=True)
class FeatureTable:
    """Features of many labelled tests.

    Attributes
    ----------
    feature_set : FeatureSet
        What the columns of `values` are.
    sources : tuple of TrainingData
        Data sets the table was made from, with licence, digest and size.
    labels : DataFrame, n rows
        Rows of `training.labels.LABEL_SCHEMA`.
    type_keys : ndarray of str, shape (n,)
        Battery type of every row.
    values : ndarray, shape (n, number of features)
        Features in the order of the feature set; NaN = not measurable.
    """

    feature_set: FeatureSet
    sources: tuple[TrainingData, ...]
    labels: Labels
    type_keys: npt.NDArray[np.object_]
    values: FloatArray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def state_of_health_fraction(self) -> FloatArray:
        """Measured remaining over rated capacity, shape (n,)."""
        fraction = self.labels["remaining_capacity_ah"] / self.labels["rated_capacity_ah"]
        return fraction.to_numpy(dtype=np.float64)

    @property
    def physical_cells(self) -> npt.NDArray[np.object_]:
        """Physical cell of every row, shape (n,)."""
        return self.labels["physical_cell"].to_numpy(dtype=object)

    @property
    def visits(self) -> BoolArray:
        """Rows that look like a battery arriving at a station, shape (n,)."""
        return self.labels["visit"].to_numpy(dtype=np.bool_)

    def columns(self, names: Iterable[str]) -> FloatArray:
        """Values of the named features in that order, shape (n, names)."""
        position = {name: number for number, name in enumerate(self.feature_set.names)}
        return self.values[:, [position[name] for name in names]]

    def measured(self, names: Iterable[str]) -> BoolArray:
        """Rows in which all of the named features could be measured, shape (n,)."""
        return np.asarray(np.isfinite(self.columns(names)).all(axis=1), dtype=np.bool_)

    def taken(self, rows: npt.NDArray[np.int64] | BoolArray) -> "FeatureTable":
        """Rows by number or mask."""
        labels = self.labels.iloc[rows] if rows.dtype != np.bool_ else self.labels[rows]
        return replace(
            self,
            labels=labels.reset_index(drop=True),
            type_keys=self.type_keys[rows],
            values=self.values[rows],
        )


def feature_table(datasets: Sequence[LabelledTests], method: Method) -> FeatureTable:
    """Features and labels of all data sets, in an order that does not depend on the files.

    Parameters
    ----------
    datasets : sequence of LabelledTests
        At least one.
    method : Method
        Whose features are computed.

    Returns
    -------
    FeatureTable
        Rows sorted by battery, visit and content: shuffled files give the same table.

    Raises
    ------
    InvalidInput
        ``NOTHING_TO_TRAIN`` without a row; ``TYPES_OVERLAP`` if two types could be mistaken for one
        another; ``NO_FEATURES`` naming histories on which the method could measure nothing;
        ``TESTS_OF_ANOTHER_METHOD`` for a data set of other tests.
    """
    if not sum(len(dataset.labels) for dataset in datasets):
        raise InvalidInput("The plan's data sets hold no labelled test.", code="NOTHING_TO_TRAIN")
    labels = pd.concat([dataset.labels for dataset in datasets], ignore_index=True)
    values = np.concatenate([_values(dataset, method) for dataset in datasets])
    batteries = identities(labels)
    require_distinct_types(batteries)
    keys = np.array([type_key(battery) for battery in batteries], dtype=object)
    sources = tuple(_described(dataset) for dataset in datasets)
    table = FeatureTable(FEATURE_SETS[method], sources, labels, keys, values)
    return table.taken(_steady_order(table))


def require_distinct_types(batteries: Iterable[BatteryIdentity]) -> None:
    """Refuse types that differ so little in rated capacity that one could be declared as the other.

    Raises
    ------
    InvalidInput
        ``TYPES_OVERLAP``, naming both.
    """
    by_key = {type_key(battery): battery for battery in batteries}
    ordered = sorted(by_key.items(), key=lambda item: (item[1].level, item[1].chemistry, item[1].rated_capacity_ah))
    for (key, one), (other_key, other) in itertools.pairwise(ordered):
        same_kind = (one.level, one.chemistry) == (other.level, other.chemistry)
        close = other.rated_capacity_ah / one.rated_capacity_ah - 1.0 <= 0.02
        named = one.type_designation is not None and other.type_designation is not None
        if same_kind and close and not named:
            raise InvalidInput(
                f"Types {key} and {other_key} differ by less than 2 % in rated capacity. Nothing was trained. "
                "Give both the same rated capacity, or both a type designation.",
                code="TYPES_OVERLAP",
            )


def _described(dataset: LabelledTests) -> TrainingData:
    cells = int(dataset.labels["physical_cell"].nunique())
    return TrainingData(**asdict(dataset.source), row_count=len(dataset.labels), cell_count=cells)


def _of_trains(trains: Sequence[PulseTrain], rated_capacity_ah: FloatArray) -> FloatArray:
    return pulse_feature_matrix(pulse_slots(trains, rated_capacity_ah))


_AT_ONCE: Mapping[Method, tuple[type, Callable[[Sequence[Any], FloatArray], FloatArray]]] = {
    Method.PULSE_TEST: (PulseTrain, _of_trains),
    Method.TWO_PULSE_TRAINS: (TrainPair, two_train_feature_matrix),
}
"""Methods whose features are computed over many tests at once: class of the tests, and the definition."""


def _values(dataset: LabelledTests, method: Method) -> FloatArray:
    histories = [test for test in dataset.tests if isinstance(test, BatteryHistory)]
    if len(histories) == len(dataset.tests):
        return _values_through_the_door(histories, method, dataset.source.name)
    kind, matrix = _AT_ONCE.get(method, (BatteryHistory, _of_trains))
    others = sorted({type(test).__name__ for test in dataset.tests if not isinstance(test, kind)})
    if others:
        raise InvalidInput(
            f"{dataset.source.name} holds {', '.join(others)}, which {method.value} cannot be trained on. "
            "Nothing was trained. Name a data set of the plan's method.",
            code="TESTS_OF_ANOTHER_METHOD",
        )
    return matrix(dataset.tests, dataset.labels["rated_capacity_ah"].to_numpy(dtype=np.float64))


def _values_through_the_door(histories: Sequence[BatteryHistory], method: Method, name: str) -> FloatArray:
    vectors = [extract(history, max(run.available_at for run in history.runs)) for history in histories]
    measured = [vector.of(method) for vector in vectors]
    names = FEATURE_SETS[method].names
    values = np.array([[math.nan if found is None else found.values[each] for each in names] for found in measured])
    problems = [
        Problem(f"battery_id {vectors[row].battery_id}", f"needs one usable {method.value}", _noticed(vectors[row]))
        for row in np.flatnonzero(np.isnan(values).all(axis=1))
    ]
    if problems:
        message = f"{len(problems)} test(s) of {name} give no features of {method.value}. Nothing was trained."
        raise InvalidInput(message, problems[:_SHOWN_FAULTS], code="NO_FEATURES")
    return values


def _noticed(vector: FeatureVector) -> str:
    """What was measured instead, and why, for the error."""
    said = " ".join(finding.message.en for finding in vector.findings)
    return f"{vector.method.value if vector.method else 'nothing'}; {said}"[:200]


def _steady_order(table: FeatureTable) -> npt.NDArray[np.int64]:
    contents = [hashlib.sha256(row.tobytes()).hexdigest() for row in np.ascontiguousarray(table.values)]
    batteries = table.labels["battery_id"].to_numpy(dtype=str)
    order: npt.NDArray[np.int64] = np.lexsort((np.array(contents), table.visits, batteries))
    return order
