"""Where a battery's declared identity and its printed code disagree.

A conflict with something the code says for certain disqualifies (the battery is not what the sender
thinks it is); a conflict with an unresolved letter is shown to the worker. A ``local`` identifier says
nothing, so it can contradict nothing.
"""

from collections.abc import Iterator
from datetime import date

from features.battery_code import BatteryCode, parse_battery_code
from features.findings import Finding, Message, Severity
from features.measurement import BatteryIdentity
from features.vocabulary import Chemistry, Scheme


def code_findings(identity: BatteryIdentity) -> tuple[Finding, ...]:
    """Compare the plate with the GB/T 34014 code.

    Parameters
    ----------
    identity : BatteryIdentity
        The battery as declared; its code is already valid.

    Returns
    -------
    tuple of Finding
        ``identity.chemistry_conflict`` (DISQUALIFYING with a certain letter, CAUTION otherwise),
        ``identity.level_conflict`` (DISQUALIFYING), ``identity.date_conflict`` and
        ``identity.date_impossible`` (CAUTION), ``identity.day_ambiguous`` (NOTE).
    """
    if identity.scheme is Scheme.LOCAL:
        return ()
    code = parse_battery_code(identity.battery_id)
    return (*_chemistry(identity, code), *_level(identity, code), *_declared_date(identity, code), *_day(code))


def _chemistry(identity: BatteryIdentity, code: BatteryCode) -> Iterator[Finding]:
    declared = identity.chemistry
    if declared is Chemistry.UNKNOWN or declared in code.chemistries:
        return
    coded = " or ".join(code.chemistries) or "none of the declared chemistries"
    coded_zh = "或".join(code.chemistries) or "其他类型"
    letter, sure = code.battery_type_letter or "", code.chemistry_certain
    doubt, doubt_zh = ("", "") if sure else (" (meaning of the letter unresolved)", "（该字母含义未确认）")
    yield Finding(
        "identity.chemistry_conflict",
        Severity.DISQUALIFYING if sure else Severity.CAUTION,
        Message(
            f"Declared as {declared.value}, but position 5 of the code is {letter}: {coded}{doubt}.",
            f"申报化学体系为 {declared.value}，但编码第 5 位为 {letter}：{coded_zh}{doubt_zh}。",
        ),
        {"declared": declared.value, "coded": coded, "letter": letter, "letter_certain": sure},
    )


def _level(identity: BatteryIdentity, code: BatteryCode) -> Iterator[Finding]:
    coded = code.cascade_level or code.level
    if coded is None or coded is identity.level:
        return
    yield Finding(
        "identity.level_conflict",
        Severity.DISQUALIFYING,
        Message(
            f"Declared as a {identity.level.value}, but the code belongs to a {coded.value}.",
            f"申报层级为 {identity.level.value}，但编码属于 {coded.value}。",
        ),
        {"declared": identity.level.value, "coded": coded.value},
    )


def _declared_date(identity: BatteryIdentity, code: BatteryCode) -> Iterator[Finding]:
    declared = identity.manufactured_on
    # A cascade code carries the date of the cascade product, the plate may still carry the first one.
    if declared is None or code.scheme is Scheme.GBT34014_CASCADE or _agrees(declared, code):
        return
    coded = f"{code.manufactured_on or _month(code)}"
    yield Finding(
        "identity.date_conflict",
        Severity.CAUTION,
        Message(
            f"Declared as made on {declared}, but the code says {coded}.",
            f"申报生产日期为 {declared}，但编码日期为 {coded}。",
        ),
        {"declared": declared.isoformat(), "coded": coded},
    )


def _agrees(declared: date, code: BatteryCode) -> bool:
    if code.manufactured_on is not None:
        return declared == code.manufactured_on
    return (declared.year, declared.month) == (code.manufacture_year, code.manufacture_month)


def _month(code: BatteryCode) -> str:
    return f"{code.manufacture_year}-{code.manufacture_month:02d}"


def _day(code: BatteryCode) -> Iterator[Finding]:
    if not code.day_ambiguous:
        return
    days = " or ".join(str(day) for day in code.day_readings)
    evidence = {"month": _month(code), "day_readings": days}
    yield Finding(
        "identity.day_ambiguous",
        Severity.NOTE,
        Message(
            f"The day letter of the code is not settled: {_month(code)}, day {days}.",
            f"编码中的日代码含义未统一：{_month(code)}，可能为 {days.replace(' or ', ' 或 ')} 日。",
        ),
        evidence,
    )
    if not any(_exists(code, day) for day in code.day_readings):
        yield Finding(
            "identity.date_impossible",
            Severity.CAUTION,
            Message(
                f"No reading of the day letter gives a date that exists: {_month(code)}, day {days}.",
                f"编码日期不存在：{_month(code)}，{days.replace(' or ', ' 或 ')} 日。",
            ),
            evidence,
        )


def _exists(code: BatteryCode, day: int) -> bool:
    try:
        date(code.manufacture_year or 0, code.manufacture_month or 0, day)
    except ValueError:
        return False
    return True
