"""Rows as an exported table of outcomes holds them, for a bundle trained on synthetic pulses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.feature_set import FEATURE_SETS, Method
from features.pulse import pulse_feature_matrix, pulse_slots
from models.bundle import Bundle
from tests.training.synthetic_pulses import synthetic_rows, trains

METHOD = Method.PULSE_TEST
FEATURE_SET = FEATURE_SETS[METHOD]
COUNT_OF_A_TYPE = 12


def outcome_rows(bundle: Bundle, cell_count: int = COUNT_OF_A_TYPE, seed: int = 77, drift: float = 0.0) -> pd.DataFrame:
    """One outcome per new battery; measured capacities moved by `drift` of the plate."""
    visits = synthetic_rows(cell_count, seed=seed).query("test_kind == 'random_soc'").reset_index(drop=True)
    values = pulse_feature_matrix(pulse_slots(trains(visits), visits["nominal_ah"].to_numpy()))
    rows = [_row(bundle, number, visit, values[number], drift) for number, visit in visits.iterrows()]
    return pd.DataFrame(rows)


def write(rows: pd.DataFrame, file: Path) -> Path:
    """The rows as a file."""
    rows.to_csv(file, index=False)
    return file


def _row(bundle: Bundle, number: Any, visit: pd.Series, values: np.ndarray, drift: float) -> dict[str, Any]:
    key = f"{visit['chemistry']}{visit['nominal_ah']:g}"
    said = bundle.estimators[METHOD].predict(values[np.newaxis], FEATURE_SET.names, key, ())
    measured = zip(FEATURE_SET.names, values.tolist(), strict=True)
    features = {name: None if np.isnan(value) else value for name, value in measured}
    definition = bundle.manifest.calibrated(METHOD).capacity_definition
    return {
        "outcome_id": f"{number:032x}",
        "decision_id": f"{number + 4096:032x}",
        "battery_id": f"new-{visit['cell_id']}",
        "level": "cell",
        "chemistry": visit["chemistry"],
        "rated_capacity_ah": visit["nominal_ah"],
        "type_designation": None,
        "decided_at": "2026-11-20T08:00:00.000000Z",
        "method": METHOD.value,
        "estimated_fraction": float(said.point[0]),
        "lower_fraction": float(said.lower[0]),
        "upper_fraction": float(said.upper[0]),
        "coverage_fraction": 0.9,
        "estimated_definition": definition,
        "bundle_sha256": bundle.sha256,
        "feature_set_digest": FEATURE_SET.digest,
        "features": json.dumps(features),
        "remaining_capacity_ah": visit["capacity_ah"] + drift * visit["nominal_ah"],
        "capacity_definition": definition,
        "measured_at": "2026-11-21T08:00:00Z",
        "chosen_at_random": "true",
    }
