"""Decisions in a record, for tests of what is reported about them later."""

from datetime import timedelta
from pathlib import Path

from features.measurement import BatteryHistory, Inspection
from features.vocabulary import Chemistry
from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY, load_policy
from serving.due_dates import DueDates
from serving.events.outcomes import MeasuredOutcome
from serving.grading import Grader, GradingRequest, RecordedDecision, history_sha256
from serving.record.ledger import Ledger
from tests.support.cases import MOMENT
from tests.support.simulated_battery import SimulatedBattery

DEFINITION = "1C discharge after CCCV, 25 °C"
DUE_DATES = DueDates(load_policy(SHIPPED_POLICY).traceability)
LATER = MOMENT + timedelta(days=3)


def graded(ledger: Ledger, number: int = 1, battery_id: str = "CELL-1", remaining_ah: float = 33.0) -> RecordedDecision:
    """A pulse-tested LFP cell of 35 Ah, graded by the shipped bundle."""
    history = SimulatedBattery(35.0, remaining_ah, Chemistry.LFP, battery_id).history()
    grader = Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)
    request = GradingRequest("station-1", f"grade-{number}", history_sha256(history), f"{number:032x}", MOMENT)
    return grader.grade(history, request)


def held_without_measurement(ledger: Ledger) -> RecordedDecision:
    """A leaking cell nobody measured."""
    identity = SimulatedBattery(35.0, 33.0, Chemistry.LFP, "CELL-9").identity
    history = BatteryHistory(identity, (), Inspection(leakage=True))
    grader = Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)
    return grader.grade(history, GradingRequest("station-1", "grade-9", history_sha256(history), "9" * 32, MOMENT))


def an_outcome(decision_id: str, **changes: object) -> MeasuredOutcome:
    """A capacity of 32.5 Ah, measured a day after the decision."""
    sound: dict[str, object] = {
        "decision_id": decision_id,
        "capacity_definition": DEFINITION,
        "measured": 32.5,
        "measured_at": MOMENT + timedelta(days=1),
        "measured_by": "bench-2",
        "chosen_at_random": True,
    }
    return MeasuredOutcome(**(sound | changes))  # type: ignore[arg-type]


def report(number: int = 1, content: str = "a") -> GradingRequest:
    """Somebody reports something; equal content, equal digest."""
    return GradingRequest("station-1", f"outcome-{number}", content * 64, f"{number + 0xF00:032x}", LATER)


def record_of(folder: Path) -> Path:
    return folder / "record.sqlite"
