"""When the platform must be told of an event: the policy's working days, counted in its calendar."""

from datetime import datetime

from models.traceability import TraceabilityTerms
from serving.record.leaf import LeafKind
from serving.trace.working_days import calendar_named, due_on

UPLOAD_DUE_ON = "upload_due_on"
"""Name under which an event's body carries its date; the record puts every event that has one into the outbox."""


class DueDates:
    """The dates of one policy.

    Parameters
    ----------
    terms : TraceabilityTerms or None
        Time limits; None where the policy has none, then no event gets a date.

    Raises
    ------
    InvalidInput
        If there is no such calendar.
    """

    def __init__(self, terms: TraceabilityTerms | None) -> None:
        self._calendar = None if terms is None else calendar_named(terms.calendar)
        self._working_days = {} if terms is None else dict(terms.working_days)

    def of(self, kind: LeafKind, moment: datetime) -> dict[str, str]:
        """What the body of an event says of its date: nothing where it need not be reported.

        Parameters
        ----------
        kind : LeafKind
            Kind of event.
        moment : datetime
            When it happened, aware.
        """
        working_days = self._working_days.get(kind.value)
        if working_days is None or self._calendar is None:
            return {}
        return {UPLOAD_DUE_ON: due_on(moment, working_days, self._calendar).isoformat()}
