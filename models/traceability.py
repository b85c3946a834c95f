"""When events must reach the traceability platform: working days by kind, and whose holidays count. Values only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from features.errors import Problem

UPLOADED_KINDS = ("decision", "correction", "outcome", "association", "recoding")
"""Kinds of event that are reported, as the record names them."""

LONGEST_WORKING_DAYS = 250
"""About a year; a longer limit is a slip. [d]"""


@dataclass(frozen=True, slots=True)
class TraceabilityTerms:
    """Time limits of a policy.

    Attributes
    ----------
    calendar : str
        Name of the table of holidays.
    working_days : mapping of str to int
        Working days from an event to its upload, for every one of `UPLOADED_KINDS`. [d]
    """

    calendar: str
    working_days: Mapping[str, int]

    def problems(self) -> Iterator[Problem]:
        """What is not sound: every kind that is reported has its time."""
        for kind in UPLOADED_KINDS:
            days = self.working_days.get(kind, 0)
            if not 1 <= days <= LONGEST_WORKING_DAYS:
                rule = f"must be between 1 and {LONGEST_WORKING_DAYS} working days"
                yield Problem(f"traceability.working_days.{kind}", rule, str(days))
