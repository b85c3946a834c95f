import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from serving.record.checkpoint import CheckpointRefused, opened_checkpoint
from serving.record.ledger import Ledger
from serving.record.log_key import key_file, log_key, public_key, public_key_file
from serving.record.receipt import Receipt
from serving.record.store import RecordUnavailable
from serving.record.verify import verify_record
from tests.support.record_entries import append_numbered, new_entry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.sqlite"


def test_every_recorded_entry_comes_with_a_receipt_that_proves_it(path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        recorded = [ledger.append(new_entry(number)) for number in range(5)]
    key = public_key(path)
    assert key is not None
    assert all(each.receipt is not None and each.receipt.proves([key], each.leaf) for each in recorded)
    assert not recorded[0].receipt.proves([key], recorded[1].leaf)


def test_entries_of_one_commit_stand_under_one_checkpoint(path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        recorded = ledger.append_many([new_entry(number) for number in range(7)])
    assert len({each.receipt.checkpoint for each in recorded}) == 1
    assert opened_checkpoint(recorded[0].receipt.checkpoint, [public_key(path)]).size == 7


def test_the_same_request_again_gets_the_very_same_receipt_however_far_the_log_has_grown(path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        first = ledger.append(new_entry(0))
        append_numbered(ledger, 40)
        again = ledger.append(new_entry(0))
    assert again.receipt == first.receipt
    assert again.replayed


def test_a_receipt_is_plain_json_and_is_read_back(path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        receipt = ledger.append(new_entry(0)).receipt
    assert Receipt.from_json(json.loads(json.dumps(asdict(receipt)))) == receipt
    with pytest.raises(CheckpointRefused, match="no receipt"):
        Receipt.from_json({"sequence": 1})


def test_a_receipt_of_another_log_proves_nothing(path: Path, tmp_path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger, Ledger.open(tmp_path / "other.sqlite", "0.1.0") as other:
        receipt, strange = ledger.append(new_entry(0)).receipt, other.append(new_entry(0)).receipt
    with pytest.raises(CheckpointRefused):
        strange.proves([public_key(path)])
    assert not replace(receipt, leaf_hash=strange.leaf_hash[::-1]).proves([public_key(path)])


def test_a_refused_entry_moves_no_checkpoint(path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(0))
        before = ledger.last_checkpoint()
        ledger.append_many([new_entry(1, idempotency_key="key-0", station="station-0")])
        assert ledger.last_checkpoint() == before


def test_a_log_smaller_than_what_a_witness_holds_is_not_signed(path: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness.txt"
    with Ledger.open(path, "0.1.0") as ledger:
        append_numbered(ledger, 5)
    shutil.copyfile(path, tmp_path / "older")
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(5))
        witness.write_text(ledger.last_checkpoint(), encoding="utf-8")
    shutil.copyfile(tmp_path / "older", path)
    with Ledger.open(path, "0.1.0", witness=witness) as ledger:
        with pytest.raises(RecordUnavailable, match="A witness holds a checkpoint over 6 leaves"):
            ledger.append_many([new_entry(9, body={"another": "history"})])
        with pytest.raises(RecordUnavailable, match="do not begin so"):
            ledger.append_many([new_entry(number, body={"x": 1}) for number in range(5, 8)])
        assert ledger.head().sequence == 4


def test_a_log_that_begins_with_what_its_witness_holds_goes_on(path: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness.txt"
    with Ledger.open(path, "0.1.0", witness=witness) as ledger:
        ledger.append(new_entry(0))
        witness.write_text(ledger.last_checkpoint(), encoding="utf-8")
        assert ledger.append(new_entry(1)).leaf.sequence == 1


def test_a_witness_that_is_not_there_stops_all_but_the_first_entries(path: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness.txt"
    with Ledger.open(path, "0.1.0", witness=witness) as ledger:
        ledger.append(new_entry(1))
        with pytest.raises(RecordUnavailable, match=r"witness .* is not there"):
            ledger.append(new_entry(2))
        witness.write_text(ledger.last_checkpoint() or "", encoding="utf-8")
        ledger.append(new_entry(2))
        witness.unlink()
        with pytest.raises(RecordUnavailable, match=r"witness .* is not there"):
            ledger.append(new_entry(3))


def test_a_witness_of_another_log_stops_the_record(path: Path, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "other.sqlite", "0.1.0") as other:
        other.append(new_entry(0))
        (tmp_path / "witness.txt").write_text(other.last_checkpoint(), encoding="utf-8")
    with (
        Ledger.open(path, "0.1.0", witness=tmp_path / "witness.txt") as ledger,
        pytest.raises(RecordUnavailable, match="holds no checkpoint of this log"),
    ):
        ledger.append(new_entry(0))


def test_a_checkpoint_kept_elsewhere_shows_a_rolled_back_log_and_a_second_history(path: Path, tmp_path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        append_numbered(ledger, 5)
    shutil.copyfile(path, tmp_path / "older")
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(5))
        kept = opened_checkpoint(ledger.last_checkpoint(), [public_key(path)])
    assert verify_record(path, checkpoints=[kept], keys=[public_key(path)]).is_intact
    shutil.copyfile(tmp_path / "older", path)
    assert verify_record(path, keys=[public_key(path)]).is_intact
    assert "was rolled back or cut" in str(verify_record(path, checkpoints=[kept]).first_bad_entry)
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(5, body={"another": "history"}))
    told = str(verify_record(path, checkpoints=[kept]).first_bad_entry)
    assert "entry 5: does not begin with what a checkpoint kept elsewhere covers" in told


def test_a_checkpoint_signed_by_another_key_is_found_where_the_key_is_known(path: Path, tmp_path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(0))
    stranger = log_key(tmp_path / "stranger").verifier
    assert verify_record(path).is_intact
    assert "None of the trusted keys" in str(verify_record(path, keys=[stranger]).first_bad_entry)


def test_a_lost_key_is_not_replaced_in_silence(path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(0))
    key_file(path).unlink()
    with pytest.raises(RecordUnavailable, match="is gone, although it signed this record before"):
        Ledger.open(path, "0.1.0")
    assert public_key_file(path).is_file()


def test_a_record_that_lost_both_halves_of_its_key_gets_no_new_one(path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(0))
    key_file(path).unlink()
    public_key_file(path).unlink()
    with pytest.raises(RecordUnavailable, match="is gone, although it signed"):
        Ledger.open(path, "0.1.0")
    assert not key_file(path).exists()


def test_the_key_of_another_record_signs_nothing_here(path: Path, tmp_path: Path) -> None:
    with Ledger.open(path, "0.1.0") as ledger:
        ledger.append(new_entry(0))
    Ledger.open(tmp_path / "other.sqlite", "0.1.0").close()
    shutil.copyfile(key_file(tmp_path / "other.sqlite"), key_file(path))
    with pytest.raises(RecordUnavailable, match="is not the one that signed this record"):
        Ledger.open(path, "0.1.0")
