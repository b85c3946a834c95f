"""Reading the exported outcomes: what is broken is refused with its row."""

from pathlib import Path

import pandas as pd
import pytest

from features.errors import InvalidInput
from models.bundle import Bundle
from tests.training.outcome_rows import FEATURE_SET, METHOD, outcome_rows, write
from training.outcomes import feature_rows, identity_of, read_outcomes


@pytest.fixture
def rows(tiny_bundle: Bundle) -> pd.DataFrame:
    return outcome_rows(tiny_bundle, 2)


def refusal(rows: pd.DataFrame, folder: Path) -> str:
    with pytest.raises(InvalidInput, match="OUTCOMES_NOT_READABLE") as refused:
        read_outcomes(write(rows, folder / "outcomes.csv"))
    return str(refused.value)


def test_a_row_is_read_with_its_line_features_and_fraction(rows: pd.DataFrame, tmp_path: Path) -> None:
    read = read_outcomes(write(rows, tmp_path / "outcomes.csv"))
    assert read["row"].tolist() == [2, 3, 4, 5]
    assert read["random"].tolist() == [True] * 4
    assert read["measured_fraction"].between(0.5, 1.0).all()
    assert feature_rows(read, METHOD).shape == (4, len(FEATURE_SET.names))
    assert identity_of(read.iloc[0]).rated_capacity_ah == 20.0


def test_a_battery_code_written_for_spreadsheets_is_read_as_it_was(rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.loc[0, "battery_id"] = "'=1+1"
    assert read_outcomes(write(rows, tmp_path / "outcomes.csv"))["battery_id"][0] == "=1+1"


def test_an_outcome_nobody_drew_by_lot_is_not_random(rows: pd.DataFrame, tmp_path: Path) -> None:
    rows["chosen_at_random"] = ["true", "false", None, "true"]
    assert read_outcomes(write(rows, tmp_path / "outcomes.csv"))["random"].tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("remaining_capacity_ah", 16_000.0, "row 3 remaining_capacity_ah: measured over rated capacity"),
        ("remaining_capacity_ah", "much", "row 3"),
        ("features", "{", "row 3 features: must be a JSON object"),
        ("features", '{"open_circuit_voltage_volt": "3.3"}', "row 3 features: must be a JSON object"),
        ("features", '{"open_circuit_voltage_volt": NaN}', "row 3 features: must be a JSON object"),
        ("lower_fraction", 1.2, "row 3 estimated_fraction: an estimate has lower"),
        ("upper_fraction", None, "row 3 estimated_fraction: an estimate has lower"),
        ("method", "guess", "row 3 method"),
        ("chosen_at_random", "perhaps", "row 3 chosen_at_random"),
        ("bundle_sha256", "latest", "row 3 bundle_sha256"),
        ("level", "brick", "row 3 level"),
    ],
)
def test_a_broken_cell_is_named(rows: pd.DataFrame, tmp_path: Path, column: str, value: object, told: str) -> None:
    rows = rows.astype({column: object})
    rows.loc[1, column] = value
    assert told in refusal(rows, tmp_path)


def test_a_missing_column_an_empty_file_and_a_missing_file_are_refused(rows: pd.DataFrame, tmp_path: Path) -> None:
    assert "features" in refusal(rows.drop(columns="features"), tmp_path)
    assert "at least one outcome" in refusal(rows.iloc[:0], tmp_path)
    with pytest.raises(InvalidInput, match="must be the CSV"):
        read_outcomes(tmp_path / "nowhere.csv")
