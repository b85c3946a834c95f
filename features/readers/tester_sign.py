"""Sign of a tester's current: positive while charging.

Most testers write a sign, some write magnitudes beside a state, and some count discharge as
positive. The state decides where it is given; where it is not, the voltage must agree, since the
voltage of every battery rises as the current steps up. A current that contradicts it is refused.
"""

import numpy as np

from features.findings import Finding, Message, Severity
from features.measurement import FloatArray

LEAST_CURRENT_STEP_FRACTION = 0.2
"""Only current steps of this share of the largest current are asked. [1]"""

LEAST_VOLTAGE_STEP_VOLT = 2e-3
"""Smaller voltage steps say nothing. [V]"""


class SignContradiction(ValueError):  # noqa: N818 - reads as what it is
    """A current whose sign contradicts the voltage."""


LEAST_VOTES_AGAINST_STATE = 3
"""A state outweighs one or two odd voltages."""


def signed_current(
    written_ampere: FloatArray, direction: FloatArray | None, voltage_volt: FloatArray
) -> tuple[FloatArray, list[Finding]]:
    """Current positive while charging, from what was written and the state of each row. [A].

    Parameters
    ----------
    written_ampere : ndarray, shape (n,)
        Current as written. [A]
    direction : ndarray or None, shape (n,)
        +1 in a charge state, -1 in a discharge state, 0 elsewhere; None where the file has no state.
    voltage_volt : ndarray, shape (n,)
        Terminal voltage. [V]

    Raises
    ------
    SignContradiction
        If the voltage steps the other way at most current steps.
    """
    findings: list[Finding] = []
    current = written_ampere
    if direction is not None and np.any(direction):
        if not np.any(current < 0.0):
            current = np.where(direction < 0.0, -current, current)
        elif float(np.sum(current * direction)) < 0.0:
            current = -current
            findings.append(_reversed_finding())
    elif np.any(current > 0.0) and not np.any(current < 0.0):
        findings.append(_unsigned_finding())
    agreeing, contradicting = voltage_votes(current, voltage_volt)
    least = 1 if direction is None else LEAST_VOTES_AGAINST_STATE
    if contradicting > agreeing and contradicting >= least:
        raise SignContradiction(f"{contradicting} of {agreeing + contradicting} current steps")
    return current, findings


def voltage_votes(current_ampere: FloatArray, voltage_volt: FloatArray) -> tuple[int, int]:
    """How many large current steps move the voltage with them, and how many against them."""
    step_ampere, step_volt = np.diff(current_ampere), np.diff(voltage_volt)
    largest = float(np.max(np.abs(current_ampere)))
    asked = (np.abs(step_ampere) > LEAST_CURRENT_STEP_FRACTION * largest) & (
        np.abs(step_volt) > LEAST_VOLTAGE_STEP_VOLT
    )
    votes = np.sign(step_ampere[asked] * step_volt[asked])
    return int(np.sum(votes > 0)), int(np.sum(votes < 0))


def held_direction(direction: FloatArray, step_begins: FloatArray) -> FloatArray:
    """Direction of each row, a pause or end-of-step row keeping the one of its step."""
    known = (direction != 0.0) | (step_begins != 0.0)
    last_known = np.maximum.accumulate(np.where(known, np.arange(len(direction)), 0))
    held: FloatArray = direction[last_known]
    return held


def _reversed_finding() -> Finding:
    return Finding(
        "tester.sign_reversed",
        Severity.NOTE,
        Message(
            "The file counts discharge as positive, its states say so; the sign was turned.",
            "文件以放电为正（由状态列可知），电流符号已反转。",
        ),
    )


def _unsigned_finding() -> Finding:
    return Finding(
        "tester.sign_as_written",
        Severity.CAUTION,
        Message(
            "No current is negative and no state says charge or discharge: every current was read as charging, "
            "which the voltage does not contradict.",
            "文件中没有负电流，也没有充放电状态：全部按充电读取，与电压变化不矛盾。",
        ),
    )
