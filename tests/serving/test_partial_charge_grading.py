from pathlib import Path

import pytest

from features.vocabulary import Chemistry, RunKind
from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.grading import Grader, GradingRequest, history_sha256
from serving.record.ledger import Ledger
from tests.support.cases import MOMENT
from tests.support.simulated_battery import SimulatedBattery

CELL = SimulatedBattery(35.0, 33.0, Chemistry.LFP)


def decided(folder: Path, from_charged: float, to_charged: float):
    """Decision on one partial charge by the shipped bundle, as it stands in the record."""
    history = CELL.history(
        CELL.run(RunKind.PARTIAL_CHARGE, CELL.partial_charge(from_charged=from_charged, to_charged=to_charged))
    )
    request = GradingRequest("station-1", "key-1", history_sha256(history), f"{1:032x}", MOMENT)
    with Ledger.open(folder / "record.sqlite", "test") as ledger:
        return Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger).grade(history, request).body["decision"]


def codes(decision) -> list[str]:
    return [reason["code"] for reason in decision["reasons"]]


def test_a_good_partial_charge_is_a_retest_because_the_shipped_bundle_is_not_calibrated_for_it(tmp_path: Path) -> None:
    decision = decided(tmp_path, 0.2, 0.8)
    assert decision["outcome"] == "retest"
    assert "METHOD_NOT_CALIBRATED" in codes(decision)


@pytest.mark.parametrize("to_charged", [0.22, 0.25])
def test_a_partial_charge_too_small_is_a_retest_that_says_what_was_found(tmp_path: Path, to_charged: float) -> None:
    decision = decided(tmp_path, 0.2, to_charged)
    assert decision["outcome"] == "retest"
    assert "partial_charge.window_too_small" in codes(decision)
