"""``packgrade trace …``: tell the platform, see what it was told, try again, list what is late.

Delivery runs as a process of its own, beside the service and not inside it: a hanging platform then
costs no grading, either restarts without the other, and one dispatcher per record is enough however
many workers serve.
"""

import argparse
import asyncio
import json
import math
import random
import signal
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, date, datetime

from rich.console import Console
from rich.text import Text

from features.battery_code import known_battery_id
from features.errors import InvalidInput, Problem
from models.policy_file import load_policy
from serving.record.location import opened_store
from serving.record.store import RecordUnavailable, Store
from serving.settings import Settings
from serving.trace.book_location import opened_book
from serving.trace.delivery import Platform
from serving.trace.delivery_book import BookUnavailable, DeliveryBook
from serving.trace.dispatcher import Dispatcher, Pace
from serving.trace.outgoing import outgoing
from serving.trace.standing import Standing, Undelivered, overdue, standing
from serving.trace.working_days import Calendar, calendar_named

CALENDAR = "china"
"""Says which day it is where the policy has no time limits, of entries recorded under an earlier one."""

_REOPEN_AFTER_SECOND = 5.0
_EVENT_ID_DIGITS = 32


def deliver(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Tell the platform what is due; 0 if nothing is left to tell, 1 otherwise."""
    if settings.platform_url is None:
        problem = Problem("PACKGRADE_PLATFORM", "must name the capture address of the platform")
        raise InvalidInput("Nothing was sent: no platform is named.", [problem], code="INVALID_SETTINGS")
    with closing(opened_store(settings.record_file)) as store:
        _require_record(store)
        asyncio.run(_delivered(settings, store, watch=options.watch, told=_teller(console)))
        with closing(opened_book(settings.record_file)) as book:
            found = standing(store, book)
    console.print(Text(_counted(found)), soft_wrap=True)
    if found.next_attempts:
        console.print(Text(f"not served, left to the next run: {found.next_attempts[0].last_error}"), soft_wrap=True)
    return 0 if found.undelivered_count == 0 else 1


def status(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Print how far delivery is."""
    with closing(opened_store(settings.record_file)) as store:
        _require_record(store)
        with closing(opened_book(settings.record_file)) as book:
            found = standing(store, book)
    if options.json:
        print(json.dumps({**asdict(found), "undelivered": found.undelivered_count}, ensure_ascii=False, indent=2))
        return 0
    console.print(Text(_counted(found)), soft_wrap=True)
    if found.oldest is not None:
        console.print(Text(f"due first: {found.oldest.due_on}, {_named(found.oldest)}"), soft_wrap=True)
    if found.refused:
        title = "Refused: each holds back the batteries it names until `packgrade trace retry`"
        _print_list(console, title, found.refused)
    if found.next_attempts:
        _print_list(console, "Not served yet, sent again", found.next_attempts)
    return 0


def retry(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Make refused and put-off events due now."""
    with closing(opened_store(settings.record_file)) as store:
        _require_record(store)
        with closing(opened_book(settings.record_file)) as book:
            count = _tried_again(store, book, None if options.all else options.name, datetime.now(UTC))
    console.print(Text(f"{count} event(s) are due now; the next `packgrade trace deliver` sends them."))
    return 0


def late(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Print what should have been delivered by now; 1 if there is any."""
    terms = load_policy(settings.policy_file).traceability
    calendar = calendar_named(CALENDAR if terms is None else terms.calendar)
    on = options.on or calendar.day_of(datetime.now(UTC))
    with closing(opened_store(settings.record_file)) as store:
        _require_record(store)
        with closing(opened_book(settings.record_file)) as book:
            found = overdue(store, book, on)
    unknown = _unknown_years(found, calendar)
    if options.json:
        listed = [asdict(each) for each in found]
        print(json.dumps({"on": on.isoformat(), "overdue": listed, "years_by_weekends_only": unknown}, indent=2))
    elif found:
        _print_list(console, f"Overdue on {on}: {len(found)}", found)
    else:
        console.print(Text(f"Nothing is overdue on {on}."))
    if unknown and not options.json:
        years = ", ".join(map(str, unknown))
        console.print(Text(f"The holidays of {years} are not known: due dates there count weekends only."))
    return 1 if found else 0


async def _delivered(settings: Settings, store: Store, *, watch: bool, told: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(ending, stop.set)
    async with Platform(str(settings.platform_url), settings.platform_token) as platform:
        while True:
            try:
                await _run(settings, store, platform, stop, watch=watch, told=told)
                return
            except (RecordUnavailable, BookUnavailable) as error:
                if not watch:
                    raise
                told(f"{error} Trying again in {_REOPEN_AFTER_SECOND:.0f} s.")
            if await _stopped_within(stop, _REOPEN_AFTER_SECOND):
                return


async def _run(
    settings: Settings,
    store: Store,
    platform: Platform,
    stop: asyncio.Event,
    *,
    watch: bool,
    told: Callable[[str], None],
) -> None:
    pace = Pace(patience_second=math.inf if watch else 0.0)
    with closing(opened_book(settings.record_file)) as book:
        dispatcher = Dispatcher(
            store,
            book,
            platform,
            outgoing,
            clock=lambda: datetime.now(UTC),
            chance=random.Random(),
            pace=pace,
            told=told,
        )
        await dispatcher.run(stop)


async def _stopped_within(stop: asyncio.Event, second: float) -> bool:
    try:
        await asyncio.wait_for(stop.wait(), second)
    except TimeoutError:
        return False
    return True


def _require_record(store: Store) -> None:
    """See that the record can be read before anything is made beside it."""
    with store.reading() as reader:
        reader.head()


def _tried_again(store: Store, book: DeliveryBook, name: str | None, now: datetime) -> int:
    if name is None:
        return book.try_again(now)
    identifier = name.removeprefix("urn:uuid:").replace("-", "").lower()
    with store.reading() as reader:
        leaf = reader.by_event_id(identifier) if len(identifier) == _EVENT_ID_DIGITS else None
        battery_id = known_battery_id(name)
        known = leaf is not None or reader.battery_head(battery_id) is not None
    if not known:
        problem = Problem("EVENT|BATTERY", "must be an event or a battery of the record", name[:80])
        raise InvalidInput("Nothing is tried again.", [problem])
    return book.try_again(now, sequence=leaf.sequence) if leaf else book.try_again(now, battery_id=battery_id)


def _unknown_years(found: Iterable[Undelivered], calendar: Calendar) -> list[int]:
    days = [date.fromisoformat(each.due_on) for each in found]
    return sorted({year for day in days for year in calendar.years_by_weekends_only(day, day)})


def _counted(found: Standing) -> str:
    counts = found.counts
    return (
        f"{counts['delivered']} delivered, {found.undelivered_count} not: {counts['new']} new, {counts['ready']} to be "
        f"sent, {counts['waiting']} waiting for an earlier one of a battery they name, {counts['refused']} refused"
    )


def _named(each: Undelivered) -> str:
    return f"entry {each.sequence} ({each.event_id}) of {each.battery_id}, {each.state}"


def _print_list(console: Console, title: str, found: Iterable[Undelivered]) -> None:
    """One line an event, as wide as it is: the platform's words stay in one piece in a file or a pipe too."""
    console.print(Text(title), soft_wrap=True)
    for each in found:
        again = f", again at {each.next_attempt_at}" if each.next_attempt_at else ""
        said = f": {each.last_error}" if each.last_error else ""
        line = f"  due {each.due_on}, {_named(each)}, sent {each.attempts}x{again}{said}"
        console.print(Text(line), soft_wrap=True)


def _teller(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(Text(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}  {line}"), soft_wrap=True)


COMMANDS: dict[str, Callable[[argparse.Namespace, Settings, Console], int]] = {
    "deliver": deliver,
    "status": status,
    "retry": retry,
    "overdue": late,
}
