"""Recorded decisions under another policy: what would have been said, beside what was. Nothing is recorded.

The features are those of the time, and so is what the record said of the battery then; only rules
(and, if asked, models) are exchanged. Where a decision's features are of another definition than
this release computes, nothing is guessed: it is told as not regraded.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import dropwhile
from typing import Any

from features.errors import InvalidInput, PackGradeError, Problem
from features.feature_set import FEATURE_SETS
from models.decision import GradingCase, GradingDecision
from serving.grader_shelf import CannotDecide, GraderShelf
from serving.record.decision_body import case_from_body, past_from_body
from serving.record.leaf import Leaf, LeafKind

_MOST_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a decision says, as far as two of them are compared."""

    outcome: str
    grade: str | None
    uses: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def label(self) -> str:
        """Outcome with its grade."""
        return self.outcome if self.grade is None else f"{self.outcome} {self.grade}"


@dataclass(frozen=True, slots=True)
class Regraded:
    """One recorded decision and what the other policy says.

    Attributes
    ----------
    leaf : Leaf
        The decision.
    old, new : Verdict or None
        What it said and what it would say; None where it could not be decided again.
    bundle_sha256, policy_sha256 : str
        What decided this time.
    not_regraded : str
        Why there is no new verdict.
    """

    leaf: Leaf
    old: Verdict | None
    new: Verdict | None
    bundle_sha256: str
    policy_sha256: str
    not_regraded: str = ""

    @property
    def changed(self) -> bool:
        """Whether outcome, grade or uses would be others; other reasons alone change nothing for the battery."""
        new, old = self.new, self.old
        if new is None or old is None:
            return False
        return (new.outcome, new.grade, new.uses) != (old.outcome, old.grade, old.uses)


def decisions_since(leaves: Iterable[Leaf], since: int | datetime) -> Iterator[Leaf]:
    """Decisions of a log from a place on, in the order of the log.

    Parameters
    ----------
    leaves : iterable of Leaf
        The log.
    since : int or datetime
        Index of an entry, or a moment: then from the first entry recorded at or after it on, whatever
        the clocks of later entries say. Clocks jump, the log does not.
    """

    def is_before(leaf: Leaf) -> bool:
        if isinstance(since, int):
            return leaf.sequence < since
        return datetime.fromisoformat(leaf.recorded_at) < since

    return (leaf for leaf in dropwhile(is_before, leaves) if leaf.kind is LeafKind.DECISION)


def parsed_since(text: str) -> int | datetime:
    """Read ``--since``: digits alone are an index of the log, else a day (UTC) or a moment with its zone.

    Raises
    ------
    InvalidInput
        If it is none of them.

    Examples
    --------
    >>> parsed_since("1200"), parsed_since("2026-11-01").isoformat()
    (1200, '2026-11-01T00:00:00+00:00')
    """
    if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None and text == date.fromisoformat(text).isoformat():
            moment = moment.replace(tzinfo=UTC)
    except ValueError:
        moment = datetime.min  # noqa: DTZ901 - only asked for its missing zone
    if moment.tzinfo is None:
        rule = "is an entry's number, a day such as 2026-11-01, or a moment with its zone, 2026-11-01T08:00:00Z"
        raise InvalidInput("Nothing was regraded.", [Problem("--since", rule, text[:40])])
    return moment


def regraded(leaf: Leaf, shelf: GraderShelf, policy_sha256: str, bundle_sha256: str | None) -> Regraded:
    """Decide a recorded case under another policy.

    Parameters
    ----------
    leaf : Leaf
        A decision.
    shelf : GraderShelf
        Bundles and policies at hand.
    policy_sha256 : str
        The other policy.
    bundle_sha256 : str or None
        Another bundle; the one the decision names unless given.

    Returns
    -------
    Regraded
        Always; a decision that cannot be made again says why.
    """
    bundle = bundle_sha256 or ""
    try:
        body = leaf.body
        bundle = bundle or str(body["bundle"]["sha256"])
        old, case = _recorded_verdict(body["decision"]), case_from_body(body)
        _require_same_features(case)
        new = shelf.grader(bundle, policy_sha256).decide(case, past_from_body(body))
    except PackGradeError as refused:
        return Regraded(leaf, None, None, bundle, policy_sha256, refused.message)
    except (KeyError, TypeError, ValueError) as unread:
        reason = f"this release does not read its body ({type(unread).__name__})"
        return Regraded(leaf, None, None, bundle, policy_sha256, reason)
    return Regraded(leaf, old, _verdict(new), bundle, policy_sha256)


def _require_same_features(case: GradingCase) -> None:
    for measured in case.vector.measured:
        computed = FEATURE_SETS[measured.method].digest
        if measured.feature_set_digest != computed:
            raise CannotDecide(
                f"its {measured.method.value} features are of set {measured.feature_set_digest[:12]}…, "
                f"this release knows {computed[:12]}…"
            )


def _recorded_verdict(decision: Mapping[str, Any]) -> Verdict:
    reasons = tuple(str(reason["code"]) for reason in decision["reasons"])
    return Verdict(decision["outcome"], decision["grade"], tuple(decision["suitable_uses"]), reasons)


def _verdict(decision: GradingDecision) -> Verdict:
    reasons = tuple(reason.code for reason in decision.reasons)
    return Verdict(decision.outcome.value, decision.grade, tuple(decision.suitable_uses), reasons)
