from pathlib import Path

import pandas as pd
import pytest

from features.errors import InvalidInput
from features.measurement import Inspection
from serving.batch.manifest import BatteryOrder
from serving.batch.outputs import abstentions_path, errors_path, require_report_path, summary, write_outputs
from serving.batch.result_row import ResultRow

ROWS = [
    ResultRow("a", "1" * 32, 0, "cascade", "A"),
    ResultRow("b", "2" * 32, 1, "retest", reasons="UNKNOWN_TYPE", next_test="capacity_test", next_test_minutes=360.0),
    ResultRow("c", "3" * 32, 2, "retest", reasons="UNDECIDED_AT_CUT", next_test="second_train", next_test_minutes=15.0),
    ResultRow("d", "4" * 32, 3, "retest", reasons="UNKNOWN_TYPE", next_test="capacity_test", next_test_minutes=360.0),
    ResultRow("e", "5" * 32, 4, "retest", reasons="UNKNOWN_TYPE"),
    ResultRow("f", "6" * 32, 5, "hold"),
    ResultRow("g", "7" * 32, 6, "recycle"),
    ResultRow("h", sequence=7, error="UNREADABLE_FILE  gone"),
    ResultRow("i", error="INVALID_INPUT  row 10"),
]
ORDERS = [BatteryOrder(row.battery_id, (n + 2, n + 20), None, Inspection(), ()) for n, row in enumerate(ROWS)]


def test_every_battery_is_in_exactly_one_count() -> None:
    done = summary(ROWS)
    assert done.outcomes == {"cascade": 1, "retest": 4, "hold": 1, "recycle": 1}
    assert (done.error_count, done.refused_count) == (2, 1)
    assert sum(done.outcomes.values()) + done.error_count == done.battery_count == len(ROWS)


def test_the_abstentions_say_which_tests_they_need_and_for_how_long() -> None:
    needed = summary(ROWS).needed_tests
    assert {test: each.battery_count for test, each in needed.items()} == {
        "capacity_test": 2,
        "none": 1,
        "second_train": 1,
    }
    assert needed["capacity_test"].bench_hours == 12.0
    assert summary(ROWS).bench_hours == 12.25


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_errors_and_abstentions_lie_beside_the_results(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"results.{suffix}"
    write_outputs(out, ORDERS, ROWS, (0.8,))
    read = pd.read_csv if suffix == "csv" else pd.read_parquet
    errors, waiting = read(errors_path(out)), read(abstentions_path(out))
    assert errors["battery_id"].tolist() == ["h", "i"]
    assert errors["manifest_rows"].tolist() == ["9;27", "10;28"]
    assert waiting["battery_id"].tolist() == ["b", "c", "d", "e"]
    assert waiting["next_test_minutes"].tolist()[:3] == [360.0, 15.0, 360.0]
    assert len(read(out)) == len(ROWS)
    assert not list(tmp_path.glob(".*"))


def test_a_batch_without_errors_leaves_an_empty_table_not_an_old_one(tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    write_outputs(out, ORDERS, ROWS, (0.8,))
    write_outputs(out, ORDERS[:1], ROWS[:1], (0.8,))
    assert errors_path(out).read_text() == "battery_id,manifest_rows,sequence,error\n"


def test_an_unwritable_report_is_refused_before_anything_is_graded(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"--report: must end in \.html"):
        require_report_path(tmp_path / "report.pdf")
    require_report_path(tmp_path / "report.html")
