"""The sampled columns of a run and the words "rest" and "gap", shared by what judges a record."""

from features.measurement import CanonicalTable, FloatArray
from features.vocabulary import TableFormat

USUAL_INTERVALS_IN_A_GAP = 10.0
"""Silence is a gap beyond ten usual sampling intervals; loggers that thin out a rest stay below (engineering value)."""

REST_C_RATE = 0.02
"""Current below 1/50 C is a rest: tester offset and noise lie an order below. [1/h]"""


def sampled_columns(table: CanonicalTable) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Pick time, voltage and current of a sampled table; None for steps and spectra."""
    if table.format is TableFormat.TIMESERIES:
        names = ("test_time_second", "voltage_volt", "current_ampere")
    elif table.format is TableFormat.TELEMETRY:
        names = ("unix_time_second", "pack_voltage_volt", "pack_current_ampere")
    else:
        return None
    time, voltage, current = (table.floats(name) for name in names)
    return time, voltage, current
