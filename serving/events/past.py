"""What the record holds for and against a battery when it is graded again. Reads, never writes.

A battery is followed through its codes: one that got a new code keeps the past of the old one, and a
code out of use that of the code in use.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.past import NOTHING_PAST, RecordedPast
from models.standing import StandingRule
from serving.events.family import current_code, family, old_codes, successor
from serving.events.genealogy import parts_of
from serving.events.verdicts import body_of, past_decision, past_decisions
from serving.record.decision_body import past_from_body
from serving.record.leaf import Leaf, LeafKind, leaf_sha256
from serving.record.store import Reader

if TYPE_CHECKING:
    from serving.record.ledger import Ledger


@dataclass(frozen=True, slots=True)
class BatteryPast:
    """What the record says of a battery, and up to which entry.

    Attributes
    ----------
    past : RecordedPast
        What a decision must respect.
    head : str or None
        Digest of the battery's last entry that was read; None where there is none.
    """

    past: RecordedPast
    head: str | None


_NEVER_SEEN = BatteryPast(NOTHING_PAST, None)


def battery_pasts(
    ledger: "Ledger", battery_ids: Iterable[str], policy_sha256: str, rule: StandingRule
) -> list[BatteryPast]:
    """What the record says of batteries, in one view; one read of an index for each that was never seen.

    A decision keeps its own past. Where a battery's last entry is one of the same policy, what stands
    follows from it alone, however often the battery was graded before.

    Parameters
    ----------
    ledger : Ledger
        The record.
    battery_ids : iterable of str
        The batteries.
    policy_sha256 : str
        Policy in force.
    rule : StandingRule
        Which verdicts stand under it.
    """
    with ledger.reading() as reader:
        view = _View(ledger, reader, policy_sha256, rule)
        lasts = [(battery_id, reader.last_of_battery(battery_id)) for battery_id in battery_ids]
        return [
            _NEVER_SEEN if last is None else BatteryPast(_past(view, battery_id, last), leaf_sha256(last))
            for battery_id, last in lasts
        ]


@dataclass(frozen=True, slots=True)
class _View:
    """One view of the record, and the policy it is read under."""

    ledger: "Ledger"
    reader: Reader
    policy_sha256: str
    rule: StandingRule


def _past(view: _View, battery_id: str, last: Leaf) -> RecordedPast:
    body = body_of(last)
    if _tells_all(last, body, view.policy_sha256) and not _bore_other_codes(view.reader, battery_id):
        known = past_from_body(body)
        standing, was_joined = view.rule.after(known.standing, past_decision(last, body, ())), bool(known.parts)
    else:
        leaves = _under_all_codes(view.reader, battery_id)
        standing = view.rule.standing(past_decisions(leaves))
        was_joined = any(leaf.kind is LeafKind.ASSOCIATION for leaf in leaves)
    return RecordedPast(standing, parts_of(view.ledger, battery_id) if was_joined else ())


def _tells_all(last: Leaf, body: Mapping[str, Any], policy_sha256: str) -> bool:
    """Whether a battery's last entry is a decision that keeps its past, under the same policy."""
    return last.kind is LeafKind.DECISION and "past" in body and body["policy"]["sha256"] == policy_sha256


def _bore_other_codes(reader: Reader, battery_id: str) -> bool:
    return successor(reader, battery_id) is not None or bool(old_codes(reader, battery_id))


def _under_all_codes(reader: Reader, battery_id: str) -> list[Leaf]:
    """The entries on a battery under every code it bore, in the order of the log."""
    codes = {battery_id, *family(reader, current_code(reader, battery_id))}
    found = (leaf for code in codes for leaf in reader.by_battery(code))
    return sorted(found, key=lambda leaf: leaf.sequence)
