"""An exported archive is the record: whole on another machine, the same bytes every time, nothing personal in it."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.artifacts import Artifacts
from serving.record.archive import CONTENTS, MANIFEST, SCHEMA
from serving.record.archive_check import archived_keys, verify_archive
from serving.record.archive_write import RecordNotWhole, export_archive
from serving.record.derived import SALT_BYTE, pseudonym
from serving.record.leaf import Leaf, LeafKind, parse_leaf
from serving.record.ledger import Ledger
from serving.record.log_key import public_key
from serving.record.sqlite import SqliteStore
from serving.record.verify import verify_record
from tests.support.archive_forger import files_of
from tests.support.graded import graded, record_of
from tests.support.record_entries import append_numbered, new_entry

AT_HAND = Artifacts.at_hand([REFERENCE_BUNDLE], [SHIPPED_POLICY])
NAME = "Wang Xiaoming"


def exported(record: Path, name: str = "archive.zip", at_hand: Artifacts = AT_HAND, **more: object) -> Path:
    out = record.with_name(name)
    key = public_key(record)
    assert key is not None
    export_archive(SqliteStore(record), out, at_hand, [key], **more)  # type: ignore[arg-type]
    return out


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten entries of one commit, two of their own, and a decision by the shipped bundle."""
    path = record_of(tmp_path_factory.mktemp("record"))
    with Ledger.open(path, "test") as ledger:
        append_numbered(ledger, 10)
        for number in (10, 11):
            ledger.append(new_entry(number))
        graded(ledger)
    return path


@pytest.fixture(scope="module")
def archive(record: Path) -> Path:
    return exported(record)


def test_an_archive_verifies_by_itself_and_ends_where_the_record_ends(record: Path, archive: Path) -> None:
    key = public_key(record)
    assert archived_keys(archive) == [key]
    report, of_record = verify_archive(archive, keys=archived_keys(archive)), verify_record(record)
    assert report.is_intact, report.problems
    assert (report.entry_count, report.head) == (of_record.entry_count, of_record.head) == (13, of_record.head)


def test_the_same_record_and_documents_give_the_same_bytes(record: Path, archive: Path) -> None:
    assert exported(record, "again.zip").read_bytes() == archive.read_bytes()


def test_a_long_record_is_cut_into_files_and_is_whole_all_the_same(record: Path) -> None:
    archive = exported(record, "cut.zip", chunk_byte=1500)
    assert len([name for name in files_of(archive) if name.startswith("leaves/")]) > 3
    assert len([name for name in files_of(archive) if name.startswith("checkpoints/")]) == 1
    assert verify_archive(archive, keys=archived_keys(archive)).is_intact


def test_the_lines_are_the_stored_leaves_and_fit_their_schema(archive: Path) -> None:
    files = files_of(archive)
    schema = json.loads(files[SCHEMA])
    jsonschema.Draft202012Validator.check_schema(schema)
    lines = files["leaves/000000000000.jsonl"].splitlines()
    assert [parse_leaf(line).sequence for line in lines] == list(range(13))
    for line in lines:
        jsonschema.validate(json.loads(line), schema)


def test_the_schema_knows_every_field_and_kind_and_refuses_what_a_leaf_cannot_be(archive: Path) -> None:
    schema = json.loads(files_of(archive)[SCHEMA])
    assert set(schema["properties"]) == {*Leaf.__dataclass_fields__, "body"} - {"body_json"}
    assert schema["properties"]["kind"]["enum"] == list(LeafKind)
    leaf = json.loads(files_of(archive)["leaves/000000000000.jsonl"].splitlines()[0])
    first = {name: value for name, value in leaf.items() if name not in ("operator", "station_clock")}
    jsonschema.validate(first | {"format_version": 1}, schema)
    for broken in (first, leaf | {"format_version": 1}, leaf | {"sequence": -1}, leaf | {"owner": "somebody"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)


def test_what_decisions_name_is_in_the_archive_under_its_digest(archive: Path) -> None:
    files = files_of(archive)
    policy = hashlib.sha256(SHIPPED_POLICY.read_bytes()).hexdigest()
    assert files[f"policies/{policy}.toml"] == SHIPPED_POLICY.read_bytes()
    (bundle,) = AT_HAND.bundles
    for name in ("manifest.json", "model_card.md"):
        assert files[f"bundles/{bundle}/{name}"] == (REFERENCE_BUNDLE / name).read_bytes()
    named = json.loads(files[CONTENTS])["named_by_entries"]
    assert [(each["kind"], each["entries"], each["first_entry"], each["missing_files"]) for each in named] == [
        ("bundle", 1, 12, []),
        ("policy", 1, 12, []),
    ]


def test_what_is_not_at_hand_is_listed_with_its_digest_and_the_archive_is_whole(record: Path) -> None:
    archive = exported(record, "bare.zip", Artifacts())
    (bundle,), policy = AT_HAND.bundles, hashlib.sha256(SHIPPED_POLICY.read_bytes()).hexdigest()
    named = json.loads(files_of(archive)[CONTENTS])["named_by_entries"]
    assert [each["missing_files"] for each in named] == [
        [f"bundles/{bundle}/manifest.json", f"bundles/{bundle}/model_card.md"],
        [f"policies/{policy}.toml"],
    ]
    assert verify_archive(archive, keys=archived_keys(archive)).is_intact


def test_the_manifest_is_what_sha256sum_reads(archive: Path, tmp_path: Path) -> None:
    for name, content in files_of(archive).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(["sha256sum", "--strict", "-c", MANIFEST], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_personal_data_is_never_exported(tmp_path: Path) -> None:
    record = record_of(tmp_path)
    salt = b"s" * SALT_BYTE
    operator = pseudonym(salt, "operator", "station-1", NAME)
    with Ledger.open(record, "test") as ledger:
        ledger.keep_erasable(operator, salt, "operator", "station-1", NAME)
        ledger.append(new_entry(0, operator=operator))
    files = files_of(exported(record))
    assert operator.encode() in files["leaves/000000000000.jsonl"]
    everything = b"".join(files.values())
    assert NAME.encode() not in everything
    assert salt not in everything


def test_entries_recorded_during_an_export_are_left_for_the_next(tmp_path: Path) -> None:
    record = record_of(tmp_path)
    with Ledger.open(record, "test") as ledger:
        append_numbered(ledger, 5)
        archive = exported(record, progress=lambda done, total: ledger.append(new_entry(done)))
    assert verify_record(record).entry_count == 6
    assert verify_archive(archive, keys=archived_keys(archive)).entry_count == 5


def test_a_damaged_record_is_not_exported_and_nothing_is_left_behind(tmp_path: Path) -> None:
    record = record_of(tmp_path)
    with Ledger.open(record, "test") as ledger:
        append_numbered(ledger, 5)
    store = SqliteStore(record)
    with store.writing() as writer:
        connection = writer._connection
        connection.execute("DROP TRIGGER leaf_is_never_updated")
        connection.execute("UPDATE leaf SET leaf = CAST(replace(leaf, '26.9', '36.9') AS BLOB) WHERE sequence = 3")
    store.close()
    with pytest.raises(RecordNotWhole, match="entry 4"):
        exported(record)
    assert not list(tmp_path.glob("*.zip")) + list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize("reason", ["empty", "taken", "no folder", "no key"])
def test_an_export_that_cannot_be_made_says_why(tmp_path: Path, reason: str) -> None:
    record, out = record_of(tmp_path), tmp_path / "archive.zip"
    with Ledger.open(record, "test") as ledger:
        if reason != "empty":
            append_numbered(ledger, 1)
    if reason == "taken":
        out.write_text("mine", encoding="utf-8")
    keys = [] if reason == "no key" else [public_key(record)]
    told = {"empty": "hold an entry", "taken": "new file", "no folder": "folder that exists", "no key": "--key"}
    with pytest.raises(Exception, match=told[reason]):
        export_archive(
            SqliteStore(record),
            tmp_path / "gone" / "archive.zip" if reason == "no folder" else out,
            Artifacts(),
            keys,  # type: ignore[arg-type]
        )
    assert not out.exists() or out.read_text(encoding="utf-8") == "mine"


def test_the_stand_alone_script_accepts_it_without_anything_of_ours(record: Path, archive: Path) -> None:
    done = stand_alone(archive, record)
    assert done.returncode == 0, done.stderr
    head = verify_record(record).head
    assert head is not None
    assert done.stdout == f"whole, 13 entries, head {head.sequence}:{head.leaf_sha256}\n"


def stand_alone(archive: Path, record: Path, *kept: Path) -> subprocess.CompletedProcess[str]:
    """The script of the documentation, in a folder where nothing of ours can be imported."""
    script = Path(__file__).parents[3] / "examples" / "verify_archive.py"
    command = [sys.executable, "-I", str(script), str(archive), f"{record}.pub", *map(str, kept)]
    return subprocess.run(
        command, cwd=archive.parent, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
    )
