from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.measurement import BatteryHistory
from features.vocabulary import Chemistry, RunKind
from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.grading import Grader, GradingRequest, history_sha256
from serving.record.ledger import Ledger
from tests.support.cases import MOMENT
from tests.support.simulated_battery import SimulatedBattery
from tests.support.simulated_spectrum import USUAL_HERTZ, SpectrumCircuit, spectrum_table

KNOWN_TYPE = SimulatedBattery(35.0, 33.0, Chemistry.LFP)
CIRCUIT = SpectrumCircuit()


@pytest.fixture
def grader(tmp_path: Path) -> Iterator[Grader]:
    with Ledger.open(tmp_path / "record.sqlite", "test") as ledger:
        yield Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)


def graded(grader: Grader, history: BatteryHistory) -> dict[str, Any]:
    request = GradingRequest("station-1", "key-1", history_sha256(history), f"{1:032x}", MOMENT)
    return grader.grade(history, request).body


def reasons(body: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in body["decision"]["reasons"]}


def with_spectrum(hertz: np.ndarray = USUAL_HERTZ, battery: SimulatedBattery = KNOWN_TYPE) -> BatteryHistory:
    return battery.history(battery.run(RunKind.IMPEDANCE, spectrum_table(CIRCUIT, 35.0, hertz=hertz)))


def test_the_reference_bundle_knows_no_impedance_and_asks_for_another_test(grader: Grader) -> None:
    body = graded(grader, with_spectrum())
    assert body["decision"]["outcome"] == "retest"
    assert "METHOD_NOT_CALIBRATED" in reasons(body)
    assert body["decision"]["next_test"] is not None


def test_a_spectrum_that_ends_too_early_is_told_which_frequencies_are_missing(grader: Grader) -> None:
    body = graded(grader, with_spectrum(np.logspace(1, 4, 31)))
    assert body["decision"]["outcome"] == "retest"
    assert "impedance.frequencies_missing" in reasons(body)


def test_a_spectrum_beside_a_pulse_test_leaves_the_grade_to_the_pulse_test(grader: Grader) -> None:
    spectrum = KNOWN_TYPE.run(RunKind.IMPEDANCE, spectrum_table(CIRCUIT, 35.0))
    pulses = KNOWN_TYPE.run(RunKind.PULSE_TEST, KNOWN_TYPE.pulse_train())
    body = graded(grader, KNOWN_TYPE.history(spectrum, pulses))
    assert (body["decision"]["outcome"], body["decision"]["grade"]) == ("cascade", "A")


@pytest.mark.real_data
def test_a_published_spectrum_of_a_real_cell_is_answered_method_not_calibrated(grader: Grader, data_dir: Path) -> None:
    from training.datasets import denso_eis  # noqa: PLC0415 - only where the data is

    history = denso_eis.labelled_tests(data_dir).tests[3]
    body = graded(grader, history)
    assert body["decision"]["outcome"] == "retest"
    assert "METHOD_NOT_CALIBRATED" in reasons(body)
