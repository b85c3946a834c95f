"""Hard gates: what forbids cascade use before any model is asked.

Every gate looks at a `GradingCase` and answers with findings. Order and limits come from the
policy; the order is the one in which a station would look: identity, appearance, alarms,
insulation, voltage. Any disqualifying finding of any origin closes the last gate.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from features.findings import Finding, Message, Severity
from features.vocabulary import Level
from models.decision import AbstentionCode, GradingCase

APPEARANCE: Mapping[str, Message] = {
    "leakage": Message("Electrolyte leakage was seen.", "发现电解液泄漏。"),
    "swelling": Message("The battery is swollen.", "电池鼓胀。"),
    "burn": Message("Burn marks were seen.", "发现烧蚀痕迹。"),
    "water_ingress": Message("Water has entered.", "电池进水。"),
    "deformation": Message("The case is deformed.", "外壳变形。"),
}
"""Appearance faults in the order they are reported, named as in `Inspection`."""


class GateName(StrEnum):
    """The gates, in DOMAIN order."""

    IDENTITY = "identity"
    APPEARANCE = "appearance"
    ALARMS = "alarms"
    INSULATION = "insulation"
    VOLTAGE = "voltage"


@dataclass(frozen=True, slots=True)
class Gates:
    """The gates of a policy.

    Attributes
    ----------
    order : tuple of GateName
        Every gate once, in the order they are asked.
    lowest_disqualifying_alarm_level : int
        Alarm level (GB/T 32960.3, 0 to 4) from which a battery is held.
    minimum_insulation_ohm_per_volt : float
        Insulation below this holds a battery of the levels named. [Ω/V]
    insulation_levels : frozenset of Level
        Levels the insulation gate applies to.
    insulation_required : bool
        Whether those levels are retested when nobody measured the insulation.
    """

    order: tuple[GateName, ...]
    lowest_disqualifying_alarm_level: int
    minimum_insulation_ohm_per_volt: float
    insulation_levels: frozenset[Level]
    insulation_required: bool

    def closed(self, case: GradingCase) -> tuple[Finding, ...]:
        """Disqualifying findings, those of the first closed gate first; empty when all gates are open."""
        asked: Mapping[GateName, Callable[[GradingCase], Iterator[Finding]]] = {
            GateName.IDENTITY: lambda each: _disqualifying(each, "identity."),
            GateName.APPEARANCE: _appearance,
            GateName.ALARMS: self._alarms,
            GateName.INSULATION: self._insulation,
            GateName.VOLTAGE: lambda each: _disqualifying(each, ""),
        }
        found = [finding for gate in self.order for finding in asked[gate](case)]
        return tuple(each for index, each in enumerate(found) if each not in found[:index])

    def unmeasured(self, case: GradingCase) -> tuple[Finding, ...]:
        """Abstentions for gates nobody measured."""
        applies = self.insulation_required and case.identity.level in self.insulation_levels
        if not applies or insulation_ohm_per_volt(case) is not None:
            return ()
        message = Message(
            "The insulation of this battery was not measured; it cannot be graded without.",
            "未测量绝缘电阻,无法评级。",
        )
        return (Finding(AbstentionCode.INSULATION_NOT_MEASURED.value, Severity.CAUTION, message),)

    def unseen(self, case: GradingCase) -> tuple[Finding, ...]:
        """Caution that nobody looked at the battery; empty when somebody did."""
        if any(getattr(case.inspection, name) is not None for name in APPEARANCE):
            return ()
        message = Message(
            "Nobody reported the appearance of this battery; look at it before use.",
            "未报告外观检查,使用前请检查外观。",
        )
        return (Finding("appearance.not_inspected", Severity.CAUTION, message),)

    def _alarms(self, case: GradingCase) -> Iterator[Finding]:
        level = highest_alarm_level(case)
        if level is None or level < self.lowest_disqualifying_alarm_level:
            return
        allowed = self.lowest_disqualifying_alarm_level - 1
        message = Message(
            f"The vehicle reported alarm level {level} (allowed: {allowed}).",
            f"车辆报警等级 {level}(允许:{allowed})。",
        )
        yield Finding(
            "alarm.level_too_high", Severity.DISQUALIFYING, message, {"alarm_level": level, "allowed_level": allowed}
        )

    def _insulation(self, case: GradingCase) -> Iterator[Finding]:
        measured = insulation_ohm_per_volt(case)
        allowed = self.minimum_insulation_ohm_per_volt
        if case.identity.level not in self.insulation_levels or measured is None or measured >= allowed:
            return
        message = Message(
            f"Insulation is {measured:.0f} Ω/V (at least {allowed:.0f} Ω/V needed).",
            f"绝缘电阻 {measured:.0f} Ω/V(要求不低于 {allowed:.0f} Ω/V)。",
        )
        evidence = {"insulation_ohm_per_volt": measured, "minimum_ohm_per_volt": allowed}
        yield Finding("insulation.too_low", Severity.DISQUALIFYING, message, evidence)


def insulation_ohm_per_volt(case: GradingCase) -> float | None:
    """Lowest insulation anybody measured, inspector or vehicle; None when nobody did. [Ω/V]."""
    return _worst(case.inspection.insulation_ohm_per_volt, case, "insulation_ohm_per_volt", min)


def highest_alarm_level(case: GradingCase) -> int | None:
    """Highest alarm level reported, by the inspection or the telemetry; None when nobody looked."""
    level = _worst(case.inspection.alarm_level, case, "highest_alarm_level", max)
    return None if level is None else int(level)


def _worst(
    inspected: float | None, case: GradingCase, feature: str, worst: Callable[[list[float]], float]
) -> float | None:
    computed = case.vector.values.get(feature)
    given = [value for value in (inspected, computed) if value is not None and not math.isnan(value)]
    return worst(given) if given else None


def _appearance(case: GradingCase) -> Iterator[Finding]:
    for name, message in APPEARANCE.items():
        if getattr(case.inspection, name) is True:
            yield Finding(f"appearance.{name}", Severity.DISQUALIFYING, message, {name: True})


def _disqualifying(case: GradingCase, prefix: str) -> Iterator[Finding]:
    return (each for each in case.vector.findings if each.disqualifies and each.code.startswith(prefix))
