"""``packgrade batch`` as it is typed."""

import io
import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from serving.batch.slices import InProcess
from serving.batch_progress import BatchProgress, told_line
from serving.cli import main
from serving.grading import Grader
from tests.support.batch_fleet import simulated_cells, written_fleet


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACKGRADE_RECORD", str(tmp_path / "record.sqlite"))
    return written_fleet(tmp_path, simulated_cells(5))


def test_a_batch_leaves_results_errors_abstentions_and_a_report(
    fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(fleet)
    table.loc[1, "run_path"] = "gone.parquet"
    table.loc[2, "rated_capacity_ah"] = 60.0
    table.to_csv(fleet, index=False)
    assert main(["batch", "manifest.csv", "--out", "results.csv", "--report", "fleet.html", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["batteries"] == len(pd.read_csv("results.csv")) == 5
    assert sum(told["outcomes"].values()) + told["errors"] == 5
    assert (told["errors"], told["refused"], told["outcomes"]["retest"]) == (1, 1, 1)
    assert told["needed_tests"] == {"capacity_test": {"battery_count": 1, "bench_hours": told["bench_hours"]}}
    assert pd.read_csv("results.errors.csv")["battery_id"].tolist() == ["CELL-0001"]
    assert pd.read_csv("results.retest.csv")["battery_id"].tolist() == ["CELL-0002"]
    assert "5 batteries graded" in Path("fleet.html").read_text()


def test_the_counts_the_bench_hours_and_the_files_are_printed_unless_quiet(
    fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.read_csv(fleet).assign(rated_capacity_ah=60.0).to_csv(fleet, index=False)
    assert main(["batch", "manifest.csv", "--out", "results.csv"]) == 0
    printed = capsys.readouterr()
    assert "retest: 5 by capacity_test, 30.0 h on the bench" in printed.out
    assert "results: results.csv, results.errors.csv, results.retest.csv" in printed.out
    assert "5/5 graded: 5 retest" in printed.err
    assert main(["batch", "manifest.csv", "--out", "results.csv", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--address", "ray:6379"], "--address: goes with --engine ray"),
        (["--batteries", "packs.csv"], "--batteries: goes with a folder or a pattern"),
        (["--report", "fleet.pdf"], "--report: must end in .html"),
    ],
)
def test_options_that_do_not_go_together_grade_nothing(
    fleet: Path, more: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", "manifest.csv", "--out", "results.csv", *more]) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())
    assert not Path("results.csv").exists()


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_the_extra_ray_is_refused_by_name(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", "manifest.csv", "--out", "results.csv", "--engine", "ray"]) == 2
    assert "packgrade[ray]" in capsys.readouterr().err


@pytest.mark.parametrize("count", ["0", "257", "two"])
def test_the_number_of_workers_is_bounded(fleet: Path, count: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["batch", "manifest.csv", "--out", "results.csv", "--workers", count])
    assert ended.value.code == 2


def test_progress_tells_counts_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert told_line(90, Counter(cascade=7, retest=3), 5.0) == "7 cascade, 3 retest; 5.0/s, 18 s left"
    assert told_line(100, Counter(), 0.0) == ""
    engine = InProcess(grader=_no_grader())
    engine.lost_workers = 2
    with BatchProgress(Console(file=io.StringIO()), 10, engine, quiet=False) as progress:
        progress.tell(5, Counter(cascade=5), 5)
        progress.tell(10, Counter(cascade=10), 10)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("10/10 graded: 10 cascade")
    assert "2 worker(s) died" in line


def _no_grader() -> Grader:
    """A grader nobody asks."""
    return object.__new__(Grader)
