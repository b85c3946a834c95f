import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from serving.cli import EXIT_BAD_INPUT, EXIT_DONE, main

ARBIN = "Data_Point,Test_Time(s),Current(A),Voltage(V)\n" + "".join(f"{n},{n},0.5,3.3\n" for n in range(20))


@pytest.fixture
def arbin_file(tmp_path: Path) -> Path:
    path = tmp_path / "cell.csv"
    path.write_text(ARBIN + "20,20\n")
    return path


def test_inspect_says_what_the_file_is_what_was_read_and_what_was_dropped(
    arbin_file: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["inspect", str(arbin_file)]) == EXIT_DONE

    said = capsys.readouterr().out
    assert "an Arbin csv" in said
    assert "20 rows, timeseries" in said
    assert "tester.rows_uneven: 1 rows hold another number of cells" in said
    assert str(arbin_file.parent) not in said


def test_inspect_as_json_carries_both_languages_and_a_plot_is_well_formed_svg(
    arbin_file: Path, capsys: pytest.CaptureFixture[str]
):
    plot = arbin_file.with_suffix(".svg")
    assert main(["inspect", str(arbin_file), "--json", "--plot", str(plot)]) == EXIT_DONE

    answer = json.loads(capsys.readouterr().out)
    assert (answer["format"], answer["rows"]) == ("arbin", 20)
    assert set(answer["findings"][0]["message"]) == {"en", "zh"}
    assert ElementTree.fromstring(plot.read_text()).tag.endswith("svg")


def test_a_file_that_cannot_be_read_gives_the_reason_and_the_exit_code_of_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "note.txt").write_text("dear diary\n")

    assert main(["inspect", str(tmp_path / "note.txt")]) == EXIT_BAD_INPUT
    assert "no format reads it" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "absent.txt")]) == EXIT_BAD_INPUT
    assert "cannot be opened" in capsys.readouterr().err
