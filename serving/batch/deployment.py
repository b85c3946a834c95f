"""What a worker needs to open its own grader: where things lie, and which bundle and policy they must be.

A worker opens bundle, policy and record itself and refuses another bundle or policy than the batch
began with, so that a folder exchanged meanwhile cannot split a batch. Plain values: they travel to
another process or machine.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from features.errors import PackGradeError
from serving.grading import Grader, open_record
from serving.settings import Settings, software_version

_PLACES = ("record_file", "log_key_file", "witness_file", "bundle_folder", "policy_file")


@dataclass(frozen=True, slots=True)
class Deployment:
    """Settings with the digests of the bundle and policy found there, and the release that found them."""

    settings: Settings
    bundle_sha256: str
    policy_sha256: str
    release: str

    @classmethod
    def of(cls, settings: Settings, grader: Grader) -> "Deployment":
        """Return the deployment a grader was opened in, its paths absolute."""
        places = {name: _absolute(getattr(settings, name)) for name in _PLACES}
        return cls(replace(settings, **places), grader.bundle.sha256, grader.policy.stamp.sha256, software_version())

    def opened(self) -> Grader:
        """Return a grader of this deployment for the calling process.

        Raises
        ------
        PackGradeError
            If bundle, policy or record cannot be used, or are not what the batch began with.
        """
        where = self.settings
        self._require_same("release", software_version(), self.release)
        ledger = open_record(where.record_file, software_version(), where.witness_file, where.log_key_file)
        grader = Grader.open(where.bundle_folder, where.policy_file, ledger)
        self._require_same("bundle", grader.bundle.sha256, self.bundle_sha256)
        self._require_same("policy", grader.policy.stamp.sha256, self.policy_sha256)
        return grader

    def _require_same(self, what: str, found: str, expected: str) -> None:
        if found != expected:
            raise PackGradeError(
                "DEPLOYMENT_DIFFERS",
                f"A worker found {what} {found[:12]}, the batch began with {expected[:12]}. The worker graded nothing. "
                f"Give every machine the same {what} and run the batch again with --resume.",
            )


def _absolute(place: Any) -> Any:
    """Return a path as every working folder understands it; an address or nothing as it is."""
    return place.absolute() if isinstance(place, Path) else place
