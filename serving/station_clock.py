"""What a station's own clock said, held against ours: a fact for the record, never an order.

Entries are ordered by their index alone. A station clock that is wrong costs nobody a decision; the
entry says by how much it was off, so that measurements stamped with it can be judged.
"""

from datetime import datetime
from typing import Any

TOLERANCE_SECOND = 300.0
"""Beyond this a clock is not merely late: a battery of the clock is empty, or a zone is set wrong. [s]"""


def clock_note(station_clock: datetime | None, moment: datetime) -> dict[str, Any]:
    """Return what an entry's body says of a station clock: nothing where it agrees with ours.

    Parameters
    ----------
    station_clock : datetime or None
        What the station's clock said, aware; None if it said nothing.
    moment : datetime
        What ours said on receipt, aware.

    Examples
    --------
    >>> from datetime import UTC
    >>> clock_note(datetime(2026, 11, 22, 8, 40, tzinfo=UTC), datetime(2026, 11, 22, 8, 30, tzinfo=UTC))
    {'station_clock_note': {'ahead_second': 600.0, 'tolerance_second': 300.0}}
    """
    if station_clock is None:
        return {}
    ahead_second = (station_clock - moment).total_seconds()
    if abs(ahead_second) <= TOLERANCE_SECOND:
        return {}
    return {"station_clock_note": {"ahead_second": ahead_second, "tolerance_second": TOLERANCE_SECOND}}
