import pytest

from features.findings import Finding, Message, Severity
from features.measurement import Inspection
from features.vocabulary import Level
from models.gates import APPEARANCE, GateName
from models.policy_file import SHIPPED_POLICY, load_policy
from tests.support.cases import a_case, a_cell, a_pack

GATES = load_policy(SHIPPED_POLICY).gates
SEEN = {"leakage": False, "swelling": False}


def codes(case: object) -> list[str]:
    return [finding.code for finding in GATES.closed(case)]


def a_finding(code: str, severity: Severity) -> Finding:
    return Finding(code, severity, Message("something was seen", "发现异常"))


def test_a_sound_battery_passes_every_gate() -> None:
    assert codes(a_case()) == []


@pytest.mark.parametrize("fault", APPEARANCE)
def test_every_appearance_fault_closes_the_gate(fault: str) -> None:
    assert codes(a_case(inspection=Inspection(**{fault: True}))) == [f"appearance.{fault}"]


def test_a_fault_that_was_looked_for_and_not_found_closes_nothing() -> None:
    assert codes(a_case(inspection=Inspection(**dict.fromkeys(APPEARANCE, False)))) == []


@pytest.mark.parametrize(("level", "closed"), [(2, []), (3, ["alarm.level_too_high"]), (4, ["alarm.level_too_high"])])
def test_an_alarm_closes_the_gate_from_level_3(level: int, closed: list[str]) -> None:
    assert codes(a_case(inspection=Inspection(alarm_level=level, **SEEN))) == closed


def test_the_vehicles_alarm_counts_as_much_as_the_inspectors() -> None:
    assert codes(a_case(values={"highest_alarm_level": 4.0})) == ["alarm.level_too_high"]


@pytest.mark.parametrize(("measured", "closed"), [(99.9, ["insulation.too_low"]), (100.0, []), (500.0, [])])
def test_a_pack_needs_100_ohm_per_volt(measured: float, closed: list[str]) -> None:
    assert codes(a_case(a_pack(), Inspection(insulation_ohm_per_volt=measured, **SEEN))) == closed


def test_the_lower_of_two_insulation_values_counts() -> None:
    inspection = Inspection(insulation_ohm_per_volt=600.0, **SEEN)
    assert codes(a_case(a_pack(), inspection, values={"insulation_ohm_per_volt": 40.0})) == ["insulation.too_low"]


def test_insulation_does_not_apply_to_a_cell() -> None:
    assert codes(a_case(a_cell(), Inspection(insulation_ohm_per_volt=1.0, **SEEN))) == []
    assert GATES.unmeasured(a_case(a_cell())) == ()


def test_a_pack_without_any_insulation_value_is_not_graded() -> None:
    assert [each.code for each in GATES.unmeasured(a_case(a_pack()))] == ["INSULATION_NOT_MEASURED"]


def test_an_insulation_value_that_is_missing_in_the_telemetry_is_no_measurement() -> None:
    case = a_case(a_pack(), values={"insulation_ohm_per_volt": float("nan")})
    assert [each.code for each in GATES.unmeasured(case)] == ["INSULATION_NOT_MEASURED"]


def test_any_disqualifying_finding_closes_a_gate_and_a_caution_does_not() -> None:
    assert codes(a_case(findings=(a_finding("consistency.weak_cell", Severity.DISQUALIFYING),))) == [
        "consistency.weak_cell"
    ]
    assert codes(a_case(findings=(a_finding("consistency.weak_cell", Severity.CAUTION),))) == []


def test_gates_are_asked_identity_first_and_voltage_last() -> None:
    findings = (
        a_finding("quality.voltage_implausible", Severity.DISQUALIFYING),
        a_finding("identity.chemistry_conflict", Severity.DISQUALIFYING),
    )
    inspection = Inspection(leakage=True, alarm_level=4, insulation_ohm_per_volt=1.0)
    assert codes(a_case(a_pack(), inspection, findings)) == [
        "identity.chemistry_conflict",
        "appearance.leakage",
        "alarm.level_too_high",
        "insulation.too_low",
        "quality.voltage_implausible",
    ]


def test_the_shipped_order_names_every_gate() -> None:
    assert GATES.order == tuple(GateName)
    assert GATES.insulation_levels == {Level.PACK}


def test_nobody_looking_at_the_battery_is_a_caution() -> None:
    assert [each.code for each in GATES.unseen(a_case(inspection=Inspection(alarm_level=0)))] == [
        "appearance.not_inspected"
    ]
    assert GATES.unseen(a_case()) == ()
