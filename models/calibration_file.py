"""The calibration batteries of one method, read from its file in a bundle and checked.

``<method>/calibration.json`` holds, for one row of every calibrating battery, what models that never
saw its cell said of it, and what was measured. The score a certificate works on is the predicted
state of health (`point`), on the grid scores are compared on.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from features.errors import InvalidInput, Problem
from features.feature_set import Method
from models.risk import CalibrationBatteries
from models.thresholds import certified_score

Fraction = Annotated[float, Field(ge=0.0, le=2.0)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class CalibratingBattery(_Row):
    """One battery, without name, cell or features; states of health.

    Attributes
    ----------
    type : str
        Type key of the bundle.
    point, lowest_member, highest_member : float
        Held-out prediction, of the ensemble and of its extremes.
    spread : float
        Scale of its interval, made by the other batteries of its type.
    state_of_health : float
        Measured in the same visit.
    """

    type: Annotated[str, Field(min_length=1)]
    point: Fraction
    spread: Fraction
    lowest_member: Fraction
    highest_member: Fraction
    state_of_health: Fraction


class CalibrationFile(_Row):
    """``<method>/calibration.json``: the batteries, and the quantile of the interval they gave."""

    quantile: Annotated[float, Field(gt=0.0)]
    batteries: tuple[CalibratingBattery, ...]


def calibration_file_name(method: Method) -> str:
    """Where a bundle keeps the calibration batteries of a method."""
    return f"{method.value}/calibration.json"


def load_calibration(method: Method, files: Mapping[str, bytes], known_types: Iterable[str]) -> CalibrationBatteries:
    """Calibration batteries of one method from a bundle's checked files.

    Parameters
    ----------
    method : Method
        Trained method of the bundle.
    files : mapping of str to bytes
        Content by name.
    known_types : iterable of str
        Type keys of the manifest.

    Returns
    -------
    CalibrationBatteries

    Raises
    ------
    InvalidInput
        ``CALIBRATION_NOT_SOUND`` if the file is missing, breaks its schema or names an unknown type.
    """
    name = calibration_file_name(method)
    if name not in files:
        raise _not_sound(method, [Problem(name, "a trained method needs the batteries that calibrate it")])
    try:
        batteries = CalibrationFile.model_validate_json(files[name]).batteries
    except ValidationError as problem:
        raise _not_sound(method, list(_problems(name, problem))) from problem
    strange = {each.type for each in batteries} - set(known_types)
    if strange:
        rule = "every calibrating battery must be of a known type"
        raise _not_sound(method, [Problem(name, rule, ", ".join(sorted(strange)))])
    return CalibrationBatteries(
        np.array([each.type for each in batteries], dtype=str),
        np.array([certified_score(each.point) for each in batteries], dtype=np.float64),
        np.array([each.state_of_health for each in batteries], dtype=np.float64),
    )


def _not_sound(method: Method, problems: list[Problem]) -> InvalidInput:
    message = f"The calibration batteries of {method.value} are not sound. Nothing was loaded."
    return InvalidInput(message, problems, code="CALIBRATION_NOT_SOUND")


def _problems(name: str, error: ValidationError) -> Iterable[Problem]:
    for each in error.errors(include_url=False):
        yield Problem(f"{name} {'.'.join(str(part) for part in each['loc'])}", each["msg"], repr(each["input"])[:80])
