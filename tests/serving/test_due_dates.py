"""The day by which the platform must know an event, from the policy's working days."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from features.errors import InvalidInput
from models.policy_file import SHIPPED_POLICY, load_policy
from serving.due_dates import DueDates
from serving.record.leaf import LeafKind

TERMS = load_policy(SHIPPED_POLICY).traceability
WEDNESDAY = datetime(2026, 9, 23, 8, tzinfo=UTC)


def test_a_decision_is_due_fifteen_working_days_later_holidays_not_counted() -> None:
    assert DueDates(TERMS).of(LeafKind.DECISION, WEDNESDAY) == {"upload_due_on": "2026-10-21"}


def test_an_outcome_has_twice_the_time() -> None:
    later = DueDates(TERMS).of(LeafKind.OUTCOME, WEDNESDAY)["upload_due_on"]
    assert later > "2026-10-21"


@pytest.mark.parametrize("kind", [LeafKind.CORRECTION, LeafKind.ASSOCIATION, LeafKind.RECODING])
def test_every_kind_the_platform_is_told_of_has_a_date(kind: LeafKind) -> None:
    assert "upload_due_on" in DueDates(TERMS).of(kind, WEDNESDAY)


@pytest.mark.parametrize("kind", [LeafKind.REFUSAL, LeafKind.KEY_CHANGE, LeafKind.POLICY_ACTIVATED])
def test_what_concerns_the_deployment_alone_has_none(kind: LeafKind) -> None:
    assert DueDates(TERMS).of(kind, WEDNESDAY) == {}


def test_a_policy_without_time_limits_gives_no_dates() -> None:
    assert DueDates(None).of(LeafKind.DECISION, WEDNESDAY) == {}


def test_a_calendar_nobody_has_is_refused() -> None:
    assert TERMS is not None
    with pytest.raises(InvalidInput, match="must be one of china"):
        DueDates(replace(TERMS, calendar="atlantis"))
