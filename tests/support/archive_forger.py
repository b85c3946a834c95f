"""Somebody who can write every file of an evidence archive, and keeps manifest and contents true if asked to."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from serving.record.archive import CONTENTS, MANIFEST

Files = dict[str, bytes]


def files_of(archive: Path) -> Files:
    """Every file of an archive."""
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def repacked(archive: Path, change: Callable[[Files], object], *, manifest_too: bool = False) -> Path:
    """A copy with some files changed."""
    files = files_of(archive)
    change(files)
    if manifest_too:
        files[MANIFEST] = manifest_of(files)
    return packed(archive.with_name("forged.zip"), files)


def packed(path: Path, files: Files) -> Path:
    """Files as a zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return path


def manifest_of(files: Files) -> bytes:
    """The manifest that goes with some files."""
    names = sorted(files.keys() - {MANIFEST})
    return "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in names).encode()


def cut_after(files: Files, entries: int) -> None:
    """Take the end off, down to a size that a checkpoint covers, and put everything right that tells of it."""
    kept = b"".join(files["leaves/000000000000.jsonl"].splitlines(keepends=True)[:entries])
    notes = files["checkpoints/000000000000.jsonl"].splitlines(keepends=True)
    standing = [line for line in notes if json.loads(line)["size"] <= entries]
    files["leaves/000000000000.jsonl"] = kept
    files["checkpoints/000000000000.jsonl"] = b"".join(standing)
    files["checkpoint.txt"] = json.loads(standing[-1])["note"].encode()
    told = json.loads(files[CONTENTS])
    last = hashlib.sha256(kept.splitlines()[-1]).hexdigest()
    told |= {"entries": entries, "head": {"sequence": entries - 1, "leaf_sha256": last}}
    told |= {"checkpoints": len(standing), "kinds": {"decision": entries}}
    files[CONTENTS] = json.dumps(told, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"
    files[MANIFEST] = manifest_of(files)
