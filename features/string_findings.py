"""What is said about the groups of a string: the weakest, the spread, and whether to open it.

The advice compares what the other groups still held when the weakest was empty with what the string
delivered. Up to `OPEN_FROM_FRACTION` the string goes on whole; above it, opening and sorting frees
more charge than that. Between two bounds that lie on both sides nothing is advised.
"""

import math
from collections.abc import Iterator

from features.consistency import CellConsistency
from features.findings import Evidence, Finding, Message, Severity
from features.string_capacity import StringLimit

OPEN_FROM_FRACTION = 0.05
"""Share of the delivered charge that the others must still hold before opening pays.

Our choice, not a standard: cells of one type differ by 2 to 3 % when new, and a test costs a few per cent more.
"""

REVERSED_VOLT = 0.0
"""A group driven below this was charged backwards: metal may have been plated through its separator. Our limit."""


def string_findings(limit: StringLimit, group_count: int, series_count: int) -> tuple[Finding, ...]:
    """Say which group limits a string, and what to do with it.

    Parameters
    ----------
    limit : StringLimit
        Where the discharge ended for the first group.
    group_count : int
        Groups that were measured.
    series_count : int
        Groups in series.
    """
    advice = _advice(limit, all_measured=group_count >= series_count)
    return (_limiting_group(limit, group_count), advice, *_reversed(limit))


def advice_of_rested_cells(cells: CellConsistency) -> tuple[Finding, ...]:
    """Say that a pack is to be opened for its weak cells; a vehicle's record alone never says to reuse it whole.

    Parameters
    ----------
    cells : CellConsistency
        Comparison of the cells at rest over a vehicle's record.
    """
    if not cells.weak_cells:
        return ()
    shown = ", ".join(map(str, cells.weak_cells[:10]))
    message = Message(
        f"Open and sort: {len(cells.weak_cells)} of {len(cells.below_median_volt)} cells are weak ({shown}) and limit "
        "the pack; a capacity test with every group's voltage says how much the others hold.",
        f"建议拆解分选：{len(cells.below_median_volt)}个单体中有{len(cells.weak_cells)}个弱单体（{shown}），限制整包容量；"
        "记录各并联组电压的容量测试可给出其余单体的保有电量。",
    )
    evidence: Evidence = {
        "cells": shown,
        "weak_count": len(cells.weak_cells),
        "cell_count": len(cells.below_median_volt),
    }
    return (Finding("string.open_and_sort", Severity.CAUTION, message, evidence),)


def _limiting_group(limit: StringLimit, group_count: int) -> Finding:
    number, at = limit.limiting_group, limit.limit_volt
    lost = limit.delivered_ah - limit.capacity_ah
    beyond_en = f" The string was driven {lost:.2f} Ah further, which does not count." if lost > 0.0 else ""
    beyond_zh = f"之后整串又放出{lost:.2f}Ah，不计入容量。" if lost > 0.0 else ""
    spread = 1e3 * limit.spread_volt
    message = Message(
        f"Group {number} of {group_count} is the weakest: it is at {at:.2f} V first, after {limit.capacity_ah:.2f} Ah, "
        f"while the groups differ by {spread:.0f} mV.{beyond_en}",
        f"{group_count}个并联组中第{number}组最弱：放出{limit.capacity_ah:.2f}Ah后最先降至{at:.2f}V，"
        f"此时各组相差{spread:.0f}毫伏。{beyond_zh}",
    )
    evidence = {
        "group": number,
        "group_count": group_count,
        "limit_volt": at,
        "capacity_ah": limit.capacity_ah,
        "delivered_ah": limit.delivered_ah,
        "spread_volt": limit.spread_volt,
    }
    return Finding("string.limiting_group", Severity.NOTE, message, evidence)


def _advice(limit: StringLimit, *, all_measured: bool) -> Finding:
    delivered = max(limit.capacity_ah, 1e-9)  # a group that begins empty delivers nothing
    lower, upper = limit.held_lower_ah / delivered, limit.held_upper_ah / delivered
    evidence = {
        name: value
        for name, value in (("held_lower_fraction", lower), ("held_upper_fraction", upper))
        if math.isfinite(value)
    }
    evidence |= {"open_from_fraction": OPEN_FROM_FRACTION, "group": limit.limiting_group}
    if lower > OPEN_FROM_FRACTION:
        return Finding("string.open_and_sort", Severity.CAUTION, _open_message(limit, lower), evidence)
    if upper <= OPEN_FROM_FRACTION and all_measured:
        return Finding("string.reuse_whole", Severity.NOTE, _whole_message(upper), evidence)
    return Finding("string.no_advice", Severity.NOTE, _no_advice_message(all_measured), evidence)


def _open_message(limit: StringLimit, lower: float) -> Message:
    return Message(
        f"Open and sort: when group {limit.limiting_group} is empty, the others still hold at least {lower:.0%} of "
        f"what the string delivers (whole up to {OPEN_FROM_FRACTION:.0%}).",
        f"建议拆解分选：第{limit.limiting_group}组放空时，其余各组仍至少保有整串放电量的{lower:.0%}"
        f"（{OPEN_FROM_FRACTION:.0%}以内可整体利用）。",
    )


def _whole_message(upper: float) -> Message:
    return Message(
        f"Reuse whole: the other groups hold at most {upper:.0%} more than the weakest (allowed: "
        f"{OPEN_FROM_FRACTION:.0%}); opening it would gain no more.",
        f"建议整体利用：其余各组比最弱组最多多保有{upper:.0%}（允许{OPEN_FROM_FRACTION:.0%}），拆解收益不大于此。",
    )


def _no_advice_message(all_measured: bool) -> Message:
    if not all_measured:
        return Message(
            "Whether to open it cannot be told: not every group was measured. Measure all of them.",
            "无法判断是否应拆解：并非所有并联组都已测量。请测量全部并联组。",
        )
    return Message(
        "Whether to open it cannot be told: the discharge curve of the weakest group is too flat, or ends too "
        "high, to tell what the others still hold. Discharge the groups one by one.",
        "无法判断是否应拆解：最弱组的放电曲线过于平坦或范围不足，不能得出其余各组的剩余电量。请逐组放电测试。",
    )


def _reversed(limit: StringLimit) -> Iterator[Finding]:
    if limit.lowest_volt < REVERSED_VOLT:
        message = Message(
            f"A group was driven to {limit.lowest_volt:.2f} V (reversed below {REVERSED_VOLT:g} V): it may be "
            "short-circuited inside. Do not charge the string.",
            f"有并联组被过放至{limit.lowest_volt:.2f}V（低于{REVERSED_VOLT:g}V即为反极），可能内部短路。禁止充电。",
        )
        evidence = {"lowest_volt": limit.lowest_volt, "limit_volt": REVERSED_VOLT}
        yield Finding("string.group_reversed", Severity.DISQUALIFYING, message, evidence)
