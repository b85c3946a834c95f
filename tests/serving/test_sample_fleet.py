"""The fleet that travels with the product: unchanged, small, and graded by the batch as its truth says."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from serving.cli import main
from serving.record.ledger import Ledger

SAMPLE_FLEET = Path(__file__).parents[2] / "serving" / "sample_fleet"
SUM_MEGABYTE = 5.0
WEAK_AND_SEEN = {"FLEET-NMC-0009": 56, "FLEET-NMC-0013": 55, "FLEET-NMC-0015": 56}
"""Their weak group lies 25 mV or more low and sinks; on the flat curve of LFP a lack of charge shows no voltage."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Result rows of `packgrade batch` over the fleet, with the reasons as they stand in the record."""
    folder = tmp_path_factory.mktemp("fleet")
    record, out = folder / "record.sqlite", folder / "results.csv"
    asked = ["batch", str(SAMPLE_FLEET / "manifest.csv"), "--out", str(out), "--record", str(record), "--quiet"]
    assert main(asked) == 0
    rows = pd.read_csv(out).set_index("battery_id")
    with Ledger.open(record, "test") as ledger:
        return rows.assign(findings=[_reasons(ledger, number) for number in rows["sequence"]])


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    return pd.read_csv(SAMPLE_FLEET / "truth.csv").set_index("battery_id")


def _reasons(ledger: Ledger, sequence: int) -> list[dict[str, Any]]:
    recorded = ledger.by_sequence(int(sequence))
    assert recorded is not None
    reasons: list[dict[str, Any]] = json.loads(recorded.leaf.body_json)["decision"]["reasons"]
    return reasons


def _weak_cells(findings: list[dict[str, Any]]) -> list[int]:
    return [each["evidence"]["cell"] for each in findings if each["code"] == "consistency.weak_cell"]


def test_every_file_is_the_one_that_was_generated() -> None:
    listed = dict(line.split("  ")[::-1] for line in (SAMPLE_FLEET / "SHA256SUMS").read_text("ascii").splitlines())
    files = {path.relative_to(SAMPLE_FLEET).as_posix(): path for path in SAMPLE_FLEET.rglob("*") if path.is_file()}
    assert set(files) == {*listed, "SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest, name


def test_the_fleet_is_small_enough_to_travel_with_the_product() -> None:
    files = sorted((SAMPLE_FLEET / "telemetry").glob("*.parquet"))
    assert len(files) == 20
    assert sum(path.stat().st_size for path in files) <= SUM_MEGABYTE * 1e6


def test_truth_and_manifest_name_the_same_packs_and_one_in_three_has_a_weak_group(truth: pd.DataFrame) -> None:
    manifest = pd.read_csv(SAMPLE_FLEET / "manifest.csv").set_index("battery_id")
    assert manifest.index.equals(truth.index)
    assert manifest["series_count"].equals(truth["series_count"])
    assert truth["weak_group"].notna().sum() == 7
    assert (truth["weak_group_lost_ah"] > 0.0).equals(truth["weak_group"].notna())


def test_no_pack_is_graded_on_its_telemetry_and_a_bench_test_is_asked_for(results: pd.DataFrame) -> None:
    assert results["error"].isna().all()
    assert set(results["outcome"]) == {"retest"}
    assert set(results["method"]) == {"field_telemetry"}
    assert set(results["next_test"]) == {"capacity_test"}
    assert results["reasons"].str.contains("METHOD_NOT_CALIBRATED").all()


def test_the_capacity_shown_is_near_the_truth_and_its_range_holds_it(
    results: pd.DataFrame, truth: pd.DataFrame
) -> None:
    error = results["remaining_capacity_ah"] / truth["remaining_capacity_ah"] - 1.0
    assert error.abs().mean() < 0.035
    lower, upper = results["remaining_capacity_lower_ah"], results["remaining_capacity_upper_ah"]
    assert truth["remaining_capacity_ah"].between(lower, upper).sum() >= 18


def test_a_weak_group_that_shows_is_named_and_no_other(results: pd.DataFrame, truth: pd.DataFrame) -> None:
    named = {
        battery_id: cells for battery_id, findings in results["findings"].items() if (cells := _weak_cells(findings))
    }
    assert named == {battery_id: [group] for battery_id, group in WEAK_AND_SEEN.items()}
    assert all(truth.loc[battery_id, "weak_group"] == group for battery_id, group in WEAK_AND_SEEN.items())


def test_a_sound_pack_has_no_finding_about_a_cell(results: pd.DataFrame, truth: pd.DataFrame) -> None:
    sound = truth.index[truth["weak_group"].isna()]
    assert not results.loc[sound, "reasons"].str.contains("consistency").any()
