"""Have we seen this? Declared type first, distance second.

An unknown type is never accepted, whatever its numbers look like: a model asked about a cell it
never saw is confidently wrong in one case of seven even when a distance looks fine. Within a known
type the distance says whether the measurement looks like those the model was trained on.
"""

from collections.abc import Mapping

from features.feature_set import Method
from features.findings import Finding, Message, Severity
from features.measurement import BatteryIdentity
from models.decision import AbstentionCode

METHOD_WORDS: Mapping[Method, Message] = {
    Method.CAPACITY_TEST: Message("capacity test", "容量测试"),
    Method.TWO_PULSE_TRAINS: Message("pulse test with two trains", "双组脉冲测试"),
    Method.PULSE_TEST: Message("pulse test", "脉冲测试"),
    Method.PARTIAL_CHARGE: Message("partial charge", "部分充电"),
    Method.IMPEDANCE: Message("impedance spectrum", "阻抗谱"),
    Method.FIELD_TELEMETRY: Message("vehicle's record", "车辆数据"),
}
"""What a method is called in a sentence."""


def insufficient_data(method: Method | None) -> Finding:
    """Abstention: what was measured does not tell the capacity."""
    if method is None:
        message = Message("No usable measurement was given.", "没有可用的测量数据。")
    else:
        message = Message(
            f"The {METHOD_WORDS[method].en} holds too little to tell the capacity.",
            f"{METHOD_WORDS[method].zh}不足,无法判断容量。",
        )
    return Finding(AbstentionCode.INSUFFICIENT_DATA.value, Severity.CAUTION, message)


def not_calibrated(method: Method) -> Finding:
    """Abstention: no estimator calibrated on batteries of known capacity exists for this method."""
    message = Message(
        f"No estimator is calibrated for the {METHOD_WORDS[method].en} here; its numbers may not grade a battery.",
        f"{METHOD_WORDS[method].zh}尚无经校准的估计器,不能用于评级。",
    )
    return Finding(AbstentionCode.METHOD_NOT_CALIBRATED.value, Severity.CAUTION, message, {"method": method.value})


def type_not_calibrated(type_key: str, method: Method) -> Finding:
    """Abstention: no battery of the type calibrated this method."""
    words = METHOD_WORDS[method]
    message = Message(
        f"No battery of type {type_key} calibrated the {words.en}; its estimate may not grade a battery.",
        f"{type_key} 类型没有用于校准{words.zh}的样本,其估计不能用于评级。",
    )
    evidence = {"declared_type": type_key, "method": method.value}
    return Finding(AbstentionCode.METHOD_NOT_CALIBRATED.value, Severity.CAUTION, message, evidence)


def type_not_certified(type_key: str, method: Method, why: Message) -> Finding:
    """Abstention: no certified threshold is in force for this method and type."""
    words = METHOD_WORDS[method]
    message = Message(
        f"The {words.en} may not grade type {type_key}. {why.en}", f"{words.zh}不能用于评级 {type_key} 类型。{why.zh}"
    )
    evidence = {"declared_type": type_key, "method": method.value}
    return Finding(AbstentionCode.METHOD_NOT_CALIBRATED.value, Severity.CAUTION, message, evidence)


def unknown_type(identity: BatteryIdentity) -> Finding:
    """Abstention: the declared type was never trained on."""
    chemistry, rated = identity.chemistry.value, identity.rated_capacity_ah
    designation = f" {identity.type_designation}" if identity.type_designation else ""
    message = Message(
        f"The models never saw a {identity.level.value} of type {chemistry} {rated:g} Ah{designation}.",
        f"模型未见过该类型({chemistry} {rated:g} Ah{designation})。",
    )
    evidence = {"level": identity.level.value, "chemistry": chemistry, "rated_capacity_ah": rated}
    return Finding(AbstentionCode.UNKNOWN_TYPE.value, Severity.CAUTION, message, evidence)


HIGHEST_PLAUSIBLE_FRACTION = 1.15
"""New cells exceed their plate by a few percent; beyond this the plate, not the battery, is in doubt."""


def above_rated(state_of_health_fraction: float) -> Finding:
    """Abstention: more charge came out than the declared plate can hold."""
    measured, highest = 100 * state_of_health_fraction, 100 * HIGHEST_PLAUSIBLE_FRACTION
    message = Message(
        f"The battery delivered {measured:.0f} % of its declared rated capacity (plausible: up to {highest:.0f} %); "
        "check the plate.",
        f"实测容量为标称容量的 {measured:.0f} %(合理上限 {highest:.0f} %),请核对铭牌。",
    )
    evidence = {"state_of_health_fraction": state_of_health_fraction, "highest_plausible": HIGHEST_PLAUSIBLE_FRACTION}
    return Finding(AbstentionCode.OUTSIDE_KNOWN_RANGE.value, Severity.CAUTION, message, evidence)


UNCALIBRATED: Mapping[Method, frozenset[str]] = {
    Method.PULSE_TEST: frozenset({"pulse.temperature_off_reference"}),
    Method.TWO_PULSE_TRAINS: frozenset({"pulse.temperature_off_reference"}),
    Method.IMPEDANCE: frozenset({"impedance.temperature_drift", "impedance.not_kramers_kronig"}),
}
"""Findings on a test that was not done as the calibrating tests were: a warm worn cell looks healthy."""


def outside_calibrated_conditions(noticed: Finding) -> Finding:
    """Abstention: the test was done under conditions no calibrating battery was tested under."""
    message = Message(
        f"{noticed.message.en} The models were calibrated near the reference only; test again under it.",
        f"{noticed.message.zh}模型仅在参考条件附近校准,请在参考条件下重测。",
    )
    return Finding(AbstentionCode.OUTSIDE_KNOWN_RANGE.value, Severity.CAUTION, message, noticed.evidence)


_FARTHEST = 1000.0
_FAR = 10.0


def outside_known_range(type_key: str, distance: float, pulse_width_second: float | None) -> Finding:
    """Abstention: the measurement does not look like those of its declared type."""
    shown = f"{distance:.1f}" if distance <= _FAR else f"> {_FAR:.0f}"
    width_en = "" if pulse_width_second is None else f" with pulses of {pulse_width_second:.2g} s"
    width_zh = "" if pulse_width_second is None else f"(脉宽 {pulse_width_second:.2g} s)"
    message = Message(
        f"This measurement{width_en} is unlike those of type {type_key} (distance {shown}, allowed 1); "
        "check the declared type, the pulse width and the test.",
        f"测量结果{width_zh}与 {type_key} 类型不符(距离 {shown},允许 1),请核对类型、脉宽与测试。",
    )
    evidence: dict[str, bool | int | float | str] = {
        "distance": min(distance, _FARTHEST),
        "allowed_distance": 1.0,
        "declared_type": type_key,
    }
    if pulse_width_second is not None:
        evidence["pulse_width_second"] = pulse_width_second
    return Finding(AbstentionCode.OUTSIDE_KNOWN_RANGE.value, Severity.CAUTION, message, evidence)


def other_rate(rate_c: float, lowest: float, highest: float) -> Finding:
    """Abstention: a capacity of another definition; a slow discharge gives more than the cuts mean."""
    message = Message(
        f"The capacity was discharged at {rate_c:.2f} C; the cuts are for {lowest:g} to {highest:g} C.",
        f"放电倍率 {rate_c:.2f} C,本策略门槛适用于 {lowest:g} 至 {highest:g} C。",
    )
    evidence = {"discharge_rate_c": rate_c, "lowest_rate_c": lowest, "highest_rate_c": highest}
    return Finding(AbstentionCode.OUTSIDE_KNOWN_RANGE.value, Severity.CAUTION, message, evidence)


def other_temperature(temperature_celsius: float, lowest: float, highest: float) -> Finding:
    """Abstention: a capacity at another temperature; a cold discharge gives less than the cuts mean."""
    message = Message(
        f"The capacity was discharged at {temperature_celsius:.1f} °C; the cuts are for {lowest:g} to {highest:g} °C.",
        f"放电温度 {temperature_celsius:.1f} °C,本策略门槛适用于 {lowest:g} 至 {highest:g} °C。",
    )
    evidence = {
        "surface_temperature_celsius": temperature_celsius,
        "lowest_temperature_celsius": lowest,
        "highest_temperature_celsius": highest,
    }
    return Finding(AbstentionCode.OUTSIDE_KNOWN_RANGE.value, Severity.CAUTION, message, evidence)


def temperature_unknown(lowest: float, highest: float) -> Finding:
    """Note: nobody measured at which temperature the capacity was discharged; it is taken to be a room's."""
    message = Message(
        f"The temperature of the capacity test was not measured; the cuts are for {lowest:g} to {highest:g} °C.",
        f"容量测试未记录温度,本策略门槛适用于 {lowest:g} 至 {highest:g} °C。",
    )
    evidence = {"lowest_temperature_celsius": lowest, "highest_temperature_celsius": highest}
    return Finding("TEMPERATURE_NOT_MEASURED", Severity.NOTE, message, evidence)
