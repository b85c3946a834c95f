from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from features.errors import UnreadableFile
from features.inspection_report import inspect_file
from features.line_plot import WIDTH, Panel, svg_plot

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def written(tmp_path: Path, text: str | bytes, name: str = "file.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("test_time_second,voltage_volt,current_ampere\n0,3.3,0\n1,3.4,1\n", "timeseries"),
        ("test_time_second,voltage_volt,current_ampere,cycle_count\n0,3.3,0,1\n1,3.4,1,1\n", "bdf"),
        ("Data_Point,Test_Time(s),Current(A),Voltage(V)\n1,0,0,3.3\n", "arbin"),
        ("Rec#\tStep\tTest (Sec)\tAmps\tVolts\tState\n1\t1\t0\t0\t3.3\tR\n", "maccor"),
        ("~Time[s]\tDataSet\tt-Step[s]\tLine\tCommand\tU[V]\tI[A]\n0\t1\t0\t3\tPause\t3.3\t0\n", "basytec"),
        ("mode\tNs\ttime/s\tEcell/V\tI/mA\n1\t0\t0.0\t3.3\t0.0\n", "biologic"),
        ("Index,TestTime/Sec.,Voltage/V,Current/mA,SysTime\n1,0,3.3,0,2024-01-01 00:00:00\n", "landt"),
    ],
)
def test_a_file_is_recognised_by_its_content_and_read_as_what_it_is(tmp_path: Path, text: str, word: str):
    inspection = inspect_file(written(tmp_path, text), NOW)

    assert inspection.kind.run_format == word
    assert inspection.run is not None
    assert inspection.extents()["voltage_volt"][0] == 3.3


def test_a_file_no_format_reads_is_described_and_one_that_breaks_a_rule_is_refused_with_the_reason(tmp_path: Path):
    unknown = inspect_file(written(tmp_path, "dear diary\n"), NOW)
    broken = inspect_file(
        written(tmp_path, "Data_Point,Test_Time(s),Current(A),Voltage(V)\n1,0,x,3.3\n2,1,x,3.3\n"), NOW
    )

    assert "it begins 'dear diary'" in unknown.kind.title
    assert (unknown.run, unknown.refusal, unknown.plot_svg()) == (None, None, "")
    assert broken.run is None
    assert "must hold a number" in str(broken.refusal)


def test_an_empty_file_and_a_damaged_archive_are_refused(tmp_path: Path):
    for content in (b"", b"PK\x03\x04damaged"):
        with pytest.raises(UnreadableFile):
            inspect_file(written(tmp_path, content), NOW)


def test_a_declared_format_is_not_second_guessed(tmp_path: Path):
    path = written(tmp_path, "test_time_second,voltage_volt,current_ampere\n0,3.3,0\n")

    assert inspect_file(path, NOW, "maccor").run is None
    assert inspect_file(path, NOW, "bdf").run is not None


def test_a_plot_of_a_long_record_keeps_a_single_odd_sample_and_escapes_what_a_file_is_called():
    values = np.zeros(100_000)
    values[50_000] = 9.0

    drawn = svg_plot("<script>", "second", np.arange(100_000.0), [Panel("current_ampere", values)])

    assert "<script>" not in drawn
    assert ">9<" in drawn
    assert drawn.count(",") < 4 * WIDTH
    highest = min(float(point.split(",")[1]) for point in drawn.split('points="')[1].split('"')[0].split())
    assert highest == pytest.approx(4.0)
