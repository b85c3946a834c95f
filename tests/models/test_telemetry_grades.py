"""What a vehicle's record may do to a grade: stop it, or say what it lacks; never more."""

from pathlib import Path

import pytest

from features.extract import extract
from features.measurement import BatteryHistory, BatteryIdentity, Inspection, MeasurementRun, SourceStamp
from features.readers.bms_telemetry import load_vehicle_mapping, read_bms_telemetry
from features.vocabulary import Chemistry, Level, Provenance, RunKind
from models.assessment import assess
from models.bundle import REFERENCE_BUNDLE, load_bundle
from models.certification import certified
from models.decision import GradingCase, GradingDecision, Outcome
from models.policy_file import SHIPPED_POLICY, load_policy
from tests.support.cases import MOMENT
from tests.support.simulated_battery import SimulatedBattery
from tests.support.simulated_vehicle import Vehicle

MAPPINGS = Path(__file__).parents[2] / "features" / "readers" / "mappings"


def decided(identity: BatteryIdentity, *runs: MeasurementRun) -> GradingDecision:
    """The shipped policy's decision with the shipped bundle."""
    bundle, policy = load_bundle(REFERENCE_BUNDLE), load_policy(SHIPPED_POLICY)
    inspection = Inspection(leakage=False, swelling=False)
    history = BatteryHistory(identity, runs, inspection)
    vector = extract(history, max(run.available_at for run in runs))
    case = GradingCase(identity, inspection, vector)
    terms = policy.terms(certified(bundle.calibration, policy.cuts, policy.risk))
    return policy.decide(case, assess(case, bundle, terms), bundle.sha256)


def driven(rated_capacity_ah: float, vehicle: Vehicle) -> GradingDecision:
    """A pack of 81 Ah, its plate as asked, with four days of its vehicle's record."""
    pack = SimulatedBattery(100.0, 81.0, Chemistry.NMC, level=Level.PACK, series_count=20)
    identity = BatteryIdentity("PACK-1", Level.PACK, Chemistry.NMC, rated_capacity_ah, series_count=20)
    return decided(identity, pack.run(RunKind.FIELD_TELEMETRY, pack.telemetry(vehicle)))


def test_a_plate_the_record_contradicts_holds_the_battery() -> None:
    decision = driven(60.0, Vehicle(day_count=4))
    assert decision.outcome is Outcome.HOLD
    assert decision.reasons[0].code == "identity.rated_capacity_conflict"


def test_a_plate_the_record_supports_holds_nothing() -> None:
    assert driven(100.0, Vehicle(day_count=4)).outcome is Outcome.RETEST


def test_an_alarm_from_the_policys_level_on_holds_the_battery() -> None:
    assert driven(100.0, Vehicle(day_count=4, alarm_level=3)).outcome is Outcome.HOLD
    assert driven(100.0, Vehicle(day_count=4, alarm_level=2)).outcome is Outcome.RETEST


def test_a_record_of_small_charges_lacks_a_window_and_a_test_is_named() -> None:
    decision = driven(100.0, Vehicle(day_count=4, lowest_charged=0.75))
    codes = [reason.code for reason in decision.reasons]
    assert codes[0] == "INSUFFICIENT_DATA"
    assert "field_telemetry.no_charging_window" in codes
    assert decision.next_test is not None


@pytest.mark.real_data
def test_car2_lacks_the_data_for_a_capacity(data_dir: Path) -> None:
    reading = read_bms_telemetry(data_dir / "field_bms" / "car2.csv.gz", load_vehicle_mapping(MAPPINGS / "car2.toml"))
    assert reading.started_at is not None
    stamp = SourceStamp("car2", reading.table.sha256, "bms_telemetry", Provenance.BMS_REPORTED)
    run = MeasurementRun(RunKind.FIELD_TELEMETRY, reading.started_at, MOMENT, stamp, reading.table)
    decision = decided(BatteryIdentity("car2", Level.PACK, Chemistry.NMC, 120.0), run)
    assert decision.outcome is Outcome.RETEST
    assert decision.reasons[0].code == "INSUFFICIENT_DATA"
    first = next(each for each in decision.reasons if each.code.startswith("consistency"))
    assert first.evidence["cell"] == 82
