"""The whole way round: graded, measured later, reported, exported, watched, recalibrated, graded again."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from features.measurement import BatteryHistory, BatteryIdentity, MeasurementRun, SourceStamp
from features.vocabulary import Chemistry, Level, RunKind
from models.bundle import load_bundle
from models.policy_file import SHIPPED_POLICY
from serving.cli import main as packgrade
from serving.grading import Grader, GradingRequest, history_sha256
from serving.record.ledger import Ledger
from tests.training.outcome_rows import METHOD
from tests.training.synthetic_pulses import step_table, synthetic_rows, trains
from training.cli import main as packgrade_train

NOW = datetime.now(UTC) - timedelta(days=2)


def history(row: pd.Series) -> BatteryHistory:
    (train,) = trains(pd.DataFrame([row]))
    identity = BatteryIdentity(f"arrived-{row['cell_id']}", Level.CELL, Chemistry(row["chemistry"]), row["nominal_ah"])
    stamp = SourceStamp("pulses.csv", "0" * 64, "canonical")
    return BatteryHistory(identity, [MeasurementRun(RunKind.PULSE_TEST, NOW, NOW, stamp, step_table(train))])


def patient_policy(folder: Path) -> Path:
    """The shipped policy, which puts up with a bundle too small to certify anything."""
    written = SHIPPED_POLICY.read_text(encoding="utf-8")
    patient = written.replace('when_not_certifiable = "refuse"', 'when_not_certifiable = "retest"')
    file = folder / "policy.toml"
    file.write_text(patient, encoding="utf-8")
    return file


def graded(bundle: Path, record: Path, visits: pd.DataFrame) -> list[str]:
    with Ledger.open(record, "test") as ledger:
        grader = Grader.open(bundle, patient_policy(record.parent), ledger)
        histories = [history(row) for _, row in visits.iterrows()]
        return [
            grader.grade(each, GradingRequest("s", str(n), history_sha256(each), uuid.uuid4().hex, NOW)).decision_id
            for n, each in enumerate(histories)
        ]


def test_outcomes_of_graded_batteries_recalibrate_the_bundle_that_graded_them(
    tiny_bundle_folder: Path, tmp_path: Path
) -> None:
    record, measured, outcomes = tmp_path / "record.sqlite", tmp_path / "measured.csv", tmp_path / "outcomes.csv"
    visits = synthetic_rows(12, seed=31).query("test_kind == 'random_soc'")
    definition = load_bundle(tiny_bundle_folder).manifest.calibrated(METHOD).capacity_definition
    pd.DataFrame(
        {
            "decision_id": graded(tiny_bundle_folder, record, visits),
            "remaining_capacity_ah": visits["capacity_ah"].to_numpy(),
            "capacity_definition": definition,
            "measured_at": (NOW + timedelta(days=1)).isoformat(),
            "chosen_at_random": "true",
        }
    ).to_csv(measured, index=False)
    assert packgrade(["record", "outcomes", "--add", str(measured), "--record", str(record)]) == 0
    bundle = ["--bundle", str(tiny_bundle_folder)]
    assert packgrade(["record", "outcomes", "--out", str(outcomes), "--record", str(record), *bundle]) == 0
    named = [*bundle, "--outcomes", str(outcomes)]
    assert packgrade_train(["report", *named]) == 0
    assert packgrade_train(["recalibrate", *named, "--out", str(tmp_path / "new")]) == 0
    before, after = load_bundle(tiny_bundle_folder), load_bundle(tmp_path / "new")
    assert len(after.calibration[METHOD].score) == len(before.calibration[METHOD].score) + len(visits)
    again = graded(tmp_path / "new", tmp_path / "again.sqlite", visits.head(2))
    assert len(again) == 2
    assert packgrade(["record", "verify", str(record)]) == 0
