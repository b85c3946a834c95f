"""Public data sets onto the disk: every byte checked against its pinned SHA-256, from the net or from a folder.

A file appears under its name only after its digest was right; what arrived of a broken download stays
beside it as ``.part`` and is continued. A file that stands there already and is another one is
refused and never overwritten. Nothing here reads what the files say.
"""

import argparse
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from features.errors import PackGradeError, Problem
from training.datasets.public_source import PublicFile, PublicSource, public_source

_PATIENCE_SECOND = (10.0, 60.0)
"""To connect, and between two pieces of an answer."""

_CHUNK_BYTES = 64 * 1024
_PARTIAL_CONTENT, _NO_SUCH_RANGE = 206, 416

Told = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes done and, where the source says it, the bytes there are."""

Bring = Callable[[str, str, object], None]
"""How pooch asks for a file: address, file to write, pooch itself."""


class FetchRefused(PackGradeError):  # noqa: N818 - reads as what happened
    """A file could not be fetched, or is not the pinned one."""


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file with the right digest, and whether it stood there before."""

    path: Path
    already_there: bool


def fetch_source(
    source: PublicSource, data_folder: Path, told: Told, *, from_folder: Path | None = None, base_url: str | None = None
) -> list[FetchedFile]:
    """Bring every file of a public set into a data folder.

    Parameters
    ----------
    source : PublicSource
        The set.
    data_folder : Path
        Folder that gets `source.folder`.
    told : callable
        Called as a file grows.
    from_folder : Path, optional
        Take the files from this folder (in the repository's folders, or side by side) instead of the net.
    base_url : str, optional
        Another address with the same folders below it.

    Returns
    -------
    list of FetchedFile
        In the order of the set.

    Raises
    ------
    FetchRefused
        ``CHECKSUM_WRONG`` (file, expected, found; nothing of it is kept), ``FILE_DIFFERS`` (another file
        stands there), ``SOURCE_UNREACHABLE`` (run it again to continue), ``FILE_MISSING``,
        ``FOLDER_UNUSABLE``.
    """
    folder = data_folder / source.folder
    urls = source.urls(base_url)
    registry = {each.name: f"sha256:{each.sha256}" for each in source.files}
    store = pooch.create(folder, base_url="", registry=registry, urls=urls, allow_updates=False)
    try:
        _require_nothing_else(source, folder)
        return [_fetched(store, each, folder, from_folder, told) for each in source.files]
    except OSError as problem:
        message = f"{folder.name} cannot be used ({problem.strerror}). Files fetched before this one are kept."
        raise FetchRefused("FOLDER_UNUSABLE", message) from problem


def fetch(asked: argparse.Namespace, console: Console) -> None:
    """Fetch a public data set, as the command line asks."""
    source = public_source(asked.source)
    if asked.to is None:
        raise FetchRefused("DATA_FOLDER_NEEDED", "Nothing was fetched. Give --to, or set PACKGRADE_DATA_DIR.")
    pooch.get_logger().setLevel("WARNING")
    console.print(f"{source.name}: {source.repository} at {source.commit[:12]}, licence {source.licence}")
    with _bar(console) as told:
        fetched = fetch_source(source, asked.to, told, from_folder=asked.from_folder, base_url=asked.base_url)
    for each in fetched:
        console.print(f"{each.path.name}: SHA-256 as pinned, {'was there' if each.already_there else 'fetched'}")
    console.print('Train on it with kind = "pulsebat_tables" in a plan and this folder as --data-dir.')


def _fetched(store: pooch.Pooch, file: PublicFile, folder: Path, from_folder: Path | None, told: Told) -> FetchedFile:
    already_there = (folder / file.name).is_file()
    bring = _download(file, folder, told) if from_folder is None else _copy(file, from_folder, told)
    return FetchedFile(Path(store.fetch(file.name, downloader=bring)), already_there)


def _require_nothing_else(source: PublicSource, folder: Path) -> None:
    """Refuse before anything is fetched if a file of another content stands in the way."""
    standing = [(each, folder / each.name) for each in source.files if (folder / each.name).exists()]
    problems = [
        Problem(path.name, f"must have SHA-256 {each.sha256}", found)
        for each, path in standing
        if (found := _sha256(path)) != each.sha256
    ]
    if problems:
        message = f"{folder.name} holds other files under these names. Nothing was fetched or overwritten; move them."
        raise FetchRefused("FILE_DIFFERS", message, problems)


def _copy(file: PublicFile, from_folder: Path, told: Told) -> Bring:
    def bring(_url: str, output_file: str, _pooch: object) -> None:
        places = (from_folder / file.path, from_folder / file.name)
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            problem = Problem(from_folder.name, f"must hold {file.path} or {file.name}")
            raise FetchRefused("FILE_MISSING", "A file of the set is not in the folder. It was not taken.", [problem])
        _require_pinned(file, found, "Nothing of it was taken. Fetch it again, or name the folder of this commit.")
        shutil.copyfile(found, output_file)
        told(file.name, found.stat().st_size, found.stat().st_size)

    return bring


def _download(file: PublicFile, folder: Path, told: Told) -> Bring:
    def bring(url: str, output_file: str, _pooch: object) -> None:
        part = folder / f"{file.name}.part"
        try:
            _continue(url, part, file.name, told)
        except requests.RequestException as problem:
            kept = f"{part.stat().st_size} bytes of it are kept" if part.exists() else "Nothing of it is kept"
            raise FetchRefused(
                "SOURCE_UNREACHABLE",
                f"{file.name} could not be fetched from {url}: {problem}. {kept}; run the command again to "
                "continue, or take the files from a folder with --from.",
            ) from problem
        try:
            _require_pinned(file, part, "Nothing of it was kept. Try again; if it stays so, the source has changed.")
            shutil.copyfile(part, output_file)
        finally:
            part.unlink()

    return bring


def _continue(url: str, part: Path, name: str, told: Told) -> None:
    """Write what is missing of a file; a source that does not continue it, or cannot, starts it anew."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=_PATIENCE_SECOND) as answer:
        if have and answer.status_code == _NO_SUCH_RANGE:
            part.unlink()
        else:
            answer.raise_for_status()
            have = have if answer.status_code == _PARTIAL_CONTENT else 0
            _write(answer, part, name, have, told)
            return
    _continue(url, part, name, told)


def _write(answer: requests.Response, part: Path, name: str, have: int, told: Told) -> None:
    length = answer.headers.get("Content-Length", "")
    total = have + int(length) if length.isdecimal() else None
    with part.open("ab" if have else "wb") as written:
        for piece in answer.iter_content(_CHUNK_BYTES):
            written.write(piece)
            have += len(piece)
            told(name, have, total)


def _require_pinned(file: PublicFile, path: Path, what_next: str) -> None:
    found = _sha256(path)
    if found != file.sha256:
        problem = Problem(file.path, f"must have SHA-256 {file.sha256}", found)
        raise FetchRefused("CHECKSUM_WRONG", f"{file.name} is not the pinned file. {what_next}", [problem])


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def _bar(console: Console) -> Iterator[Told]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks = {}

        def told(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name)
            bar.update(tasks[name], completed=done, total=total)

        yield told
