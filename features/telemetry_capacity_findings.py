"""What is said about the capacity a vehicle's record shows: too little of it, or numbers that contradict.

A plate the data contradict stops a grade, because every method leans on the plate; a state of health
the vehicle reports is compared, never believed.
"""

import math
from collections.abc import Iterator

from features.charging import SMALLEST_SOC_WINDOW_PERCENT, ChargingSession
from features.findings import Evidence, Finding, Message, Severity
from features.rest_capacity import RestCapacity
from features.session_capacity import (
    COUNTER_SCATTER_FRACTION,
    LEAST_TOTAL_SOC_WINDOW_PERCENT,
    SOC_SCALE_UNCERTAINTY_FRACTION,
    WindowCapacity,
    usable_sessions,
)

PLAUSIBLE_STATE_OF_HEALTH = (0.4, 1.15)
"""Charge per reported state of charge, over the plate: 5 % of scale error on top of the best new battery (1.10),
and below the least a vehicle still drives with."""
BMS_DISAGREEMENT_FRACTION = 0.05
RESTS_DISAGREEMENT_FRACTION = 0.05
"""Rests and sessions share the vehicle's scale of state of charge, so less than its usual error tells them apart."""
TWO_SIDED_90 = 1.645


def largest_window_percent(sessions: tuple[ChargingSession, ...]) -> float:
    """Largest gain of reported state of charge in one session, 0 without one. [%]."""
    return max((each.soc_window_percent for each in sessions), default=0.0)


def capacity_findings(
    sessions: tuple[ChargingSession, ...],
    capacity: WindowCapacity | None,
    rest: RestCapacity,
    *,
    reported_soh_fraction: float,
    rated_capacity_ah: float,
    longest_interval_second: float,
) -> Iterator[Finding]:
    """Everything noticed about the capacity.

    Parameters
    ----------
    sessions : tuple of ChargingSession
        Sessions of the record.
    capacity : WindowCapacity or None
        What they show together.
    rest : RestCapacity
        What pairs of rests show.
    reported_soh_fraction : float
        State of health the vehicle reports; NaN without one.
    rated_capacity_ah : float
        Plate capacity. [Ah]
    longest_interval_second : float
        Silence that ends a session. [s]

    Yields
    ------
    Finding
        ``identity.rated_capacity_conflict`` (DISQUALIFYING), ``field_telemetry.no_charging_window``,
        ``field_telemetry.capacity_is_stored_value``, ``field_telemetry.rests_disagree``, ``BMS_DISAGREES``.
    """
    yield from _plate_conflict(sessions, capacity, rated_capacity_ah)
    if capacity is None:
        yield _no_window(sessions, longest_interval_second)
    else:
        yield from _stored_value(capacity)
        yield from _rest_disagrees(capacity, rest)
    yield from _bms_disagrees(capacity, rest, reported_soh_fraction, rated_capacity_ah)


def _plate_conflict(
    sessions: tuple[ChargingSession, ...], capacity: WindowCapacity | None, rated_capacity_ah: float
) -> Iterator[Finding]:
    lowest, highest = PLAUSIBLE_STATE_OF_HEALTH
    most = max((each.charge_moved_ah for each in sessions), default=0.0)
    shown = max(capacity.capacity_ah if capacity else math.nan, most) if capacity else most
    ratio = shown / rated_capacity_ah
    too_low = capacity is not None and ratio < lowest
    if ratio <= highest and not too_low:
        return
    message = Message(
        f"The charging sessions show {shown:.1f} Ah, the plate says {rated_capacity_ah:g} Ah; plausible are "
        f"{lowest:g} to {highest:g} of the plate. Plate or current column is wrong: find out which before grading.",
        f"充电数据显示容量{shown:.1f}Ah，铭牌为{rated_capacity_ah:g}Ah；合理范围为铭牌的{lowest:g}至{highest:g}倍。"
        "铭牌或电流数据有误，评级前请核实。",
    )
    evidence = {"window_capacity_ah": shown, "rated_capacity_ah": rated_capacity_ah, "ratio_fraction": ratio}
    yield Finding("identity.rated_capacity_conflict", Severity.DISQUALIFYING, message, evidence)


def _no_window(sessions: tuple[ChargingSession, ...], longest_interval_second: float) -> Finding:
    largest, needed = largest_window_percent(sessions), SMALLEST_SOC_WINDOW_PERCENT
    usable = usable_sessions(sessions)
    total, needed_total = sum(each.soc_window_percent for each in usable), LEAST_TOTAL_SOC_WINDOW_PERCENT
    message = Message(
        f"The record tells no capacity: of {len(sessions)} charging sessions {len(usable)} gain at least {needed:.0f} "
        f"% reported state of charge (largest {largest:.0f} %), together {total:.0f} % of {needed_total:.0f} % needed. "
        f"One parked charge over {needed_total:.0f} % or two over {needed:.0f} %, with current and state of charge at "
        f"least every {longest_interval_second:.0f} s, would tell; so would a capacity test on the bench.",
        f"数据不足以得出容量：{len(sessions)}次充电中有{len(usable)}次荷电状态增量达到{needed:.0f}%"
        f"（最大{largest:.0f}%），合计{total:.0f}%，需要{needed_total:.0f}%。"
        f"一次增量{needed_total:.0f}%或两次增量{needed:.0f}%的驻车连续充电"
        f"（电流和荷电状态间隔不超过{longest_interval_second:.0f}秒），或台架容量测试，即可判断。",
    )
    evidence = {
        "session_count": len(sessions),
        "usable_session_count": len(usable),
        "largest_soc_window_percent": largest,
        "needed_soc_window_percent": needed,
        "total_soc_window_percent": total,
        "needed_total_percent": needed_total,
        "longest_interval_second": longest_interval_second,
    }
    return Finding("field_telemetry.no_charging_window", Severity.CAUTION, message, evidence)


def _stored_value(capacity: WindowCapacity) -> Iterator[Finding]:
    if not capacity.repeats_a_stored_value:
        return
    scatter = 100.0 * capacity.scatter_fraction
    message = Message(
        f"{capacity.session_count} charging sessions agree within {scatter:.2f} %: the vehicle counts charge "
        f"against a stored capacity, and {capacity.capacity_ah:.1f} Ah is that stored value.",
        f"{capacity.session_count}次充电结果相差仅{scatter:.2f}%：车辆按内部存储容量累计电量，"
        f"{capacity.capacity_ah:.1f}Ah即该存储值。",
    )
    evidence = {"session_scatter_fraction": capacity.scatter_fraction, "allowed_fraction": COUNTER_SCATTER_FRACTION}
    yield Finding("field_telemetry.capacity_is_stored_value", Severity.CAUTION, message, evidence)


def _rest_disagrees(capacity: WindowCapacity, rest: RestCapacity) -> Iterator[Finding]:
    apart = abs(rest.capacity_ah - capacity.capacity_ah) / capacity.capacity_ah
    statistical = math.sqrt(
        max(rest.standard_uncertainty_ah**2 - (SOC_SCALE_UNCERTAINTY_FRACTION * rest.capacity_ah) ** 2, 0.0)
    )
    allowed = max(RESTS_DISAGREEMENT_FRACTION, TWO_SIDED_90 * statistical / capacity.capacity_ah)
    if not apart > allowed:
        return
    message = Message(
        f"Between rests the vehicle's state of charge shows {rest.capacity_ah:.1f} Ah, while charging "
        f"{capacity.capacity_ah:.1f} Ah (apart {apart:.1%}, allowed {allowed:.1%}); it counts by a wrong capacity.",
        f"静置之间的荷电状态显示{rest.capacity_ah:.1f}Ah，充电过程显示{capacity.capacity_ah:.1f}Ah"
        f"（相差{apart:.1%}，允许{allowed:.1%}）：车辆计量所用容量有偏差。",
    )
    evidence = {
        "rest_capacity_ah": rest.capacity_ah,
        "window_capacity_ah": capacity.capacity_ah,
        "apart_fraction": apart,
        "allowed_fraction": allowed,
        "pair_count": rest.pair_count,
    }
    yield Finding("field_telemetry.rests_disagree", Severity.CAUTION, message, evidence)


def _bms_disagrees(
    capacity: WindowCapacity | None, rest: RestCapacity, reported_soh_fraction: float, rated_capacity_ah: float
) -> Iterator[Finding]:
    ours_ah, uncertainty_ah = _ours(capacity, rest)
    ours, uncertainty = ours_ah / rated_capacity_ah, uncertainty_ah / rated_capacity_ah
    if not abs(reported_soh_fraction - ours) > BMS_DISAGREEMENT_FRACTION:
        return
    message = Message(
        f"The vehicle reports {reported_soh_fraction:.1%} state of health; its own charge shows {ours:.1%} "
        f"± {uncertainty:.1%}. The report is not used.",
        f"车辆上报健康状态{reported_soh_fraction:.1%}，充电数据得出{ours:.1%}±{uncertainty:.1%}；不采用上报值。",
    )
    evidence: Evidence = {
        "reported_soh_fraction": reported_soh_fraction,
        "own_soh_fraction": ours,
        "own_standard_uncertainty_fraction": uncertainty,
        "allowed_fraction": BMS_DISAGREEMENT_FRACTION,
        "provenance": "bms_reported",
    }
    yield Finding("BMS_DISAGREES", Severity.CAUTION, message, evidence)


def _ours(capacity: WindowCapacity | None, rest: RestCapacity) -> tuple[float, float]:
    """The surer of both capacities with its uncertainty; NaN without any."""
    if capacity is None or rest.standard_uncertainty_ah < capacity.standard_uncertainty_ah:
        return rest.capacity_ah, rest.standard_uncertainty_ah
    return capacity.capacity_ah, capacity.standard_uncertainty_ah
