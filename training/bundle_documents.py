"""What a bundle carries beside its models, as bytes: the figures it was judged by, the batteries that calibrate it.

No estimator reads these files when it loads; the manifest lists them all the same, so that nobody
can change a figure unnoticed. A calibrating battery is here without name, cell or features.
"""

import json
from collections.abc import Mapping
from typing import Any

from features.feature_set import Method
from training.calibrate import Calibration
from training.evaluation import Evaluation

CARD_FILE = "model_card.md"
METRICS_FILE = "metrics.json"

_DECIMALS = 4


def plain_evaluations(evaluations: Mapping[Method, Evaluation]) -> dict[str, Any]:
    """Every figure of every method on held-out cells, as JSON values: ``{"methods": {"pulse_test": …}}``."""
    return {"methods": {method.value: evaluation.plain() for method, evaluation in evaluations.items()}}


def metrics_json(evaluations: Mapping[Method, Evaluation]) -> bytes:
    """Every figure of the evaluation of every method."""
    return _json(plain_evaluations(evaluations))


def calibration_json(calibration: Calibration) -> bytes:
    """Held-out facts of every calibrating battery: what thresholds can be certified from.

    Notes
    -----
    All in state of health, to four decimals: ``point``, ``lowest_member`` and ``highest_member`` as
    predicted by models that did not see the cell, ``spread`` made by the other batteries of its type,
    ``state_of_health`` as measured. Sorted by type and value, so that the order says nothing either.
    """
    visits = calibration.visits
    columns = {
        "point": visits.point,
        "spread": calibration.spread,
        "lowest_member": visits.lowest_member,
        "highest_member": visits.highest_member,
        "state_of_health": visits.measured,
    }
    rows = zip(*(column.round(_DECIMALS).tolist() for column in columns.values()), strict=True)
    batteries = [
        {"type": str(key), **dict(zip(columns, row, strict=True))}
        for key, row in sorted(zip(visits.type_keys.tolist(), rows, strict=True))
    ]
    return _json({"quantile": calibration.interval.quantile, "batteries": batteries})


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
