"""The features of vehicle telemetry: capacity by charge window, cells, insulation, alarms, usage.

Composes `charging` and `consistency` over a canonical ``telemetry`` table; no equation of its own
beyond percentiles. What the record cannot tell is NaN, and for capacity a finding says which
window would tell. Every number here is reported by the vehicle, not measured on a bench.
"""

import math
from collections.abc import Iterator

import numpy as np

from features.charging import (
    COUNTER_SCATTER_FRACTION,
    LONGEST_SILENCE_SECOND,
    SMALLEST_SOC_WINDOW_PERCENT,
    ChargingSession,
    WindowCapacity,
    charging_sessions,
    window_capacity,
)
from features.consistency import CellConsistency, cell_consistency, consistency_findings, temperature_spread_kelvin
from features.findings import Finding, Message, Severity
from features.measurement import BatteryIdentity, CanonicalTable, FloatArray
from features.vocabulary import FeatureDefinition

FIELD_TELEMETRY_DEFINITIONS: tuple[FeatureDefinition, ...] = (
    FeatureDefinition("window_capacity_ah", "Ah", "median over charging sessions of charge moved per reported SoC"),
    FeatureDefinition("window_capacity_uncertainty_ah", "Ah", "standard uncertainty of window_capacity_ah"),
    FeatureDefinition("session_scatter_fraction", "", "robust standard deviation of one session over the median"),
    FeatureDefinition("charging_session_count", "", "sessions with a large enough SoC window"),
    FeatureDefinition("largest_soc_window_fraction", "", "largest gain of reported SoC in one charging session"),
    FeatureDefinition("rest_cell_spread_volt", "V", "highest minus lowest cell at rest, median of the last 30 days"),
    FeatureDefinition("load_cell_spread_volt", "V", "highest minus lowest cell under load, median of the last 30 days"),
    FeatureDefinition(
        "weakest_cell_below_median_volt", "V", "weakest cell below the median cell at rest, last 30 days"
    ),
    FeatureDefinition(
        "weakest_cell_drift_volt_per_month", "V/month", "drift of the weakest cell against the median cell"
    ),
    FeatureDefinition("probe_temperature_low_celsius", "°C", "first percentile of the coldest probe"),
    FeatureDefinition("probe_temperature_high_celsius", "°C", "99th percentile of the hottest probe"),
    FeatureDefinition("probe_temperature_spread_kelvin", "K", "median of hottest minus coldest probe"),
    FeatureDefinition("insulation_ohm_per_volt", "Ω/V", "first percentile of insulation resistance over pack voltage"),
    FeatureDefinition("highest_alarm_level", "", "highest alarm level reported, 0 to 4"),
    FeatureDefinition("record_length_day", "d", "time from first to last row"),
    FeatureDefinition("odometer_span_kilometer", "km", "distance covered during the record"),
)
"""Ordered features of the method ``field_telemetry``."""

LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.0
"""One odd sample decides nothing; one in a hundred does."""
LEAST_INSULATION_VOLT = 60.0
"""Below the limit of high voltage a quotient in Ω/V says nothing (ISO 6469-3, voltage class B begins at 60 V DC)."""
PLAUSIBLE_STATE_OF_HEALTH = (0.4, 1.15)
_SERIOUS_ALARM_LEVEL = 3.0


def field_telemetry_features(
    table: CanonicalTable, identity: BatteryIdentity
) -> tuple[dict[str, float], tuple[Finding, ...]]:
    """Compute the features of a vehicle's record.

    Parameters
    ----------
    table : CanonicalTable
        Canonical ``telemetry``.
    identity : BatteryIdentity
        Gives the rated capacity, which sets what counts as rest, load and charging.

    Returns
    -------
    dict of str to float
        Values of `FIELD_TELEMETRY_DEFINITIONS`, in order; NaN = the record cannot tell.
    tuple of Finding
        What was noticed, worst first within consistency.
    """
    moment, current = table.floats("unix_time_second"), table.floats("pack_current_ampere")
    sessions = charging_sessions(
        moment,
        current,
        table.floats("reported_soc_percent"),
        identity.rated_capacity_ah,
        charge_state=_optional(table, "charge_state"),
        odometer_kilometer=_optional(table, "odometer_kilometer"),
    )
    capacity = window_capacity(sessions)
    cells = cell_consistency(moment, current, _cell_voltages(table), identity.rated_capacity_ah)
    probes = _probe_temperatures(table)
    temperature_spread = temperature_spread_kelvin(probes)
    values = {
        **_capacity_values(sessions, capacity),
        **_cell_values(cells),
        "probe_temperature_low_celsius": _percentile(np.fmin.reduce(probes, axis=1, initial=np.nan), LOW_PERCENTILE),
        "probe_temperature_high_celsius": _percentile(np.fmax.reduce(probes, axis=1, initial=np.nan), HIGH_PERCENTILE),
        "probe_temperature_spread_kelvin": temperature_spread,
        "insulation_ohm_per_volt": _insulation_ohm_per_volt(table),
        "highest_alarm_level": _largest(_optional(table, "alarm_level")),
        "record_length_day": float(moment[-1] - moment[0]) / 86_400.0,
        "odometer_span_kilometer": _odometer_span_kilometer(table),
    }
    findings = (
        *consistency_findings(cells, temperature_spread),
        *_alarm_findings(table),
        *_capacity_findings(sessions, capacity, identity),
    )
    return {each.name: values[each.name] for each in FIELD_TELEMETRY_DEFINITIONS}, findings


def _optional(table: CanonicalTable, name: str) -> FloatArray | None:
    return table.floats(name) if name in table else None


def _cell_voltages(table: CanonicalTable) -> FloatArray:
    """Cell list; without one, highest and lowest cell, which tell the spread but no single cell."""
    cells = table.numbered("cell_voltage_{n}_volt")
    extrema = ("cell_voltage_max_volt", "cell_voltage_min_volt")
    if cells.shape[1] == 0 and all(name in table for name in extrema):
        return np.column_stack([table.floats(name) for name in extrema])
    return cells


def _probe_temperatures(table: CanonicalTable) -> FloatArray:
    probes = table.numbered("probe_temperature_{n}_celsius")
    extrema = ("probe_temperature_max_celsius", "probe_temperature_min_celsius")
    if probes.shape[1] == 0 and all(name in table for name in extrema):
        return np.column_stack([table.floats(name) for name in extrema])
    return probes


def _capacity_values(sessions: tuple[ChargingSession, ...], capacity: WindowCapacity | None) -> dict[str, float]:
    return {
        "window_capacity_ah": capacity.capacity_ah if capacity else math.nan,
        "window_capacity_uncertainty_ah": capacity.standard_uncertainty_ah if capacity else math.nan,
        "session_scatter_fraction": capacity.scatter_fraction if capacity else math.nan,
        "charging_session_count": float(capacity.session_count if capacity else 0),
        "largest_soc_window_fraction": _largest_window_percent(sessions) / 100.0,
    }


def _largest_window_percent(sessions: tuple[ChargingSession, ...]) -> float:
    return max((each.soc_window_percent for each in sessions), default=0.0)


def _cell_values(cells: CellConsistency) -> dict[str, float]:
    return {
        "rest_cell_spread_volt": cells.rest_spread_volt,
        "load_cell_spread_volt": cells.load_spread_volt,
        "weakest_cell_below_median_volt": cells.weakest_below_median_volt,
        "weakest_cell_drift_volt_per_month": cells.weakest_drift_volt_per_month,
    }


def _percentile(values: FloatArray, percentile: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.percentile(known, percentile)) if known.size else math.nan


def _largest(values: FloatArray | None) -> float:
    return float(np.fmax.reduce(values)) if values is not None else math.nan


def _insulation_ohm_per_volt(table: CanonicalTable) -> float:
    insulation = _optional(table, "insulation_resistance_kiloohm")
    voltage = table.floats("pack_voltage_volt")
    if insulation is None:
        return math.nan
    live = voltage >= LEAST_INSULATION_VOLT
    return _percentile(1000.0 * insulation[live] / voltage[live], LOW_PERCENTILE)


def _odometer_span_kilometer(table: CanonicalTable) -> float:
    odometer = _optional(table, "odometer_kilometer")
    if odometer is None:
        return math.nan
    return _percentile(odometer, 100.0) - _percentile(odometer, 0.0)


def _alarm_findings(table: CanonicalTable) -> Iterator[Finding]:
    alarm = _optional(table, "alarm_level")
    highest = _largest(alarm)
    if alarm is None or not highest >= 1.0:
        return
    rows = int(np.count_nonzero(alarm == highest))
    message = Message(
        f"The vehicle reported alarm level {highest:.0f} of 4 in {rows} rows.",
        f"车辆在{rows}行数据中报告{highest:.0f}级报警（最高4级）。",
    )
    severity = Severity.CAUTION if highest >= _SERIOUS_ALARM_LEVEL else Severity.NOTE
    yield Finding("field_telemetry.alarm", severity, message, {"alarm_level": highest, "row_count": rows})


def _capacity_findings(
    sessions: tuple[ChargingSession, ...], capacity: WindowCapacity | None, identity: BatteryIdentity
) -> Iterator[Finding]:
    if capacity is None:
        yield _no_window_finding(sessions)
        return
    if capacity.repeats_a_stored_value:
        scatter = 100.0 * capacity.scatter_fraction
        message = Message(
            f"{capacity.session_count} charging sessions agree within {scatter:.2f} %: the vehicle counts charge "
            f"against a stored capacity, and {capacity.capacity_ah:.1f} Ah is that stored value.",
            f"{capacity.session_count}次充电结果相差仅{scatter:.2f}%：车辆按内部存储容量累计电量，"
            f"{capacity.capacity_ah:.1f}Ah即该存储值。",
        )
        evidence = {"session_scatter_fraction": capacity.scatter_fraction, "allowed_fraction": COUNTER_SCATTER_FRACTION}
        yield Finding("field_telemetry.capacity_is_stored_value", Severity.CAUTION, message, evidence)
    lowest, highest = PLAUSIBLE_STATE_OF_HEALTH
    ratio = capacity.capacity_ah / identity.rated_capacity_ah
    if not lowest <= ratio <= highest:
        message = Message(
            f"The charging sessions show {capacity.capacity_ah:.1f} Ah, the plate says "
            f"{identity.rated_capacity_ah:g} Ah; plausible are {lowest:g} to {highest:g} of the plate.",
            f"充电数据显示容量{capacity.capacity_ah:.1f}Ah，铭牌为{identity.rated_capacity_ah:g}Ah；"
            f"合理范围为铭牌的{lowest:g}至{highest:g}倍。",
        )
        evidence = {"window_capacity_ah": capacity.capacity_ah, "rated_capacity_ah": identity.rated_capacity_ah}
        yield Finding("field_telemetry.capacity_contradicts_plate", Severity.CAUTION, message, evidence)


def _no_window_finding(sessions: tuple[ChargingSession, ...]) -> Finding:
    largest, needed = _largest_window_percent(sessions), SMALLEST_SOC_WINDOW_PERCENT
    message = Message(
        f"No charging session gains {needed:.0f} % state of charge (largest of {len(sessions)}: {largest:.0f} %), "
        f"so the record tells no capacity. One uninterrupted charge over at least {needed:.0f} %, better 40 %, parked "
        f"and with current and state of charge every {LONGEST_SILENCE_SECOND:.0f} s or faster, would tell.",
        f"没有一次充电的荷电状态增量达到{needed:.0f}%（共{len(sessions)}次，最大{largest:.0f}%），无法得出容量。"
        f"需要一次驻车连续充电，增量至少{needed:.0f}%（最好40%），"
        f"电流和荷电状态记录间隔不超过{LONGEST_SILENCE_SECOND:.0f}秒。",
    )
    evidence = {
        "session_count": len(sessions),
        "largest_soc_window_percent": largest,
        "needed_soc_window_percent": needed,
        "longest_interval_second": LONGEST_SILENCE_SECOND,
    }
    return Finding("field_telemetry.no_charging_window", Severity.CAUTION, message, evidence)
