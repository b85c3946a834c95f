from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InvalidInput
from serving.trace.working_days import calendar_named, due_on, parsed_calendar

CHINA = calendar_named("china")
START = datetime(2025, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 5 * 365 * 86_400).map(lambda second: START + timedelta(seconds=second))
SMALL = """
[calendar]
name = "small"
hours_ahead_of_utc = 8
weekend = ["saturday", "sunday"]

[[years]]
year = 2026
status = "in force"
source = "a notice"
off = [{ name = "spring", from = 2026-04-06, to = 2026-04-07 }]
worked = [2026-04-11]
"""


@pytest.mark.parametrize(
    ("day", "works"),
    [
        (date(2026, 2, 14), True),  # a Saturday worked for the Spring Festival
        (date(2026, 2, 16), False),  # a Monday inside it
        (date(2026, 2, 24), True),
        (date(2026, 10, 10), True),
        (date(2026, 10, 11), False),
        (date(2025, 10, 8), False),
        (date(2025, 9, 28), True),
        (date(2026, 11, 23), True),
        (date(2027, 10, 1), True),  # a year without a table knows weekends only
        (date(2027, 10, 2), False),
    ],
)
def test_a_day_is_worked_as_the_notice_of_its_year_says(day, works):
    assert CHINA.is_working_day(day) is works


@pytest.mark.parametrize(("year", "days_off", "days_worked"), [(2025, 28, 5), (2026, 33, 6)])
def test_a_year_has_the_days_off_and_the_worked_weekends_of_its_notice(year, days_off, days_worked):
    assert len([day for day in CHINA.off if day.year == year]) == days_off
    assert len([day for day in CHINA.worked if day.year == year]) == days_worked


def test_fifteen_working_days_over_the_national_day_end_in_the_third_week_of_october():
    assert due_on(datetime(2026, 9, 23, 8, tzinfo=UTC), 15, CHINA) == date(2026, 10, 21)


def test_the_day_of_an_event_is_the_day_in_china():
    late_in_utc, next_day_in_china = datetime(2026, 11, 23, 16, tzinfo=UTC), date(2026, 11, 25)
    assert due_on(late_in_utc, 1, CHINA) == next_day_in_china
    assert due_on(late_in_utc - timedelta(seconds=1), 1, CHINA) == date(2026, 11, 24)


def test_a_due_date_that_reaches_a_year_without_a_table_names_the_year():
    first, due = date(2026, 12, 1), due_on(datetime(2026, 12, 1, tzinfo=UTC), 30, CHINA)
    assert due == date(2027, 1, 12)
    assert CHINA.years_by_weekends_only(first, due) == (2027,)
    assert CHINA.years_by_weekends_only(first, date(2026, 12, 31)) == ()


@given(MOMENTS, st.integers(1, 60))
def test_a_due_date_is_a_working_day_with_exactly_that_many_working_days_up_to_it(moment, working_days):
    began, due = CHINA.day_of(moment), due_on(moment, working_days, CHINA)
    between = [began + timedelta(days=n) for n in range(1, (due - began).days + 1)]
    assert CHINA.is_working_day(due)
    assert sum(map(CHINA.is_working_day, between)) == working_days


@given(MOMENTS, MOMENTS, st.integers(1, 60))
def test_a_later_event_and_a_longer_time_are_never_due_earlier(one, other, working_days):
    earlier, later = sorted((one, other))
    assert due_on(earlier, working_days, CHINA) <= due_on(later, working_days, CHINA)
    assert due_on(earlier, working_days, CHINA) < due_on(earlier, working_days + 1, CHINA)


def test_a_holiday_and_a_worked_saturday_move_a_due_date_and_a_table_without_them_does_not():
    friday = datetime(2026, 4, 3, tzinfo=UTC)
    assert due_on(friday, 4, parsed_calendar(SMALL)) == date(2026, 4, 11)
    bare = SMALL.replace('{ name = "spring", from = 2026-04-06, to = 2026-04-07 }', "").replace("2026-04-11", "")
    assert due_on(friday, 4, parsed_calendar(bare)) == date(2026, 4, 9)


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ("worked = [2026-04-11]", "worked = [2026-04-06]", "must not be off and worked at once"),
        ("worked = [2026-04-11]", "worked = [2026-04-10]", "is a working day already"),
        ("worked = [2026-04-11]", "worked = [2027-04-10]", "must lie in a year with a table"),
        ("to = 2026-04-07", "to = 2026-04-05", "ends on 2026-04-05"),
        ("hours_ahead_of_utc = 8", "colour = 8", "colour"),
        ('["saturday", "sunday"]', '["caturday"]', "caturday"),
        ("[calendar]", "[calendars]", "calendar"),
        ("year = 2026", "year 2026", "calendar"),
        (
            '["saturday", "sunday"]',
            '["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]',
            "must leave a day to work",
        ),
    ],
)
def test_a_calendar_that_contradicts_itself_is_refused(was, becomes, complaint):
    with pytest.raises(InvalidInput, match=complaint) as caught:
        parsed_calendar(SMALL.replace(was, becomes))
    assert caught.value.code == "INVALID_CALENDAR"


def test_an_unknown_calendar_is_refused_naming_those_there_are():
    with pytest.raises(InvalidInput, match="must be one of china"):
        calendar_named("../china")


@pytest.mark.parametrize("working_days", [0, -1, 367])
def test_a_number_of_working_days_out_of_range_is_refused(working_days):
    with pytest.raises(ValueError, match="must be 1 to 366"):
        due_on(datetime(2026, 1, 1, tzinfo=UTC), working_days, CHINA)


def test_a_moment_without_a_zone_has_no_due_date():
    with pytest.raises(ValueError, match="no time zone"):
        due_on(datetime(2026, 1, 1), 15, CHINA)  # noqa: DTZ001 - the missing zone is the point
