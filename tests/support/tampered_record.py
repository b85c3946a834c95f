"""A record with rows of every kind, what an auditor took away from it, and bits of it flipped one by one."""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from serving.record.checkpoint import Checkpoint, VerifierKey, parsed_checkpoint
from serving.record.derived import pseudonym
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger
from serving.record.log_key import public_key
from serving.record.verify import verify_record
from tests.support.record_entries import new_entry

SALT = bytes(range(16))
WHO = ("operator", "station-1", "Li Wei")


@dataclass(frozen=True)
class WrittenRecord:
    """A record of every kind of row, and what an auditor took away from it."""

    folder: Path
    older: bytes
    keys: tuple[VerifierKey, ...]
    kept: Checkpoint
    kept_before: Checkpoint

    def copied_to(self, folder: Path) -> Path:
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return folder / "record.sqlite"

    def shown_alone(self, path: Path) -> bool:
        return not verify_record(path, keys=self.keys).is_intact

    def shown_with_checkpoint(self, path: Path) -> bool:
        return not verify_record(path, checkpoints=[self.kept], keys=self.keys).is_intact

    @classmethod
    def into(cls, folder: Path) -> Self:
        """Write it."""
        folder.mkdir(exist_ok=True)
        path = folder / "record.sqlite"
        notes = list[str | None]()
        with Ledger.open(path, "0.1.0") as ledger:
            who = ledger.keep_erasable(pseudonym(SALT, *WHO), SALT, *WHO)
            for number in range(4):
                ledger.append(new_entry(number, operator=who, body={"number": number, "upload_due_on": "2026-12-11"}))
            notes.append(ledger.last_checkpoint())
        older = path.read_bytes()
        parts = {"parent": "PACK1", "children": ["BATTERY0", "BATTERY1"], "action": "ADD"}
        codes = {"old_codes": ["BATTERY2"], "new_code": "CASCADE1"}
        with Ledger.open(path, "0.1.0") as ledger:
            ledger.append(new_entry(4, kind=LeafKind.ASSOCIATION, battery_id="PACK1", body=parts))
            ledger.append(new_entry(5, kind=LeafKind.RECODING, battery_id="CASCADE1", body=codes))
            ledger.append_many([new_entry(number) for number in range(6, 10)])
            ledger.append(new_entry(10, body={"number": 10, "upload_due_on": "2026-12-12"}))
            notes.append(ledger.last_checkpoint())
        key = public_key(path)
        assert key is not None
        before, last = (parsed_checkpoint(note) for note in notes if note is not None)
        return cls(folder, older, (key,), last, before)


def _flips(path: Path, count: int, seed: int) -> Iterator[int]:
    """Flip one bit after the other at random places, each in the untouched file."""
    chance, original = random.Random(seed), path.read_bytes()
    for _ in range(count):
        place = chance.randrange(len(original))
        path.write_bytes(original[:place] + bytes([original[place] ^ 1 << chance.randrange(8)]) + original[place + 1 :])
        yield place


def _content(path: Path) -> list[Any]:
    """Everything a reader can see: every row of every table and index order, the schema and the header's marks."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        schema = sorted(connection.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema"))
        tables = [name for kind, name, *_ in schema if kind == "table"]
        rows = [connection.execute(f"SELECT * FROM {table} NOT INDEXED").fetchall() for table in tables]
        marks = [connection.execute(f"PRAGMA {mark}").fetchone() for mark in ("user_version", "application_id")]
    return [schema, rows, marks]


@dataclass(frozen=True)
class FlippedBits:
    """How many flips were found, and how many left everything as it was that a reader can see."""

    seed: int
    found: int
    unseen: int

    def __str__(self) -> str:
        count = self.found + self.unseen
        return (
            f"seed {self.seed}: {count} flips, {self.found} found, {self.unseen} in bytes no reader sees, 0 unnoticed"
        )


def flipped_bits(folder: Path, count: int, seed: int) -> FlippedBits:
    """Flip bits; one that is neither found nor without any meaning fails."""
    written = WrittenRecord.into(folder / "written")
    path = written.copied_to(folder / "flipped")
    untouched, found, unseen = _content(path), 0, 0
    for place in _flips(path, count, seed):
        if written.shown_with_checkpoint(path):
            found += 1
        else:
            assert _content(path) == untouched, f"seed {seed}: the flip in byte {place} went unnoticed"
            unseen += 1
    return FlippedBits(seed, found, unseen)
