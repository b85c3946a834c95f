"""Sections of a policy file about what the record already says, and when the record is reported.

A policy written before a section existed is read as the strictest there is, so that what it decided
can still be replayed: nobody but a named person overrides, a part without a grade holds the whole,
and no event is given a date.
"""

from typing import Annotated

from pydantic import Field

from models.decision import NextTest, Outcome
from models.part_limits import STRICTEST_PARTS, PartRule
from models.policy_tables import DescribedTest, Sourced, Table, Text
from models.standing import STRICTEST, Overrider, StandingRule
from models.traceability import TraceabilityTerms

_WorkingDays = Annotated[int, Field(strict=True)]


class StandingSection(Sourced):
    """``[standing]``: which verdicts stand, and what overrides them."""

    unsafe_outcomes: list[Outcome]
    overridden_by: list[Overrider]
    test: DescribedTest | None = None


class PartsSection(Sourced):
    """``[parts]``: what parts without a grade make of the whole."""

    with_hold: Outcome
    with_recycle: Outcome
    with_retest: Outcome
    test: DescribedTest | None = None


class _WorkingDaysTable(Table):
    decision: _WorkingDays
    correction: _WorkingDays
    outcome: _WorkingDays
    association: _WorkingDays
    recoding: _WorkingDays


class TraceabilitySection(Sourced):
    """``[traceability]``: when events must be reported."""

    calendar: Text
    working_days: _WorkingDaysTable


def standing_rule(written: StandingSection | None) -> StandingRule:
    """The rule a section states."""
    if written is None:
        return STRICTEST
    unsafe, overriders = frozenset(written.unsafe_outcomes), frozenset(written.overridden_by)
    return StandingRule(unsafe, overriders, _next_test(written.test))


def part_rule(written: PartsSection | None) -> PartRule:
    """The rule a section states."""
    if written is None:
        return STRICTEST_PARTS
    best_with = {
        Outcome.HOLD: written.with_hold,
        Outcome.RECYCLE: written.with_recycle,
        Outcome.RETEST: written.with_retest,
    }
    return PartRule(best_with, _next_test(written.test))


def traceability_terms(written: TraceabilitySection | None) -> TraceabilityTerms | None:
    """The time limits a section states; None without the section."""
    if written is None:
        return None
    return TraceabilityTerms(written.calendar, written.working_days.model_dump())


def _next_test(written: DescribedTest | None) -> NextTest | None:
    return None if written is None else written.next_test()
