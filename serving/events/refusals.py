"""A measurement that was refused: that somebody sent one for this battery, and why it was not taken.

Without it a battery could be measured until a file passes and nobody would see the others. The entry
tells what was wrong, never what was sent: places, rules and values are cut and escaped, and vehicle
numbers in them masked. It stands under a key of its own, made from the digest of what was sent, so
that the corrected measurement may come under the same idempotency key and the same refused one again
records nothing new. What names no sound battery cannot be recorded beside one and is only answered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from features.errors import InvalidInput, PackGradeError
from features.vehicle_number import without_vehicle_numbers
from serving.grading import GradingRequest
from serving.record.entry import NewEntry, Recorded
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger

SHOWN_PROBLEMS = 20
LONGEST_PLACE, LONGEST_RULE, LONGEST_VALUE = 160, 300, 80
"""Characters an entry keeps of a problem's parts, before escaping."""


def record_refusal(ledger: Ledger, battery_id: str, refused: InvalidInput, request: GradingRequest) -> Recorded:
    """Record that a measurement of a battery was refused.

    Parameters
    ----------
    ledger : Ledger
        The record's writer.
    battery_id : str
        The battery, its identity sound.
    refused : InvalidInput
        Why.
    request : GradingRequest
        Who sent it, under which key; its digest is that of what was sent.

    Returns
    -------
    Recorded
        Committed; the earlier entry if the same was refused at this station before.

    Raises
    ------
    RecordUnavailable
        If the record cannot be written.
    """
    return ledger.append(_entry(battery_id, refused, request))


def record_refusals(ledger: Ledger, refusals: Sequence[tuple[str, InvalidInput, GradingRequest]]) -> list[Recorded]:
    """Record several refusals in one commit; see `record_refusal`."""
    recorded = list[Recorded]()
    for answer in ledger.append_many([_entry(*each) for each in refusals]) if refusals else []:
        if isinstance(answer, PackGradeError):
            raise answer
        recorded.append(answer)
    return recorded


def _entry(battery_id: str, refused: InvalidInput, request: GradingRequest) -> NewEntry:
    body = {
        "code": refused.code,
        "problems": [
            {
                "where": _shown(problem.where, LONGEST_PLACE),
                "rule": _shown(problem.rule, LONGEST_RULE),
                "value": _shown(problem.value, LONGEST_VALUE),
            }
            for problem in refused.problems[:SHOWN_PROBLEMS]
        ],
        "problem_count": len(refused.problems),
        "input_sha256": request.request_sha256,
        "asked_under": request.idempotency_key,
    }
    own = replace(request, idempotency_key=refusal_key(request.request_sha256))
    return own.entry(LeafKind.REFUSAL, battery_id, body)


def refusal_key(input_sha256: str) -> str:
    """Return the key a refusal stands under; its blank keeps it apart from every key a client can send."""
    return f"refused {input_sha256}"


def _shown(text: str, longest: int) -> str:
    masked = without_vehicle_numbers(text)
    cut = masked if len(masked) <= longest else f"{masked[: longest - 1]}…"
    return "".join(_escaped(cut))


def _escaped(text: str) -> Iterable[str]:
    for character in text:
        yield character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
