import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.trace.answer import Answer, Fate, answer_of, answer_of_job, one_line
from serving.trace.schedule import LONGEST_RETRY_AFTER_SECOND, Backoff, Pause, retry_after_second

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


@given(st.integers(1, 10_000), st.integers())
def test_a_wait_lies_between_nothing_and_a_ceiling_that_doubles_up_to_its_longest(failures, seed):
    wait = Backoff(2.0, 600.0).wait_second(failures, random.Random(seed))
    assert 0.0 <= wait <= min(600.0, 2.0 * 2.0 ** min(failures - 1, 60))


def test_waits_fill_their_whole_range_so_that_stations_do_not_come_back_together():
    chance = random.Random(1)
    waits = [Backoff(2.0, 600.0).wait_second(5, chance) for _ in range(2000)]
    assert min(waits) < 1.0
    assert max(waits) > 31.0
    assert sum(waits) / len(waits) == pytest.approx(16.0, rel=0.05)


def test_one_failure_holds_nobody_back_and_the_second_in_a_row_does():
    pause = Pause(Backoff(8.0, 8.0), random.Random(1))
    pause.failed(sent_at=0.0, now=1.0)
    assert pause.left_second(1.0) == 0.0
    pause.failed(sent_at=2.0, now=3.0)
    assert 0.0 < pause.left_second(3.0) <= 8.0
    assert pause.left_second(11.0) == 0.0


def test_a_success_ends_a_pause_and_the_count_begins_anew():
    pause = Pause(Backoff(8.0, 8.0), random.Random(1))
    pause.failed(0.0, 1.0)
    pause.failed(2.0, 3.0)
    pause.succeeded()
    assert pause.left_second(3.0) == 0.0
    pause.failed(4.0, 5.0)
    assert pause.left_second(5.0) == 0.0


def test_failures_of_what_was_under_way_together_count_once():
    together, one_by_one = (Pause(Backoff(1.0, 1e9), random.Random(1)) for _ in range(2))
    for _ in range(20):
        together.failed(sent_at=0.0, now=1.0)
    assert together.left_second(1.0) == 0.0
    for n in range(20):
        one_by_one.failed(sent_at=n + 0.5, now=n + 1.0)
    assert one_by_one.left_second(20.0) > 100.0


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("999999999999999999", LONGEST_RETRY_AFTER_SECOND),
        ("Sun, 22 Nov 2026 08:02:00 GMT", 120.0),
        ("Sun, 22 Nov 2026 07:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("１２", None),
        ("", None),
        (None, None),
    ],
)
def test_a_platform_says_in_seconds_or_as_a_date_when_to_come_again(text, second):
    assert retry_after_second(text, NOW) == second


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (200, Fate.DELIVERED),
        (201, Fate.DELIVERED),
        (202, Fate.DELIVERED),
        (301, Fate.LATER),
        (400, Fate.REFUSED),
        (401, Fate.LATER),
        (403, Fate.LATER),
        (404, Fate.LATER),
        (408, Fate.LATER),
        (409, Fate.REFUSED),
        (413, Fate.REFUSED),
        (422, Fate.REFUSED),
        (425, Fate.LATER),
        (429, Fate.LATER),
        (500, Fate.LATER),
        (503, Fate.LATER),
        (599, Fate.LATER),
    ],
)
def test_a_status_decides_whether_an_event_is_delivered_sent_again_or_refused(status, fate):
    assert answer_of(status, {}, b"", NOW).fate is fate


def test_the_id_of_a_capture_is_taken_from_the_location_or_the_body():
    assert answer_of(202, {"Location": "https://p.example/capture/17"}, b"", NOW).answer_id == "17"
    assert answer_of(202, {}, b'{"captureID": "18"}', NOW).answer_id == "18"
    assert answer_of(202, {}, b"[" * 100_000, NOW) == Answer(Fate.DELIVERED)
    assert answer_of(200, {}, b"\xff\xfe", NOW) == Answer(Fate.DELIVERED)


def test_a_busy_platform_says_how_long_everybody_is_to_wait():
    assert answer_of(429, {"Retry-After": "60"}, b"", NOW).retry_after_second == 60.0


def test_what_a_platform_says_is_kept_as_one_short_printable_line():
    said = answer_of(422, {}, "电池未知\n\x1b[31mred\x00".encode() + b"x" * 100_000, NOW).said
    assert said.startswith("HTTP 422: 电池未知 [31mred xxx")
    assert len(said) == 400
    assert one_line("\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace")).isprintable()


def test_a_capture_job_says_nothing_while_it_runs():
    assert answer_of_job({"running": True, "success": False}, "17") is None
    assert answer_of_job({"running": False, "success": True, "errors": []}, "17") == Answer(Fate.DELIVERED, "", "17")


def test_a_capture_job_that_failed_because_the_event_is_there_delivered_it():
    errors = [{"type": "epcisException:ResourceAlreadyExistsException"}]
    assert answer_of_job({"running": False, "success": False, "errors": errors}, "1").fate is Fate.DELIVERED  # type: ignore[union-attr]
