from pathlib import Path

import pytest

from features.errors import UnreadableFile
from features.readers.testers import read_tester

HEAD = "Data_Point,Date_Time,Test_Time(s),Step_Index,Current(A),Voltage(V)\n"
ROWS = [f"{n},2024-01-01 00:00:{n:02d},{n},1,0.5,{3.3 + n / 1000}\n" for n in range(10)]


def reading_of(tmp_path: Path, rows: list[str]):
    path = tmp_path / "test.csv"
    path.write_text(HEAD + "".join(rows))
    return read_tester(path, "arbin")


def test_a_row_that_stands_there_twice_is_left_out_with_its_count(tmp_path: Path):
    reading = reading_of(tmp_path, [*ROWS[:5], *ROWS[3:]])

    assert reading.table.floats("test_time_second").tolist() == [float(n) for n in range(10)]
    finding = next(each for each in reading.findings if each.code == "tester.rows_repeated")
    assert finding.evidence["row_count"] == 2


def test_a_file_joined_with_itself_is_read_once(tmp_path: Path):
    assert reading_of(tmp_path, ROWS * 2).table.sha256 == reading_of(tmp_path, ROWS).table.sha256


def test_two_records_that_measured_the_same_at_one_moment_both_stay(tmp_path: Path):
    twice = ROWS[2].replace("2,2024", "99,2024", 1)

    reading = reading_of(tmp_path, [*ROWS[:3], twice, *ROWS[3:]])

    assert reading.table.row_count == 11
    assert "tester.rows_at_one_moment" in [each.code for each in reading.findings]


def test_blocks_in_the_wrong_order_are_put_right_where_the_clock_agrees_and_refused_where_it_does_not(tmp_path: Path):
    reading = reading_of(tmp_path, [*ROWS[5:], *ROWS[:5]])
    assert reading.table.sha256 == reading_of(tmp_path, ROWS).table.sha256
    assert "tester.rows_out_of_order" in [each.code for each in reading.findings]

    unclocked = [row.replace(row.split(",")[1], "") for row in ROWS]
    with pytest.raises(UnreadableFile, match="steps back although no restart shows"):
        reading_of(tmp_path, [*unclocked[:5], *unclocked[8:], *unclocked[5:8]])


def test_a_discharge_written_as_positive_without_a_state_is_refused(tmp_path: Path):
    rest_then_discharge = [f"{n},,{n},1,{0 if n < 5 else 2},{3.3 if n < 5 else 3.2}\n" for n in range(10)]

    with pytest.raises(UnreadableFile, match="is discharge written as positive"):
        reading_of(tmp_path, rest_then_discharge)
