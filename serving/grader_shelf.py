"""Graders for the bundles and policies a record names, opened when a decision first asks for them.

They decide and record nothing. What is not at hand, or what this release cannot use, is told as a
reason with the digest, once and the same for every decision that names it.
"""

from features.errors import PackGradeError
from serving.artifacts import Artifacts
from serving.grading import Grader


class CannotDecide(PackGradeError):  # noqa: N818 - reads as what it is: it cannot be decided
    """A decision cannot be made again with what is at hand. Nothing was decided."""

    def __init__(self, reason: str) -> None:
        super().__init__("CANNOT_DECIDE", reason)


class GraderShelf:
    """Graders by the digests of bundle and policy.

    Parameters
    ----------
    artifacts : Artifacts
        What is at hand.
    """

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._opened: dict[tuple[str, str], Grader | CannotDecide] = {}

    def grader(self, bundle_sha256: str, policy_sha256: str) -> Grader:
        """Grader of a bundle under a policy.

        Raises
        ------
        CannotDecide
            If either is not at hand, or this release refuses it or the two together.
        """
        pair = bundle_sha256, policy_sha256
        if pair not in self._opened:
            self._opened[pair] = self._found(*pair)
        found = self._opened[pair]
        if isinstance(found, CannotDecide):
            raise found
        return found

    def _found(self, bundle_sha256: str, policy_sha256: str) -> Grader | CannotDecide:
        bundle = self._artifacts.bundles.get(bundle_sha256)
        policy = self._artifacts.policies.get(policy_sha256)
        lacking = [
            f"{name} {sha256[:12]}…"
            for name, sha256, there in (("bundle", bundle_sha256, bundle), ("policy", policy_sha256, policy))
            if there is None
        ]
        if bundle is None or policy is None:
            return CannotDecide(f"{' and '.join(lacking)} not at hand")
        try:
            return Grader.open(bundle, policy, None)
        except PackGradeError as refused:
            return CannotDecide(f"{refused.code}: {refused.message}")
