"""What another policy would have said: counts and changes, from stored vectors, and the record stays as it is."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from features.errors import InvalidInput
from features.vocabulary import Chemistry
from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY, load_policy
from serving.artifacts import Artifacts
from serving.cli import main
from serving.grader_shelf import GraderShelf
from serving.grading import Grader, GradingRequest, history_sha256
from serving.record.leaf import Leaf
from serving.record.ledger import Ledger
from serving.record.source import source_of
from serving.regrade import decisions_since, parsed_since, regraded
from tests.serving.test_replay import another_bundle
from tests.support.cases import MOMENT
from tests.support.record_entries import new_entry
from tests.support.simulated_battery import SimulatedBattery

CODES = ("cell-1", "=1+1", "cell-3", "cell-4", "cell-5")
REMAINING_AH = (33.0, 32.0, 27.0, 23.0, 15.0)


def stricter(folder: Path) -> Path:
    """The shipped policy with a best grade that nothing here reaches."""
    text = SHIPPED_POLICY.read_text(encoding="utf-8")
    for name in ("minimum", "below"):
        text = text.replace(f"{name}_state_of_health_fraction = 0.80", f"{name}_state_of_health_fraction = 0.85")
    assert text.count("= 0.85") == 2
    (folder / "new.toml").write_text(text, encoding="utf-8")
    return folder / "new.toml"


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five decisions a day apart by the service's clock, but for the last, whose clock was years behind."""
    path = tmp_path_factory.mktemp("regrade") / "record.sqlite"
    with Ledger.open(path, "test") as ledger:
        grader = Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)
        for number, (code, remaining_ah) in enumerate(zip(CODES, REMAINING_AH, strict=True)):
            history = SimulatedBattery(35.0, remaining_ah, Chemistry.LFP, code).history()
            moment = MOMENT + timedelta(days=number)
            request = GradingRequest("station-1", f"k{number}", history_sha256(history), f"{number:032x}", moment)
            grader.grade(history, request)
        ledger.append(new_entry(7, recorded_at=MOMENT - timedelta(days=2000)))
    return path


def regrade(record: Path, *more: str) -> int:
    return main(["record", "regrade", "--record", str(record), *more])


def test_counts_and_changes_are_told_and_the_record_is_untouched(record: Path, tmp_path: Path, capsys) -> None:
    before = record.read_bytes()
    out = tmp_path / "changed.csv"
    assert regrade(record, "--policy", str(stricter(tmp_path)), "--since", "0", "--out", str(out)) == 3
    told = capsys.readouterr().out
    assert "5 decision(s) regraded" in told
    assert "nothing was recorded" in told
    assert "not regraded" in told
    assert "was \\ would be" in told
    with out.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert f"{len(rows)} would change" in told
    assert rows
    new = load_policy(tmp_path / "new.toml").stamp.sha256
    assert {row["new_policy_sha256"] for row in rows} == {new}
    assert record.read_bytes() == before


def test_a_code_that_a_spreadsheet_would_run_is_written_as_text(record: Path, tmp_path: Path) -> None:
    out = tmp_path / "changed.csv"
    regrade(record, "--policy", str(stricter(tmp_path)), "--since", "1", "--out", str(out))
    with out.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert "'=1+1" in [row["battery_id"] for row in rows]


def test_under_its_own_policy_nothing_changes(record: Path, capsys) -> None:
    assert regrade(record, "--policy", str(SHIPPED_POLICY), "--since", "0") == 3
    assert "5 decision(s) regraded, 0 would change" in capsys.readouterr().out


def test_another_bundle_decides_where_it_is_named_and_gives_the_same_if_it_is_the_same(
    record: Path, tmp_path: Path, capsys
) -> None:
    bundle = another_bundle(tmp_path)
    assert regrade(record, "--policy", str(SHIPPED_POLICY), "--since", "0", "--bundle", str(bundle)) == 3
    assert "5 decision(s) regraded, 0 would change" in capsys.readouterr().out
    (tmp_path / "shelf").mkdir()
    bundle.rename(tmp_path / "shelf" / "one")
    assert regrade(record, "--policy", str(SHIPPED_POLICY), "--since", "0", "--bundle", str(tmp_path / "shelf")) == 3
    assert "0 decision(s) regraded" in capsys.readouterr().out


def test_a_decision_of_a_bundle_that_is_not_at_hand_is_told_and_not_guessed(record: Path, tmp_path: Path) -> None:
    policy = load_policy(SHIPPED_POLICY).stamp.sha256
    shelf = GraderShelf(Artifacts.at_hand([another_bundle(tmp_path)], [SHIPPED_POLICY]))
    leaf = source_of(record).by_sequence(0)
    assert leaf is not None
    told = regraded(leaf, shelf, policy, None)
    assert told.new is None
    assert not told.changed
    assert "not at hand" in told.not_regraded


def test_features_of_another_definition_are_not_regraded(record: Path, tmp_path: Path) -> None:
    policy = load_policy(SHIPPED_POLICY).stamp.sha256
    shelf = GraderShelf(Artifacts.at_hand([REFERENCE_BUNDLE], [SHIPPED_POLICY]))
    with Ledger.open(tmp_path / "other.sqlite", "test") as ledger:
        found = source_of(record).by_sequence(0)
        assert found is not None
        body = found.body
        body["vector"]["feature_set_digest"] = "ab" * 32
        body.pop("upload_due_on", None)
        leaf = ledger.append(new_entry(1, body=body)).leaf
    told = regraded(leaf, shelf, policy, None)
    assert told.new is None
    assert "its pulse_test features are of set abababababab…" in told.not_regraded


def _since(record: Path, text: str) -> list[int]:
    return [leaf.sequence for leaf in decisions_since(source_of(record).leaves(), parsed_since(text))]


def test_since_is_an_entry_number_or_the_first_entry_of_a_moment_and_what_follows_it_in_the_log(record: Path) -> None:
    assert _since(record, "0") == [0, 1, 2, 3, 4, 5]
    assert _since(record, "4") == [4, 5]
    assert _since(record, "99") == []
    day_after = (MOMENT + timedelta(days=2)).date().isoformat()
    assert _since(record, day_after) == [2, 3, 4, 5]
    assert _since(record, (MOMENT + timedelta(days=2, seconds=1)).isoformat()) == [3, 4, 5]
    assert _since(record, (MOMENT + timedelta(days=2)).isoformat()) == [2, 3, 4, 5]


def test_clocks_that_jumped_back_hide_no_decision(record: Path) -> None:
    leaves: list[Leaf] = list(source_of(record).leaves())
    assert leaves[5].recorded_at < leaves[0].recorded_at
    assert 5 in _since(record, MOMENT.isoformat())


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-11-20T08:00:00", "-1", "", "1" * 16, "٣"])
def test_a_since_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is an entry's number, a day"):
        parsed_since(text)


def test_a_day_is_its_first_moment_in_utc() -> None:
    assert parsed_since("2026-11-20") == datetime(2026, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "more", [["--since", "soon"], ["--since", "0", "--out", "taken.csv"], ["--since", "0", "--out", "gone/x.csv"]]
)
def test_a_command_line_that_cannot_be_done_changes_no_file(record: Path, tmp_path: Path, monkeypatch, more) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken.csv").write_text("mine", encoding="utf-8")
    assert regrade(record, "--policy", str(SHIPPED_POLICY), *more) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["taken.csv"]
    assert Path("taken.csv").read_text(encoding="utf-8") == "mine"
