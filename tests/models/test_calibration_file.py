import json
from typing import Any

import pytest

from features.errors import InvalidInput
from features.feature_set import Method
from models.calibration_file import calibration_file_name, load_calibration

NAME = calibration_file_name(Method.PULSE_TEST)
BATTERY = {
    "type": "LMO10",
    "point": 0.81239,
    "spread": 0.03,
    "lowest_member": 0.79,
    "highest_member": 0.84,
    "state_of_health": 0.8,
}


def load(*batteries: dict[str, Any], **more: Any):
    content = json.dumps({"quantile": 1.4, "batteries": batteries, **more}).encode()
    return load_calibration(Method.PULSE_TEST, {NAME: content}, ["LMO10", "LFP35"])


def test_the_score_is_the_prediction_on_the_grid_scores_are_compared_on() -> None:
    read = load(BATTERY, {**BATTERY, "type": "LFP35"})
    assert read.score.tolist() == [0.8124, 0.8124]
    assert read.measured_fraction.tolist() == [0.8, 0.8]
    assert read.counts == {"LFP35": 1, "LMO10": 1}


def test_a_method_without_calibrating_batteries_can_be_read_and_counts_none() -> None:
    assert load().counts == {}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"point": None}, r"batteries\.0\.point"),
        ({"point": "0.8"}, r"calibration\.json"),
        ({"state_of_health": 3.0}, r"batteries\.0\.state_of_health"),
        ({"cell": "LMO-17"}, r"batteries\.0\.cell.*not permitted"),
        ({"type": "LTO40"}, r"must be of a known type \(got LTO40\)"),
    ],
)
def test_a_battery_that_is_not_sound_is_refused_by_place(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=rf"CALIBRATION_NOT_SOUND(.|\n)*{complaint}"):
        load({**BATTERY, **changes})


def test_a_trained_method_without_its_file_is_refused() -> None:
    with pytest.raises(InvalidInput, match=rf"{NAME}: a trained method needs the batteries that calibrate it"):
        load_calibration(Method.PULSE_TEST, {}, [])
