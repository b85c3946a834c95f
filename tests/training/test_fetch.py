"""Fetching public data: against a server of the test's own, and from a folder."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from features.errors import InvalidInput
from training.datasets.public_source import PublicFile, PublicSource, public_source
from training.fetch import FetchedFile, FetchRefused, fetch_source

CONTENT = {"10Ah LMO/lmo.xlsx": b"lmo" * 70_000, "35Ah LFP/lfp.xlsx": b"lfp" * 500}
SOURCE = PublicSource(
    name="made-up",
    licence="MIT",
    repository="somebody/something",
    commit="0" * 40,
    address="http://127.0.0.1:9/{repository}/{commit}/",
    folder="sub/tables",
    files=tuple(PublicFile(path=path, sha256=hashlib.sha256(c).hexdigest()) for path, c in CONTENT.items()),
)


@dataclass
class Served:
    """What a server holds, what it was asked for, and after how many bytes it hangs up once."""

    url: str = ""
    content: dict[str, bytes] = field(default_factory=lambda: dict(CONTENT))
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    hangs_up_after: int | None = None
    knows_ranges: bool = True


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@contextlib.contextmanager
def _serving() -> Iterator[Served]:
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, wanted = unquote(self.path).lstrip("/"), self.headers.get("Range")
            served.asked.append((path, wanted))
            if path not in served.content:
                self.send_error(404)
                return
            content = served.content[path]
            first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and served.knows_ranges else 0
            if first and first >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            last, served.hangs_up_after = served.hangs_up_after, None
            self.wfile.write(content[first:last])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def served() -> Iterator[Served]:
    with _serving() as server:
        yield server


def fetched(folder: Path, **how: object) -> list[FetchedFile]:
    return fetch_source(SOURCE, folder, lambda *_: None, **how)  # type: ignore[arg-type]


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "sub" / "tables").iterdir()}


def test_every_file_of_the_set_arrives_with_its_bytes_and_tells_its_progress(served: Served, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    found = fetch_source(SOURCE, tmp_path, lambda *step: told.append(step), base_url=served.url)
    assert kept(tmp_path) == {"lmo.xlsx": CONTENT["10Ah LMO/lmo.xlsx"], "lfp.xlsx": CONTENT["35Ah LFP/lfp.xlsx"]}
    assert [each.already_there for each in found] == [False, False]
    assert len(told) > 2
    assert told[-1] == ("lfp.xlsx", 1500, 1500)


def test_a_file_that_is_there_with_the_right_digest_is_not_fetched_again(served: Served, tmp_path: Path) -> None:
    fetched(tmp_path, base_url=served.url)
    asked_before = len(served.asked)
    again = fetched(tmp_path, base_url=served.url)
    assert [each.already_there for each in again] == [True, True]
    assert len(served.asked) == asked_before


def test_a_broken_download_is_continued_where_it_broke(served: Served, tmp_path: Path) -> None:
    served.hangs_up_after = 100_000
    with pytest.raises(FetchRefused, match="SOURCE_UNREACHABLE"):
        fetched(tmp_path, base_url=served.url)
    (part,) = kept(tmp_path)
    assert part == "lmo.xlsx.part"
    have = len(kept(tmp_path)[part])
    assert 0 < have <= 100_000
    fetched(tmp_path, base_url=served.url)
    assert ("10Ah LMO/lmo.xlsx", f"bytes={have}-") in served.asked
    assert kept(tmp_path)["lmo.xlsx"] == CONTENT["10Ah LMO/lmo.xlsx"]


@pytest.mark.parametrize(("left", "knows_ranges"), [(b"lmo", False), (b"lmo" * 70_000, True), (b"x" * 210_001, True)])
def test_a_source_that_cannot_continue_starts_the_file_anew(
    served: Served, tmp_path: Path, left: bytes, knows_ranges: bool
) -> None:
    served.knows_ranges = knows_ranges
    (tmp_path / "sub" / "tables").mkdir(parents=True)
    (tmp_path / "sub" / "tables" / "lmo.xlsx.part").write_bytes(left)
    fetched(tmp_path, base_url=served.url)
    assert kept(tmp_path)["lmo.xlsx"] == CONTENT["10Ah LMO/lmo.xlsx"]


def test_a_wrong_checksum_names_file_expected_and_found_and_keeps_nothing_of_it(served: Served, tmp_path: Path) -> None:
    served.content["10Ah LMO/lmo.xlsx"] = b"another"
    with pytest.raises(FetchRefused, match="CHECKSUM_WRONG") as refused:
        fetched(tmp_path, base_url=served.url)
    (problem,) = refused.value.problems
    assert problem.where == "10Ah LMO/lmo.xlsx"
    assert SOURCE.files[0].sha256 in problem.rule
    assert problem.value == hashlib.sha256(b"another").hexdigest()
    assert kept(tmp_path) == {}


def test_a_half_file_of_another_version_is_not_kept_and_the_next_try_succeeds(served: Served, tmp_path: Path) -> None:
    (tmp_path / "sub" / "tables").mkdir(parents=True)
    (tmp_path / "sub" / "tables" / "lmo.xlsx.part").write_bytes(b"of an older commit")
    with pytest.raises(FetchRefused, match="CHECKSUM_WRONG"):
        fetched(tmp_path, base_url=served.url)
    assert kept(tmp_path) == {}
    fetched(tmp_path, base_url=served.url)


def test_without_a_network_the_refusal_says_where_it_asked_and_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(FetchRefused, match="SOURCE_UNREACHABLE") as refused:
        fetched(tmp_path)
    assert "http://127.0.0.1:9/somebody/something/" in refused.value.message
    assert "--from" in refused.value.message
    assert kept(tmp_path) == {}


def test_a_file_the_source_does_not_have_is_refused(served: Served, tmp_path: Path) -> None:
    del served.content["35Ah LFP/lfp.xlsx"]
    with pytest.raises(FetchRefused, match=r"lfp\.xlsx could not be fetched.*404"):
        fetched(tmp_path, base_url=served.url)
    assert "lmo.xlsx" in kept(tmp_path)


def test_another_file_under_the_name_is_never_overwritten(served: Served, tmp_path: Path) -> None:
    (tmp_path / "sub" / "tables").mkdir(parents=True)
    (tmp_path / "sub" / "tables" / "lfp.xlsx").write_bytes(b"mine")
    with pytest.raises(FetchRefused, match="FILE_DIFFERS"):
        fetched(tmp_path, base_url=served.url)
    assert kept(tmp_path) == {"lfp.xlsx": b"mine"}
    assert served.asked == []


@pytest.mark.parametrize("in_folders", [True, False])
def test_files_come_from_a_folder_in_its_own_folders_or_side_by_side(tmp_path: Path, in_folders: bool) -> None:
    given = tmp_path / "given"
    for path, content in CONTENT.items():
        place = given / (path if in_folders else path.rsplit("/", 1)[-1])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    fetched(tmp_path / "to", from_folder=given)
    assert sorted(kept(tmp_path / "to")) == ["lfp.xlsx", "lmo.xlsx"]


def test_a_folder_is_checked_by_the_same_digests(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    with pytest.raises(FetchRefused, match="FILE_MISSING"):
        fetched(tmp_path / "to", from_folder=given)
    (given / "lmo.xlsx").write_bytes(b"another")
    with pytest.raises(FetchRefused, match="CHECKSUM_WRONG"):
        fetched(tmp_path / "to", from_folder=given)
    assert kept(tmp_path / "to") == {}


def test_the_pinned_set_names_commit_licence_and_every_digest() -> None:
    source = public_source("pulsebat")
    assert source.licence == "MIT"
    assert source.commit.startswith("92aeb9b8")
    assert len({each.sha256 for each in source.files}) == 4
    (first, *_) = source.urls(None).values()
    assert f"/{source.repository}/{source.commit}/ProcessedData_adjustable/10Ah%20LMO/LMO_10Ah_W_5000.xlsx" in first


def test_an_unknown_set_is_refused_with_the_sets_there_are() -> None:
    with pytest.raises(InvalidInput, match="must be one of pulsebat"):
        public_source("pulsbat")
