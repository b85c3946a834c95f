"""Grade a battery: history in, recorded decision out. The one path, online, in batch and in replay.

    history -> extract -> assess -> decide -> record -> RecordedDecision

Nothing here knows HTTP, files of measurements or training. A `RecordedDecision` exists only after
the record has committed it: that is the only thing a door can send out.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from features.errors import InvalidInput, PackGradeError
from features.extract import extract, extract_many
from features.measurement import BatteryHistory
from models.assessment import assess_many
from models.bundle import Bundle, load_bundle
from models.certification import certified
from models.decision import GradingCase, GradingDecision
from models.policy import Policy
from models.policy_file import load_policy
from serving.record.decision_body import case_from_body, decision_body, outcome_body
from serving.record.entry import NewEntry, Recorded
from serving.record.leaf import Leaf, LeafKind
from serving.record.ledger import Ledger
from serving.record.receipt import Receipt


@dataclass(frozen=True, slots=True)
class GradingRequest:
    """Who asks, and under which key.

    Attributes
    ----------
    station : str
        Station the decision belongs to.
    idempotency_key : str
        Same station and key: same decision, for ever.
    request_sha256 : str
        Digest of what was asked; the same key with another digest is refused.
    event_id : str
        Identifier the decision gets if it is new.
    moment : datetime
        Grading moment; nothing available later is used. Aware.
    """

    station: str
    idempotency_key: str
    request_sha256: str
    event_id: str
    moment: datetime


@dataclass(frozen=True)
class RecordedDecision:
    """A decision with its place in the record. Built only by `Grader`, only after the append."""

    decision_id: str
    sequence: int
    leaf_sha256: str
    request_sha256: str
    body: Mapping[str, Any]
    repeated: bool
    receipt: Receipt | None


@dataclass(frozen=True)
class Replay:
    """What deciding again gave.

    Attributes
    ----------
    decision_id : str
        Decision that was replayed.
    equal : bool
        Whether estimate and decision came out bit for bit the same.
    differences : tuple of str
        Fields that differ.
    """

    decision_id: str
    equal: bool
    differences: tuple[str, ...]


class Grader:
    """Grades batteries with one bundle under one policy into one record.

    Parameters
    ----------
    bundle : Bundle
        Trained models.
    policy : Policy
        Rules in force.
    ledger : Ledger
        The record's writer.

    Raises
    ------
    PackGradeError
        If the bundle cannot give the probabilities the policy's cuts need, or its calibration batteries
        cannot support what the policy promises.
    """

    def __init__(self, bundle: Bundle, policy: Policy, ledger: Ledger) -> None:
        bundle.require_cuts(policy.cuts)
        certification = certified(bundle.calibration, policy.cuts, policy.risk)
        certification.require()
        self.bundle = bundle
        self.policy = policy
        self._terms = policy.terms(certification)
        self._ledger = ledger

    @classmethod
    def open(cls, bundle_folder: Path, policy_file: Path, ledger: Ledger) -> "Grader":
        """Grader over a bundle folder and a policy file.

        Raises
        ------
        PackGradeError
            If the bundle is damaged or belongs to other features, the policy is not sound, or they do not
            go together.
        """
        return cls(load_bundle(bundle_folder), load_policy(policy_file), ledger)

    def grade(self, history: BatteryHistory, request: GradingRequest) -> RecordedDecision:
        """Grade one battery and record the decision before anyone sees it.

        Parameters
        ----------
        history : BatteryHistory
            Everything known about the battery.
        request : GradingRequest
            Who asks, and when.

        Returns
        -------
        RecordedDecision
            Committed; the earlier one if this station used this key before.

        Raises
        ------
        PackGradeError
            If the record cannot be written (nothing was decided), or the key was used for
            something else.
        """
        earlier = self._ledger.find(request.station, request.idempotency_key)
        if earlier is not None and earlier.leaf.request_sha256 == request.request_sha256:
            return _recorded_decision(earlier, repeated=True)
        return _told(self._ledger.append(self._entry(history, request)))

    def grade_many(
        self, asked: Sequence[tuple[BatteryHistory, GradingRequest]]
    ) -> list[RecordedDecision | PackGradeError]:
        """Grade several batteries and record them in one commit; a refusal concerns its own battery only."""
        entries = self._entries(asked)
        answers = iter(self._ledger.append_many([each for each in entries if isinstance(each, NewEntry)]))
        outcomes = [next(answers) if isinstance(each, NewEntry) else each for each in entries]
        return [each if isinstance(each, PackGradeError) else _told(each) for each in outcomes]

    def decide(self, case: GradingCase) -> GradingDecision:
        """Decision for a case; pure, records nothing."""
        return self._decisions((case,))[0]

    def replay(self, leaf: Leaf) -> Replay:
        """Decide a recorded case again and compare bit for bit.

        Raises
        ------
        PackGradeError
            ``ARTIFACT_HASH_MISMATCH`` if the record names another bundle or policy than this grader has.
        """
        self._require_same_artifacts(leaf)
        stored = {part: leaf.body[part] for part in ("estimate", "certificate", "decision", "policy")}
        again = json.loads(json.dumps(outcome_body(self.decide(case_from_body(leaf.body)))))
        return Replay(leaf.event_id, stored == again, tuple(part for part in stored if stored[part] != again[part]))

    def _decisions(self, cases: Sequence[GradingCase]) -> list[GradingDecision]:
        """Decisions for several cases, each to the last bit what the case alone gets."""
        assessments = assess_many(cases, self.bundle, self._terms)
        return [
            self.policy.decide(case, assessment, self.bundle.sha256)
            for case, assessment in zip(cases, assessments, strict=True)
        ]

    def _entry(self, history: BatteryHistory, request: GradingRequest) -> NewEntry:
        case = GradingCase(history.identity, history.inspection, extract(history, request.moment))
        return self._new_entry(case, self.decide(case), history, request)

    def _entries(self, asked: Sequence[tuple[BatteryHistory, GradingRequest]]) -> list[NewEntry | InvalidInput]:
        vectors = extract_many([(history, request.moment) for history, request in asked])
        cases = [
            GradingCase(history.identity, history.inspection, vector)
            for (history, _), vector in zip(asked, vectors, strict=True)
            if not isinstance(vector, InvalidInput)
        ]
        decided = iter(zip(cases, self._decisions(cases), strict=True))
        return [
            vector if isinstance(vector, InvalidInput) else self._new_entry(*next(decided), history, request)
            for (history, request), vector in zip(asked, vectors, strict=True)
        ]

    def _new_entry(
        self, case: GradingCase, decision: GradingDecision, history: BatteryHistory, request: GradingRequest
    ) -> NewEntry:
        runs = tuple(history.as_available_at(request.moment).runs)
        return NewEntry(
            kind=LeafKind.DECISION,
            battery_id=history.identity.battery_id,
            station=request.station,
            idempotency_key=request.idempotency_key,
            request_sha256=request.request_sha256,
            event_id=request.event_id,
            recorded_at=request.moment,
            body=decision_body(case, decision, self.bundle.stamp, runs),
        )

    def _require_same_artifacts(self, leaf: Leaf) -> None:
        held = {"bundle": self.bundle.sha256, "policy": self.policy.stamp.sha256}
        for artifact, sha256 in held.items():
            recorded = leaf.body[artifact]["sha256"]
            if recorded != sha256:
                raise PackGradeError(
                    "ARTIFACT_HASH_MISMATCH",
                    f"Decision {leaf.event_id} was made with {artifact} {recorded[:12]}…, this one is {sha256[:12]}…. "
                    f"Nothing was replayed. Name the {artifact} the record names.",
                )


def open_record(record_file: Path, software_version: str, witness_file: Path | None = None) -> Ledger:
    """The record's writer; the only place where the wing opens one.

    Raises
    ------
    RecordUnavailable
        If the folder is missing, or the file is not a record this release can write.
    """
    return Ledger.open(record_file, software_version, witness=witness_file)


def history_sha256(history: BatteryHistory) -> str:
    """Digest of what is asked: identity, inspection and every run as it was read, without times.

    A run counts as its source, its converted table and what the reader noticed, so a corrected
    vehicle mapping or reader asks something new.
    """
    runs = [
        [run.kind.value, asdict(run.source), run.table.sha256, run.train, [asdict(each) for each in run.findings]]
        for run in history.runs
    ]
    asked = [asdict(history.identity), asdict(history.inspection), runs]
    return hashlib.sha256(json.dumps(asked, default=str, separators=(",", ":")).encode()).hexdigest()


def _told(recorded: Recorded) -> RecordedDecision:
    return _recorded_decision(recorded, repeated=recorded.replayed)


def _recorded_decision(recorded: Recorded, *, repeated: bool) -> RecordedDecision:
    leaf = recorded.leaf
    return RecordedDecision(
        leaf.event_id,
        leaf.sequence,
        recorded.leaf_sha256,
        leaf.request_sha256,
        leaf.body,
        repeated,
        recorded.receipt,
    )
