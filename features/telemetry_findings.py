"""What is said about a vehicle's record: alarms, sensors that contradict each other, insulation that falls.

What is said about its capacity lives in `telemetry_capacity_findings`, about its cells in
`consistency_findings`.
"""

from collections.abc import Iterator

import numpy as np

from features.charge_count import ChargeCount
from features.findings import Finding, Message, Severity
from features.insulation import InsulationRecord
from features.measurement import FloatArray

SERIOUS_ALARM_LEVEL = 3.0
LEAST_SOC_EVIDENCE_PERCENT = 20.0
LEAST_AGREEING_FRACTION = 0.3
"""A report that lags a little still agrees with the current nine times of ten."""
STUCK_SOC_THROUGHPUT_FRACTION = 0.5
SINKING_FRACTION_PER_MONTH, SINKING_FRACTION = -0.10, -0.20
"""Own choice: a tenth a month and a fifth in all; a reading at the top of its scale stands still."""


def alarm_findings(alarm_level: FloatArray | None) -> Iterator[Finding]:
    """The highest alarm the vehicle reported; whether it holds the battery is the policy's.

    Parameters
    ----------
    alarm_level : ndarray, shape (n,), or None
        Level 0 to 4, NaN where not reported.
    """
    highest = float(np.fmax.reduce(alarm_level)) if alarm_level is not None else 0.0
    if alarm_level is None or not highest >= 1.0:
        return
    rows = int(np.count_nonzero(alarm_level == highest))
    message = Message(
        f"The vehicle reported alarm level {highest:.0f} of 4 in {rows} rows.",
        f"车辆在{rows}行数据中报告{highest:.0f}级报警（最高4级）。",
    )
    severity = Severity.CAUTION if highest >= SERIOUS_ALARM_LEVEL else Severity.NOTE
    yield Finding("field_telemetry.alarm", severity, message, {"alarm_level": highest, "row_count": rows})


def soc_findings(counted: ChargeCount, reported_soc_percent: FloatArray, rated_capacity_ah: float) -> Iterator[Finding]:
    """A reported state of charge that moves against the current, or not at all.

    Parameters
    ----------
    counted : ChargeCount
        The record, n rows, with its charge.
    reported_soc_percent : ndarray, shape (n,)
        NaN where not reported. [%]
    rated_capacity_ah : float
        Plate capacity. [Ah]
    """
    change = np.diff(reported_soc_percent)
    steps = np.flatnonzero(np.abs(change) > 0.0)
    steps = steps[counted.interval_second[steps] <= counted.longest_silence_second]
    size = np.abs(change[steps])
    moved = float(size.sum())
    agreeing = float(size[change[steps] * np.diff(counted.charge_ah)[steps] > 0.0].sum())
    if moved >= LEAST_SOC_EVIDENCE_PERCENT and agreeing < LEAST_AGREEING_FRACTION * moved:
        yield _against_the_current(moved, agreeing)
    throughput = sum(counted.moved_ah()) / rated_capacity_ah
    if moved == 0.0 and throughput >= STUCK_SOC_THROUGHPUT_FRACTION:
        yield _stuck(throughput)


def _against_the_current(moved: float, agreeing: float) -> Finding:
    message = Message(
        f"The reported state of charge moves by {moved:.0f} %, of which only {agreeing:.0f} % in the direction of the "
        "current: its sign or the columns are mixed up. No capacity is taken from it.",
        f"上报荷电状态共变化{moved:.0f}%，其中仅{agreeing:.0f}%与电流方向一致：电流正负号或列可能有误，不据此计算容量。",
    )
    evidence = {"soc_moved_percent": moved, "agreeing_percent": agreeing}
    return Finding("field_telemetry.current_contradicts_soc", Severity.CAUTION, message, evidence)


def _stuck(throughput: float) -> Finding:
    message = Message(
        f"The reported state of charge never moves although {throughput:.1f} times the rated charge flowed.",
        f"累计流过额定电量的{throughput:.1f}倍，上报荷电状态却始终不变。",
    )
    return Finding("field_telemetry.soc_stuck", Severity.CAUTION, message, {"throughput_fraction": throughput})


def insulation_findings(insulation: InsulationRecord) -> Iterator[Finding]:
    """Insulation that falls over the record; the level itself is the policy's gate."""
    monthly, change = insulation.change_fraction_per_month, insulation.change_fraction
    if not (monthly <= SINKING_FRACTION_PER_MONTH and change <= SINKING_FRACTION):
        return
    message = Message(
        f"The insulation falls by {-monthly:.0%} per month, {-change:.0%} over the record, to "
        f"{insulation.low_ohm_per_volt:.0f} Ω/V; measure it before the battery is handled.",
        f"绝缘电阻每月下降{-monthly:.0%}，全程下降{-change:.0%}，最低{insulation.low_ohm_per_volt:.0f}Ω/V；"
        "处理电池前请测量绝缘。",
    )
    evidence = {
        "change_fraction_per_month": monthly,
        "change_fraction": change,
        "insulation_ohm_per_volt": insulation.low_ohm_per_volt,
    }
    yield Finding("field_telemetry.insulation_sinking", Severity.CAUTION, message, evidence)
