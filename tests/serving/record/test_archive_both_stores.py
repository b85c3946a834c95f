"""A record in a database is exported, verified and replayed by the same commands as one in a file."""

import json
from pathlib import Path

import pytest

from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.cli import main
from serving.grading import Grader, GradingRequest, history_sha256
from serving.record.ledger import Ledger
from tests.support.archive_forger import files_of
from tests.support.cases import MOMENT
from tests.support.postgres_server import RunningServer
from tests.support.record_entries import append_numbered
from tests.support.simulated_battery import SimulatedBattery


def test_a_database_is_exported_verified_shown_and_replayed_like_a_file(
    postgres: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, key, archive = postgres.new_database(), tmp_path / "log.key", str(tmp_path / "archive.zip")
    monkeypatch.setenv("PACKGRADE_LOG_KEY", str(key))
    with Ledger.open(url, "test", key=key) as ledger:
        append_numbered(ledger, 7)
        history = SimulatedBattery(35.0, 33.0, battery_id="cell-1").history()
        request = GradingRequest("station-1", "k", history_sha256(history), "1" * 32, MOMENT)
        Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger).grade(history, request)
    assert main(["record", "verify", url]) == 0
    assert main(["record", "checkpoint", url, "--out", str(tmp_path / "kept.txt")]) == 0
    assert main(["record", "export", "--record", url, "--out", archive]) == 0
    kept = ["--checkpoint", str(tmp_path / "kept.txt"), "--key", str(tmp_path / "log.pub")]
    assert main(["record", "verify", archive, *kept]) == 0
    capsys.readouterr()
    assert main(["record", "show", "7", "--record", url]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert json.loads(files_of(Path(archive))["leaves/000000000000.jsonl"].splitlines()[7]) == shown
    for location in (url, archive):
        assert main(["record", "replay", "1" * 32, "--record", location]) == 0
        assert main(["record", "regrade", "--policy", str(SHIPPED_POLICY), "--since", "7", "--record", location]) == 0
    assert "1 decision(s) regraded, 0 would change" in capsys.readouterr().out
