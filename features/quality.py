"""What a canonical table shows about its own quality: gaps, stuck sensors, sentinels, clocks, voltages.

Readers convert and construction refuses what breaks a rule; here the remaining numbers are judged
as a measurement. A fault of the record is a CAUTION, never a verdict on the battery: what must not be
used is voided where it is computed. A gap in the reference discharge makes `capacity_test` hand on NaN
instead of a capacity (same limit, `full_discharge`), and the finding here says where the gap is.
One finding is about the battery and DISQUALIFYING: it *rests* outside the voltages its chemistry can
have, so either it is damaged or it is not what was declared. Current is positive while charging.
"""

from features.findings import Finding
from features.measurement import BatteryIdentity, MeasurementRun
from features.quality_sensors import rest_current_findings, sentinel_findings, stuck_voltage_findings
from features.quality_time import clock_findings, gap_findings
from features.quality_voltage import voltage_findings


def table_findings(run: MeasurementRun, identity: BatteryIdentity) -> tuple[Finding, ...]:
    """Judge a run's table as a measurement.

    Parameters
    ----------
    run : MeasurementRun
        Any kind, any format.
    identity : BatteryIdentity
        Rated capacity, chemistry and cells in series the numbers are held against.

    Returns
    -------
    tuple of Finding
        ``quality.current_gap``, ``quality.sampling_gap``, ``quality.clock_jump``, ``quality.voltage_stuck``,
        ``quality.sentinel_value``, ``quality.current_during_rest``, ``quality.voltage_implausible``.
    """
    return (
        *gap_findings(run),
        *clock_findings(run, identity),
        *stuck_voltage_findings(run.table, identity),
        *sentinel_findings(run.table),
        *rest_current_findings(run.table, identity),
        *voltage_findings(run.table, identity),
    )
