"""Decisions put straight into a record, for tests of what follows from them; no model, no measurement."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

from features.feature_set import Method
from features.findings import Finding, Message, Severity
from features.measurement import BatteryIdentity
from features.vocabulary import Chemistry, Level
from models.decision import GradingDecision, NextTest, Outcome, PolicyStamp
from serving.due_dates import DueDates
from serving.events.genealogy import record_association, record_recoding
from serving.events.relations import Action, Association, Recoding
from serving.grading import GradingRequest
from serving.record.decision_body import decision_body
from serving.record.entry import Recorded
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger
from tests.support.cases import MOMENT, a_case, an_estimate

NO_DATES = DueDates(None)
CELL, OTHER_CELL = "04QCB76836300JBC40000903", "04QCB76836300JBC40000904"
MODULE, OTHER_MODULE = "04QMB76836300JBC40000101", "04QMB76836300JBC40000102"
PACK, OTHER_PACK = "04QPB76836300JBC40000001", "04QPB76836300JBC40000002"
CASCADE_CELL, CASCADE_MODULE, CASCADE_PACK = "04QCB76GB10000903RC", "04QMB76GB10000101RM", "04QPB76GB10000001RP"

_BUNDLE = {"name": "reference", "version": "1", "sha256": "b" * 64}
_POLICY = PolicyStamp("example", "2026-11", "c" * 64)
_REASON = Finding("grade.cleared", Severity.NOTE, Message("Cleared.", "通过。"), {})
_TEST = NextTest("capacity_test", Method.CAPACITY_TEST, 360.0, Message("Discharge.", "放电。"))


def asked(name: str) -> GradingRequest:
    """A request of station-1 whose key, digest and event follow from a name."""
    digest = sha256(name.encode()).hexdigest()
    return GradingRequest("station-1", f"key-{digest[:16]}", digest, digest[:32], MOMENT + timedelta(hours=1))


def a_decision(outcome: Outcome = Outcome.CASCADE, grade: str = "B", estimated: bool = True) -> GradingDecision:
    """A decision on a battery of 35 Ah with 75 to 85 % of it left."""
    cascade = outcome is Outcome.CASCADE
    return GradingDecision(
        outcome=outcome,
        grade=grade if cascade else None,
        suitable_uses=("stationary_storage",) if cascade else (),
        reasons=(_REASON,),
        next_test=_TEST if outcome is Outcome.RETEST else None,
        policy=_POLICY,
        bundle_sha256=_BUNDLE["sha256"],
        estimate=an_estimate(0.75, 0.85) if estimated else None,
    )


def decided(
    ledger: Ledger,
    battery_id: str,
    outcome: Outcome = Outcome.CASCADE,
    level: Level = Level.CELL,
    *,
    name: str = "",
    **more: Any,
) -> Recorded:
    """A decision on a battery, recorded; another `name` makes another decision."""
    identity = BatteryIdentity.declared(battery_id, level=level, chemistry=Chemistry.LFP, rated_capacity_ah=35.0)
    body = decision_body(a_case(identity), a_decision(outcome, **more), _BUNDLE, ())
    request = asked(f"decide {battery_id} {outcome} {name}")
    return ledger.append(request.entry(LeafKind.DECISION, identity.battery_id, body))


def associated(ledger: Ledger, parent: str, *children: str, action: Action = Action.ADD, name: str = "") -> Recorded:
    """Parts put into a whole, or taken out of it."""
    request = asked(f"{action} {parent} {children} {name}")
    return record_association(ledger, Association(parent, children, action), request, NO_DATES)


def recoded(ledger: Ledger, new_code: str, *old_codes: str, decision_id: str = "", **changes: Any) -> Recorded:
    """Batteries given a new code, permitted by the last decision on the first of them."""
    permitted = decision_id or next(
        (each.leaf.event_id for each in reversed(ledger.by_battery(old_codes[0])) if each.leaf.kind == "decision"),
        "e" * 32,
    )
    sound = Recoding(old_codes, new_code, 28.0, permitted)
    request = asked(f"recode {new_code} {old_codes} {changes}")
    return record_recoding(ledger, replace(sound, **changes), request, NO_DATES)
