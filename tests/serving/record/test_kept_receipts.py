"""Receipts a station kept are held against the record, before and after the log changed its key."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from features.errors import InvalidInput
from serving.artifacts import Artifacts
from serving.cli import main
from serving.events.keys import rotate_key
from serving.record.archive_check import archived_keys, verify_archive
from serving.record.archive_write import export_archive
from serving.record.audit import public_keys
from serving.record.entry import Recorded
from serving.record.kept_receipts import kept_receipts, receipt_problems
from serving.record.key_history import KeyHistory
from serving.record.ledger import Ledger
from serving.record.log_key import key_file
from serving.record.source import source_of
from serving.record.sqlite import SqliteStore
from tests.serving.record.test_archive import stand_alone
from tests.support.archive_forger import files_of
from tests.support.record_entries import WRITTEN_AT, new_entry


def keep(folder: Path, recorded: Recorded) -> None:
    """What a station keeps of a reply."""
    assert recorded.receipt is not None
    written = {"sequence": recorded.leaf.sequence, "leaf_sha256": recorded.leaf_sha256}
    receipt = {name: value for name, value in asdict(recorded.receipt).items() if name != "sequence"}
    file = folder / f"{recorded.leaf.sequence:06d}.json"
    file.write_text(json.dumps({"recorded": {**written, "receipt": receipt}}), encoding="utf-8")


@pytest.fixture
def rotated(tmp_path: Path) -> Path:
    """A record whose key was changed twice; a station kept the receipt of every entry it wrote."""
    record, folder = tmp_path / "record.sqlite", tmp_path / "receipts"
    folder.mkdir()
    with Ledger.open(record, "test") as ledger:
        for number in range(6):
            keep(folder, ledger.append(new_entry(number)))
            if number in (1, 3):
                rotate_key(ledger, key_file(record), WRITTEN_AT)
    return record


def problems(record: Path) -> list[str]:
    source = source_of(record)
    history = KeyHistory(public_keys(record, ()), source.key_changes())
    return [str(each) for each in receipt_problems(source, kept_receipts(record.with_name("receipts"), history))]


def test_receipts_of_every_key_of_the_log_are_proved(rotated: Path, capsys) -> None:
    assert problems(rotated) == []
    assert main(["record", "verify", str(rotated), "--receipts", str(rotated.with_name("receipts"))]) == 0
    assert "6 of them in receipts" in " ".join(capsys.readouterr().out.split())


def test_an_archive_carries_all_keys_and_is_verified_from_the_first(rotated: Path, capsys) -> None:
    archive = rotated.with_name("archive.zip")
    assert main(["record", "export", "--out", str(archive), "--record", str(rotated)]) == 0
    assert len(archived_keys(archive)) == 3
    first = f"{rotated}.pub"
    receipts = ["--receipts", str(rotated.with_name("receipts"))]
    assert main(["record", "verify", str(archive), "--key", first, *receipts]) == 0
    assert main(["record", "verify", str(archive), *receipts]) == 0
    assert stand_alone(archive, rotated).returncode == 0
    keys = public_keys(rotated, ())
    assert verify_archive(archive, keys=keys).is_intact
    assert len([name for name in files_of(archive) if name.startswith("keys/")]) == 3


def test_a_receipt_of_an_entry_that_is_gone_or_another_is_named(rotated: Path) -> None:
    other = rotated.with_name("other.sqlite")
    for suffix in (".key", ".pub"):
        Path(f"{other}{suffix}").write_bytes(Path(f"{rotated}{suffix}").read_bytes())
    with Ledger.open(rotated.with_name("short.sqlite"), "test") as ledger:
        ledger.append(new_entry(0))
        ledger.append(new_entry(9))
    source = source_of(rotated.with_name("short.sqlite"))
    history = KeyHistory(public_keys(rotated, ()), source_of(rotated).key_changes())
    told = [str(each) for each in receipt_problems(source, kept_receipts(rotated.with_name("receipts"), history))]
    assert any("entry 1" in each and "is not the entry 000001.json is the receipt of" in each for each in told)
    assert any("entry 7: is missing although 000007.json is its receipt" in each for each in told)


def test_a_receipt_of_a_key_nobody_trusts_is_refused_by_file(rotated: Path) -> None:
    with Ledger.open(rotated.with_name("foreign.sqlite"), "test") as ledger:
        keep(rotated.with_name("receipts"), ledger.append(new_entry(0)))
    with pytest.raises(InvalidInput, match=r"000000\.json"):
        problems(rotated)


def test_a_receipt_of_a_key_the_record_says_it_had_replaced_speaks_against_the_record(tmp_path: Path) -> None:
    """Two histories grow from one key; the one that is shown changed the key before the other one answered."""
    answered, shown, folder = tmp_path / "answered.sqlite", tmp_path / "shown.sqlite", tmp_path / "receipts"
    folder.mkdir()
    with Ledger.open(answered, "test") as ledger:
        for number in range(3):
            keep(folder, ledger.append(new_entry(number)))
    for suffix in (".key", ".pub"):
        Path(f"{shown}{suffix}").write_bytes(Path(f"{answered}{suffix}").read_bytes())
    with Ledger.open(shown, "test") as ledger:
        ledger.append(new_entry(0))
        rotate_key(ledger, key_file(shown), WRITTEN_AT)
        ledger.append(new_entry(2))
    told = problems(shown)
    assert any("000002.json is signed by a key that the record disowns" in each for each in told)
    assert any("is not the entry 000002.json is the receipt of" in each for each in told)
    assert problems(answered) == []


def test_a_damaged_entry_is_told_and_the_other_receipts_are_still_held_against_the_record(rotated: Path) -> None:
    with SqliteStore(rotated).writing() as writer:
        connection = writer._connection
        connection.execute("DROP TRIGGER leaf_is_never_updated")
        connection.execute("UPDATE leaf SET leaf = CAST('{}' AS BLOB) WHERE sequence = 1")
    told = problems(rotated)
    assert len(told) == 1
    assert "entry 1: cannot be held against 000001.json" in told[0]


def test_an_export_writes_the_keys_it_is_given(rotated: Path) -> None:
    out = rotated.with_name("few.zip")
    export_archive(SqliteStore(rotated), out, Artifacts(), public_keys(rotated, ()))
    assert verify_archive(out, keys=archived_keys(out)).is_intact
