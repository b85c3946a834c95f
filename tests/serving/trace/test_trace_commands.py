import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from models.policy_file import SHIPPED_POLICY
from serving.cli import main
from serving.record.ledger import Ledger
from tests.support.outbox_entries import DUE_ON, fill_outbox, told_entry
from tests.support.running_platform import REPOSITORY, RunningPlatform, running_platform

TOKEN = "a-very-secret-token"


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory):
    with running_platform(tmp_path_factory.mktemp("platform"), 7, "--token", TOKEN) as platform:
        yield platform


@pytest.fixture
def platform(receiving: RunningPlatform) -> RunningPlatform:
    receiving.trouble()
    with closing(sqlite3.connect(receiving.file)) as connection, connection:
        connection.execute("DELETE FROM event")
    return receiving


@pytest.fixture
def record(tmp_path: Path, platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record with nine events of three batteries, and a platform that is to be told of them."""
    file = tmp_path / "record.sqlite"
    fill_outbox(file, 9)
    monkeypatch.setenv("PACKGRADE_RECORD", str(file))
    monkeypatch.setenv("PACKGRADE_PLATFORM", platform.url)
    monkeypatch.setenv("PACKGRADE_PLATFORM_TOKEN", TOKEN)
    return file


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    main(["trace", *arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def test_what_is_due_is_delivered_and_counted(record, platform, capsys) -> None:
    assert main(["trace", "deliver"]) == 0
    assert "9 delivered, 0 not" in capsys.readouterr().out
    assert len(platform.received()) == 9
    assert main(["trace", "deliver", "--once"]) == 0
    assert platform.copies() == 9


def test_delivery_that_leaves_something_says_so_with_exit_code_1(record, platform, capsys) -> None:
    platform.trouble(refused=["/BATTERY1"])
    assert main(["trace", "deliver"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "of BATTERY1 REFUSED, the batteries it names wait: HTTP 422" in said
    assert (
        "6 delivered, 3 not: 0 new, 0 to be sent, 2 waiting for an earlier one of a battery they name, 1 refused"
        in said
    )


def test_the_status_counts_without_any_dispatcher_having_run(record, capsys) -> None:
    found = shown(capsys, "status")
    assert (found["undelivered"], found["counts"]["new"]) == (9, 9)
    assert found["oldest"]["due_on"] == DUE_ON
    assert main(["trace", "status"]) == 0
    assert f"due first: {DUE_ON}" in capsys.readouterr().out


def test_the_status_names_dead_letters_with_event_battery_and_reason(record, platform, capsys) -> None:
    platform.trouble(refused=["/BATTERY1"])
    main(["trace", "deliver"])
    capsys.readouterr()
    (refused,) = shown(capsys, "status")["refused"]
    assert (refused["battery_id"], refused["state"], len(refused["event_id"])) == ("BATTERY1", "refused", 32)
    main(["trace", "status"])
    said = capsys.readouterr().out
    assert "packgrade trace retry" in said
    (line,) = [line for line in said.splitlines() if refused["event_id"] in line and "due first" not in line]
    assert line.startswith(f"  due {DUE_ON}, entry 1 ({refused['event_id']}) of BATTERY1, refused, sent 1x: HTTP 422")
    assert "unknown battery" in line


@pytest.mark.parametrize("by", ["event", "event urn", "battery", "all"])
def test_a_dead_letter_is_sent_again_by_event_battery_or_all_together(record, platform, capsys, by) -> None:
    platform.trouble(refused=["/BATTERY1"])
    main(["trace", "deliver"])
    capsys.readouterr()
    event = shown(capsys, "status")["refused"][0]["event_id"]
    name = {"event": event, "event urn": f"urn:uuid:{event}", "battery": "BATTERY1", "all": "--all"}[by]
    platform.trouble()
    assert main(["trace", "retry", name]) == 0
    assert "1 event(s) are due now" in capsys.readouterr().out
    assert main(["trace", "deliver"]) == 0
    assert len(platform.received()) == 9


@pytest.mark.parametrize("name", ["BATTERY7", "f" * 32, "urn:uuid:nothing", ""])
def test_a_name_the_record_does_not_know_is_refused(record, capsys, name) -> None:
    assert main(["trace", "retry", name]) == 2
    assert "must be an event or a battery of the record" in " ".join(capsys.readouterr().err.split())


def test_overdue_events_are_listed_with_exit_code_1_and_none_with_0(record, platform, capsys) -> None:
    assert main(["trace", "overdue", "--on", DUE_ON]) == 0
    assert f"Nothing is overdue on {DUE_ON}" in capsys.readouterr().out
    assert main(["trace", "overdue", "--on", "2026-12-12"]) == 1
    assert "Overdue on 2026-12-12: 9" in capsys.readouterr().out
    found = shown(capsys, "overdue", "--on", "2026-12-12")
    assert [each["due_on"] for each in found["overdue"]] == [DUE_ON] * 9
    assert found["years_by_weekends_only"] == []
    main(["trace", "deliver"])
    assert main(["trace", "overdue", "--on", "2099-01-01"]) == 0


def test_a_due_date_in_a_year_without_holidays_says_so(record, capsys) -> None:
    with Ledger.open(record, "0.1.0") as ledger:
        ledger.append(told_entry(9, body={"code": "X", "upload_due_on": "2027-02-10"}))
    assert main(["trace", "overdue", "--on", "2027-03-01"]) == 1
    assert "The holidays of 2027 are not known" in " ".join(capsys.readouterr().out.split())
    assert shown(capsys, "overdue", "--on", "2027-03-01")["years_by_weekends_only"] == [2027]


def test_a_wrong_token_is_said_and_the_token_is_not(record, monkeypatch, tmp_path) -> None:
    process = _watching({"PACKGRADE_PLATFORM_TOKEN": "another-secret"})
    line = process.stdout.readline() if process.stdout else ""
    process.send_signal(signal.SIGTERM)
    said = line + process.communicate(timeout=30)[0]
    assert process.returncode in (0, 1)
    assert "address or token refused: HTTP 401" in said
    assert "another-secret" not in said


@pytest.mark.parametrize(
    ("status", "said"), [(401, "address or token refused: HTTP 401"), (404, "refused: HTTP 404"), (503, "HTTP 503")]
)
def test_delivery_once_ends_when_what_is_due_was_tried_and_says_why(record, platform, capsys, status, said) -> None:
    platform.trouble(status=status)
    began = time.monotonic()
    assert main(["trace", "deliver", "--once"]) == 1
    assert time.monotonic() - began < 10.0
    shown_lines = capsys.readouterr().out.splitlines()
    assert "0 delivered, 9 not" in shown_lines[-2]
    assert shown_lines[-1].startswith("not served, left to the next run: ")
    assert said in shown_lines[-1]


def test_what_is_overdue_is_counted_in_the_calendar_of_the_policy(record, monkeypatch, tmp_path, capsys) -> None:
    policy = SHIPPED_POLICY.read_text(encoding="utf-8").replace('calendar = "china"', 'calendar = "nowhere"')
    (tmp_path / "policy.toml").write_text(policy, encoding="utf-8")
    monkeypatch.setenv("PACKGRADE_POLICY", str(tmp_path / "policy.toml"))
    assert main(["trace", "overdue"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_watching_dispatcher_sends_what_is_recorded_meanwhile_and_ends_when_it_is_told_to(record, platform) -> None:
    process = _watching({})
    _until(lambda: platform.copies() == 9)
    fill_outbox(record, 3, first=9)
    _until(lambda: platform.copies() == 12)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "12 delivered, 0 not" in said


def test_without_a_platform_nothing_is_sent(record, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PACKGRADE_PLATFORM", "")
    assert main(["trace", "deliver"]) == 2
    assert "PACKGRADE_PLATFORM" in capsys.readouterr().err


def test_a_record_that_is_not_there_is_said_and_no_book_is_made(record, tmp_path, capsys) -> None:
    for action in ("deliver", "status", "overdue", "retry --all"):
        assert main(["trace", *action.split(), "--record", str(tmp_path / "gone.sqlite")]) == 3
    assert not list(tmp_path.glob("gone*"))


def _watching(environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "serving.cli", "trace", "deliver", "--watch"]
    variables = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, cwd=REPOSITORY, env=variables, stdout=subprocess.PIPE, text=True)


def _until(reached, within_second: float = 30.0) -> None:
    deadline = time.monotonic() + within_second
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)
