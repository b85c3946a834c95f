"""The commands around training as they are typed: exit codes, what is printed, what is written."""

from pathlib import Path

import pytest

from models.bundle import Bundle, load_bundle
from tests.training.outcome_rows import METHOD, outcome_rows, write
from tests.training.synthetic_pulses import SyntheticType, synthetic_rows, write_own_tables
from training.cli import main


def test_fetch_refuses_a_folder_without_the_files_and_names_them(tmp_path: Path, capsys) -> None:
    assert main(["fetch", "pulsebat", "--from", str(tmp_path), "--to", str(tmp_path / "to")]) == 1
    assert "LMO_10Ah_W_5000.xlsx" in capsys.readouterr().err
    assert main(["fetch", "pulsbat", "--to", str(tmp_path)]) == 1
    assert "must be one of pulsebat" in capsys.readouterr().err


def test_fetch_without_a_folder_asks_for_one(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.delenv("PACKGRADE_DATA_DIR", raising=False)
    assert main(["fetch", "pulsebat"]) == 1
    assert "Give --to, or set PACKGRADE_DATA_DIR" in " ".join(capsys.readouterr().err.split())


def test_report_exits_with_two_when_a_coverage_left_its_band(tiny_bundle: Bundle, tmp_path: Path, capsys) -> None:
    agreeing = write(outcome_rows(tiny_bundle), tmp_path / "agreeing.csv")
    drifted = write(outcome_rows(tiny_bundle, 20, drift=-0.15), tmp_path / "drifted.csv")
    assert main(["report", "--outcomes", str(agreeing)]) == 0
    assert main(["report", "--outcomes", str(drifted), "--json", str(tmp_path / "figures.json")]) == 2
    assert "ALARM  LFP20 (pulse_test)" in capsys.readouterr().out
    assert (tmp_path / "figures.json").exists()
    assert main(["report", "--outcomes", str(tmp_path / "missing.csv")]) == 1


def test_recalibrate_writes_a_bundle_and_says_what_changed(
    tiny_bundle: Bundle, tiny_bundle_folder: Path, tmp_path: Path, capsys
) -> None:
    rows = outcome_rows(tiny_bundle).assign(chosen_at_random=["true"] * 20 + ["false"] * 4)
    file, out = write(rows, tmp_path / "outcomes.csv"), tmp_path / "new"
    named = ["--bundle", str(tiny_bundle_folder), "--outcomes", str(file), "--out", str(out)]
    assert main(["recalibrate", *named, "--version", "2026.12"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "pulse_test: 20 outcome(s), quantile" in printed
    assert "4 outcome(s) not marked chosen_at_random were left out" in printed
    assert load_bundle(out).manifest.version == "2026.12"
    assert main(["recalibrate", *named]) == 1


def test_onboard_writes_a_bundle_and_says_how_far_it_reaches(tiny_bundle_folder: Path, tmp_path: Path, capsys) -> None:
    rows, out = synthetic_rows(9, (SyntheticType("NCA", 50.0, 3.7, 0.09),)), tmp_path / "new"
    manifest, labels = write_own_tables(rows, tmp_path / "own")
    named = ["--bundle", str(tiny_bundle_folder), "--manifest", str(manifest), "--labels", str(labels)]
    assert main(["onboard", *named, "--out", str(out), "--name", "station-7"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "NCA50 was learned from 9 batteries" in printed
    assert "missing" in printed
    (learned,) = [each for each in load_bundle(out).manifest.known_types if each.key == "NCA50"]
    assert learned.calibration_batteries == {METHOD: 9}
