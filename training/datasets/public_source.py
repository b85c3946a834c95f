"""Where a public data set lies and which bytes it is: a small TOML file per set, read strictly.

Only data: repository, commit, licence, address, and the SHA-256 of every file. Fetching is
`training.fetch`'s work.
"""

import tomllib
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from features.errors import InvalidInput, Problem

SOURCES = {"pulsebat": Path(__file__).parent / "pulsebat.toml"}
"""Sets that can be fetched, by name."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublicFile(_Table):
    """One file: its path in the repository's folder and the SHA-256 of its bytes."""

    path: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def name(self) -> str:
        """File name without the folder."""
        return self.path.rsplit("/", 1)[-1]


class PublicSource(_Table):
    """A public data set at one commit.

    Attributes
    ----------
    name, licence : str
        What it is called, and the licence it is published under.
    repository, commit : str
        Where it lies, pinned.
    address : str
        Base address with ``{repository}`` and ``{commit}``; paths of the files are appended.
    folder : str
        Place of the files below a data folder.
    files : tuple of PublicFile
        The files.
    """

    name: str
    licence: str
    repository: str
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    address: str
    folder: str
    files: tuple[PublicFile, ...]

    def urls(self, base_url: str | None) -> dict[str, str]:
        """Address of every file by its name, below another base address if one is given."""
        base = base_url or self.address.format(repository=self.repository, commit=self.commit)
        return {each.name: f"{base.rstrip('/')}/{quote(each.path)}" for each in self.files}


def public_source(name: str) -> PublicSource:
    """Return what is known of a public set.

    Raises
    ------
    InvalidInput
        ``UNKNOWN_SOURCE``, naming the sets there are.
    """
    if name not in SOURCES:
        rule = f"must be one of {', '.join(sorted(SOURCES))}"
        raise InvalidInput("Nothing was fetched.", [Problem("data set", rule, name[:80])], code="UNKNOWN_SOURCE")
    return PublicSource.model_validate(tomllib.loads(SOURCES[name].read_text(encoding="utf-8")))
