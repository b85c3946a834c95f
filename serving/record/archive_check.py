"""Does an evidence archive say what the log it came from was signed for? By the rules of a record's own verification.

Every entry goes through `chain_check` and `tree_check`, every file is held against the manifest, and
the table of contents against what the entries name. What is damaged is a problem in the report;
what would be dangerous to read is refused (`serving.record.archive`). An archive that was put
together anew from forged entries agrees with itself: only a key and a checkpoint from elsewhere
show that.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from serving.record.archive import KEYS, LEAVES, OpenedArchive, Unreadable
from serving.record.archive_checkpoints import ArchivedCheckpoints
from serving.record.archive_contents import Contents
from serving.record.archive_files import content_problems, file_problems
from serving.record.chain_check import ChainCheck, RecordProblem, StoredEntry
from serving.record.checkpoint import Checkpoint, VerifierKey
from serving.record.once_check import OnceCheck
from serving.record.store import Head
from serving.record.tree_check import TreeCheck
from serving.record.verify import SHOWN_PROBLEMS, Progress, VerificationReport

_TOLD_EVERY = 256
_OWN_INDEX = re.compile(rb'"sequence":([0-9]{1,15}),"software_version":"[^"]*"(?:,"station[a-z_]*":[^,{}]*)*}\Z')
_CLOSING_BYTE = 1024
"""The fields behind a body are shorter than this. [byte]"""


def verify_archive(
    location: Path | str,
    progress: Progress | None = None,
    expected_head: tuple[int, str] | None = None,
    checkpoints: Sequence[Checkpoint] = (),
    keys: Sequence[VerifierKey] = (),
) -> VerificationReport:
    """Check an archive against itself, and against what was kept elsewhere.

    Parameters
    ----------
    location : Path or str
        The zip file.
    progress : callable, optional
        Called with the entries done and the entries the archive says it holds.
    expected_head : tuple of int and str, optional
        Index and digest of an entry from a receipt kept elsewhere.
    checkpoints : sequence of Checkpoint
        Opened checkpoints kept elsewhere; the log must begin with what each covers.
    keys : sequence of VerifierKey
        Keys that may have signed; without any, signatures are not checked.

    Returns
    -------
    VerificationReport
        The first problems of the entries, then those of the files.

    Raises
    ------
    ArchiveRefused
        If a name, a size or the layout of the file makes it dangerous to read.
    """
    walk = _Walk(TreeCheck(checkpoints, keys), progress, expected_head)
    count, shown = 0, list[RecordProblem]()
    for problem in _problems(Path(location), walk):
        count += 1
        if len(shown) < SHOWN_PROBLEMS:
            shown.append(problem)
    return VerificationReport(walk.chain.entry_count, walk.chain.head, tuple(shown), count)


def archived_keys(path: Path) -> list[VerifierKey]:
    """Public keys an archive carries; they show damage, and no forgery. None where it cannot be read at all.

    Raises
    ------
    CheckpointRefused
        If one is no verifier key.
    ArchiveRefused
        If the archive is dangerous to read.
    """
    try:
        with OpenedArchive(path) as archive:
            written = [archive.content(name) for name in archive.under(KEYS)]
    except Unreadable:  # the verification tells what is wrong
        return []
    return [VerifierKey.parsed(each.decode("utf-8", "replace")) for each in written]


def _problems(path: Path, walk: "_Walk") -> Iterator[RecordProblem]:
    try:
        with OpenedArchive(path) as archive:
            digests = dict[str, str]()
            checkpoints = ArchivedCheckpoints(archive, digests)
            yield from walk.problems_of(archive, checkpoints, digests)
            yield from file_problems(archive, digests)
            yield from content_problems(archive, walk.contents, walk.head, checkpoints)
    except Unreadable as error:
        yield RecordProblem(f"cannot be read beyond {walk.chain.entry_count} entries ({error})")
    yield from walk.problems_at_the_end()


class _Walk:
    """One pass over the entries of an archive, its checkpoints read in step with them."""

    def __init__(self, tree: TreeCheck, progress: Progress | None, expected: tuple[int, str] | None) -> None:
        self.chain, self.contents = ChainCheck(), Contents()
        self._tree = tree
        self._progress = progress
        self._expected = expected
        self._met = expected is None
        self._differs = False

    @property
    def head(self) -> Head | None:
        """Last entry by its place in the archive, and the digest found."""
        head = self.chain.head
        return None if head is None else Head(self.chain.entry_count - 1, head.leaf_sha256)

    def problems_of(
        self, archive: OpenedArchive, notes: ArchivedCheckpoints, digests: dict[str, str]
    ) -> Iterator[RecordProblem]:
        """Check every entry; the digests of the files read stay in `digests`."""
        total = archive.said_entry_count()
        with OnceCheck() as once:
            for place, stored in enumerate(archive.numbered_lines(LEAVES, digests)):
                yield from self._problems_of_entry(place, stored, once)
                yield from notes.problems_of(self._tree, self._differs)
                if self._progress is not None and ((place + 1) % _TOLD_EVERY == 0 or place + 1 == total):
                    self._progress(place + 1, total)
            yield from once.problems()
        yield from notes.problems_at_the_end(self._tree)

    def _problems_of_entry(self, place: int, stored: bytes, once: OnceCheck) -> Iterator[RecordProblem]:
        own = _OWN_INDEX.search(stored, max(len(stored) - _CLOSING_BYTE, 0))
        sequence = place if own is None else int(own[1])
        found, digest = False, hashlib.sha256(stored).hexdigest()
        for problem in self.chain.problems_of(StoredEntry(sequence, (("sequence", sequence),), digest, stored)):
            found = True
            yield problem
        self._tree.completed(stored)
        yield from self._tree.problems_elsewhere()
        self._differs |= found or sequence != place
        if self._expected is not None and sequence == self._expected[0]:
            self._met = True
            if digest != self._expected[1]:
                what = "is not the entry its receipt names"
                yield RecordProblem(what, sequence, expected=self._expected[1], found=digest)
        if self.chain.leaf is not None:
            self.contents.add(self.chain.leaf)
            once.add(self.chain.leaf)

    def problems_at_the_end(self) -> Iterator[RecordProblem]:
        """What was kept elsewhere and is not there."""
        yield from self._tree.problems_at_the_end()
        if self._expected is not None and not self._met:
            what = "is missing although a receipt names it: the archive was cut, or is of an older record"
            found = f"{self.chain.entry_count} entries"
            yield RecordProblem(what, self._expected[0], expected=self._expected[1], found=found)
