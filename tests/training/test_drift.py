"""Coverage and error of outcomes: an alarm when coverage leaves its band, silence on a few."""

import io
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from features.errors import InvalidInput
from models.bundle import Bundle
from tests.training.outcome_rows import outcome_rows, write
from training.drift import LEAST_OUTCOMES, TypeDrift, coverage_band, drift_of
from training.outcome_report import EXIT_ALARM, EXIT_DONE, report


def told(covered: int, count: int) -> TypeDrift:
    return TypeDrift("LFP20", "pulse_test", 0.9, count, covered, coverage_band(count, 0.9), 0.0, 0.01)


def asked(file: Path, **more: object) -> Namespace:
    return Namespace(**({"outcomes": file, "bundle": None, "json": None, "include_selected": False} | more))


def printed(file: Path, **more: object) -> tuple[int, str]:
    console = Console(record=True, width=200, file=io.StringIO())
    code = report(asked(file, **more), console)
    return code, console.export_text()


@pytest.mark.parametrize(("covered", "alarms"), [(90, False), (82, False), (81, True), (97, False), (98, True)])
def test_coverage_alarms_exactly_outside_its_band(covered: int, alarms: bool) -> None:
    assert told(covered, 100).alarms is alarms


def test_a_few_outcomes_never_alarm() -> None:
    assert not told(0, LEAST_OUTCOMES - 1).alarms
    assert told(0, LEAST_OUTCOMES).alarms


def test_the_band_is_left_less_than_once_in_a_hundred_while_the_promise_holds() -> None:
    draw = np.random.default_rng(5)
    for count in (10, 40, 200):
        fewest, most = coverage_band(count, 0.9)
        covered = draw.binomial(count, 0.9, 20_000)
        assert np.mean((covered < fewest) | (covered > most)) <= 0.0125


def test_the_alarm_names_type_count_coverage_and_band() -> None:
    sentence = told(70, 100).sentence
    assert "LFP20 (pulse_test): 70 of 100 outcomes lie inside their 90 % interval; 82 to 97" in sentence


def test_outcomes_that_agree_raise_no_alarm(tiny_bundle: Bundle, tmp_path: Path) -> None:
    code, text = printed(write(outcome_rows(tiny_bundle, 20), tmp_path / "outcomes.csv"))
    assert (code, "ALARM" in text) == (EXIT_DONE, False)
    assert all(word in text for word in ("LFP20", "NMC21", "all"))


def test_outcomes_that_drifted_raise_the_alarm_of_their_type(tiny_bundle: Bundle, tmp_path: Path) -> None:
    rows = outcome_rows(tiny_bundle, 20)
    drifted = rows["chemistry"] == "LFP"
    rows.loc[drifted, "remaining_capacity_ah"] -= 0.15 * rows["rated_capacity_ah"]
    figures = tmp_path / "figures.json"
    code, text = printed(write(rows, tmp_path / "outcomes.csv"), json=figures)
    assert code == EXIT_ALARM
    assert "ALARM  LFP20 (pulse_test):" in text
    assert "ALARM  NMC21" not in text
    by_type = {each["type_key"]: each for each in json.loads(figures.read_text())["drawn_by_lot"]}
    assert by_type["LFP20"]["alarms"]
    assert by_type["LFP20"]["mean_error"] == pytest.approx(-0.15, abs=0.03)


def test_batteries_measured_for_a_reason_raise_no_alarm_unless_asked_for(tiny_bundle: Bundle, tmp_path: Path) -> None:
    rows = outcome_rows(tiny_bundle, 20, drift=-0.15).assign(chosen_at_random="false")
    file = write(rows, tmp_path / "outcomes.csv")
    code, text = printed(file)
    assert (code, "no fair sample" in text) == (EXIT_DONE, True)
    assert printed(file, include_selected=True)[0] == EXIT_ALARM


def test_a_capacity_of_another_definition_is_not_compared(tiny_bundle: Bundle, tmp_path: Path) -> None:
    rows = outcome_rows(tiny_bundle, 2)
    rows.loc[0, "capacity_definition"] = "0.2C discharge, 25 °C"
    assert "1 of 4 outcomes are compared with nothing" in printed(write(rows, tmp_path / "a.csv"))[1]
    rows["capacity_definition"] = "0.2C discharge, 25 °C"
    with pytest.raises(InvalidInput, match="NOTHING_TO_COMPARE"):
        printed(write(rows, tmp_path / "b.csv"))


def test_a_battery_measured_again_and_again_counts_once(tiny_bundle: Bundle, tmp_path: Path) -> None:
    rows = outcome_rows(tiny_bundle, 2)
    again = pd.concat([rows, *[rows.iloc[[0]].assign(outcome_id=f"f{number:031x}") for number in range(9)]])
    assert "9 of 13 outcomes are compared with nothing" in printed(write(again, tmp_path / "again.csv"))[1]


def test_with_a_bundle_its_own_outcomes_stand_beside_its_calibration(
    tiny_bundle: Bundle, tiny_bundle_folder: Path, tmp_path: Path
) -> None:
    rows = outcome_rows(tiny_bundle, 2)
    rows.loc[0, "bundle_sha256"] = "0" * 64
    code, text = printed(write(rows, tmp_path / "outcomes.csv"), bundle=tiny_bundle_folder)
    assert code == EXIT_DONE
    assert "1 of 4 outcomes are compared with nothing" in text
    assert pd.Series(text.split()).str.contains("%").sum() > 6
    assert drift_of(outcome_rows(tiny_bundle, 1).assign(measured_fraction=0.8, random=True), {})
