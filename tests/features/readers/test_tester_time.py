import numpy as np
import pytest

from features.measurement import FloatArray
from features.readers.tester_columns import Moments
from features.readers.tester_time import TimeStepsBack, WrittenTime, monotone_second


def clock(*seconds: float) -> Moments:
    stamps = (np.array(seconds) * 1e6).astype(np.int64).astype("datetime64[us]")
    return Moments(stamps, has_zone=False)


def array(*values: float) -> FloatArray:
    return np.array(values, dtype=np.float64)


def begins(*rows: int, count: int) -> np.ndarray:
    return np.isin(np.arange(count), [0, *rows])


def test_a_test_time_that_rises_is_left_as_it_is():
    seconds, findings = monotone_second(WrittenTime(array(5, 6, 9), None, None, begins(count=3)))

    assert seconds.tolist() == [5.0, 6.0, 9.0]
    assert findings == []


def test_rows_of_one_moment_are_set_apart_in_file_order_by_at_most_a_microsecond():
    seconds, findings = monotone_second(WrittenTime(array(0, 10, 10, 10, 20), None, None, begins(2, count=5)))

    assert (np.diff(seconds) > 0.0).all()
    assert np.abs(seconds - array(0, 10, 10, 10, 20)).max() <= 2.1e-6
    assert [each.code for each in findings] == ["tester.rows_at_one_moment"]


def test_step_times_are_put_after_one_another_and_a_pause_is_taken_from_the_clock():
    written = array(0, 10, 1, 10, 1, 5)
    steps = begins(2, 4, count=6)

    plain, guessed = monotone_second(WrittenTime(None, written, None, steps))
    paused, known = monotone_second(WrittenTime(None, written, clock(0, 10, 11, 20, 621, 625), steps))

    assert plain.tolist() == [0.0, 10.0, 11.0, 20.0, 21.0, 25.0]
    assert paused.tolist() == [0.0, 10.0, 11.0, 20.0, 621.0, 625.0]
    assert (guessed[0].code, guessed[0].severity) == ("tester.time_rebuilt", "caution")
    assert (known[0].code, known[0].severity) == ("tester.time_rebuilt", "note")


def test_a_new_step_of_later_step_time_than_the_last_is_a_restart_too_once_the_time_is_known_to_restart():
    seconds, _ = monotone_second(WrittenTime(None, array(0, 20, 0, 0, 30), None, begins(2, 3, 4, count=5)))

    assert seconds[-1] == pytest.approx(50.0)


def test_time_that_steps_back_in_the_middle_of_a_step_is_refused_with_its_row():
    with pytest.raises(TimeStepsBack) as caught:
        monotone_second(WrittenTime(array(0, 100, 90, 110), None, None, begins(count=4)))

    assert caught.value.row == 2


def test_a_restart_with_a_clock_that_goes_back_is_refused():
    with pytest.raises(TimeStepsBack):
        monotone_second(WrittenTime(array(0, 10, 0, 10), None, clock(100, 110, 50, 60), begins(2, count=4)))


def test_a_file_with_a_clock_alone_is_read_by_it_and_a_shared_second_is_divided():
    seconds, findings = monotone_second(WrittenTime(None, None, clock(100, 101, 101, 102), begins(count=4)))

    assert seconds.tolist() == [0.0, 1.0, 1.5, 2.0]
    assert findings[0].code == "tester.time_from_clock"
    with pytest.raises(TimeStepsBack):
        monotone_second(WrittenTime(None, None, clock(100, 99), begins(count=2)))


def test_a_pause_that_the_test_time_does_not_count_is_named_and_a_rounded_clock_is_not():
    steps = begins(count=3)
    _, paused = monotone_second(WrittenTime(array(0, 1, 2), None, clock(0, 1, 602), steps))
    _, rounded = monotone_second(WrittenTime(array(0, 1, 2), None, clock(0, 2, 3), steps))

    assert paused[0].evidence["paused_second"] == pytest.approx(600.0)
    assert rounded == []


def test_a_test_of_many_years_is_doubted():
    _, findings = monotone_second(WrittenTime(array(0, 5e8), None, None, begins(count=2)))

    assert [each.code for each in findings] == ["tester.test_implausibly_long"]
