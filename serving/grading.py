"""Grade a battery: history in, recorded decision out. The one path, online, in batch and in replay.

    history -> extract -> assess -> decide, in view of the record -> record -> RecordedDecision

A decision is recorded only if the battery got no entry since its past was read; else the past is read
and the decision made again. Nothing here knows HTTP, files of measurements or training. A
`RecordedDecision` exists only after the record has committed it: that is the only thing a door can
send out.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from features.errors import InvalidInput, PackGradeError
from features.extract import extract, extract_many
from features.measurement import BatteryHistory
from models.assessment import assess_many
from models.bundle import Bundle, load_bundle
from models.certification import certified
from models.decision import Assessment, GradingCase, GradingDecision
from models.past import NOTHING_PAST, RecordedPast
from models.policy import Policy
from models.policy_file import load_policy
from serving.due_dates import DueDates
from serving.events.past import BatteryPast, battery_pasts
from serving.record.decision_body import case_from_body, decision_body, outcome_body, past_from_body
from serving.record.entry import BatteryMoved, NewEntry, Recorded
from serving.record.leaf import Leaf, LeafKind
from serving.record.ledger import Ledger
from serving.record.location import RecordLocation
from serving.record.receipt import Receipt
from serving.record.store import RecordUnavailable
from serving.station_clock import clock_note
from serving.turns import Turns

MOST_TRIES = 32
"""How often a battery is decided on because it got another entry meanwhile; four processes that grade nothing but
the same battery lose eight turns in a row about once in fifty gradings."""


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
    operator : str or None
        Pseudonym of the person at the station (`serving.events.operators`).
    station_clock : datetime or None
        What the station's own clock said. Aware.
    """

    station: str
    idempotency_key: str
    request_sha256: str
    event_id: str
    moment: datetime
    operator: str | None = None
    station_clock: datetime | None = None

    def entry(self, kind: LeafKind, battery_id: str | None, body: Mapping[str, object]) -> NewEntry:
        """What this request has recorded; a station clock far from ours is told in the body."""
        return NewEntry(
            kind=kind,
            battery_id=battery_id,
            station=self.station,
            idempotency_key=self.idempotency_key,
            request_sha256=self.request_sha256,
            event_id=self.event_id,
            recorded_at=self.moment,
            body={**body, **clock_note(self.station_clock, self.moment)},
            operator=self.operator,
            station_clock=self.station_clock,
        )


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


@dataclass(frozen=True)
class _Judged:
    """A battery measured and assessed; what the record says of it is still to be read."""

    case: GradingCase
    assessment: Assessment
    history: BatteryHistory
    request: GradingRequest

    @property
    def battery_id(self) -> str:
        return self.case.identity.battery_id


class Grader:
    """Grades batteries with one bundle under one policy into one record.

    Parameters
    ----------
    bundle : Bundle
        Trained models.
    policy : Policy
        Rules in force.
    ledger : Ledger or None
        The record's writer; None for a grader that only decides again what a record holds.

    Raises
    ------
    PackGradeError
        If the bundle cannot give the probabilities the policy's cuts need, or its calibration batteries
        cannot support what the policy promises.
    """

    def __init__(self, bundle: Bundle, policy: Policy, ledger: Ledger | None) -> None:
        bundle.require_cuts(policy.cuts)
        certification = certified(bundle.calibration, policy.cuts, policy.risk)
        certification.require()
        self.bundle = bundle
        self.policy = policy
        self.due_dates = DueDates(policy.traceability)
        self._turns = Turns()
        self._terms = policy.terms(certification)
        self._writer = ledger

    @property
    def ledger(self) -> Ledger:
        """The record's writer.

        Raises
        ------
        RecordUnavailable
            If there is none.
        """
        if self._writer is None:
            raise RecordUnavailable("This grader only decides again and has no record.", what_to_do="Open one with it.")
        return self._writer

    @classmethod
    def open(cls, bundle_folder: Path, policy_file: Path, ledger: Ledger | None) -> "Grader":
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
        earlier = self.ledger.find(request.station, request.idempotency_key)
        if earlier is not None and earlier.leaf.request_sha256 == request.request_sha256:
            return _recorded_decision(earlier, repeated=True)
        case = GradingCase(history.identity, history.inspection, extract(history, request.moment))
        (answer,) = self._recorded([_Judged(case, self._assessed((case,))[0], history, request)])
        if isinstance(answer, PackGradeError):
            raise answer
        return answer

    def grade_many(
        self, asked: Sequence[tuple[BatteryHistory, GradingRequest]]
    ) -> list[RecordedDecision | PackGradeError]:
        """Grade several batteries and record them in one commit; a refusal concerns its own battery only.

        A battery asked for twice, or overtaken by another grading, is decided again in a further commit.
        """
        judged = self._judged(asked)
        answers = iter(self._recorded([each for each in judged if isinstance(each, _Judged)]))
        return [next(answers) if isinstance(each, _Judged) else each for each in judged]

    def decide(self, case: GradingCase, past: RecordedPast = NOTHING_PAST) -> GradingDecision:
        """Decision for a case in view of its past; pure, reads and records nothing."""
        (assessment,) = self._assessed((case,))
        return self.policy.decide(case, assessment, self.bundle.sha256, past)

    def replay(self, leaf: Leaf) -> Replay:
        """Decide a recorded case again and compare bit for bit, in view of the past it was decided in.

        Raises
        ------
        PackGradeError
            ``ARTIFACT_HASH_MISMATCH`` if the record names another bundle or policy than this grader has.
        """
        self._require_same_artifacts(leaf)
        body = leaf.body
        stored = {part: body[part] for part in ("estimate", "certificate", "decision", "policy")}
        decision = self.decide(case_from_body(body), past_from_body(body))
        again = json.loads(json.dumps(outcome_body(decision)))
        return Replay(leaf.event_id, stored == again, tuple(part for part in stored if stored[part] != again[part]))

    def _assessed(self, cases: Sequence[GradingCase]) -> list[Assessment]:
        """Assessments of several cases, each to the last bit what the case alone gets."""
        return list(assess_many(cases, self.bundle, self._terms))

    def _judged(self, asked: Sequence[tuple[BatteryHistory, GradingRequest]]) -> "list[_Judged | InvalidInput]":
        vectors = extract_many([(history, request.moment) for history, request in asked])
        cases = [
            GradingCase(history.identity, history.inspection, vector)
            for (history, _), vector in zip(asked, vectors, strict=True)
            if not isinstance(vector, InvalidInput)
        ]
        assessed = iter(zip(cases, self._assessed(cases), strict=True))
        return [
            vector if isinstance(vector, InvalidInput) else _Judged(*next(assessed), history, request)
            for (history, request), vector in zip(asked, vectors, strict=True)
        ]

    def _recorded(self, judged: "Sequence[_Judged]") -> list[RecordedDecision | PackGradeError]:
        """Decide in view of the record and record, the batteries' first rows first; who was overtaken tries again."""
        answers = dict[int, RecordedDecision | PackGradeError]()
        tries = Counter[int]()
        with self._turns.of(each.battery_id for each in judged):
            while waiting := [number for number in range(len(judged)) if number not in answers]:
                turn = sorted({judged[number].battery_id: number for number in reversed(waiting)}.values())
                tries.update(turn)
                outcomes = self.ledger.append_many(self._entries([judged[number] for number in turn]))
                for number, outcome in zip(turn, outcomes, strict=True):
                    if not isinstance(outcome, BatteryMoved):
                        answers[number] = outcome if isinstance(outcome, PackGradeError) else _told(outcome)
                    elif tries[number] >= MOST_TRIES:
                        answers[number] = _overtaken(judged[number].battery_id)
        return [answers[number] for number in range(len(judged))]

    def _entries(self, judged: "Sequence[_Judged]") -> list[NewEntry]:
        batteries = [each.battery_id for each in judged]
        pasts = battery_pasts(self.ledger, batteries, self.policy.stamp.sha256, self.policy.standing)
        return [self._entry(each, known) for each, known in zip(judged, pasts, strict=True)]

    def _entry(self, judged: "_Judged", known: BatteryPast) -> NewEntry:
        decision = self.policy.decide(judged.case, judged.assessment, self.bundle.sha256, known.past)
        request = judged.request
        runs = tuple(judged.history.as_available_at(request.moment).runs)
        body = decision_body(judged.case, decision, self.bundle.stamp, runs, known.past)
        dated = {**body, **self.due_dates.of(LeafKind.DECISION, request.moment)}
        return replace(request.entry(LeafKind.DECISION, judged.battery_id, dated), expected_battery_head=known.head)

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


def open_record(
    record_file: RecordLocation,
    software_version: str,
    witness_file: Path | None = None,
    log_key_file: Path | None = None,
) -> Ledger:
    """The record's writer, in a file or in a database; the only place where the wing opens one.

    Raises
    ------
    RecordUnavailable
        If its place is missing, or holds no record this release can write.
    """
    return Ledger.open(record_file, software_version, witness=witness_file, key=log_key_file)


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


def _overtaken(battery_id: str) -> RecordUnavailable:
    return RecordUnavailable(
        f"Battery {battery_id} got another entry each of the {MOST_TRIES} times it was decided on.",
        what_to_do="Send the request again with the same idempotency key.",
    )


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
