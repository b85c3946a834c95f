import builtins
import zipfile
from pathlib import Path

import pytest

from features.errors import InvalidInput, UnreadableFile
from features.readers.neware_binary import LARGEST_UNPACKED_BYTE, archive_members
from features.readers.testers import read_tester


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused_before_it_is_unpacked(tmp_path: Path):
    bomb = archive(tmp_path / "bomb.ndax", {"data.ndc": bytes(5_000_000)}, zipfile.ZIP_DEFLATED)

    with pytest.raises(UnreadableFile, match="may be packed at most 200 to 1"):
        read_tester(bomb, "neware")


def test_an_archive_of_too_many_members_is_refused_and_a_usual_one_is_not(tmp_path: Path):
    many = archive(tmp_path / "many.ndax", {f"{n}.ndc": b"x" for n in range(1001)})
    few = archive(tmp_path / "few.ndax", {f"{n}.ndc": b"x" for n in range(3)})

    with pytest.raises(UnreadableFile, match="may hold 1000 members"):
        archive_members(many)
    assert archive_members(few) == ["0.ndc", "1.ndc", "2.ndc"]
    assert LARGEST_UNPACKED_BYTE == 500_000_000


def test_a_member_named_to_escape_the_folder_is_written_nowhere(tmp_path: Path):
    pytest.importorskip("fastnda")
    inside = tmp_path / "inside"
    inside.mkdir()
    path = archive(inside / "test.nda.zip", {"../../escaped.nda": b"NEWARE" + bytes(200)})

    with pytest.raises(UnreadableFile):
        read_tester(path, "neware")
    assert sorted(each.name for each in tmp_path.rglob("*") if each.is_file()) == ["test.nda.zip"]


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"readme.txt": b"x"}, "hold one nda or ndax file"),
        ({"a.nda": b"NEWARE", "b.nda": b"NEWARE"}, "hold one nda or ndax file"),
        ({"a.nda": b"something else"}, "no Neware nda or ndax file"),
    ],
)
def test_an_archive_without_exactly_one_test_is_refused(tmp_path: Path, members: dict[str, bytes], rule: str):
    with pytest.raises(UnreadableFile, match=rule):
        read_tester(archive(tmp_path / "test.zip", members), "neware")


def test_a_cut_off_archive_and_a_cut_off_nda_are_refused(tmp_path: Path):
    pytest.importorskip("fastnda")
    whole = archive(tmp_path / "test.ndax", {"data.ndc": b"x" * 500}).read_bytes()
    (tmp_path / "cut.ndax").write_bytes(whole[:300])
    (tmp_path / "cut.nda").write_bytes(b"NEWARE" + bytes(50))

    with pytest.raises(UnreadableFile, match="damaged or cut off"):
        read_tester(tmp_path / "cut.ndax", "neware")
    with pytest.raises(UnreadableFile, match="damaged, cut off, or of a version"):
        read_tester(tmp_path / "cut.nda", "neware")


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "test.nda").write_bytes(b"NEWARE" + bytes(50))
    imported = builtins.__import__

    def without_fastnda(name: str, *rest: object, **named: object) -> object:
        if name == "fastnda":
            raise ImportError(name)
        return imported(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without_fastnda)
    with pytest.raises(InvalidInput, match=r"needs the extra packgrade\[neware\]"):
        read_tester(tmp_path / "test.nda", "neware")
