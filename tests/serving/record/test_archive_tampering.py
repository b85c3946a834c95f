"""Every file of an archive altered, deleted, added, swapped; and what only a kept key or checkpoint shows."""

import hashlib
import itertools
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from features.errors import PackGradeError
from serving.artifacts import Artifacts
from serving.cli import main
from serving.record.archive import CONTENTS, HEAD, MANIFEST
from serving.record.archive_check import archived_keys, verify_archive
from serving.record.archive_write import export_archive
from serving.record.canonical import canonical_json
from serving.record.checkpoint import Checkpoint, SignerKey, VerifierKey, opened_checkpoint
from serving.record.ledger import Ledger
from serving.record.log_key import key_file, public_key
from serving.record.merkle import completed_subtrees, leaf_hash, root
from serving.record.sqlite import SqliteStore
from serving.record.verify import SHOWN_PROBLEMS
from serving.settings import SHIPPED_BUNDLE, SHIPPED_POLICY
from tests.support.archive_forger import Files, cut_after, files_of, packed, repacked
from tests.support.graded import graded, record_of
from tests.support.record_entries import append_numbered, new_entry

LEAVES, CHECKPOINTS = "leaves/000000000000.jsonl", "checkpoints/000000000000.jsonl"
SCRIPT = Path(__file__).parents[3] / "examples" / "verify_archive.py"


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six entries in one commit, four of their own and a decision by the shipped bundle."""
    path = record_of(tmp_path_factory.mktemp("record"))
    with Ledger.open(path, "test") as ledger:
        append_numbered(ledger, 6)
        for number in range(6, 10):
            ledger.append(new_entry(number))
        graded(ledger)
    return path


@pytest.fixture(scope="module")
def key(record: Path) -> VerifierKey:
    found = public_key(record)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def archive(record: Path, key: VerifierKey) -> Path:
    out = record.with_name("archive.zip")
    export_archive(SqliteStore(record), out, Artifacts.at_hand([SHIPPED_BUNDLE], [SHIPPED_POLICY]), [key])
    return out


def faults(archive: Path, *keys: VerifierKey, **kept: object) -> list[str]:
    """Everything verification says of an archive, with the auditor's own key."""
    report = verify_archive(archive, keys=keys, **kept)  # type: ignore[arg-type]
    return [str(problem) for problem in report.problems]


def script_accepts(archive: Path, record: Path, *kept: Path) -> bool:
    command = [sys.executable, str(SCRIPT), str(archive), f"{record}.pub", *map(str, kept)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode == 0


def test_every_altered_file_is_named(archive: Path, key: VerifierKey) -> None:
    for name, content in files_of(archive).items():
        for at in (0, len(content) // 2, len(content) - 1):
            altered = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
            forged = repacked(archive, lambda files, name=name, altered=altered: files.update({name: altered}))
            told = faults(forged, key)
            assert told, (name, at)
            assert name == MANIFEST or any(name in fault for fault in told), (name, told)


def test_every_deleted_file_is_named(archive: Path, key: VerifierKey) -> None:
    for name in files_of(archive):
        told = faults(repacked(archive, lambda files, name=name: files.pop(name)), key)
        assert any(name in fault for fault in told), name


def test_a_file_that_is_none_of_ours_is_refused_and_one_that_could_be_is_named(archive: Path, key: VerifierKey) -> None:
    with pytest.raises(PackGradeError, match=r"notes\.txt.*is no file of an evidence archive"):
        verify_archive(repacked(archive, lambda files: files.update({"notes.txt": b"hello"})))
    for name in (f"policies/{'a' * 64}.toml", "keys/0a1b2c3d.pub", "leaves/000000000011.jsonl"):
        told = faults(repacked(archive, lambda files, name=name: files.update({name: b"hello\n"})), key)
        assert any(f"{name} is not listed" in fault for fault in told)


def test_every_pair_of_swapped_files_is_found(archive: Path, key: VerifierKey) -> None:
    names = sorted(files_of(archive))
    for one, other in itertools.pairwise(names):

        def swap(files: Files, one: str = one, other: str = other) -> None:
            files[one], files[other] = files[other], files[one]

        told = faults(repacked(archive, swap), key)
        beyond_what_is_shown = len(told) == SHOWN_PROBLEMS
        assert beyond_what_is_shown or any(one in fault for fault in told), (one, other)
        assert MANIFEST in (one, other) or beyond_what_is_shown or any(other in fault for fault in told), (one, other)


def _lines(change: Callable[[list[bytes]], object], name: str = LEAVES) -> Callable[[Files], None]:
    """Change the lines of a file."""

    def changed(files: Files) -> None:
        lines = files[name].splitlines(keepends=True)
        change(lines)
        files[name] = b"".join(lines)

    return changed


def _swap(lines: list[bytes]) -> None:
    lines[3], lines[4] = lines[4], lines[3]


def _edit(lines: list[bytes]) -> None:
    lines[7] = lines[7].replace(b"26.9", b"36.9")


def _respell(lines: list[bytes]) -> None:
    lines[7] = lines[7].replace(b'"lower_ah":', b'"lower_ah": ')


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: lines.pop(3), "entry 3: is missing"),
        (lambda lines: lines.pop(), "entry 10: is missing although a checkpoint of the archive covers it"),
        (lambda lines: lines.insert(3, lines[3]), "entry 4: is missing from the record: expected entry 4, found"),
        (lambda lines: lines.append(lines[0]), "found entry 0"),
        (_swap, "entry 3: is missing from the record: expected entry 3, found entry 4"),
        (_edit, "entry 7: is not what the record's own checkpoint covers"),
        (_respell, "entry 7: the stored leaf is damaged, not canonical JSON"),
        (lambda lines: lines.insert(2, b"\n"), "entry 2: the stored leaf is damaged"),
    ],
)
def test_the_first_bad_entry_is_named_even_if_the_manifest_was_put_right(
    archive: Path, record: Path, key: VerifierKey, change: Callable[[list[bytes]], object], told: str
) -> None:
    forged = repacked(archive, _lines(change), manifest_too=True)
    first = next(fault for fault in faults(forged, key) if fault.startswith("entry"))
    assert told in first
    assert not script_accepts(forged, record)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: lines.pop(), "stands under no signed checkpoint"),
        (lambda lines: lines.pop(0), f"{CONTENTS} does not say what the archive holds"),
        (lambda lines: lines.reverse(), "is no checkpoint, or is not larger"),
        (lambda lines: lines.append(b"[]\n"), "is no checkpoint"),
        (lambda lines: lines.clear(), "stands under no signed checkpoint"),
    ],
)
def test_checkpoints_taken_away_or_moved_are_found(
    archive: Path, key: VerifierKey, change: Callable[[list[bytes]], object], told: str
) -> None:
    forged = repacked(archive, _lines(change, CHECKPOINTS), manifest_too=True)
    assert any(told in fault for fault in faults(forged, key))


def test_a_checkpoint_taken_out_from_between_two_is_named_by_the_next(
    archive: Path, record: Path, key: VerifierKey
) -> None:
    forged = repacked(archive, _lines(lambda lines: lines.pop(1), CHECKPOINTS), manifest_too=True)
    assert any("was taken out or exchanged" in fault for fault in faults(forged, key))
    assert not script_accepts(forged, record)


def test_an_event_or_a_key_used_twice_is_found(tmp_path: Path) -> None:
    record = record_of(tmp_path)
    with Ledger.open(record, "test") as ledger:
        append_numbered(ledger, 2)
    key = public_key(record)
    assert key is not None
    export_archive(SqliteStore(record), tmp_path / "archive.zip", Artifacts(), [key])

    def doubled(lines: list[bytes]) -> None:
        first, second = (json.loads(line) for line in lines)
        again = {name: first[name] for name in ("event_id", "station", "idempotency_key", "station_sequence")}
        lines[1] = canonical_json(second | again) + b"\n"

    told = faults(repacked(tmp_path / "archive.zip", _lines(doubled), manifest_too=True), key)
    assert any("event_id occurs more than once" in fault for fault in told)
    assert any("station, idempotency_key occurs more than once" in fault for fault in told)


def test_a_policy_or_bundle_exchanged_for_another_is_found(archive: Path, key: VerifierKey) -> None:
    for name in files_of(archive):
        if name.startswith(("policies/", "bundles/")):
            change = {name: files_of(archive)[name] + b"\n# more"}
            forged = repacked(archive, lambda files, change=change: files.update(change), manifest_too=True)
            assert any(name in fault for fault in faults(forged, key)), name


def test_another_signed_head_than_the_last_checkpoint_is_found(archive: Path, key: VerifierKey) -> None:
    note = files_of(archive)[HEAD].decode()
    for other in (note.replace("\n11\n", "\n10\n"), note + note, ""):
        forged = repacked(archive, lambda files, other=other: files.update({HEAD: other.encode()}), manifest_too=True)
        assert any(f"{HEAD} is not the last checkpoint" in fault for fault in faults(forged, key))


def test_a_file_of_entries_under_another_number_is_found(archive: Path, key: VerifierKey) -> None:
    def renamed(files: Files) -> None:
        files["leaves/000000000003.jsonl"] = files.pop(LEAVES)

    forged = repacked(archive, renamed, manifest_too=True)
    assert faults(forged, key) == ["record: leaves/000000000003.jsonl is not named by the number of its first line"]


def test_a_missing_document_cannot_be_taken_off_the_list(archive: Path, key: VerifierKey) -> None:
    (policy,) = [name for name in files_of(archive) if name.startswith("policies/")]
    forged = repacked(archive, lambda files: files.pop(policy), manifest_too=True)
    assert any(f"{CONTENTS} does not say what the archive holds" in fault for fault in faults(forged, key))


def test_an_end_cut_off_everywhere_shows_only_against_a_checkpoint_kept_elsewhere(
    archive: Path, record: Path, key: VerifierKey, tmp_path: Path
) -> None:
    forged = repacked(archive, lambda files: cut_after(files, 8))
    with_named = [fault for fault in faults(forged, key) if "named by no entry" not in fault and CONTENTS not in fault]
    assert with_named == []
    kept = tmp_path / "kept.txt"
    kept.write_bytes(files_of(archive)[HEAD])
    held = opened_checkpoint(kept.read_text(encoding="utf-8"), [key])
    assert any("rolled back or cut" in fault for fault in faults(forged, key, checkpoints=[held]))
    assert not script_accepts(forged, record, kept)
    assert script_accepts(archive, record, kept)
    report = verify_archive(archive, keys=[key])
    assert report.head is not None
    assert any("is missing although a receipt" in fault for fault in faults(forged, key, expected_head=report.head))


def _resealed(archive: Path, key: SignerKey) -> Path:
    """Another story told from entry 7 on, chained and signed anew."""

    def retell(files: Files) -> None:
        lines = [json.loads(line) for line in files[LEAVES].splitlines()]
        lines[7]["body"]["lower_ah"] = 36.9
        stored, nodes = list[bytes](), dict[tuple[int, int], bytes]()
        for leaf in lines:
            if stored:
                leaf["previous_leaf_sha256"] = _sha256(stored[-1])
            stored.append(canonical_json(leaf))
            before = [line for line in lines[: len(stored) - 1] if line["battery_id"] == leaf["battery_id"]]
            if before:
                leaf["battery_previous_leaf_sha256"] = _sha256(stored[before[-1]["sequence"]])
                stored[-1] = canonical_json(leaf)
            for level, place, hashed in completed_subtrees(
                len(stored) - 1, leaf_hash(stored[-1]), lambda *at: nodes[at]
            ):
                nodes[level, place] = hashed
        note = key.sign(Checkpoint(key.name, len(stored), root(len(stored), lambda *at: nodes[at])))
        told = json.loads(files[CONTENTS])
        told |= {"checkpoints": 1, "head": {"sequence": len(stored) - 1, "leaf_sha256": _sha256(stored[-1])}}
        files[LEAVES] = b"".join(line + b"\n" for line in stored)
        files[CHECKPOINTS] = canonical_json({"note": note, "size": len(stored)}) + b"\n"
        files[HEAD] = note.encode()
        files[CONTENTS] = json.dumps(told, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"
        for name in [name for name in files if name.startswith("keys/")]:
            del files[name]
        files[f"keys/{key.verifier.key_hash.hex()}.pub"] = f"{key.verifier}\n".encode()

    return repacked(archive, retell, manifest_too=True)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_an_archive_forged_under_another_key_shows_against_the_auditors_own_key(
    archive: Path, record: Path, key: VerifierKey
) -> None:
    forged = _resealed(archive, SignerKey.made(key.name))
    assert faults(forged, *archived_keys(forged)) == []
    assert any("None of the trusted keys signed" in fault for fault in faults(forged, key))
    assert not script_accepts(forged, record)


def test_a_story_retold_with_the_stolen_key_shows_against_a_checkpoint_kept_elsewhere(
    archive: Path, record: Path, key: VerifierKey, tmp_path: Path
) -> None:
    forged = _resealed(archive, SignerKey.parsed(key_file(record).read_text(encoding="utf-8")))
    assert faults(forged, key) == []
    kept = tmp_path / "kept.txt"
    kept.write_bytes(files_of(archive)[HEAD])
    held = opened_checkpoint(kept.read_text(encoding="utf-8"), [key])
    told = faults(forged, key, checkpoints=[held])
    assert any("does not begin with what a checkpoint kept" in fault for fault in told)
    assert not script_accepts(forged, record, kept)


def test_bits_flipped_anywhere_never_crash_and_never_pass_with_other_content(archive: Path, key: VerifierKey) -> None:
    chance, whole, original = random.Random(4), archive.read_bytes(), files_of(archive)
    flipped, accepted = archive.with_name("flipped.zip"), 0
    for _ in range(300):
        at = chance.randrange(8 * len(whole))
        content = bytearray(whole)
        content[at // 8] ^= 1 << (at % 8)
        flipped.write_bytes(content)
        try:
            intact = verify_archive(flipped, keys=[key]).is_intact
        except PackGradeError:
            continue
        if intact:
            accepted += 1
            assert files_of(flipped) == original, at
    assert accepted < 30  # the zip's own times and version bytes say nothing


def test_an_archive_cut_off_anywhere_is_not_whole(archive: Path, key: VerifierKey) -> None:
    whole, cut = archive.read_bytes(), archive.with_name("cut.zip")
    for length in range(4, len(whole), len(whole) // 40):
        cut.write_bytes(whole[:length])
        assert not verify_archive(cut, keys=[key]).is_intact


def test_an_archive_of_nothing_is_not_whole(tmp_path: Path) -> None:
    assert not verify_archive(packed(tmp_path / "empty.zip", {})).is_intact
    assert not verify_archive(tmp_path / "gone.zip").is_intact


def test_the_command_ends_with_1_for_what_is_not_whole_and_with_2_for_what_is_refused(archive: Path, capsys) -> None:
    assert main(["record", "verify", str(archive)]) == 0
    cut = archive.with_name("cut.zip")
    cut.write_bytes(archive.read_bytes()[:-100])
    assert main(["record", "verify", str(cut)]) == 1
    assert "NOT WHOLE" in capsys.readouterr().out
    strange = repacked(archive, lambda files: files.update({"notes.txt": b"hello"}))
    assert main(["record", "verify", str(strange)]) == 2
    assert "ARCHIVE_REFUSED" in capsys.readouterr().err
