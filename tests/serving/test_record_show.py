"""A long record is read a page at a time."""

import json
from pathlib import Path

import pytest

from serving.cli import main
from serving.record.ledger import Ledger
from tests.support.record_entries import append_numbered


@pytest.fixture
def record(tmp_path: Path) -> str:
    """A record of 130 entries: batteries 0 1 2 0 1 2 …"""
    with Ledger.open(tmp_path / "record.sqlite", "test") as ledger:
        append_numbered(ledger, 130)
    return str(tmp_path / "record.sqlite")


def shown(capsys: pytest.CaptureFixture[str], record: str, *more: str) -> tuple[list[int], str]:
    assert main(["record", "show", *more, "--record", record]) == 0
    printed = capsys.readouterr()
    decoder, text, found = json.JSONDecoder(), printed.out.strip(), list[int]()
    while text:
        entry, end = decoder.raw_decode(text)
        found.append(entry["sequence"])
        text = text[end:].strip()
    return found, printed.err


def test_a_hundred_entries_are_shown_and_the_next_one_is_named(record: str, capsys) -> None:
    found, told = shown(capsys, record, "all")
    assert found == list(range(100))
    assert "go on with --from 100" in told
    found, told = shown(capsys, record, "all", "--from", "100")
    assert found == list(range(100, 130))
    assert told == ""


def test_a_battery_is_paged_by_the_index_of_the_log(record: str, capsys) -> None:
    found, told = shown(capsys, record, "BATTERY1", "--limit", "2", "--from", "5")
    assert found == [7, 10]
    assert "go on with --from 13" in told


def test_a_single_entry_is_shown_alone(record: str, capsys) -> None:
    assert shown(capsys, record, "17") == ([17], "")


def test_beyond_the_end_there_is_no_entry(record: str, capsys) -> None:
    assert main(["record", "show", "all", "--from", "130", "--record", record]) == 2
    assert "no such entry is in the record" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("count", ["-1", "many", "1" * 16])
def test_a_count_that_is_none_is_refused(record: str, count: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["record", "show", "all", "--limit", count, "--record", record])
    assert ended.value.code == 2


def test_an_archive_is_shown_like_its_record(record: str, tmp_path: Path, capsys) -> None:
    archive = str(tmp_path / "archive.zip")
    assert main(["record", "export", "--out", archive, "--record", record]) == 0
    capsys.readouterr()
    for asked in (["17"], ["BATTERY2", "--limit", "3"], ["all", "--from", "126"]):
        assert shown(capsys, archive, *asked)[0] == shown(capsys, record, *asked)[0]
    assert main(["record", "show", "no-such-battery", "--record", archive]) == 2
