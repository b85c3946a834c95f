"""Measurement files that lie elsewhere: fetched for the slice that needs them, then removed.

Any address fsspec knows (``s3://``, ``gs://``, ``https://``, ``hdfs://`` …). Readers see local files only, so a
decision on a fetched file is the decision on its local copy. No more lies on the disk at a time than the
files of one slice.
"""

import hashlib
import re
import shutil
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self
from urllib.parse import unquote, urlsplit

from features.errors import PackGradeError

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://")


def is_url(text: str) -> bool:
    """Whether a path of a manifest is an address."""
    return _ADDRESS.match(text) is not None


def url_file_name(url: str) -> str:
    """Return the name of the file behind an address.

    Examples
    --------
    >>> url_file_name("s3://returns/2026/PACK%2001.parquet?versionId=3")
    'PACK 01.parquet'
    """
    return Path(unquote(urlsplit(url).path)).name or "unnamed"


class LocalCopies:
    """Copies of the files of one slice; removed at its end."""

    def __init__(self) -> None:
        self._cleanup = ExitStack()
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def of(self, url: str) -> Path:
        """Return the local copy of a file, fetched unless this slice has it.

        Raises
        ------
        PackGradeError
            ``FILE_NOT_FETCHED`` if fsspec or the driver of the address is not installed, or the file does not come;
            that says nothing of the battery and is not recorded.
        """
        if self._folder is None:
            self._folder = Path(self._cleanup.enter_context(TemporaryDirectory(prefix="packgrade-batch-")))
        local = self._folder / hashlib.sha256(url.encode()).hexdigest()[:16] / url_file_name(url)
        if not local.exists():
            local.parent.mkdir(exist_ok=True)
            _fetch(url, local)
        return local


def _fetch(url: str, local: Path) -> None:
    try:
        import fsspec  # noqa: PLC0415 - only batches with addresses need it

        with fsspec.open(url, "rb") as source, local.open("wb") as target:
            shutil.copyfileobj(source, target)
    except Exception as error:  # every file system has errors of its own
        local.unlink(missing_ok=True)
        told = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")[:200]
        raise PackGradeError(
            "FILE_NOT_FETCHED",
            f"{local.name} could not be fetched: {told}. The battery was not graded. "
            "Install fsspec with the driver of the address, or run the batch again with --resume.",
        ) from error
