"""The groups of a string on the bench: their voltages beside that of the string.

A group is what lies in parallel; groups in series make a module or pack, and one current flows through
all of them. Here their voltages are taken from a ``timeseries`` (``cell_voltage_1_volt`` …) and
compared with the string's own. What they say about its capacity stands in `string_capacity`.
"""

import numpy as np

from features.findings import Finding, Message, Severity
from features.measurement import BatteryIdentity, CanonicalTable, FloatArray
from features.vocabulary import Level

GROUP_COLUMN = "cell_voltage_{n}_volt"

_FEWEST_GROUPS = 2

GROUPS_CONTRADICT = "string.groups_contradict"
"""Code of group voltages that cannot be those of the string: its capacity is not known then."""

LARGEST_DISAGREEMENT_FRACTION = 0.03
"""Allowed difference between the string's voltage and that of its groups: busbars and leads cost less. Our choice."""


def group_voltages(table: CanonicalTable, identity: BatteryIdentity) -> FloatArray | None:
    """Voltages of the groups where they are those of this string.

    Parameters
    ----------
    table : CanonicalTable
        Any canonical table.
    identity : BatteryIdentity
        Level and cells in series.

    Returns
    -------
    ndarray, shape (n, groups), or None
        Group 1 first; None for a cell, with fewer than two groups, and where they contradict the string. [V]
    """
    volt = table.numbered(GROUP_COLUMN)
    if identity.level is Level.CELL or volt.shape[1] < _FEWEST_GROUPS or _contradicts(table, volt, identity):
        return None
    return volt


def group_findings(table: CanonicalTable, identity: BatteryIdentity) -> tuple[Finding, ...]:
    """Say which group voltages are missing or cannot be those of this string.

    Parameters
    ----------
    table : CanonicalTable
        A ``timeseries`` or ``step_table``.
    identity : BatteryIdentity
        Level and cells in series.
    """
    volt = table.numbered(GROUP_COLUMN)
    count = volt.shape[1]
    if not count:
        return ()
    if identity.level is Level.CELL:
        return (_groups_of_a_cell(count),)
    if _contradicts(table, volt, identity):
        return (_contradiction(table, volt, identity),)
    series_count = identity.series_count or count
    return () if count >= series_count else (_missing(count, series_count),)


def _contradicts(table: CanonicalTable, volt: FloatArray, identity: BatteryIdentity) -> bool:
    too_many = identity.series_count is not None and volt.shape[1] > identity.series_count
    return too_many or _disagreement_fraction(table, volt, identity) > LARGEST_DISAGREEMENT_FRACTION


def _disagreement_fraction(table: CanonicalTable, volt: FloatArray, identity: BatteryIdentity) -> float:
    """Median difference between the string and its mean group times the groups in series."""
    own = table.floats("voltage_volt")
    implied = volt.mean(axis=1) * (identity.series_count or volt.shape[1])
    return float(np.median(np.abs(implied - own)) / max(float(np.median(np.abs(own))), 1e-9))


def _contradiction(table: CanonicalTable, volt: FloatArray, identity: BatteryIdentity) -> Finding:
    count, series_count = volt.shape[1], identity.series_count or volt.shape[1]
    off = _disagreement_fraction(table, volt, identity)
    message = Message(
        f"The voltages of {count} groups are not those of this string of {series_count}: they differ from its own "
        f"voltage by {off:.1%} (allowed: {LARGEST_DISAGREEMENT_FRACTION:.0%}). The weakest group is not known, "
        "and no capacity is read from the file.",
        f"{count}个并联组的电压与该串（{series_count}串）不符：与总电压相差{off:.1%}"
        f"（允许{LARGEST_DISAGREEMENT_FRACTION:.0%}），无法判断最弱组，不从该文件读取容量。",
    )
    evidence = {"group_count": count, "series_count": series_count, "disagreement_fraction": off}
    return Finding(GROUPS_CONTRADICT, Severity.CAUTION, message, evidence)


def _missing(count: int, series_count: int) -> Finding:
    message = Message(
        f"Only {count} of {series_count} groups were measured; the weakest may be one of the others.",
        f"{series_count}个串联组中仅测量了{count}个；最弱组可能在未测量的组中。",
    )
    evidence = {"group_count": count, "series_count": series_count}
    return Finding("string.groups_missing", Severity.CAUTION, message, evidence)


def _groups_of_a_cell(count: int) -> Finding:
    message = Message(
        f"The file holds the voltages of {count} groups, but the battery is declared as a cell; they are not used.",
        f"文件包含{count}个并联组的电压，但该电池申报为单体；这些电压未采用。",
    )
    return Finding("string.groups_of_a_cell", Severity.CAUTION, message, {"group_count": count})
