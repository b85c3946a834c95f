"""What the entries of an archive name: bundles and policies, by whom first and how often; the table of contents.

Collected while leaves pass by, once when an archive is written and once when it is verified, so that
what is missing is known by its digest and is never left out in silence.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic_core import from_json

from serving.record.archive import ARCHIVE_FORMAT, BUNDLE_FILES, BUNDLES, POLICIES
from serving.record.leaf import Leaf
from serving.record.store import Head

_SHA256 = re.compile(r"[0-9a-f]{64}")

MOST_NAMED = 100_000
"""Different bundles and policies of one record; more are not told apart by any deployment."""


@dataclass
class NamedArtifact:
    """A bundle or policy that entries name.

    Attributes
    ----------
    kind : str
        ``bundle`` or ``policy``.
    sha256 : str
        Its digest.
    name, version : str
        What the first entry calls it.
    first_entry : int
        Index of that entry.
    entries : int
        How many name it.
    """

    kind: str
    sha256: str
    name: str
    version: str
    first_entry: int
    entries: int = 0

    @property
    def files(self) -> tuple[str, ...]:
        """Names under which an archive holds it."""
        if self.kind == "policy":
            return (f"{POLICIES}{self.sha256}.toml",)
        return tuple(f"{BUNDLES}{self.sha256}/{name}" for name in BUNDLE_FILES)


class Contents:
    """Counts over the leaves of an archive, in the order of the log."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.named: dict[tuple[str, str], NamedArtifact] = {}

    def add(self, leaf: Leaf) -> None:
        """Count a leaf and what it names."""
        self.kinds[leaf.kind.value] += 1
        body = from_json(leaf.body_json)
        for kind in ("bundle", "policy"):
            stamp = body if leaf.kind.value == f"{kind}_activated" else body.get(kind)
            if isinstance(stamp, dict) and _SHA256.fullmatch(str(sha256 := stamp.get("sha256"))):
                self._named(kind, str(sha256), stamp, leaf.sequence).entries += 1

    def _named(self, kind: str, sha256: str, stamp: Mapping[str, Any], sequence: int) -> NamedArtifact:
        known = self.named.get((kind, sha256))
        if known is None:
            name = str(stamp.get("policy_id" if kind == "policy" else "name", ""))
            known = NamedArtifact(kind, sha256, name, str(stamp.get("version", "")), sequence)
            if len(self.named) < MOST_NAMED:
                self.named[kind, sha256] = known
        return known

    def table(self, head: Head | None, checkpoints: int, held: frozenset[str]) -> dict[str, Any]:
        """Table of contents as plain JSON.

        Parameters
        ----------
        head : Head or None
            Last entry.
        checkpoints : int
            Signed checkpoints.
        held : frozenset of str
            Names of the files the archive holds.
        """
        named = [self.named[key] for key in sorted(self.named)]
        return {
            "archive_format": ARCHIVE_FORMAT,
            "entries": 0 if head is None else head.sequence + 1,
            "head": None if head is None else head._asdict(),
            "checkpoints": checkpoints,
            "kinds": dict(sorted(self.kinds.items())),
            "named_by_entries": [
                {**asdict(each), "missing_files": [name for name in each.files if name not in held]} for each in named
            ],
        }


def written_table(table: Mapping[str, Any]) -> bytes:
    """Table of contents as the bytes of its file."""
    return json.dumps(table, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"
