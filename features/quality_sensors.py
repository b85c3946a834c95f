"""Whether single sensors of a record can be relied on: stuck voltage, sentinels, current during a rest."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from features.findings import Finding, Message, Severity
from features.measurement import BatteryIdentity, CanonicalTable, FloatArray
from features.sampled import REST_C_RATE, USUAL_INTERVALS_IN_A_GAP, sampled_columns
from features.vocabulary import StepType, TableFormat

STUCK_CHARGE_FRACTION = 0.05
"""No battery moves 5 % of its charge at constant current without its voltage moving: the flattest part of LFP falls
by more than 1 mV there, the resolution of a BMS (checked on published LFP, NMC and LCO records)."""

STUCK_SAMPLE_COUNT = 20
"""Fewer equal samples say nothing about a sensor."""

STEADY_CURRENT_FRACTION = 0.05
"""Voltage held constant by the tester is told from a stuck sensor by its current, which falls. [1]"""

_SENTINELS: dict[str, tuple[float, ...]] = {
    "pack_voltage_volt": (0.0,),
    "pack_current_ampere": (-1000.0, -3000.0, 1000.0, 3000.0, 3276.7, -3276.8),
    "cell_voltage_": (0.0, 5.0),
    "probe_temperature_": (-40.0,),
    "surface_temperature_celsius": (-40.0,),
    "insulation_resistance_kiloohm": (65534.0, 65535.0, 65.534, 65.535),
    "charge_state": (254.0, 255.0),
}
"""What is left of an invalid raw value after conversion: zero with its offset (GB/T 32960.3: current 1000 or 3000 A,
temperature 40 °C), all bits set, and the fixed numbers seen in vehicle exports."""


def stuck_voltage_findings(table: CanonicalTable, identity: BatteryIdentity) -> Iterator[Finding]:
    """Voltage that stays exactly the same while charge flows at constant current."""
    sampled = sampled_columns(table)
    if sampled is None or table.row_count <= STUCK_SAMPLE_COUNT:
        return
    time, voltage, current = sampled
    edges = np.concatenate(([0], np.flatnonzero(voltage[1:] != voltage[:-1]) + 1, [table.row_count]))
    usual = float(np.median(np.diff(time)))
    seconds = np.minimum(np.diff(time, append=time[-1]), USUAL_INTERVALS_IN_A_GAP * usual)
    for stretch in np.flatnonzero(np.diff(edges) >= STUCK_SAMPLE_COUNT):
        begin, end = edges[stretch], edges[stretch + 1]
        fraction = _steady_charge_ah(current[begin:end], seconds[begin:end]) / identity.rated_capacity_ah
        if fraction > STUCK_CHARGE_FRACTION:
            yield _stuck(float(voltage[begin]), int(end - begin), fraction, float(time[begin]))
            return


def _steady_charge_ah(current: FloatArray, seconds: FloatArray) -> float:
    """Charge moved at constant current; 0 where the current is not constant."""
    mean = float(np.mean(current))
    steady = np.ptp(current) <= STEADY_CURRENT_FRACTION * abs(mean)
    return abs(float(current @ seconds)) / 3600.0 if steady else 0.0


def _stuck(voltage_volt: float, sample_count: int, charge_fraction: float, begin_second: float) -> Finding:
    return Finding(
        "quality.voltage_stuck",
        Severity.CAUTION,
        Message(
            f"The voltage stays at exactly {voltage_volt:g} V for {sample_count} samples while {charge_fraction:.0%} "
            f"of the rated charge flows (allowed: {STUCK_CHARGE_FRACTION:.0%}): its sensor seems stuck.",
            f"电压连续 {sample_count} 个采样恒为 {voltage_volt:g} V，同时流过额定电量的 {charge_fraction:.0%}"
            f"（允许 {STUCK_CHARGE_FRACTION:.0%}），传感器疑似卡死。",
        ),
        {
            "voltage_volt": voltage_volt,
            "sample_count": sample_count,
            "charge_fraction": charge_fraction,
            "starts_at_second": begin_second,
        },
    )


def sentinel_findings(table: CanonicalTable) -> Iterator[Finding]:
    """Numbers that stand for 'invalid' and were not taken out."""
    found: dict[str, int] = {}
    for name in table.columns:
        count = sum(int(np.count_nonzero(table.floats(name) == known)) for known in _sentinels_of(name))
        if count:
            found[name] = count
    if not found:
        return
    shown = ", ".join(f"{name} ({count})" for name, count in list(found.items())[:5])
    yield Finding(
        "quality.sentinel_value",
        Severity.CAUTION,
        Message(
            f"Values that usually mean 'invalid' are left in {len(found)} columns: {shown}.",
            f"{len(found)} 列中残留通常表示“无效”的数值：{shown}。",
        ),
        {"column_count": len(found), "value_count": sum(found.values()), "columns": shown},
    )


@lru_cache(maxsize=1024)
def _sentinels_of(column: str) -> tuple[float, ...]:
    return next((values for start, values in _SENTINELS.items() if column.startswith(start)), ())


def rest_current_findings(table: CanonicalTable, identity: BatteryIdentity) -> Iterator[Finding]:
    """Find current that flows while the tester says rest."""
    if table.format is not TableFormat.STEP_TABLE:
        return
    resting = table.words("step_type") == StepType.REST.value
    current = np.where(resting, np.abs(table.floats("current_ampere")), 0.0)
    allowed = REST_C_RATE * identity.rated_capacity_ah
    worst = int(np.argmax(current))
    if current[worst] <= allowed:
        return
    step = float(table.floats("step_index")[worst])
    yield Finding(
        "quality.current_during_rest",
        Severity.CAUTION,
        Message(
            f"{current[worst]:.3g} A flow during the rest of step {step:.0f} (allowed: {allowed:.3g} A).",
            f"工步 {step:.0f} 静置期间仍有 {current[worst]:.3g} A 电流（允许 {allowed:.3g} A）。",
        ),
        {"step_index": step, "current_ampere": float(current[worst]), "allowed_ampere": allowed},
    )
