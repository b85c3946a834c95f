"""The ordered features of the method ``field_telemetry``, their units and meanings."""

from features.session_curves import WIDE_SLICE_COUNT
from features.usage import COLD_CELSIUS, DEPTH_EDGES_PERCENT, FAST_C_RATE, HOT_CELSIUS
from features.vocabulary import FeatureDefinition

_CAPACITY = (
    FeatureDefinition("window_capacity_ah", "Ah", "window-weighted median over sessions of charge per reported SoC"),
    FeatureDefinition("window_capacity_fraction", "", "window_capacity_ah over rated capacity"),
    FeatureDefinition("window_capacity_uncertainty_ah", "Ah", "standard uncertainty of window_capacity_ah"),
    FeatureDefinition("session_scatter_fraction", "", "robust standard deviation of one session over the median"),
    FeatureDefinition("charging_session_count", "", "sessions with a large enough SoC window"),
    FeatureDefinition("largest_soc_window_fraction", "", "largest gain of reported SoC in one charging session"),
    FeatureDefinition("total_soc_window_fraction", "", "gains of reported SoC of the sessions used, added up"),
    FeatureDefinition(
        "rest_capacity_ah", "Ah", "median over pairs of rests of charge per reported SoC read after them"
    ),
    FeatureDefinition("rest_capacity_fraction", "", "rest_capacity_ah over rated capacity"),
    FeatureDefinition("rest_capacity_uncertainty_ah", "Ah", "standard uncertainty of rest_capacity_ah"),
    FeatureDefinition("reported_soh_fraction", "", "state of health the vehicle reports, median of the last 30 days"),
)
_CURVES = (
    FeatureDefinition("session_rate_c", "1/h", "usual charging current over rated capacity"),
    FeatureDefinition("session_temperature_celsius", "°C", "median over sessions of the hottest probe in their middle"),
    FeatureDefinition("session_peak_volt", "V", "voltage per cell of the highest dQ/dV peak of the largest session"),
    FeatureDefinition("session_peak_height_per_volt", "1/V", "dQ/dV at that peak over rated capacity"),
    *(
        FeatureDefinition(
            f"session_slice_{number:02d}_fraction",
            "1",
            f"charge put in in voltage slices {5 * number} to {5 * number + 4} of the family's grid, over rated "
            "capacity, voltage freed of step_resistance_ohm, median over sessions; NaN = not passed",
        )
        for number in range(WIDE_SLICE_COUNT)
    ),
)
_RESISTANCE = (
    FeatureDefinition("step_resistance_ohm", "Ω", "median of voltage over current step of the pack"),
    FeatureDefinition("step_resistance_ohm_ah", "Ω·Ah", "step_resistance_ohm per cell in series times rated capacity"),
    FeatureDefinition("step_resistance_uncertainty_ohm", "Ω", "standard error of step_resistance_ohm"),
    FeatureDefinition("step_count", "", "current steps between steady stretches"),
    FeatureDefinition("step_second", "s", "median time over which a step is compared"),
    FeatureDefinition("step_temperature_celsius", "°C", "median temperature of the hottest probe at the steps"),
)
_CELLS = (
    FeatureDefinition("rest_cell_spread_volt", "V", "highest minus lowest cell at rest, median of the last 30 days"),
    FeatureDefinition("load_cell_spread_volt", "V", "highest minus lowest cell under load, median of the last 30 days"),
    FeatureDefinition(
        "weakest_cell_below_median_volt", "V", "weakest cell below the median cell at rest, last 30 days"
    ),
    FeatureDefinition(
        "weakest_cell_drift_volt_per_month", "V/month", "drift of the weakest cell against the median cell"
    ),
    FeatureDefinition("cell_deviation_volt", "V", "standard deviation of the cells at rest, last 30 days"),
    FeatureDefinition("cell_deviation_entropy_bit", "bit", "Shannon entropy of the cells' deviations in steps of 5 mV"),
)
_TEMPERATURE = (
    FeatureDefinition("probe_temperature_low_celsius", "°C", "first percentile of the coldest probe"),
    FeatureDefinition("probe_temperature_high_celsius", "°C", "99th percentile of the hottest probe"),
    FeatureDefinition("probe_temperature_spread_kelvin", "K", "median of hottest minus coldest probe"),
    FeatureDefinition("probe_temperature_mean_celsius", "°C", "mean of the hottest probe"),
    FeatureDefinition("hot_fraction", "", f"share of rows with the hottest probe above {HOT_CELSIUS:g} °C"),
    FeatureDefinition("cold_fraction", "", f"share of rows with the coldest probe below {COLD_CELSIUS:g} °C"),
)
_SAFETY = (
    FeatureDefinition("insulation_ohm_per_volt", "Ω/V", "first percentile of insulation resistance over pack voltage"),
    FeatureDefinition("insulation_change_fraction_per_month", "1/month", "slope of that quotient over its median"),
    FeatureDefinition("highest_alarm_level", "", "highest alarm level reported, 0 to 4"),
)
_USAGE = (
    FeatureDefinition("record_length_day", "d", "time from first to last row"),
    FeatureDefinition("observed_fraction", "", "share of that time without silence"),
    FeatureDefinition("odometer_span_kilometer", "km", "distance covered during the record"),
    FeatureDefinition("odometer_kilometer", "km", "distance at the end of the record"),
    FeatureDefinition("calendar_age_year", "a", "time from manufacture to the last row; NaN = date not declared"),
    FeatureDefinition("equivalent_full_cycles", "", "depths of all cycles of reported SoC, added up"),
    FeatureDefinition("charge_throughput_cycles", "", "larger of charge put in and taken out over rated capacity"),
    FeatureDefinition("mean_cycle_depth_fraction", "", "depth of the cycles of reported SoC, weighted by depth"),
    *(
        FeatureDefinition(
            f"cycles_from_{low:.0f}_percent", "", f"cycles of reported SoC {low:g} to {high:g} % deep (rainflow)"
        )
        for low, high in zip(DEPTH_EDGES_PERCENT, (*DEPTH_EDGES_PERCENT[1:], 100.0), strict=True)
    ),
    FeatureDefinition("fast_charge_fraction", "", f"share of charge put in at {FAST_C_RATE:g} C or more"),
)
FIELD_TELEMETRY_DEFINITIONS: tuple[FeatureDefinition, ...] = (
    *_CAPACITY,
    *_CURVES,
    *_RESISTANCE,
    *_CELLS,
    *_TEMPERATURE,
    *_SAFETY,
    *_USAGE,
)
"""Ordered features of the method ``field_telemetry``."""
