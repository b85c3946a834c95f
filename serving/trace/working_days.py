"""Working days and the due dates counted in them.

A calendar is data (`calendars/*.toml`): weekends, the days a state declares off and the weekend days
it has worked in exchange, per year with a source. A year without a table counts weekends only, and
the calendar says which years those are. Days are those of the calendar's own time zone.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

from features.errors import InvalidInput, Problem

MOST_WORKING_DAYS = 366

_CALENDARS = Path(__file__).parent / "calendars"
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CALENDAR_KEYS = {"name", "hours_ahead_of_utc", "weekend", "counting", "counting_source"}
_YEAR_KEYS = {"year", "status", "source", "off", "worked"}


@dataclass(frozen=True)
class Calendar:
    """The working days of one country.

    Attributes
    ----------
    name : str
        Word a policy names it by.
    zone : timezone
        Where its days begin and end.
    weekend : frozenset of int
        Days of the week that are off, Monday = 0.
    off : frozenset of date
        Days declared off, weekend days within them included.
    worked : frozenset of date
        Weekend days declared working days.
    sources : mapping of int to str
        Status and source of every year with a table.

    Raises
    ------
    InvalidInput
        If a day is off and worked at once, stands in a year without a table, or every weekday is off.
    """

    name: str
    zone: timezone
    weekend: frozenset[int]
    off: frozenset[date]
    worked: frozenset[date]
    sources: Mapping[int, str]

    def __post_init__(self) -> None:
        problems = [Problem(f"{day}", "must not be off and worked at once") for day in sorted(self.off & self.worked)]
        problems += [
            Problem(f"{day}", "must lie in a year with a table")
            for day in sorted(self.off | self.worked)
            if day.year not in self.sources
        ]
        problems += [
            Problem(f"{day}", "is a working day already")
            for day in sorted(self.worked)
            if day.weekday() not in self.weekend
        ]
        if not self.weekend < frozenset(range(len(_WEEKDAYS))):
            problems.append(Problem("weekend", "must leave a day to work"))
        if problems:
            raise InvalidInput(f"The calendar {self.name} contradicts itself.", problems, code="INVALID_CALENDAR")

    def is_working_day(self, day: date) -> bool:
        """Whether work is done on a day."""
        return day in self.worked or (day not in self.off and day.weekday() not in self.weekend)

    def day_of(self, moment: datetime) -> date:
        """Day of a moment where the calendar holds.

        Raises
        ------
        ValueError
            If the moment has no zone.
        """
        if moment.tzinfo is None:
            raise ValueError(f"{moment.isoformat()} has no time zone, so it has no day")
        return moment.astimezone(self.zone).date()

    def years_by_weekends_only(self, first: date, last: date) -> tuple[int, ...]:
        """Years between two days, both included, whose holidays are not known."""
        return tuple(year for year in range(first.year, last.year + 1) if year not in self.sources)


def due_on(moment: datetime, working_days: int, calendar: Calendar) -> date:
    """Last day on which a duty counted in working days is done in time.

    Parameters
    ----------
    moment : datetime
        When the event happened; aware. Its own day is not counted.
    working_days : int
        How many working days there are, 1 to 366.
    calendar : Calendar
        Which days those are.

    Returns
    -------
    date
        A working day. `Calendar.years_by_weekends_only` says whether holidays not yet announced may move it.

    Raises
    ------
    ValueError
        If the moment has no zone or the number is out of range.

    Notes
    -----
    Source: Civil Code of the PRC, article 201 (the first day is not counted).

    Examples
    --------
    Fifteen working days from Wednesday 2026-09-23, over the Mid-Autumn and National Day holidays:

    >>> from datetime import UTC
    >>> due_on(datetime(2026, 9, 23, 8, tzinfo=UTC), 15, calendar_named("china")).isoformat()
    '2026-10-21'
    """
    if not 1 <= working_days <= MOST_WORKING_DAYS:
        raise ValueError(f"working days must be 1 to {MOST_WORKING_DAYS}, not {working_days}")
    day = calendar.day_of(moment)
    for _ in range(working_days):
        day += timedelta(days=1)
        while not calendar.is_working_day(day):
            day += timedelta(days=1)
    return day


@cache
def calendar_named(name: str) -> Calendar:
    """The shipped calendar of a name.

    Raises
    ------
    InvalidInput
        If there is none, naming those there are.
    """
    names = sorted(file.stem for file in _CALENDARS.glob("*.toml"))
    if name not in names:
        problem = Problem("calendar", f"must be one of {', '.join(names)}", f"{name!r:.80}")
        raise InvalidInput("There is no such calendar.", [problem], code="INVALID_CALENDAR")
    return parsed_calendar((_CALENDARS / f"{name}.toml").read_text(encoding="utf-8"))


def parsed_calendar(text: str) -> Calendar:
    """Calendar written as TOML; keys it does not know are refused.

    Raises
    ------
    InvalidInput
        If the text is no calendar, or contradicts itself.
    """
    try:
        written = tomllib.loads(text)
        return _calendar(written["calendar"], written.get("years", []))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = Problem("calendar", "must hold [calendar] and [[years]] as the shipped ones do", f"{error!r:.80}")
        raise InvalidInput("The text is no calendar.", [problem], code="INVALID_CALENDAR") from error


def _calendar(written: Mapping[str, Any], years: list[Mapping[str, Any]]) -> Calendar:
    unknown = {*written} - _CALENDAR_KEYS | {key for year in years for key in {*year} - _YEAR_KEYS}
    if unknown:
        raise ValueError(f"unknown key {', '.join(sorted(unknown))}")
    return Calendar(
        name=written["name"],
        zone=timezone(timedelta(hours=written["hours_ahead_of_utc"])),
        weekend=frozenset(map(_weekday, written["weekend"])),
        off=frozenset(
            day for year in years for holiday in year["off"] for day in _days(holiday["from"], holiday["to"])
        ),
        worked=frozenset(day for year in years for day in year["worked"]),
        sources={year["year"]: f"{year['status']}: {year['source']}" for year in years},
    )


def _weekday(name: str) -> int:
    if name not in _WEEKDAYS:
        raise ValueError(f"{name} is no weekday")
    return _WEEKDAYS.index(name)


def _days(first: date, last: date) -> list[date]:
    if last < first:
        raise ValueError(f"a holiday ends on {last}, before it begins on {first}")
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
