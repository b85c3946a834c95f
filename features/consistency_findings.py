"""What is said about the cells of a pack: the weak one, the spread, a sensor that does not move.

The weakest cell comes first, with its drift. Limits live in `consistency`.
"""

import math

from features.consistency import (
    DEFECTIVE_CELL_VOLT,
    SINKING_CELL_VOLT,
    SINKING_VOLT_PER_MONTH,
    WEAK_CELL_VOLT,
    WIDE_SPREAD_VOLT,
    WIDE_TEMPERATURE_SPREAD_KELVIN,
    CellConsistency,
)
from features.findings import Evidence, Finding, Message, Severity


def consistency_findings(cells: CellConsistency, temperature_spread: float) -> tuple[Finding, ...]:
    """Say what is unusual about the cells, the worst first.

    Parameters
    ----------
    cells : CellConsistency
        Comparison of the cells.
    temperature_spread : float
        Usual difference between hottest and coldest probe; NaN where unknown. [K]
    """
    found = [*_weak_cell_findings(cells)]
    if cells.rest_spread_volt > WIDE_SPREAD_VOLT:
        spread = 1e3 * cells.rest_spread_volt
        message = Message(
            f"At rest the cells differ by {spread:.0f} mV (allowed: {1e3 * WIDE_SPREAD_VOLT:.0f} mV).",
            f"静置时单体电压极差为{spread:.0f}毫伏（允许{1e3 * WIDE_SPREAD_VOLT:.0f}毫伏）。",
        )
        evidence: Evidence = {"rest_spread_volt": cells.rest_spread_volt, "allowed_volt": WIDE_SPREAD_VOLT}
        found.append(Finding("consistency.cell_spread", Severity.CAUTION, message, evidence))
    if temperature_spread > WIDE_TEMPERATURE_SPREAD_KELVIN:
        allowed = WIDE_TEMPERATURE_SPREAD_KELVIN
        message = Message(
            f"The temperature probes usually differ by {temperature_spread:.0f} K (allowed: {allowed:.0f} K).",
            f"温度探头之间通常相差{temperature_spread:.0f}K（允许{allowed:.0f}K）。",
        )
        evidence = {"temperature_spread_kelvin": temperature_spread, "allowed_kelvin": allowed}
        found.append(Finding("consistency.temperature_spread", Severity.CAUTION, message, evidence))
    return (*found, *_stuck_sensor_findings(cells))


def _stuck_sensor_findings(cells: CellConsistency) -> list[Finding]:
    if not cells.stuck_cells:
        return []
    shown = ", ".join(map(str, cells.stuck_cells[:10]))
    message = Message(
        f"The voltage of {len(cells.stuck_cells)} cells never moves at rest while the others do ({shown}); they are "
        "left out, so nothing is known about them.",
        f"有{len(cells.stuck_cells)}个单体静置电压始终不变而其余单体有变化（{shown}），已排除，其状态未知。",
    )
    evidence: Evidence = {"cell_count": len(cells.stuck_cells), "cells": shown}
    return [Finding("consistency.cell_sensor_stuck", Severity.CAUTION, message, evidence)]


def _weak_cell_findings(cells: CellConsistency) -> list[Finding]:
    if not cells.weak_cells:
        return []
    weakest, *others = cells.weak_cells
    below = float(cells.below_median_volt[weakest - 1])
    drift = float(cells.drift_volt_per_month[weakest - 1])
    moving_en = f", moving by {1e3 * drift:+.1f} mV per month" if math.isfinite(drift) else ""
    moving_zh = f"，每月变化{1e3 * drift:+.1f}毫伏" if math.isfinite(drift) else ""
    message = Message(
        f"Cell {weakest} lies {1e3 * below:.0f} mV below the median cell at rest{moving_en} "
        f"(weak from {1e3 * WEAK_CELL_VOLT:.0f} mV, {1e3 * SINKING_CELL_VOLT:.0f} mV if it sinks by "
        f"{1e3 * SINKING_VOLT_PER_MONTH:.0f} mV per month; disqualifying from {1e3 * DEFECTIVE_CELL_VOLT:.0f} mV).",
        f"{weakest}号单体静置电压比中位值低{1e3 * below:.0f}毫伏{moving_zh}"
        f"（{1e3 * WEAK_CELL_VOLT:.0f}毫伏起为弱单体，"
        f"每月下降{1e3 * SINKING_VOLT_PER_MONTH:.0f}毫伏者{1e3 * SINKING_CELL_VOLT:.0f}毫伏起；"
        f"{1e3 * DEFECTIVE_CELL_VOLT:.0f}毫伏起判为不合格）。",
    )
    evidence: dict[str, float | int | str] = {
        "cell": weakest,
        "below_median_volt": below,
        "change_over_record_volt": float(cells.change_volt[weakest - 1]),
        "weak_from_volt": WEAK_CELL_VOLT,
        "disqualifying_from_volt": DEFECTIVE_CELL_VOLT,
        "rest_row_count": cells.rest_row_count,
    }
    evidence |= {"drift_volt_per_month": drift} if math.isfinite(drift) else {}
    evidence |= {"other_weak_cells": ", ".join(map(str, others[:10]))} if others else {}
    severity = Severity.DISQUALIFYING if below >= DEFECTIVE_CELL_VOLT else Severity.CAUTION
    return [Finding("consistency.weak_cell", severity, message, evidence)]
