"""Every decision is replayed with what it names, over any number of bundles and policies, and none stops the others."""

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from features.vocabulary import Chemistry
from models.bundle import MANIFEST_NAME, REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY, load_policy
from serving.artifacts import Artifacts
from serving.cli import main
from serving.due_dates import DueDates
from serving.events.outcomes import record_outcome
from serving.grader_shelf import CannotDecide, GraderShelf
from serving.grading import Grader, GradingRequest, history_sha256
from serving.record.ledger import Ledger
from serving.record.source import source_of
from serving.replay import print_replays, replayed
from tests.support.cases import MOMENT
from tests.support.graded import an_outcome, report
from tests.support.record_entries import new_entry
from tests.support.simulated_battery import SimulatedBattery


def another_policy(folder: Path, name: str = "stricter.toml", uncertain: str = "retest") -> Path:
    """The shipped policy with one rule changed."""
    text = SHIPPED_POLICY.read_text(encoding="utf-8")
    changed = text.replace('when_uncertain = "downgrade"', f'when_uncertain = "{uncertain}"')
    assert changed != text
    (folder / name).write_text(changed, encoding="utf-8")
    return folder / name


def another_bundle(folder: Path, name: str = "renamed") -> Path:
    """The shipped bundle under another version, so under another digest."""
    shutil.copytree(REFERENCE_BUNDLE, folder / name)
    manifest = json.loads((folder / name / MANIFEST_NAME).read_text(encoding="utf-8"))
    manifest["version"] = "2026.99"
    (folder / name / MANIFEST_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    return folder / name


def decided(ledger: Ledger, number: int, bundle: Path, policy: Path, remaining_ah: float = 33.0) -> str:
    history = SimulatedBattery(35.0, remaining_ah, Chemistry.LFP, f"cell-{number}").history()
    request = GradingRequest("station-1", f"grade-{number}", history_sha256(history), f"{number:032x}", MOMENT)
    return Grader.open(bundle, policy, ledger).grade(history, request).decision_id


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record over two policies and two bundles, with an outcome between them, and an entry nobody can replay."""
    folder = tmp_path_factory.mktemp("deployment")
    policy, bundle = another_policy(folder), another_bundle(folder)
    with Ledger.open(folder / "record.sqlite", "test") as ledger:
        first = decided(ledger, 1, REFERENCE_BUNDLE, SHIPPED_POLICY)
        decided(ledger, 2, REFERENCE_BUNDLE, policy)
        record_outcome(ledger, an_outcome(first), report(), DueDates(load_policy(policy).traceability))
        decided(ledger, 3, bundle, policy)
        ledger.append(new_entry(4))
        decided(ledger, 5, REFERENCE_BUNDLE, SHIPPED_POLICY)
    return folder


def replay(folder: Path, *more: str, entry: str = "all") -> int:
    return main(["record", "replay", entry, "--record", str(folder / "record.sqlite"), *more])


def test_a_record_over_several_bundles_and_policies_is_replayed_whole(deployment: Path, capsys) -> None:
    more = ["--policy", str(deployment / "stricter.toml"), "--bundle", str(deployment / "renamed")]
    assert replay(deployment, *more) == 3
    told = capsys.readouterr().out
    assert "4 decision(s) equal bit for bit, 0 differ, 1 not replayed" in told
    assert "entry 4" in told
    assert "this release does not read its body" in told
    assert "skipped: 1 outcome" in told


def test_what_is_not_at_hand_is_listed_by_digest_and_stops_nothing(deployment: Path, capsys) -> None:
    assert replay(deployment) == 3
    told = capsys.readouterr().out
    policy = Artifacts.at_hand([], [deployment / "stricter.toml"]).policies
    bundle = Artifacts.at_hand([deployment / "renamed"], []).bundles
    assert "2 decision(s) equal bit for bit, 0 differ, 3 not replayed" in told
    assert f"NOT REPLAYED, policy {next(iter(policy))[:12]}… not at hand" in told
    assert f"bundle {next(iter(bundle))[:12]}… and policy {next(iter(policy))[:12]}… not at hand" in told


def test_folders_of_bundles_and_policies_are_searched(deployment: Path, capsys) -> None:
    assert replay(deployment, "--policy", str(deployment), "--bundle", str(deployment)) == 3
    assert "4 decision(s) equal bit for bit" in capsys.readouterr().out


def test_a_single_decision_is_replayed_with_exit_code_0(deployment: Path, capsys) -> None:
    assert replay(deployment, entry="0") == 0
    assert f"entry 0  {1:032x}  equal bit for bit" in capsys.readouterr().out


def test_an_archive_is_replayed_like_its_record(deployment: Path, tmp_path: Path, capsys) -> None:
    archive = str(tmp_path / "archive.zip")
    assert main(["record", "export", "--out", archive, "--record", str(deployment / "record.sqlite")]) == 0
    told = capsys.readouterr().out
    assert told.count("missing:") == 3
    assert main(["record", "verify", archive]) == 0
    assert "The key is the archive's own" in " ".join(capsys.readouterr().out.split())
    assert main(["record", "replay", "all", "--record", archive, "--policy", str(deployment / "stricter.toml")]) == 3
    assert "3 decision(s) equal bit for bit, 0 differ, 2 not replayed" in capsys.readouterr().out


def test_a_decision_that_comes_out_otherwise_is_a_difference_and_the_others_are_still_replayed(
    tmp_path: Path, capsys
) -> None:
    with Ledger.open(tmp_path / "record.sqlite", "test") as ledger:
        decided(ledger, 1, REFERENCE_BUNDLE, SHIPPED_POLICY)
        leaf = ledger.by_event_id(f"{1:032x}")
        assert leaf is not None
        body = leaf.leaf.body
        body["decision"] |= {"grade": "B"}
        body.pop("upload_due_on", None)
        ledger.append(new_entry(2, body=body, event_id="f" * 32))
        decided(ledger, 3, REFERENCE_BUNDLE, SHIPPED_POLICY)
    assert replay(tmp_path) == 1
    told = capsys.readouterr().out
    assert "entry 1  ffffffffffffffffffffffffffffffff  DIFFERS in decision" in told
    assert "2 decision(s) equal bit for bit, 1 differ, 0 not replayed" in told


def test_replaying_changes_nothing_and_makes_no_file(deployment: Path) -> None:
    before = {path.name: path.read_bytes() for path in deployment.iterdir() if path.is_file()}
    replay(deployment)
    after = {path.name: path.read_bytes() for path in deployment.iterdir() if path.is_file()}
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() <= {"record.sqlite-wal", "record.sqlite-shm"}


def test_a_damaged_bundle_is_a_reason_and_is_opened_once(deployment: Path, tmp_path: Path) -> None:
    damaged = another_bundle(tmp_path)
    (damaged / "model_card.md").write_text("changed", encoding="utf-8")
    shelf = GraderShelf(Artifacts.at_hand([REFERENCE_BUNDLE, damaged], [SHIPPED_POLICY, deployment / "stricter.toml"]))
    leaf = source_of(deployment / "record.sqlite").by_sequence(3)
    assert leaf is not None
    assert replayed(leaf, shelf).not_replayed.startswith("BUNDLE_DAMAGED: ")
    with pytest.raises(CannotDecide) as first:
        shelf.grader(leaf.body["bundle"]["sha256"], leaf.body["policy"]["sha256"])
    with pytest.raises(CannotDecide) as second:
        shelf.grader(leaf.body["bundle"]["sha256"], leaf.body["policy"]["sha256"])
    assert first.value is second.value


def test_a_path_that_holds_no_bundle_or_policy_is_refused_by_name(deployment: Path, tmp_path: Path, capsys) -> None:
    assert replay(deployment, "--bundle", str(tmp_path)) == 2
    assert replay(deployment, "--policy", str(tmp_path / "gone.toml")) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "must be a bundle, or a folder of bundles" in told
    assert "must be a readable file" in told


def test_a_grader_without_a_record_decides_and_cannot_grade(tmp_path: Path) -> None:
    history = SimulatedBattery(35.0, 33.0, Chemistry.LFP, "cell-1").history()
    request = GradingRequest("station-1", "k", history_sha256(history), "1" * 32, MOMENT)
    with pytest.raises(Exception, match="has no record"):
        Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, None).grade(history, request)


def test_an_empty_choice_prints_counts_of_nothing() -> None:
    summary = print_replays(Console(quiet=True), [], GraderShelf(Artifacts()), every_one=True)
    assert summary.decisions == 0
