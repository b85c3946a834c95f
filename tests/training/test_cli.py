import pytest

from tests.training.synthetic_pulses import synthetic_rows, write_public_layout
from training.cli import REFERENCE_PLAN, main


def test_a_missing_plan_is_one_sentence_and_exit_code_1(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "none.toml"), "--no-tracking"]) == 1
    assert "PLAN_NOT_READABLE  Plan none.toml was not loaded." in capsys.readouterr().err


def test_data_that_are_not_there_are_named(tmp_path, capsys):
    assert main(["evaluate", "--data-dir", str(tmp_path), "--no-tracking"]) == 1
    assert "DATASET_NOT_READABLE" in capsys.readouterr().err


def test_wrong_usage_is_exit_code_2():
    with pytest.raises(SystemExit) as stopped:
        main(["promote", "--everything"])
    assert stopped.value.code == 2


def test_run_prints_figures_against_their_targets_and_registers_a_challenger(tmp_path, empty_store, capsys):
    plan = tmp_path / "plan.toml"
    text = REFERENCE_PLAN.read_text(encoding="utf-8")
    small = {
        "centre_count = 900": "centre_count = 10",
        "round_count = 160": "round_count = 10",
        "round_count = 120": "round_count = 10",
        "fold_count = 10": "fold_count = 3",
        '"LFP20", "LFP35", "LMO10", "NMC2.1", "NMC21"': '"NMC21"',
    }
    for old, new in small.items():
        text = text.replace(old, new)
    plan.write_text(text, encoding="utf-8")
    data = write_public_layout(synthetic_rows(16), tmp_path / "data")
    where = ["--data-dir", str(data), "--tracking-uri", f"sqlite:///{empty_store}"]
    assert main(["run", str(plan), "--out", str(tmp_path / "bundle"), *where]) == 0
    printed = capsys.readouterr().out
    assert "Registered packgrade-pulse version 1" in printed
    assert "<= 2.4 %" in printed
    assert "mlflow ui --backend-store-uri sqlite:///" in printed.replace("\n", "")
    assert (tmp_path / "bundle" / "manifest.json").is_file()
