"""When something that failed is tried again. Numbers only: the clock and the chance are arguments.

Waits grow exponentially and are drawn evenly from zero to their ceiling (full jitter), so that
stations that lost the platform at the same moment do not come back at the same moment. All waits are
in seconds.
"""

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_RETRY_AFTER_SECOND = 86_400.0
"""A platform may ask for a day, not for more: a mistaken header must not end delivery. [s]"""

_MOST_DOUBLINGS = 60


@dataclass(frozen=True, slots=True)
class Backoff:
    """How the wait grows from failure to failure.

    Attributes
    ----------
    first_second : float
        Ceiling of the wait after the first failure. [s]
    longest_second : float
        Ceiling that is never passed. [s]
    """

    first_second: float = 2.0
    longest_second: float = 3600.0

    def wait_second(self, failures: int, chance: random.Random) -> float:
        """Wait after so many failures, drawn anew on every call.

        Parameters
        ----------
        failures : int
            Failures so far, from 1.
        chance : random.Random
            Where the draw comes from.

        Returns
        -------
        float
            From 0 to the ceiling. [s]

        Examples
        --------
        >>> Backoff(2.0, 60.0).wait_second(3, random.Random(1)) <= 8.0
        True
        """
        doublings = min(failures - 1, _MOST_DOUBLINGS)
        return chance.uniform(0.0, min(self.longest_second, self.first_second * 2.0**doublings))


class Pause:
    """Holds everything back while the platform serves nobody.

    One failure may be the fault of one event and holds nothing back. From the second in a row on, with
    no success between them, nothing is sent for a growing while; failures of what was already under way
    when a pause began count once with it.

    Moments are seconds of a clock that is never set (`time.monotonic`).
    """

    def __init__(self, backoff: Backoff, chance: random.Random) -> None:
        self._backoff = backoff
        self._chance = chance
        self._failures = 0
        self._counted_at = -math.inf
        self._until = -math.inf

    def succeeded(self) -> None:
        """Somebody was served."""
        self._failures = 0
        self._counted_at = self._until = -math.inf

    def failed(self, sent_at: float, now: float) -> None:
        """Something sent at a moment was not served."""
        if sent_at < self._counted_at:
            return
        self._counted_at = now
        self._failures += 1
        if self._failures > 1:
            self.hold(now, self._backoff.wait_second(self._failures - 1, self._chance))

    def hold(self, now: float, wait_second: float) -> None:
        """Send nothing for a while, or longer if that was said before."""
        self._until = max(self._until, now + wait_second)

    def left_second(self, now: float) -> float:
        """Return how long nothing is sent from now on. [s]."""
        return max(0.0, self._until - now)


def retry_after_second(text: str | None, now: datetime) -> float | None:
    """Wait a ``Retry-After`` header asks for.

    Parameters
    ----------
    text : str or None
        Its value, seconds or an HTTP date (RFC 9110, 10.2.3).
    now : datetime
        Aware.

    Returns
    -------
    float or None
        From 0 to a day [s]; None without a header that can be read.

    Examples
    --------
    >>> retry_after_second("120", datetime(2026, 11, 22, tzinfo=UTC))
    120.0
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_RETRY_AFTER_SECOND)
    try:
        named = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = named if named.tzinfo else named.replace(tzinfo=UTC)
    return min(max(0.0, (aware - now).total_seconds()), LONGEST_RETRY_AFTER_SECOND)


def utc_text(moment: datetime) -> str:
    """Moment as text that sorts as it passes, such as ``2026-11-22T08:30:00.000000Z``."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
