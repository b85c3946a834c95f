"""Whether the currents of a GB/T 32960.3 record can be believed, and which sign they have.

Two things go wrong with this standard in the field. Writers and readers mix the offsets of the editions
(1000 A and 3000 A), which shifts a current by 2000 A; the vehicle block and the pack blocks of the same
frame tell. And the text we know does not state the sign: vehicles report discharge as positive
[unsure], which is taken here and then tested against the state of charge.
"""

from collections.abc import Sequence

import numpy as np

from features.errors import InvalidInput, Problem
from features.findings import Evidence, Finding, Message, Severity
from features.measurement import CanonicalTable, FloatArray
from features.readers.gbt32960_samples import Samples
from features.readers.gbt32960_tables import OFFSET_DIFFERENCE_AMPERE
from features.readers.mapping_checks import contradictions

LARGEST_DISAGREEMENT_AMPERE = 5.0
LARGEST_DISAGREEMENT_FRACTION = 0.1
"""The two blocks are sampled apart; their medians are near. A wrong offset is 2000 A (engineering values)."""
OFFSET_TOLERANCE_AMPERE = 60.0
LARGEST_USUAL_AMPERE = 1000.0
"""A median beyond is no vehicle but an offset."""
_CURRENT = "pack_current_ampere"


def disagreement_findings(samples: Sequence[Samples]) -> list[Finding]:
    """Compare the current of the vehicle with the currents of its packs, frame by frame.

    Packs in parallel share the current, packs in series all carry it: the reading that fits better counts.
    """
    compared = [pair for each in samples if (pair := _both_currents(each)) is not None]
    if not compared:
        return []
    vehicle, together, single = (np.concatenate(part) for part in zip(*compared, strict=True))
    valid = np.isfinite(vehicle) & np.isfinite(together)
    if not valid.any():
        return []
    vehicle, together, single = vehicle[valid], together[valid], single[valid]
    packs = min(together, single, key=lambda reading: abs(float(np.median(vehicle - reading))))
    difference = float(np.median(vehicle - packs))
    usual = float(np.median(np.abs(vehicle)))
    if abs(difference) <= max(LARGEST_DISAGREEMENT_AMPERE, LARGEST_DISAGREEMENT_FRACTION * usual):
        return []
    evidence: Evidence = {
        "frame_count": len(vehicle),
        "vehicle_current_median_ampere": float(np.median(vehicle)),
        "pack_current_median_ampere": float(np.median(packs)),
        "difference_median_ampere": difference,
    }
    return [_disagreement(difference, evidence)]


def _both_currents(samples: Samples) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    if samples.vehicle_current_ampere is None or not samples.packs:
        return None
    packs = np.stack([current for _, current in samples.packs.values()])
    return samples.vehicle_current_ampere, packs.sum(axis=0), packs.mean(axis=0)


def _disagreement(difference: float, evidence: Evidence) -> Finding:
    turns = round(difference / OFFSET_DIFFERENCE_AMPERE)
    if turns and abs(difference - turns * OFFSET_DIFFERENCE_AMPERE) <= OFFSET_TOLERANCE_AMPERE:
        message = Message(
            f"Vehicle and pack current of the same frames differ by {difference:.0f} A: one of them is written with "
            "the current offset of the other edition (1000 A in 2016, 3000 A in 2025).",
            f"同一帧中整车电流与电池包电流相差{difference:.0f}A：其中之一使用了另一版本的电流偏移量"
            "（2016版1000A，2025版3000A）。",
        )
        return Finding("gbt32960.current_offset", Severity.CAUTION, message, evidence)
    message = Message(
        f"Vehicle and pack current of the same frames differ by {difference:.1f} A (median).",
        f"同一帧中整车电流与电池包电流相差{difference:.1f}A（中位数）。",
    )
    return Finding("gbt32960.currents_disagree", Severity.CAUTION, message, evidence)


def refuse_impossible_current(file_name: str, samples: Sequence[Samples], pack: int | None) -> None:
    """Refuse a record whose usual current no vehicle has.

    Parameters
    ----------
    file_name : str
        For the error.
    samples : sequence of Samples
        The vehicle's reports.
    pack : int or None
        Subsystem whose current is used; None for the total current.

    Raises
    ------
    InvalidInput
        If the median is beyond 1000 A: written with the offset of the other edition.
    """
    written = [current for each in samples if (current := _used_current(each, pack)) is not None]
    known = np.concatenate([np.empty(0), *written])
    known = known[np.isfinite(known)]
    if known.size and abs(median := float(np.median(known))) > LARGEST_USUAL_AMPERE:
        rule = (
            f"the usual current must be within {LARGEST_USUAL_AMPERE:g} A; the offset of the other edition "
            "(1000 A in 2016, 3000 A in 2025) gives this"
        )
        raise InvalidInput(
            f"{file_name} contradicts its edition. Nothing was graded. Ask the sender which offset is used.",
            [Problem(f"{file_name} {_CURRENT}", rule, f"median {median:.1f} A")],
            code="FRAMES_CONTRADICT_EDITION",
        )


def _used_current(samples: Samples, pack: int | None) -> FloatArray | None:
    if pack is None:
        return samples.vehicle_current_ampere
    return samples.packs[pack][1] if pack in samples.packs else None


def charging_positive(
    file_name: str, table: CanonicalTable, series_count: int | None
) -> tuple[CanonicalTable, list[Finding]]:
    """Make sure that positive current charges, and name every other contradiction in the data.

    Parameters
    ----------
    file_name : str
        For the error.
    table : CanonicalTable
        Telemetry with the usual sign of vehicles already turned.
    series_count : int or None
        Cells in series where it is known.

    Raises
    ------
    InvalidInput
        If neither sign fits the state of charge.
    """
    problems = contradictions(table, series_count)
    of_current = _of_current(problems)
    if not of_current:
        return table, [_contradiction(problem) for problem in problems]
    turned = CanonicalTable(table.format, {**table.columns, _CURRENT: 0.0 - table.floats(_CURRENT)})
    if _of_current(contradictions(turned, series_count)):
        raise InvalidInput(
            f"The current of {file_name} fits the state of charge with neither sign. Nothing was graded.",
            of_current,
            code="FRAMES_CONTRADICT_EDITION",
        )
    evidence = of_current[0].value
    message = Message(
        f"This vehicle reports charging as positive, against the usual sign: {evidence}. The sign was turned.",
        f"该车辆上报的充电电流为正，与通常约定相反：{evidence}。已按此换算。",
    )
    sign = Finding("gbt32960.current_sign_turned", Severity.CAUTION, message, {"seen": evidence})
    return turned, [sign, *(_contradiction(each) for each in problems if each not in of_current)]


def _of_current(problems: Sequence[Problem]) -> list[Problem]:
    return [each for each in problems if each.where.endswith(_CURRENT)]


def _contradiction(problem: Problem) -> Finding:
    message = Message(
        f"The frames contradict themselves: {problem}.", f"报文数据自相矛盾：{problem.where}，{problem.value}。"
    )
    evidence = {"where": problem.where, "rule": problem.rule, "value": problem.value}
    return Finding("gbt32960.contradiction", Severity.CAUTION, message, evidence)
