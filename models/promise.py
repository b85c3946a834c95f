"""A certificate, or its refusal, as sentences for people, in the two languages of the station.

Nothing is decided or computed here. The sentence always says what the shares are shares of and what
the promise holds for, because without that the numbers mislead.
"""

from collections.abc import Mapping

from features.findings import Message
from models.certificate import CannotPromise, Certificate, TypeTally

MIX_ONLY = Message(
    "The promise holds for the calibration mix of types only. What a single type got is an observation; only a "
    "certificate of its own, where there is one, promises anything for it.",
    "承诺仅适用于校准样本的类型构成。单一类型的结果只是观察值;只有该类型自己的认证(如有)才对其作出承诺。",
)


def promise_in_words(certificate: Certificate) -> Message:
    """What is promised, with which confidence, on how many batteries, and for what."""
    levels, cut, reach = certificate.levels, _percent(certificate.cut_fraction), holds_for(certificate)
    accepts, rejects = _percent(levels.max_false_accept_share), _percent(levels.max_false_reject_share)
    confidence, mix, count = _percent(levels.confidence), _mix(certificate.types), certificate.battery_count
    return Message(
        f"Of all batteries presented at the cut of {cut} state of health, at most {accepts} are accepted although "
        f"below it, and at most {rejects} are rejected although not below it, each with {confidence} confidence, "
        f"calibrated on {count} batteries ({mix}). {reach.en}",
        f"在健康状态 {cut} 门槛处,全部受检电池中低于门槛却被接收的不超过 {accepts},"
        f"不低于门槛却被拒收的不超过 {rejects},置信度各为 {confidence},"
        f"依据 {count} 块校准电池({mix})。{reach.zh}",
    )


def refusal_in_words(refusal: CannotPromise) -> Message:
    """What cannot be promised, and what it would take."""
    levels, cut = refusal.levels, _percent(refusal.cut_fraction)
    accepts, rejects = _percent(levels.max_false_accept_share), _percent(levels.max_false_reject_share)
    confidence, count, needed = _percent(levels.confidence), refusal.battery_count, refusal.batteries_needed
    mix, missing = _mix(refusal.types), refusal.batteries_missing
    return Message(
        f"At most {accepts} false accepts and {rejects} false rejects at the cut of {cut} cannot be promised with "
        f"{confidence} confidence: {count} batteries calibrate it ({mix}), at least {needed} without an error are "
        f"needed, {missing} are missing. Nothing was certified. Measure more batteries on arrival, or risk more.",
        f"无法以 {confidence} 置信度承诺 {cut} 门槛处误收不超过 {accepts}、误拒不超过 {rejects}:"
        f"现有校准电池 {count} 块({mix}),至少需要 {needed} 块且无一出错,尚缺 {missing} 块。"
        "未作任何认证。请增加到站实测电池,或放宽风险水平。",
    )


def too_few_in_words(type_key: str, battery_count: int, least: int) -> Message:
    """Why a type is left out of every certificate."""
    return Message(
        f"{battery_count} calibration batteries of type {type_key} are fewer than the policy asks of a type ({least}); "
        "no certificate reaches it.",
        f"{type_key} 类型仅有 {battery_count} 块校准电池,少于策略要求的 {least} 块,任何认证均不适用。",
    )


def holds_for(certificate: Certificate) -> Message:
    """For which batteries the promise holds, and for which it does not."""
    if len(certificate.types) == 1:
        (name,) = certificate.types
        return Message(f"This holds for batteries of type {name} only.", f"此承诺仅适用于 {name} 类型的电池。")
    return Message(
        "This holds for the calibration mix of types only, not for any single type.",
        "此承诺仅适用于校准样本的类型构成,不适用于任何单一类型。",
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.4g} %"


def _mix(types: Mapping[str, TypeTally] | Mapping[str, int]) -> str:
    counts = {key: each.batteries if isinstance(each, TypeTally) else each for key, each in types.items()}
    return ", ".join(f"{key} {count}" for key, count in sorted(counts.items())) or "–"
