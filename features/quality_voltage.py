"""Whether a battery's voltage is possible for what it is declared to be.

Outside the window while current flows, or in single values, is a CAUTION: a protection limit, a loose
sense lead. A battery whose *rested* voltage (the median over its rests) lies outside is over-discharged,
overcharged or not what was declared: DISQUALIFYING. Single cells of a pack are judged in `consistency`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.findings import Finding, Message, Severity
from features.measurement import BatteryIdentity, CanonicalTable, FloatArray
from features.sampled import REST_C_RATE, sampled_columns
from features.vocabulary import Chemistry, Level, StepType, TableFormat

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class VoltageWindow:
    """Voltages a cell in series can show.

    Attributes
    ----------
    lowest, highest : float
        Under current and at rest. [V]
    """

    lowest: float
    highest: float


VOLTAGE_WINDOWS: dict[Chemistry, VoltageWindow] = {
    Chemistry.LFP: VoltageWindow(1.5, 4.0),
    Chemistry.NMC: VoltageWindow(1.5, 4.5),
    Chemistry.NCA: VoltageWindow(1.5, 4.5),
    Chemistry.LMO: VoltageWindow(1.5, 4.5),
    Chemistry.LCO: VoltageWindow(1.5, 4.6),
    Chemistry.LTO: VoltageWindow(1.0, 3.2),
    Chemistry.NIMH: VoltageWindow(0.8, 1.7),
    Chemistry.UNKNOWN: VoltageWindow(0.8, 4.6),
}
"""Below the lowest, copper of the negative electrode dissolves (about 1.5 V; LTO and NiMH have none); above the
highest the electrolyte is oxidised (usual charge limit plus 0.3 V). Engineering values, not limits of a standard."""


def voltage_findings(table: CanonicalTable, identity: BatteryIdentity) -> Iterator[Finding]:
    """Voltage per cell in series outside what the declared chemistry can show."""
    window = VOLTAGE_WINDOWS[identity.chemistry]
    voltage, resting = _cell_voltages(table, identity)
    outside = (voltage < window.lowest) | (voltage > window.highest)
    if not outside.any():
        return
    rested = voltage[resting & np.isfinite(voltage)]
    rested_volt = float(np.median(rested)) if rested.size else float("nan")
    rests_outside = rested_volt < window.lowest or rested_volt > window.highest
    distance = np.maximum(window.lowest - voltage, voltage - window.highest)
    worst = float(voltage[int(np.nanargmax(distance))])
    fraction = float(outside.mean())
    where, where_zh = ("at rest", "静置时") if rests_outside else ("in single values", "个别数值")
    yield Finding(
        "quality.voltage_implausible",
        Severity.DISQUALIFYING if rests_outside else Severity.CAUTION,
        Message(
            f"The voltage per cell lies outside {window.lowest:g} to {window.highest:g} V for "
            f"{identity.chemistry.value} {where}: worst {worst:.3f} V, {fraction:.1%} of the values.",
            f"单体电压{where_zh}超出 {identity.chemistry.value} 合理范围 {window.lowest:g} 至 {window.highest:g} V："
            f"最差 {worst:.3f} V，占 {fraction:.1%}。",
        ),
        {
            "worst_volt": worst,
            "lowest_volt": window.lowest,
            "highest_volt": window.highest,
            "outside_fraction": fraction,
            "rests_outside": rests_outside,
        },
    )


def _cell_voltages(table: CanonicalTable, identity: BatteryIdentity) -> tuple[FloatArray, BoolArray]:
    """Voltage per cell in series and whether it was resting; empty where the series count is not known."""
    series_count = identity.series_count or (1 if identity.level is Level.CELL else None)
    if series_count is not None and table.format is TableFormat.STEP_TABLE:
        resting = table.words("step_type") == StepType.REST.value
        begin, end = table.floats("voltage_begin_volt"), table.floats("voltage_end_volt")
        return np.concatenate([begin, end]) / series_count, np.concatenate([np.zeros_like(resting), resting])
    sampled = sampled_columns(table)
    if series_count is None or sampled is None:
        return np.empty(0), np.empty(0, dtype=bool)
    _, voltage, current = sampled
    return voltage / series_count, np.abs(current) <= REST_C_RATE * identity.rated_capacity_ah
