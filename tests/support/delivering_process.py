"""A dispatcher in a process of its own, to be killed: ``python -m tests.support.delivering_process RECORD URL SEED``.

It retries within milliseconds, so that a test sees many failures in little time. It ends when everything
is delivered or refused, or when it is killed.
"""

import asyncio
import random
import sys
from datetime import UTC, datetime

from serving.record.location import RecordLocation, opened_store, record_location
from serving.trace.book_location import opened_book
from serving.trace.delivery import Platform
from serving.trace.dispatcher import Dispatcher, Pace
from serving.trace.outgoing import outgoing
from serving.trace.schedule import Backoff

EAGER = Pace(
    at_a_time=8,
    poll_second=0.02,
    patience_second=5.0,
    event_backoff=Backoff(0.01, 0.1),
    platform_backoff=Backoff(0.01, 0.05),
)
IMPATIENT_SECOND = 0.5
"""Time for one attempt at a platform that hangs now and then. [s]"""


async def deliver(record: RecordLocation, url: str, seed: int, timeout_second: float) -> None:
    """Deliver until there is nothing left that may be sent."""
    book = opened_book(record)
    async with Platform(url, timeout_second=timeout_second) as platform:
        clock, chance = (lambda: datetime.now(UTC)), random.Random(seed)
        dispatcher = Dispatcher(opened_store(record), book, platform, outgoing, clock=clock, chance=chance, pace=EAGER)
        await dispatcher.run(asyncio.Event())
    book.close()


if __name__ == "__main__":
    asyncio.run(deliver(record_location(sys.argv[1]), sys.argv[2], int(sys.argv[3]), IMPATIENT_SECOND))
