"""Remaining capacity measured directly: the charge of one full discharge.

Coulomb counting, and the rules that make a discharge a *full* one: begun full, taken down to the
cut-off of the chemistry in one go, at a constant rate, near room temperature. A discharge that
breaks a rule is a finding and its capacity is NaN: a low number from a test that stopped early
would condemn a good battery. Nothing here predicts; current is positive while charging.

`capacity_part` is all that a ``capacity_test`` may read of a file, for readers and for `extract` alike.
"""

import math
from collections.abc import Iterator, Sequence

from features.findings import Finding, Message, Severity
from features.full_discharge import Discharge, discharge_limit, reasons_against, rejection
from features.measurement import BatteryIdentity, CanonicalTable
from features.phases import Phase, charge_before, phases_of
from features.step_detection import LONGEST_PULSE_SECOND
from features.string_charge import fills_first
from features.string_findings import string_findings
from features.string_groups import GROUPS_CONTRADICT, group_findings
from features.vocabulary import FeatureDefinition

CAPACITY_TEST_DEFINITIONS: tuple[FeatureDefinition, ...] = (
    FeatureDefinition("discharged_capacity_ah", "Ah", "charge taken out in one full discharge; NaN if it was not full"),
    FeatureDefinition("discharged_capacity_uncertainty_ah", "Ah", "standard uncertainty of that charge"),
    FeatureDefinition("discharge_rate_c", "1/h", "mean discharge current over rated capacity"),
    FeatureDefinition("discharge_begin_volt", "V", "first voltage under discharge current"),
    FeatureDefinition("discharge_end_volt", "V", "last voltage under discharge current"),
    FeatureDefinition("surface_temperature_celsius", "°C", "surface temperature as the discharge begins"),
    FeatureDefinition("charge_before", "1", "1 if a charge that tapered off at its limit precedes, 0 if not"),
    FeatureDefinition(
        "integration_interval_count", "1", "intervals the current was integrated over; 1 for a step table"
    ),
)

_SHORTEST_FULL_DISCHARGE_SECOND = 600.0


def capacity_part(table: CanonicalTable) -> tuple[CanonicalTable, tuple[Finding, ...]]:
    """Cut out what a capacity test may read of a file: the opening discharge and the charge and rests before it.

    Parameters
    ----------
    table : CanonicalTable
        A ``step_table`` or a ``timeseries``.

    Returns
    -------
    CanonicalTable
        The part, in the same format; the whole table where it holds no discharge.
    tuple of Finding
        Which of several discharges was taken.

    Notes
    -----
    The opening discharge is the first one longer than 10 min that follows a charge; without one,
    the first longer than 10 min, else the first longer than a pulse. What a battery had left when
    it arrived is therefore not taken for its capacity where a charge and a discharge follow.
    """
    phases = phases_of(table)
    chosen = _opening_discharge(phases)
    if chosen is None:
        return table, ()
    begin = chosen
    while begin > 0 and phases[begin - 1].state >= 0:
        begin -= 1
    rows = slice(phases[begin].first, phases[chosen].stop)
    part = CanonicalTable(table.format, {name: values[rows] for name, values in table.columns.items()})
    return part, tuple(_several_findings(phases, chosen))


def capacity_test_features(
    table: CanonicalTable, identity: BatteryIdentity
) -> tuple[dict[str, float], tuple[Finding, ...]]:
    """Charge of the opening full discharge, with everything it depends on.

    Parameters
    ----------
    table : CanonicalTable
        A ``step_table`` or a ``timeseries``; only its `capacity_part` is read.
    identity : BatteryIdentity
        Chemistry, rated capacity, level and cells in series decide what a full discharge is.

    Returns
    -------
    dict of str to float
        In the order of ``CAPACITY_TEST_DEFINITIONS``; capacity and uncertainty are NaN unless the
        discharge was full, the rest NaN where it was not measured.
    tuple of Finding
        Every ``capacity_test.…`` CAUTION is a reason for that NaN, and so is ``string.groups_contradict``.

    Notes
    -----
    Timeseries: trapezoidal rule over the samples of the discharge. Step table: duration times current.
    A discharge counts as begun full if

    - the charge before it was held at the limit of the chemistry until its current had fallen, or
    - it begins, under load, no lower than a rested full cell, or
    - the battery rested at least 5 min before it and still shows the voltage of a full cell.

    Where a module's or pack's groups were measured too, the charge is counted until the first of them is at
    the lower limit (`features.string_capacity`), and the ``string.…`` findings say which.

    So a discharge without the charge in the file is accepted on its voltage alone, which the flat
    curve of LFP permits only just after a full charge.
    """
    part, findings = capacity_part(table)
    phases = phases_of(part)
    chosen = _opening_discharge(phases)
    if chosen is None:
        return dict.fromkeys((each.name for each in CAPACITY_TEST_DEFINITIONS), math.nan), (_no_discharge(),)
    measured = Discharge(part, phases, chosen, identity)
    told = group_findings(part, identity)
    contradicted = tuple(each for each in told if each.code == GROUPS_CONTRADICT)
    reasons = (*reasons_against(measured, identity), *contradicted)
    about_groups = tuple(each for each in told if each not in contradicted)
    limit = None if reasons else discharge_limit(measured)
    if limit is not None and measured.group_volt is not None:
        measured.capacity_ah = limit.capacity_ah
        group_count = measured.group_volt.shape[1]
        about_groups += string_findings(limit, group_count, measured.series_count or group_count)
    if measured.group_volt is not None and measured.charge is not None:
        about_groups += (fills_first(measured.group_volt[measured.charge.stop - 1], identity.chemistry),)
    return _features(measured, full=not reasons), (*findings, *reasons, *about_groups)


def _features(measured: Discharge, *, full: bool) -> dict[str, float]:
    values = (
        measured.capacity_ah if full else math.nan,
        measured.uncertainty_ah() if full else math.nan,
        measured.rate_c,
        measured.phase.begin_volt,
        measured.phase.end_volt,
        measured.celsius,
        float(measured.charged_full),
        float(measured.interval_count),
    )
    return dict(zip((each.name for each in CAPACITY_TEST_DEFINITIONS), values, strict=True))


def _opening_discharge(phases: Sequence[Phase]) -> int | None:
    discharges = [
        i for i, phase in enumerate(phases) if phase.state < 0 and phase.duration_second > LONGEST_PULSE_SECOND
    ]
    long = [i for i in discharges if phases[i].duration_second >= _SHORTEST_FULL_DISCHARGE_SECOND]
    after_charge = [i for i in long if charge_before(phases, i) is not None]
    return next(iter([*after_charge, *long, *discharges]), None)


def _several_findings(phases: Sequence[Phase], chosen: int) -> Iterator[Finding]:
    long = [
        i
        for i, phase in enumerate(phases)
        if phase.state < 0
        and phase.duration_second >= min(_SHORTEST_FULL_DISCHARGE_SECOND, phases[chosen].duration_second)
    ]
    if len(long) > 1:
        number = long.index(chosen) + 1
        yield Finding(
            "capacity_test.several_discharges",
            Severity.NOTE,
            Message(
                f"The test holds {len(long)} long discharges; discharge {number} is the capacity test.",
                f"测试包含 {len(long)} 次长放电；以第 {number} 次作为容量测试。",
            ),
            {"discharge": number, "discharge_count": len(long)},
        )


def _no_discharge() -> Finding:
    return rejection("no_discharge", "The test holds no discharge longer than a pulse.", "测试中没有长于脉冲的放电。")
