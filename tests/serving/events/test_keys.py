"""A log changes its key: both sign for it once, then the new one alone, and whoever holds the first key can follow."""

import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from features.errors import InvalidInput
from serving.events.keys import rotate_key
from serving.record.checkpoint import (
    Checkpoint,
    CheckpointRefused,
    SignerKey,
    VerifierKey,
    opened_checkpoint,
    parsed_checkpoint,
    signed_note,
    signers,
)
from serving.record.key_history import KeyHistory, earlier_changes
from serving.record.key_rotation import lay_ready, next_key_file, read_key, take_over
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger
from serving.record.log_key import key_file, public_key
from serving.record.sqlite import SqliteStore
from serving.record.store import RecordUnavailable
from serving.record.verify import verify_record
from tests.support.cases import MOMENT
from tests.support.record_entries import new_entry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(path, "0.1.0") as opened:
        opened.append(new_entry(0))
        yield opened


def first_key(path: Path) -> VerifierKey:
    key = public_key(path)
    assert key is not None
    return key


def problems(path: Path, *keys: VerifierKey) -> list[str]:
    return [str(each) for each in verify_record(path, keys=keys).problems]


def forged(path: Path, size: int, note: str) -> None:
    """Put another checkpoint in place, as somebody who can write the file."""
    with closing(sqlite3.connect(path)) as connection:
        statements = connection.execute("SELECT name, sql FROM sqlite_schema WHERE name LIKE 'checkpoint_%'").fetchall()
        for name, _ in statements:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (note, size))
        for _, statement in statements:
            connection.execute(statement)
        connection.commit()


def note_over(path: Path, size: int) -> str:
    with SqliteStore(path).reading() as reader:
        note = reader.covering_checkpoint(size - 1)
    assert note is not None
    return note


def test_the_change_is_an_entry_that_names_both_keys_and_both_sign_the_checkpoint_over_it(
    ledger: Ledger, path: Path
) -> None:
    old = read_key(key_file(path))
    recorded = rotate_key(ledger, key_file(path), MOMENT)
    new = read_key(key_file(path))
    assert (recorded.leaf.kind, recorded.leaf.sequence) == (LeafKind.KEY_CHANGE, 1)
    assert recorded.leaf.body == {"old": str(old.verifier), "new": str(new.verifier), "change_before": None}
    assert recorded.receipt is not None
    assert signers(recorded.receipt.checkpoint) == [(key.name, key.verifier.key_hash) for key in (old, new)]
    for key in (old, new):
        assert opened_checkpoint(recorded.receipt.checkpoint, [key.verifier]).size == 2
    assert old.name == new.name


def test_later_checkpoints_are_signed_by_the_new_key_alone_and_the_first_key_leads_to_them(
    ledger: Ledger, path: Path
) -> None:
    before = first_key(path)
    for number in range(1, 4):
        rotate_key(ledger, key_file(path), MOMENT)
        note = ledger.append(new_entry(number)).receipt.checkpoint
        assert signers(note) == [(before.name, read_key(key_file(path)).verifier.key_hash)]
    assert problems(path, before) == []
    assert problems(path, read_key(key_file(path)).verifier) == []


def test_the_old_private_key_stands_in_no_file_afterwards(ledger: Ledger, path: Path) -> None:
    secret = key_file(path).read_text(encoding="utf-8").strip()
    rotate_key(ledger, key_file(path), MOMENT)
    assert [file.name for file in path.parent.iterdir() if secret.encode() in file.read_bytes()] == []
    assert not next_key_file(key_file(path)).exists()
    assert key_file(path).stat().st_mode & 0o077 == 0


def test_a_running_worker_goes_on_with_the_new_key(ledger: Ledger, path: Path) -> None:
    with Ledger.open(path, "0.1.0") as other:
        rotate_key(other, key_file(path), MOMENT)
    ledger.append(new_entry(1))
    assert signers(note_over(path, 3))[-1][1] == read_key(key_file(path)).verifier.key_hash
    assert problems(path, first_key(path)) == []


def test_a_worker_whose_key_file_still_holds_the_old_key_refuses_and_says_why(ledger: Ledger, path: Path) -> None:
    shutil.copyfile(key_file(path), path.parent / "old")
    rotate_key(ledger, key_file(path), MOMENT)
    shutil.copyfile(path.parent / "old", key_file(path))
    with (
        pytest.raises(RecordUnavailable, match="is not the one this record goes on with"),
        Ledger.open(path, "0.1.0") as stale,
    ):
        stale.append(new_entry(1))
    assert ledger.head().sequence == 1


def test_a_rotation_cut_off_after_its_commit_is_finished_by_whoever_signs_next(ledger: Ledger, path: Path) -> None:
    shutil.copyfile(key_file(path), path.parent / "old")
    rotate_key(ledger, key_file(path), MOMENT)
    shutil.copyfile(key_file(path), next_key_file(key_file(path)))
    shutil.copyfile(path.parent / "old", key_file(path))
    with Ledger.open(path, "0.1.0") as other:
        other.append(new_entry(1))
    assert not next_key_file(key_file(path)).exists()
    assert problems(path, first_key(path)) == []


def test_a_rotation_cut_off_before_its_commit_changes_nothing_and_can_be_done_again(ledger: Ledger, path: Path) -> None:
    lay_ready(key_file(path), SignerKey.made("packgrade/never-named"))
    ledger.append(new_entry(1))
    assert signers(note_over(path, 2))[-1][1] == first_key(path).key_hash
    rotate_key(ledger, key_file(path), MOMENT)
    assert problems(path, first_key(path)) == []


def test_an_empty_log_has_no_key_to_change(tmp_path: Path) -> None:
    with (
        Ledger.open(tmp_path / "empty.sqlite", "0.1.0") as empty,
        pytest.raises(InvalidInput, match="must hold an entry the old key signed"),
    ):
        rotate_key(empty, key_file(tmp_path / "empty.sqlite"), MOMENT)


def test_the_old_key_signing_after_its_change_is_found(ledger: Ledger, path: Path) -> None:
    old = read_key(key_file(path))
    rotate_key(ledger, key_file(path), MOMENT)
    ledger.append(new_entry(1))
    later = parsed_checkpoint(note_over(path, 3))
    forged(path, 3, old.sign(later))
    (told,) = problems(path, first_key(path))
    assert "entry 2" in told
    assert "which was replaced before" in told
    forged(path, 3, signed_note(later, old, read_key(key_file(path))))
    assert "which was replaced before" in problems(path, first_key(path))[0]


def test_the_new_key_signing_before_its_change_is_found(ledger: Ledger, path: Path) -> None:
    ledger.append(new_entry(1))
    rotate_key(ledger, key_file(path), MOMENT)
    forged(path, 2, read_key(key_file(path)).sign(parsed_checkpoint(note_over(path, 2))))
    assert "None of the trusted keys signed" in problems(path, first_key(path))[0]


@pytest.mark.parametrize("which", [0, 1])
def test_a_change_that_only_one_of_the_keys_signed_is_found(ledger: Ledger, path: Path, which: int) -> None:
    keys = [read_key(key_file(path))]
    rotate_key(ledger, key_file(path), MOMENT)
    keys.append(read_key(key_file(path)))
    forged(path, 2, keys[which].sign(parsed_checkpoint(note_over(path, 2))))
    assert "the checkpoint over the first 2 entries: None of the trusted keys" in problems(path, first_key(path))[0]


def test_an_entry_that_names_a_key_not_in_force_as_the_old_one_is_not_written(ledger: Ledger, path: Path) -> None:
    stranger, new = SignerKey.made("packgrade/x"), SignerKey.made("packgrade/x")
    lay_ready(key_file(path), new)
    body = {"old": str(stranger.verifier), "new": str(new.verifier), "change_before": None}
    with pytest.raises(RecordUnavailable, match="is not the one in force"):
        ledger.append(new_entry(1, kind=LeafKind.KEY_CHANGE, battery_id=None, body=body))
    assert ledger.head().sequence == 0


def test_a_stranger_who_takes_the_log_over_without_the_old_key_is_found(ledger: Ledger, path: Path) -> None:
    rotate_key(ledger, key_file(path), MOMENT)
    thief = SignerKey.made(first_key(path).name)
    ledger.append(new_entry(1))
    forged(path, 3, thief.sign(parsed_checkpoint(note_over(path, 3))))
    assert "None of the trusted keys signed" in problems(path, first_key(path))[0]


def test_a_checkpoint_kept_elsewhere_is_opened_by_the_key_of_its_size(ledger: Ledger, path: Path) -> None:
    old, kept = read_key(key_file(path)), [ledger.last_checkpoint()]
    rotate_key(ledger, key_file(path), MOMENT)
    kept.append(ledger.last_checkpoint())
    ledger.append(new_entry(1))
    kept.append(ledger.last_checkpoint())
    with SqliteStore(path).reading() as reader:
        history = KeyHistory([first_key(path)], earlier_changes(reader))
    assert [history.opened(note).size for note in kept] == [1, 2, 3]
    with pytest.raises(CheckpointRefused, match="None of the trusted keys"):
        history.opened(old.sign(Checkpoint(old.name, 3, bytes(32))))


def test_a_witness_may_hold_a_checkpoint_from_before_the_change(ledger: Ledger, path: Path, tmp_path: Path) -> None:
    (tmp_path / "witness").write_text(str(ledger.last_checkpoint()), encoding="utf-8")
    rotate_key(ledger, key_file(path), MOMENT)
    with Ledger.open(path, "0.1.0", witness=tmp_path / "witness") as witnessed:
        assert witnessed.append(new_entry(1)).leaf.sequence == 2


def test_a_key_put_in_place_twice_stays_in_place(path: Path) -> None:
    key = SignerKey.made("packgrade/x")
    lay_ready(key_file(path), key)
    take_over(key_file(path))
    take_over(key_file(path))
    assert read_key(key_file(path)).secret == key.secret


def test_a_key_changed_again_and_again_while_two_workers_write_loses_nothing(ledger: Ledger, path: Path) -> None:
    def written(worker: int) -> int:
        with Ledger.open(path, "0.1.0") as own:
            return len([own.append(new_entry(1000 * worker + number)) for number in range(60)])

    with ThreadPoolExecutor(2) as pool:
        counts = [pool.submit(written, worker) for worker in (1, 2)]
        for _ in range(5):
            rotate_key(ledger, key_file(path), MOMENT)
        assert [count.result(60) for count in counts] == [60, 60]
    report = verify_record(path, keys=[first_key(path)])
    assert (report.is_intact, report.entry_count) == (True, 1 + 5 + 120)
