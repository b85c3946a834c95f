"""Which group of a string is full first: a charge ends for all of them when it ends for one."""

import numpy as np

from features.findings import Finding, Message, Severity
from features.full_discharge import FULL_RANGES
from features.measurement import BatteryIdentity, CanonicalTable, FloatArray
from features.step_detection import current_states
from features.string_groups import group_findings, group_voltages
from features.vocabulary import Chemistry


def charge_findings(table: CanonicalTable, identity: BatteryIdentity) -> tuple[Finding, ...]:
    """Say what a charge shows of the groups of a string; nothing where they were not measured.

    Parameters
    ----------
    table : CanonicalTable
        A ``timeseries``; its last charging sample is looked at.
    identity : BatteryIdentity
        Level, chemistry and cells in series.
    """
    volt = group_voltages(table, identity)
    charging = np.flatnonzero(current_states(table.floats("current_ampere")) > 0)
    told = group_findings(table, identity)
    if volt is None or not charging.size:
        return told
    return (*told, fills_first(volt[charging[-1]], identity.chemistry))


def fills_first(group_volt: FloatArray, chemistry: Chemistry) -> Finding:
    """Name the highest group at the end of a charge, and how far the others were behind.

    Parameters
    ----------
    group_volt : ndarray, shape (groups,)
        Voltages at the last charging sample. [V]
    chemistry : Chemistry
        Says from which voltage on a group is at its upper limit.
    """
    first, last = int(np.argmax(group_volt)), int(np.argmin(group_volt))
    highest, lowest = float(group_volt[first]), float(group_volt[last])
    limits = FULL_RANGES.get(chemistry)
    is_full = limits is not None and highest >= limits.charge_limit_volt
    ends_en = "it is full first and ends the charge" if is_full else "it leads, but is not at its upper limit yet"
    ends_zh = "最先充满，充电至此为止" if is_full else "电压最高，但尚未达到上限"
    behind = 1e3 * (highest - lowest)
    message = Message(
        f"At the end of the charge group {first + 1} of {len(group_volt)} is the highest with {highest:.3f} V: "
        f"{ends_en}. Group {last + 1} is {behind:.0f} mV behind.",
        f"充电结束时，{len(group_volt)}个并联组中第{first + 1}组电压最高，为{highest:.3f}V，{ends_zh}；"
        f"第{last + 1}组落后{behind:.0f}毫伏。",
    )
    evidence = {
        "group": first + 1,
        "group_volt": highest,
        "lowest_group": last + 1,
        "lowest_group_volt": lowest,
        "is_full": is_full,
    }
    return Finding("string.fills_first", Severity.NOTE, message, evidence)
