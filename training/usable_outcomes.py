"""Which outcomes may recalibrate a bundle, and what its models say about them now.

An outcome teaches a bundle only if this very bundle estimated that battery by a trained method and
the capacity measured is the one its labels mean. Everything else is refused with its row: a file
with a foreign row in it was put together by mistake. A battery counts once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.errors import Problem
from features.feature_set import FEATURE_SETS, Method
from features.measurement import FloatArray
from models.bundle import Bundle
from training.outcomes import feature_rows, identity_of


@dataclass(frozen=True)
class OutcomeFacts:
    """What a bundle's models say about batteries whose capacity was measured later; arrays of shape (n,).

    Attributes
    ----------
    type_keys : ndarray of str
        Known type of each battery.
    measured, point, spread : ndarray
        State of health as measured and as predicted, and the interval's scale before the quantile.
    lowest_member, highest_member : ndarray
        State of health the least and the most hopeful member predicts.
    """

    type_keys: npt.NDArray[np.object_]
    measured: FloatArray
    point: FloatArray
    spread: FloatArray
    lowest_member: FloatArray
    highest_member: FloatArray


def unusable(outcomes: pd.DataFrame, bundle: Bundle) -> list[Problem]:
    """Every reason why a row of the file cannot recalibrate the bundle.

    Parameters
    ----------
    outcomes : DataFrame
        Rows of `training.outcomes.read_outcomes`.
    bundle : Bundle
        The bundle.

    Returns
    -------
    list of Problem
        Naming the row of the file; empty if all may.
    """
    repeated = outcomes["battery_id"].duplicated(keep=False).to_numpy()
    return [
        Problem(f"row {row['row']} {where}", rule, value)
        for row, twice in zip(outcomes.to_dict("records"), repeated, strict=True)
        for where, rule, value in _reasons(row, bundle, twice=bool(twice))
    ]


def facts_of(outcomes: pd.DataFrame, bundle: Bundle, method: Method) -> OutcomeFacts:
    """What the members of a bundle say about usable outcomes of one method."""
    keys = np.array([_known_key(row, bundle) for row in outcomes.to_dict("records")], dtype=object)
    estimator, names = bundle.estimators[method], FEATURE_SETS[method].names
    rows, said = feature_rows(outcomes, method), np.empty((4, len(outcomes)))
    for key in np.unique(keys.astype(str)):
        chosen = keys == key
        of_type = estimator.ensembles[str(key)].said(rows[chosen], names)
        point, disagreement = of_type.joined()
        said[:, chosen] = point, estimator.interval.spread_fraction(str(key), disagreement), *of_type.extremes()
    point, spread, lowest, highest = said
    measured = outcomes["measured_fraction"].to_numpy(dtype=np.float64)
    return OutcomeFacts(keys, measured, point, spread, lowest, highest)


def _known_key(row: Mapping[Any, Any], bundle: Bundle) -> str:
    known = bundle.known_type(identity_of(row))
    if known is None:
        raise ValueError(f"battery {row['battery_id']} is of no known type of bundle {bundle.manifest.name}")
    return known.key


def _reasons(row: Mapping[Any, Any], bundle: Bundle, *, twice: bool) -> Iterator[tuple[str, str, str]]:
    if row["bundle_sha256"] != bundle.sha256:
        yield (
            "bundle_sha256",
            f"must be estimated by this bundle, {bundle.sha256[:12]}…",
            f"{row['bundle_sha256'][:12]}…",
        )
        return
    if twice:
        yield "battery_id", "must occur once: a battery counts once", str(row["battery_id"])
    method = Method(row["method"]) if isinstance(row["method"], str) else None
    described = None if method is None else bundle.manifest.calibrated(method)
    if method is None or described is None:
        trained = ", ".join(each.method.value for each in bundle.manifest.methods)
        yield "method", f"must be estimated by a trained method: {trained}", str(row["method"])
        return
    if row["capacity_definition"] != described.capacity_definition:
        yield "capacity_definition", f"must be {described.capacity_definition!r}", str(row["capacity_definition"])
    yield from _reasons_of_features(row, bundle, method)


def _reasons_of_features(row: Mapping[Any, Any], bundle: Bundle, method: Method) -> Iterator[tuple[str, str, str]]:
    known, estimator = bundle.known_type(identity_of(row)), bundle.estimators[method]
    if known is None or known.key not in estimator.ensembles:
        plate = f"{row['chemistry']} {row['rated_capacity_ah']:g} Ah"
        yield "rated_capacity_ah", f"must be of a type the bundle knows for {method.value}", plate
        return
    if row["feature_set_digest"] != FEATURE_SETS[method].digest:
        yield "feature_set_digest", "must be the features the bundle was trained on", str(row["feature_set_digest"])
        return
    lacking = [name for name in estimator.required if row["features"].get(name) is None]
    if lacking:
        yield "features", "must hold every required feature", ", ".join(lacking)[:80]
