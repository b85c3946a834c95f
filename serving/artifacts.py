"""Bundles and policy files at hand, found by the digest that the record names.

A record outlives many bundles and policies. What an auditor gives (folders and files) is indexed by
digest without trusting its name; models are loaded only when a decision asks for them.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from features.errors import InvalidInput, Problem
from models.bundle import MANIFEST_NAME, read_manifest

MODEL_CARD = "model_card.md"
_LARGEST_DOCUMENT_BYTE = 16 * 2**20


@dataclass(frozen=True)
class Artifacts:
    """What is at hand, by digest.

    Attributes
    ----------
    bundles : mapping of str to Path
        Bundle folders.
    policies : mapping of str to Path
        Policy files.
    """

    bundles: Mapping[str, Path] = field(default_factory=dict)
    policies: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def at_hand(cls, bundles: Iterable[Path], policies: Iterable[Path]) -> "Artifacts":
        """Index folders and files; a folder of bundles or of ``*.toml`` policies stands for all in it.

        Raises
        ------
        InvalidInput
            If a file cannot be read, or a folder holds neither a bundle nor bundles.
        BundleRefused
            If a manifest is none this release reads.
        """
        folders = [folder for given in bundles for folder in _bundle_folders(given)]
        files = [file for given in policies for file in _policy_files(given)]
        return cls(
            {read_manifest(folder).sha256: folder for folder in folders}, {_digest(file): file for file in files}
        )

    def policy(self, sha256: str) -> bytes | None:
        """Content of a policy file, if it is at hand and still what was indexed."""
        file = self.policies.get(sha256)
        content = None if file is None else _content(file)
        return content if content is not None and hashlib.sha256(content).hexdigest() == sha256 else None

    def bundle_documents(self, sha256: str) -> dict[str, bytes]:
        """Manifest and model card of a bundle, by name; empty if it is not at hand."""
        folder = self.bundles.get(sha256)
        names = () if folder is None else (MANIFEST_NAME, MODEL_CARD)
        return {name: _content(folder / name) for name in names if folder is not None and (folder / name).is_file()}


def _bundle_folders(given: Path) -> list[Path]:
    if (given / MANIFEST_NAME).is_file():
        return [given]
    found = sorted(path.parent for path in given.glob(f"*/{MANIFEST_NAME}"))
    if not found:
        raise _refused(given, f"must be a bundle, or a folder of bundles (no {MANIFEST_NAME} is there)")
    return found


def _policy_files(given: Path) -> Iterator[Path]:
    found = sorted(given.glob("*.toml")) if given.is_dir() else [given]
    if not found:
        raise _refused(given, "must be a policy file, or a folder of them (no *.toml is there)")
    yield from found


def _digest(file: Path) -> str:
    return hashlib.sha256(_content(file)).hexdigest()


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > _LARGEST_DOCUMENT_BYTE:
            raise _refused(file, f"must be at most {_LARGEST_DOCUMENT_BYTE} bytes")
        return file.read_bytes()
    except OSError as error:
        raise _refused(file, f"must be a readable file ({error.strerror})") from error


def _refused(path: Path, rule: str) -> InvalidInput:
    return InvalidInput("A bundle or policy that was given cannot be used.", [Problem(str(path), rule)])
