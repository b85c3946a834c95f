"""Recorded decisions decided again, each with the very bundle and policy it names.

A record spans many bundles and policies: what each decision names is looked up by digest, and where it
is not at hand the decision is told as not replayed and the next one is tried. Nothing is recorded.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from features.errors import PackGradeError
from serving.grader_shelf import GraderShelf
from serving.record.leaf import Leaf, LeafKind


@dataclass(frozen=True, slots=True)
class ReplayedDecision:
    """What deciding one recorded decision again gave.

    Attributes
    ----------
    sequence : int
        Its index in the log.
    decision_id : str
        The decision.
    differences : tuple of str
        Parts of the body that came out otherwise; empty where all are equal bit for bit.
    not_replayed : str
        Why it could not be decided again; empty where it was.
    """

    sequence: int
    decision_id: str
    differences: tuple[str, ...] = ()
    not_replayed: str = ""

    @property
    def verdict(self) -> str:
        """What is said of it on one line."""
        if self.not_replayed:
            return f"NOT REPLAYED, {self.not_replayed}"
        return f"DIFFERS in {', '.join(self.differences)}" if self.differences else "equal bit for bit"


@dataclass
class ReplaySummary:
    """Counts of a replay.

    Attributes
    ----------
    equal, different, not_replayed : int
        Decisions by what came of them.
    reasons : Counter of str
        Why decisions were not replayed.
    skipped : Counter of str
        Entries that are no decisions, by kind.
    """

    equal: int = 0
    different: int = 0
    not_replayed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def decisions(self) -> int:
        """All decisions seen."""
        return self.equal + self.different + self.not_replayed

    def add(self, replayed: ReplayedDecision) -> None:
        """Count one."""
        if replayed.not_replayed:
            self.not_replayed += 1
            self.reasons[replayed.not_replayed] += 1
        elif replayed.differences:
            self.different += 1
        else:
            self.equal += 1

    def lines(self) -> Iterator[str]:
        """What is said at the end."""
        yield f"{self.equal} decision(s) equal bit for bit, {self.different} differ, {self.not_replayed} not replayed"
        yield from (f"  not replayed, {reason}: {count}" for reason, count in self.reasons.most_common())
        if self.skipped:
            yield "skipped: " + ", ".join(f"{count} {kind}" for kind, count in sorted(self.skipped.items()))


def replayed(leaf: Leaf, shelf: GraderShelf) -> ReplayedDecision:
    """Decide one recorded decision again.

    Parameters
    ----------
    leaf : Leaf
        A decision.
    shelf : GraderShelf
        Bundles and policies at hand.

    Returns
    -------
    ReplayedDecision
        Always; a decision that cannot be made again says why.
    """
    try:
        body = leaf.body
        grader = shelf.grader(body["bundle"]["sha256"], body["policy"]["sha256"])
        return ReplayedDecision(leaf.sequence, leaf.event_id, grader.replay(leaf).differences)
    except PackGradeError as refused:
        return ReplayedDecision(leaf.sequence, leaf.event_id, not_replayed=refused.message)
    except (KeyError, TypeError, ValueError) as unread:
        reason = f"this release does not read its body ({type(unread).__name__})"
        return ReplayedDecision(leaf.sequence, leaf.event_id, not_replayed=reason)


def print_replays(console: Console, leaves: Iterable[Leaf], shelf: GraderShelf, *, every_one: bool) -> ReplaySummary:
    """Replay decisions and print what came of them as it comes.

    Parameters
    ----------
    console : Console
        Where to print.
    leaves : iterable of Leaf
        Entries in the order of the log; those that are no decisions are counted.
    shelf : GraderShelf
        Bundles and policies at hand.
    every_one : bool
        Whether decisions that came out equal get a line as well.
    """
    summary = ReplaySummary()
    for leaf in leaves:
        if leaf.kind is not LeafKind.DECISION:
            summary.skipped[leaf.kind.value] += 1
            continue
        again = replayed(leaf, shelf)
        summary.add(again)
        if every_one or again.not_replayed or again.differences:
            line = f"entry {again.sequence}  {again.decision_id}  {again.verdict}"
            console.print(Text(line), highlight=False, soft_wrap=True)
    for line in summary.lines():
        console.print(Text(line), highlight=False, soft_wrap=True)
    return summary
