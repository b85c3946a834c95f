"""Verify a PackGrade evidence archive with nothing of PackGrade (docs/audit.md): exit code 0 only if it is whole.

python verify_archive.py ARCHIVE.zip KEY.pub [KEPT_CHECKPOINT.txt ...]
KEY.pub is the first key of the log and the checkpoints are yours: kept before you were given the archive.
"""

import base64
import hashlib
import json
import sys
import zipfile
import zlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def require(holds, what):
    """End with what is wrong."""
    if not holds:
        sys.exit(f"NOT WHOLE: {what}")


def sha256(*parts):
    """SHA-256 of bytes one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()


def size_and_root(note):
    """What a checkpoint says, whoever signed it."""
    _, size, root, _ = note.split("\n", 3)
    return int(size), base64.b64decode(root)


def require_following(note, before):
    """A checkpoint names the digest of the text of the one before it; only old ones and the first name none."""
    named, last = (f"{each.partition(chr(10) * 2)[0]}\n" for each in (note, before or ""))
    expected = f"follows {base64.b64encode(sha256(last.encode())).decode()}\n" if before else ""
    extension = named.split("\n", 3)[3]
    is_old = not extension and (not before or "\nfollows " not in last)
    require(is_old or (before and extension == expected), "a checkpoint was taken out or exchanged")


def require_signed(note, key):
    """A signed note is text, an empty line, and lines of name and base64(key hash + signature)."""
    name, stated, encoded = key.strip().split("+", 2)
    algorithm_and_key = base64.b64decode(encoded)
    hashed = sha256(name.encode(), b"\n", algorithm_and_key)[:4]
    require(algorithm_and_key[0] == 1 and hashed.hex() == stated, f"{name} is no Ed25519 verifier key")
    text, _, lines = note.partition("\n\n")
    signatures = [base64.b64decode(line.rpartition(" ")[2]) for line in lines.splitlines() if f"— {name} " in line]
    ours = [signature[4:] for signature in signatures if signature[:4] == hashed]
    require(ours, f"key {stated} did not sign the checkpoint {text!r}")
    Ed25519PublicKey.from_public_bytes(algorithm_and_key[1:]).verify(ours[0], f"{text}\n".encode())


def add_leaf(subtrees, leaf):
    """Full subtrees (leaves, hash) of an RFC 6962 tree, largest first, with one leaf more."""
    count, node = 1, sha256(b"\x00", leaf)
    while subtrees and subtrees[-1][0] == count:
        count, node = 2 * count, sha256(b"\x01", subtrees.pop()[1], node)
    subtrees.append((count, node))


def root_of(subtrees):
    """Root of the tree, joined from the right."""
    node = subtrees[-1][1]
    for _, left in reversed(subtrees[:-1]):
        node = sha256(b"\x01", left, node)
    return node


def lines_of(archive, folder):
    """Lines of all files of a folder, in order."""
    for name in sorted(name for name in archive.namelist() if name.startswith(folder)):
        yield from archive.read(name).splitlines()


def require_files(archive):
    """Every file is listed once with its digest, and none is there besides."""
    names = archive.namelist()
    listed = dict(line.split("  ", 1)[::-1] for line in archive.read("MANIFEST.sha256").decode().splitlines())
    require(all(each.file_size <= 2**28 for each in archive.infolist()), "a file is too large to be one of ours")
    require(sorted(names) == sorted([*listed, "MANIFEST.sha256"]), "the manifest lists other files than there are")
    for name, digest in listed.items():
        require(sha256(archive.read(name)).hex() == digest, f"{name} was changed")


def verify(archive, key, kept):
    """Walk over entries and checkpoints together; returns the last entry's index and digest."""
    require_files(archive)
    checkpoints = (json.loads(line)["note"] for line in lines_of(archive, "checkpoints/"))
    note, keys, subtrees = next(checkpoints, None), [key.strip()], []
    index, covered, previous, followed, batteries, stations = -1, 0, None, None, {}, {}
    for index, line in enumerate(lines_of(archive, "leaves/")):
        leaf, size = json.loads(line), index + 1
        station, battery = leaf["station"], leaf["battery_id"]
        stations[station] = stations.get(station, -1) + 1
        count, before = batteries.get(battery, (-1, None))
        place = (leaf["sequence"], leaf["previous_leaf_sha256"], leaf["station_sequence"])
        require(place == (index, previous, stations[station]), f"entry {index} does not follow the one before it")
        if battery is not None:
            place = (leaf["battery_sequence"], leaf["battery_previous_leaf_sha256"])
            require(place == (count + 1, before), f"entry {index} does not follow the last one of {battery}")
        previous = sha256(line).hex()
        batteries[battery] = (count + 1, previous)
        add_leaf(subtrees, line)
        if leaf["kind"] == "key_change":
            require(leaf["body"]["old"] == keys[-1], f"entry {index} changes a key that was not in force")
            keys = [keys[-1], leaf["body"]["new"]]
        if note is not None and size_and_root(note)[0] == size:
            require_following(note, followed)
            for each in keys:
                require_signed(note, each)
            require(size_and_root(note)[1] == root_of(subtrees), f"entry {index} or one before it was changed")
            followed, note, keys = note, next(checkpoints, None), keys[-1:]
            covered = size
        for held in kept:
            require(held[0] != size or held[1] == root_of(subtrees), f"your checkpoint over {size} entries differs")
    require(note is None and index >= 0 and covered == index + 1, "entries and checkpoints do not end together")
    require(all(held[0] <= index + 1 for held in kept), "the end was cut off: your checkpoint covers more")
    return index, previous


if __name__ == "__main__":
    try:
        with zipfile.ZipFile(sys.argv[1]) as opened:
            own = [size_and_root(Path(name).read_text(encoding="utf-8")) for name in sys.argv[3:]]
            last, digest = verify(opened, Path(sys.argv[2]).read_text(encoding="utf-8"), own)
    except (zipfile.BadZipFile, zlib.error, InvalidSignature, OSError, ValueError, KeyError, TypeError) as problem:
        sys.exit(f"NOT WHOLE: {type(problem).__name__} {problem}")
    sys.stdout.write(f"whole, {last + 1} entries, head {last}:{digest}\n")
