"""Labels and features side by side: the table every model is trained on.

Features are computed by the one definition: `features.pulse.pulse_feature_matrix` over many trains,
or, where a data set holds measured histories, through `features.extract`, the door the service uses.
Both give the same numbers. Labels and features live in two arrays on purpose: whatever stands in
`labels` cannot slip into `values`.
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.errors import InvalidInput, Problem
from features.extract import extract
from features.feature_set import FEATURE_SETS, Method
from features.measurement import BatteryHistory, BatteryIdentity, FloatArray
from features.pulse import PulseTrain, pulse_feature_matrix, pulse_slots
from models.manifest import TrainingData
from training.labels import LabelledTests, Labels, identities, type_key

BoolArray = npt.NDArray[np.bool_]

FEATURE_SET = FEATURE_SETS[Method.PULSE_TEST]
_LARGER = [f"_{rate}c{way}" for rate in ("2.0", "2.5") for way in ("", "_charge", "_discharge")]
_NOT_REACHED = ("_1.5c_discharge", *_LARGER)
_ALWAYS_MEASURED = "open_circuit_voltage_volt"
_NEED_BOTH_DIRECTIONS = ("_asymmetry_1.5c", "rest_drift_volt_1.5c")


@dataclass(frozen=True)
class FeatureTable:
    """Features of many labelled tests.

    Attributes
    ----------
    sources : tuple of TrainingData
        Data sets the table was made from, with licence, digest and size.
    labels : DataFrame, n rows
        Rows of `training.labels.LABEL_SCHEMA`.
    type_keys : ndarray of str, shape (n,)
        Battery type of every row.
    values : ndarray, shape (n, number of features)
        Features in the order of the pulse feature set; NaN = not measurable.
    """

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

    @property
    def pulse_width_second(self) -> FloatArray:
        """Median pulse width of every row in seconds, to the millisecond, shape (n,)."""
        logarithm = self.values[:, FEATURE_SET.names.index("log_pulse_width")]
        width: FloatArray = np.round(10.0**logarithm, 3)
        return width

    def taken(self, rows: npt.NDArray[np.int64] | BoolArray) -> "FeatureTable":
        """Rows by number or mask."""
        labels = self.labels.iloc[rows] if rows.dtype != np.bool_ else self.labels[rows]
        return replace(
            self,
            labels=labels.reset_index(drop=True),
            type_keys=self.type_keys[rows],
            values=self.values[rows],
        )


def feature_table(datasets: Sequence[LabelledTests]) -> FeatureTable:
    """Features and labels of all data sets, in an order that does not depend on the files.

    Parameters
    ----------
    datasets : sequence of LabelledTests
        At least one.

    Returns
    -------
    FeatureTable
        Rows sorted by battery, visit and content: shuffled files give the same table.

    Raises
    ------
    InvalidInput
        ``NOTHING_TO_TRAIN`` without a row; ``TYPES_OVERLAP`` if two types could be mistaken for one
        another; ``NO_PULSE_FEATURES`` naming histories without a usable pulse train.
    """
    if not sum(len(dataset.labels) for dataset in datasets):
        raise InvalidInput("The plan's data sets hold no labelled test.", code="NOTHING_TO_TRAIN")
    labels = pd.concat([dataset.labels for dataset in datasets], ignore_index=True)
    values = np.concatenate([_values(dataset) for dataset in datasets])
    batteries = identities(labels)
    _require_distinct_types(batteries)
    keys = np.array([type_key(battery) for battery in batteries], dtype=object)
    table = FeatureTable(tuple(_described(dataset) for dataset in datasets), labels, keys, values)
    return table.taken(_steady_order(table))


def needs_larger_amplitudes(name: str) -> bool:
    """Whether a feature needs pulses after the charge pulse at 1.5 C.

    Examples
    --------
    >>> needs_larger_amplitudes("relaxation_ratio_1.5c_charge"), needs_larger_amplitudes("rest_drift_volt_1.5c")
    (False, True)
    """
    return name.endswith((*_NOT_REACHED, *_NEED_BOTH_DIRECTIONS))


def as_stopped_early(table: FeatureTable) -> FeatureTable:
    """Make the same tests as if the train had ended after the charge pulse at 1.5 C (U1–U21 of the public tables)."""
    values = table.values.copy()
    values[:, [needs_larger_amplitudes(name) for name in FEATURE_SET.names]] = np.nan
    return replace(table, values=values)


def _described(dataset: LabelledTests) -> TrainingData:
    cells = int(dataset.labels["physical_cell"].nunique())
    return TrainingData(**asdict(dataset.source), row_count=len(dataset.labels), cell_count=cells)


def _values(dataset: LabelledTests) -> FloatArray:
    trains = [test for test in dataset.tests if isinstance(test, PulseTrain)]
    if len(trains) == len(dataset.tests):
        rated = dataset.labels["rated_capacity_ah"].to_numpy(dtype=np.float64)
        return pulse_feature_matrix(pulse_slots(trains, rated))
    histories = [test for test in dataset.tests if isinstance(test, BatteryHistory)]
    return _values_through_the_door(histories, dataset.source.name)


def _values_through_the_door(histories: Sequence[BatteryHistory], name: str) -> FloatArray:
    vectors = [extract(history, max(run.available_at for run in history.runs)) for history in histories]
    problems = [
        Problem(f"battery_id {vector.battery_id}", "needs one usable pulse train", f"{vector.method}")
        for vector in vectors
        if vector.feature_set_digest != FEATURE_SET.digest or np.isnan(vector.values[_ALWAYS_MEASURED])
    ]
    if problems:
        message = f"{len(problems)} test(s) of {name} give no pulse features. Nothing was trained."
        raise InvalidInput(message, problems[:20], code="NO_PULSE_FEATURES")
    return np.array([[vector.values[name] for name in FEATURE_SET.names] for vector in vectors])


def _require_distinct_types(batteries: Sequence[BatteryIdentity]) -> None:
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


def _steady_order(table: FeatureTable) -> npt.NDArray[np.int64]:
    contents = [hashlib.sha256(row.tobytes()).hexdigest() for row in np.ascontiguousarray(table.values)]
    batteries = table.labels["battery_id"].to_numpy(dtype=str)
    order: npt.NDArray[np.int64] = np.lexsort((np.array(contents), table.visits, batteries))
    return order
