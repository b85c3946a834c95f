"""An archive comes from a stranger: what would be dangerous to read is refused, with the name and the rule."""

import io
import json
import zipfile
from pathlib import Path

import pytest

from serving.artifacts import Artifacts
from serving.record.archive import (
    CONTENTS,
    LARGEST_FILE_BYTE,
    LARGEST_LINE_BYTE,
    ArchiveRefused,
    OpenedArchive,
    is_archive,
)
from serving.record.archive_check import verify_archive
from serving.record.archive_write import export_archive
from serving.record.ledger import Ledger
from serving.record.log_key import public_key
from serving.record.sqlite import SqliteStore
from tests.support.archive_forger import files_of, packed
from tests.support.record_entries import append_numbered


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A sound archive of three entries."""
    record = tmp_path / "record.sqlite"
    with Ledger.open(record, "test") as ledger:
        append_numbered(ledger, 3)
    key = public_key(record)
    assert key is not None
    export_archive(SqliteStore(record), tmp_path / "archive.zip", Artifacts(), [key])
    return tmp_path / "archive.zip"


def refusal(path: Path) -> str:
    with pytest.raises(ArchiveRefused) as refused:
        verify_archive(path)
    assert refused.value.code == "ARCHIVE_REFUSED"
    return str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.txt",
        "/etc/passwd",
        "leaves/../../escaped.jsonl",
        "..\\escaped.txt",
        "leaves/000000000000.jsonl/",
        "LEAVES/000000000000.jsonl",
        "leaves/0.jsonl",
        "policies/x.toml",
        "a" * 3000,
        "README.txt\x00.exe",
        "电池.txt",
    ],
)
def test_a_name_without_a_meaning_is_refused_and_nothing_is_written(archive: Path, name: str) -> None:
    before = sorted(path.name for path in archive.parent.iterdir())
    with zipfile.ZipFile(archive, "a") as opened:
        described = zipfile.ZipInfo("placeholder")
        described.filename = described.orig_filename = name
        opened.writestr(described, b"hello")
    assert "is no file of an evidence archive" in refusal(archive)
    assert sorted(path.name for path in archive.parent.iterdir()) == before


def test_a_name_that_stands_twice_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr("leaves/000000000000.jsonl", b"{}\n")
    assert "must hold every name once (got 'leaves/000000000000.jsonl')" in refusal(archive)


def test_a_file_that_would_grow_beyond_all_measure_is_refused_before_it_is_read(tmp_path: Path) -> None:
    bomb = packed(tmp_path / "bomb.zip", {"leaves/000000000000.jsonl": b"\x00" * (40 * 2**20)})
    assert bomb.stat().st_size < 100_000
    assert "must not unpack to more than 500 times its size" in refusal(bomb)


def test_a_file_that_says_it_is_huge_is_refused(archive: Path) -> None:
    with OpenedArchive(archive) as opened:
        assert opened.names
    content = bytearray(archive.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (LARGEST_FILE_BYTE + 1).to_bytes(4, "little")
    archive.write_bytes(content)
    assert f"must unpack to at most {LARGEST_FILE_BYTE} bytes" in refusal(archive)


def test_files_that_lie_on_top_of_each_other_are_refused(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    first = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", first + 4)
    content[second + 42 : second + 46] = content[first + 42 : first + 46]
    archive.write_bytes(content)
    assert "lies on top of another file" in refusal(archive)


def test_an_encrypted_file_and_an_unknown_compression_are_refused(archive: Path, tmp_path: Path) -> None:
    content = bytearray(archive.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    archive.write_bytes(content)
    assert "not encrypted" in refusal(archive)
    with zipfile.ZipFile(tmp_path / "lzma.zip", "w", zipfile.ZIP_LZMA) as opened:
        opened.writestr("README.txt", b"hello" * 100)
    assert "must be stored or deflated" in refusal(tmp_path / "lzma.zip")


def test_a_line_without_an_end_is_refused_instead_of_filling_the_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "line.zip", "w", zipfile.ZIP_STORED) as opened:
        opened.writestr("leaves/000000000000.jsonl", b"x" * (LARGEST_LINE_BYTE + 2**20))
    assert f"has a line beyond {LARGEST_LINE_BYTE} bytes" in refusal(tmp_path / "line.zip")


@pytest.mark.parametrize("written", [b"[" * 100_000, b'{"entries": 1e400}', b'{"entries": "many"}', b"\xff", b"null"])
def test_contents_made_to_hurt_are_a_problem_and_no_crash(archive: Path, written: bytes) -> None:
    files = files_of(archive) | {CONTENTS: written}
    told = [str(each) for each in verify_archive(packed(archive.with_name("odd.zip"), files)).problems]
    assert any(f"{CONTENTS} does not say what the archive holds" in each for each in told)


@pytest.mark.parametrize("line", [b"[" * 100_000, json.dumps({"note": 3, "size": 1}).encode(), b'{"note":"","size":1}'])
def test_checkpoints_made_to_hurt_are_a_problem_and_no_crash(archive: Path, line: bytes) -> None:
    files = files_of(archive) | {"checkpoints/000000000000.jsonl": line + b"\n"}
    told = [str(each) for each in verify_archive(packed(archive.with_name("odd.zip"), files)).problems]
    assert any("line 1 of the checkpoints is no checkpoint" in each for each in told)


def test_what_is_no_zip_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("PK, or so it says", encoding="utf-8")
    assert not is_archive(tmp_path / "text.zip")
    assert not is_archive(tmp_path / "gone.zip")
    assert not is_archive("postgresql://localhost/packgrade")
    nothing = io.BytesIO()
    zipfile.ZipFile(nothing, "w").close()
    assert not nothing.getvalue().startswith(b"PK\x03\x04")
