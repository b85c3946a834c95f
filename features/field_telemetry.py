"""The features of vehicle telemetry: capacity, charge curves, resistance, cells, insulation, alarms, usage.

Composes the functions on arrays over a canonical ``telemetry`` table; no equation of its own. What the
record cannot tell is NaN, and for capacity a finding says which window would tell. Every number here is
reported by the vehicle, not measured on a bench. One definition, for a request and for a fleet.
"""

import math
from datetime import UTC, datetime

import numpy as np

from features.charge_count import LONGEST_SILENCE_SECOND, ChargeCount, charge_count
from features.charging import ChargingSession, charging_sessions
from features.consistency import RECENT_SECOND, CellConsistency, cell_consistency, temperature_spread_kelvin
from features.consistency_findings import consistency_findings
from features.findings import Finding
from features.insulation import LOW_PERCENTILE, InsulationRecord, insulation_record
from features.measurement import BatteryIdentity, CanonicalTable, FloatArray
from features.resistance_steps import step_resistance
from features.rest_capacity import RestCapacity, rest_capacity
from features.session_capacity import WindowCapacity, window_capacity
from features.session_curves import SessionCurves, session_curves
from features.string_findings import advice_of_rested_cells
from features.telemetry_capacity_findings import capacity_findings, largest_window_percent
from features.telemetry_definitions import FIELD_TELEMETRY_DEFINITIONS
from features.telemetry_findings import alarm_findings, insulation_findings, soc_findings
from features.telemetry_record import TelemetryRecord
from features.usage import (
    DEPTH_EDGES_PERCENT,
    calendar_age_year,
    cycle_depths,
    fast_charge_fraction,
    temperature_exposure,
)

HIGH_PERCENTILE = 100.0 - LOW_PERCENTILE
_NOBODY_KNOWS_THE_END = datetime(2100, 1, 1, tzinfo=UTC)

Values = dict[str, float]


def field_telemetry_features(
    table: CanonicalTable, identity: BatteryIdentity, known_until: datetime = _NOBODY_KNOWS_THE_END
) -> tuple[Values, tuple[Finding, ...]]:
    """Compute the features of a vehicle's record.

    Parameters
    ----------
    table : CanonicalTable
        Canonical ``telemetry``.
    identity : BatteryIdentity
        Gives the rated capacity, which sets what counts as rest, load and charging.
    known_until : datetime, optional
        When the record was handed in; rows that claim to be later come from a wrong clock and are left out.

    Returns
    -------
    dict of str to float
        Values of `FIELD_TELEMETRY_DEFINITIONS`, in order; NaN = the record cannot tell.
    tuple of Finding
        What was noticed, worst first within consistency.
    """
    record = TelemetryRecord.until(table, known_until)
    moment, current = record.column("unix_time_second"), record.column("pack_current_ampere")
    cells = cell_consistency(moment, current, record.cells(), identity.rated_capacity_ah)
    temperature = _temperature_values(record)
    insulation = _insulation(record)
    alarm = record.optional("alarm_level")
    counted = charge_count(moment, current, identity.rated_capacity_ah)
    charged, charge_findings = _charge(record, identity, counted)
    values = {
        **dict.fromkeys((each.name for each in FIELD_TELEMETRY_DEFINITIONS), math.nan),
        **charged,
        **_cell_values(cells),
        **temperature,
        "insulation_ohm_per_volt": insulation.low_ohm_per_volt,
        "insulation_change_fraction_per_month": insulation.change_fraction_per_month,
        "highest_alarm_level": float(np.fmax.reduce(alarm)) if alarm is not None else math.nan,
        "record_length_day": float(moment[-1] - moment[0]) / 86_400.0,
        "calendar_age_year": calendar_age_year(identity.manufactured_on, float(moment[-1])),
        **_distance_values(record),
    }
    findings = (
        *consistency_findings(cells, temperature["probe_temperature_spread_kelvin"]),
        *advice_of_rested_cells(cells),
        *alarm_findings(alarm),
        *insulation_findings(insulation),
        *charge_findings,
    )
    return values, findings


def _charge(
    record: TelemetryRecord, identity: BatteryIdentity, counted: ChargeCount | None
) -> tuple[Values, tuple[Finding, ...]]:
    """What counting charge gives; of a record without current only that it tells no capacity."""
    reported, rated = _reported_soh(record), identity.rated_capacity_ah
    if counted is None:
        lacking = capacity_findings(
            (),
            None,
            RestCapacity(),
            reported_soh_fraction=reported,
            rated_capacity_ah=rated,
            longest_interval_second=LONGEST_SILENCE_SECOND,
        )
        return {"charging_session_count": 0.0, "reported_soh_fraction": reported}, tuple(lacking)
    soc, pack_volt = (
        record.column("reported_soc_percent")[counted.rows],
        record.column("pack_voltage_volt")[counted.rows],
    )
    sessions = charging_sessions(
        counted,
        soc,
        rated,
        charge_state=_counted(record, "charge_state", counted),
        odometer_kilometer=_counted(record, "odometer_kilometer", counted),
    )
    capacity, rest = window_capacity(sessions), rest_capacity(counted, soc, rated)
    resistance = _resistance_values(record, counted, pack_volt, rated)
    series_count = record.series_count(identity) or math.nan
    relaxed = (pack_volt - resistance["step_resistance_ohm"] * counted.current_ampere) / series_count
    curves = session_curves(counted, relaxed, sessions, identity.chemistry, rated)
    values = {
        **_capacity_values(sessions, capacity, rest, rated),
        "reported_soh_fraction": reported,
        **_curve_values(curves),
        "session_temperature_celsius": _session_temperature(record, counted, sessions),
        **resistance,
        "step_resistance_ohm_ah": resistance["step_resistance_ohm"] * rated / series_count,
        **_usage_values(counted, soc, sessions, rated),
    }
    said = capacity_findings(
        sessions,
        capacity,
        rest,
        reported_soh_fraction=reported,
        rated_capacity_ah=rated,
        longest_interval_second=counted.longest_silence_second,
    )
    return values, (*soc_findings(counted, soc, rated), *said)


def _counted(record: TelemetryRecord, name: str, counted: ChargeCount) -> FloatArray | None:
    column = record.optional(name)
    return None if column is None else column[counted.rows]


def _reported_soh(record: TelemetryRecord) -> float:
    """State of health the vehicle reports, median of the last thirty days; NaN without one."""
    column = record.optional("reported_soh_percent")
    if column is None:
        return math.nan
    moment = record.column("unix_time_second")
    recent = column[np.searchsorted(moment, moment[-1] - RECENT_SECOND) :]
    known = recent[recent > 0.0]
    return float(np.median(known)) / 100.0 if known.size else math.nan


def _capacity_values(
    sessions: tuple[ChargingSession, ...],
    capacity: WindowCapacity | None,
    rest: RestCapacity,
    rated_capacity_ah: float,
) -> Values:
    return {
        "window_capacity_ah": capacity.capacity_ah if capacity else math.nan,
        "window_capacity_fraction": capacity.capacity_ah / rated_capacity_ah if capacity else math.nan,
        "window_capacity_uncertainty_ah": capacity.standard_uncertainty_ah if capacity else math.nan,
        "session_scatter_fraction": capacity.scatter_fraction if capacity else math.nan,
        "charging_session_count": float(capacity.session_count if capacity else 0),
        "largest_soc_window_fraction": largest_window_percent(sessions) / 100.0,
        "total_soc_window_fraction": capacity.total_window_percent / 100.0 if capacity else math.nan,
        "rest_capacity_ah": rest.capacity_ah,
        "rest_capacity_fraction": rest.capacity_ah / rated_capacity_ah,
        "rest_capacity_uncertainty_ah": rest.standard_uncertainty_ah,
    }


def _curve_values(curves: SessionCurves) -> Values:
    return {
        "session_rate_c": curves.rate_c,
        "session_peak_volt": curves.peaks.volt,
        "session_peak_height_per_volt": curves.peaks.height_per_volt,
        **{f"session_slice_{n:02d}_fraction": charge for n, charge in enumerate(curves.slice_fraction.tolist())},
    }


def _session_temperature(record: TelemetryRecord, counted: ChargeCount, sessions: tuple[ChargingSession, ...]) -> float:
    middles = np.array([(each.first_row + each.last_row) // 2 for each in sessions], dtype=np.int64)
    return _percentile(record.hottest_celsius(counted.record_rows(middles)), 50.0)


def _resistance_values(
    record: TelemetryRecord, counted: ChargeCount, pack_volt: FloatArray, rated_capacity_ah: float
) -> Values:
    found = step_resistance(counted, pack_volt, rated_capacity_ah)
    hottest = record.hottest_celsius(counted.record_rows(found.rows))
    return {
        "step_resistance_ohm": found.resistance_ohm,
        "step_resistance_uncertainty_ohm": found.uncertainty_ohm,
        "step_count": float(found.rows.size),
        "step_second": found.after_second,
        "step_temperature_celsius": _percentile(hottest, 50.0),
    }


def _usage_values(
    counted: ChargeCount, soc: FloatArray, sessions: tuple[ChargingSession, ...], rated_capacity_ah: float
) -> Values:
    depths = cycle_depths(soc)
    bins = {f"cycles_from_{low:.0f}_percent": n for low, n in zip(DEPTH_EDGES_PERCENT, depths.counts, strict=True)}
    return {
        "observed_fraction": counted.observed_second / float(np.ptp(counted.unix_time_second[[0, -1]])),
        "equivalent_full_cycles": depths.equivalent_full_cycles,
        "charge_throughput_cycles": max(counted.moved_ah()) / rated_capacity_ah,
        "mean_cycle_depth_fraction": depths.mean_depth_fraction,
        **bins,
        "fast_charge_fraction": fast_charge_fraction(sessions, rated_capacity_ah),
    }


def _cell_values(cells: CellConsistency) -> Values:
    return {
        "rest_cell_spread_volt": cells.rest_spread_volt,
        "load_cell_spread_volt": cells.load_spread_volt,
        "weakest_cell_below_median_volt": cells.weakest_below_median_volt,
        "weakest_cell_drift_volt_per_month": cells.weakest_drift_volt_per_month,
        "cell_deviation_volt": cells.deviation_volt,
        "cell_deviation_entropy_bit": cells.deviation_entropy_bit,
    }


def _temperature_values(record: TelemetryRecord) -> Values:
    probes = record.probes()
    hottest = np.fmax.reduce(probes, axis=0, initial=np.nan)
    coldest = np.fmin.reduce(probes, axis=0, initial=np.nan)
    exposure = temperature_exposure(hottest, coldest)
    return {
        "probe_temperature_low_celsius": _percentile(coldest, LOW_PERCENTILE),
        "probe_temperature_high_celsius": _percentile(hottest, HIGH_PERCENTILE),
        "probe_temperature_spread_kelvin": temperature_spread_kelvin(probes),
        "probe_temperature_mean_celsius": exposure.mean_celsius,
        "hot_fraction": exposure.hot_fraction,
        "cold_fraction": exposure.cold_fraction,
    }


def _percentile(values: FloatArray, percentile: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.percentile(known, percentile)) if known.size else math.nan


def _insulation(record: TelemetryRecord) -> InsulationRecord:
    reported = record.optional("insulation_resistance_kiloohm")
    if reported is None:
        return InsulationRecord()
    return insulation_record(record.column("unix_time_second"), reported, record.column("pack_voltage_volt"))


def _distance_values(record: TelemetryRecord) -> Values:
    """Distance covered and reached; zeros mean 'invalid'."""
    odometer = record.optional("odometer_kilometer")
    known = odometer[odometer > 0.0] if odometer is not None else np.empty(0)
    if not known.size:
        return {"odometer_span_kilometer": math.nan, "odometer_kilometer": math.nan}
    highest = float(known.max())
    return {"odometer_span_kilometer": highest - float(known.min()), "odometer_kilometer": highest}
