"""The checkpoints an archive carries, compared with its leaves in step with them; none is believed."""

import json
from collections.abc import Iterator

from serving.record.archive import CHECKPOINTS, OpenedArchive
from serving.record.canonical import canonical_json
from serving.record.chain_check import RecordProblem
from serving.record.checkpoint import CheckpointRefused, parsed_checkpoint
from serving.record.tree_check import TreeCheck


class ArchivedCheckpoints:
    """Checkpoints of an archive, one after the other, and what is wrong with them."""

    def __init__(self, archive: OpenedArchive, digests: dict[str, str]) -> None:
        self.count = 0
        self.last_note = ""
        self._lines = archive.numbered_lines(CHECKPOINTS, digests)
        self._covered = 0
        self._broken: RecordProblem | None = None
        self._next = self._following()

    def problems_of(self, tree: TreeCheck, differs: bool) -> Iterator[RecordProblem]:
        """Compare the checkpoint over the entries so far; after the first difference none can agree."""
        if self._next is None or self._next[0] != tree.size:
            return
        size, note = self._next
        self._covered = size
        self._next = self._following()
        problems = [] if differs or self._broken else list(tree.problems_with(note))
        if problems:
            self._broken = problems[0]
            yield problems[0]

    def problems_at_the_end(self, tree: TreeCheck) -> Iterator[RecordProblem]:
        """Checkpoints that are none, and entries under no checkpoint."""
        if self._broken is None and self._next is not None:
            what = "is missing although a checkpoint of the archive covers it"
            yield RecordProblem(what, self._next[0] - 1, found=f"{tree.size} entries")
        elif self._broken is None and self._covered < tree.size:
            found = f"{self._covered} entries signed"
            yield RecordProblem("stands under no signed checkpoint", tree.size - 1, found=found)
        if self._broken is not None and self._broken.sequence is None:
            yield self._broken
        for _ in self._lines:  # the digests of all files are wanted
            pass

    def _following(self) -> tuple[int, str] | None:
        line = next(self._lines, None)
        if line is None:
            return None
        try:
            written = json.loads(line)
            size, note = written["size"], written["note"]
            in_one_form = canonical_json({"note": note, "size": size}) == line
            if not in_one_form or parsed_checkpoint(note).size != size or size <= self._covered:
                raise ValueError("order, size or form")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, CheckpointRefused):
            what = f"line {self.count + 1} of the checkpoints is no checkpoint, or is not larger than the one before"
            self._broken = self._broken or RecordProblem(what, found=f"{line!r:.80}")
            return None
        self.count, self.last_note = self.count + 1, note
        return size, note
