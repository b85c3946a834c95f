"""What a batch has done so far, beside its result file: an interrupted batch goes on from there.

One line per slice, each with the rows that were decided. The record alone is the truth: a line is taken
over only if every decision it names stands in the record, so a journal that was cut off, or belongs to
another record, costs time and nothing else. Batteries with errors are never taken over; they are
tried again. One process at a time holds the journal.
"""

import fcntl
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import IO, Any, Self

from features.errors import InvalidInput, Problem
from serving.batch.deployment import Deployment
from serving.batch.manifest import BatteryOrder
from serving.batch.result_row import ResultRow
from serving.batch.slices import GradedSlice
from serving.grading import Grader
from serving.record.store import Reader


def batch_sha256(orders: Sequence[BatteryOrder], station: str, deployment: Deployment) -> str:
    """Digest of what a batch is: its batteries, station, bundle, policy and release, not its record."""
    digest = hashlib.sha256(
        "\n".join((station, deployment.bundle_sha256, deployment.policy_sha256, deployment.release)).encode()
    )
    for order in orders:
        digest.update(repr(order).encode())
    return digest.hexdigest()


class Journal:
    """The journal of one batch.

    Parameters
    ----------
    out : Path
        Result file; the journal lies beside it, hidden.
    sha256 : str
        `batch_sha256`.
    resume : bool
        Whether what an earlier run did is taken over; otherwise it is forgotten.

    Raises
    ------
    InvalidInput
        If another process holds the journal, it cannot be written, or it is another batch's.
    """

    def __init__(self, out: Path, sha256: str, *, resume: bool) -> None:
        self._out = out
        self._path = out.with_name(f".{out.name}.journal")
        self._stream = self._held()
        lines = self._earlier(sha256) if resume else []
        self._earlier_rows = {int(place): ResultRow(**cells) for line in lines for place, cells in line.items()}
        self._stream.truncate(0)
        self._write({"batch": sha256}, *lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def standing(self, grader: Grader) -> dict[int, ResultRow]:
        """Rows of an earlier run by place, those whose decisions stand in this record."""
        with grader.ledger.reading() as reader:
            return {place: row for place, row in self._earlier_rows.items() if _stands(row, reader)}

    def keep(self, graded: GradedSlice) -> None:
        """Note the decisions of a slice."""
        decided = {
            place: asdict(row) for place, row in zip(graded.graded.places, graded.rows, strict=True) if row.decision_id
        }
        if decided:
            self._write(decided)

    def discard(self) -> None:
        """Remove the journal: the results are written."""
        self._path.unlink(missing_ok=True)

    def _held(self) -> IO[str]:
        try:
            stream = self._path.open("a+", encoding="utf-8")
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise self._refused("another batch is writing these results") from error
        except OSError as error:
            raise self._refused("its folder must be writable", error.strerror or "") from error
        return stream

    def _earlier(self, sha256: str) -> list[dict[str, Any]]:
        """Return the lines of an earlier run, up to the first that was cut off."""
        self._stream.seek(0)
        header, *lines = map(_parsed, self._stream.read().split("\n"))
        if header not in ({}, {"batch": sha256}):
            rule = "holds an interrupted batch of another manifest, station, bundle, policy or release"
            raise self._refused(f"{rule}; run without --resume to begin anew")
        return list(takewhile(bool, lines))

    def _write(self, *lines: Mapping[Any, Any]) -> None:
        self._stream.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        self._stream.flush()

    def _refused(self, rule: str, value: str = "") -> InvalidInput:
        return InvalidInput("The batch was not begun. Nothing was graded.", [Problem(self._out.name, rule, value)])


def _parsed(line: str) -> dict[str, Any]:
    """Return a line of the journal; one that was cut off is empty."""
    try:
        parsed: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return parsed


def _stands(row: ResultRow, reader: Reader) -> bool:
    leaf = reader.by_event_id(row.decision_id) if row.decision_id else None
    return leaf is not None and leaf.sequence == row.sequence
