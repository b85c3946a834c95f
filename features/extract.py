"""The only door from a battery's history to its features.

    history -> as_available_at(moment) -> the best run's features -> FeatureVector

A full capacity test outranks a pulse test, a pulse test the vehicle's record; among runs of one
kind the latest counts. The best method that could be measured leads, the usable features of the
others follow (`FeatureVector.further`), so that their estimates can be compared. What all other
runs noticed still travels along as findings, and the worst insulation and alarm of any run counts,
so that a fault the vehicle once reported holds a battery whose capacity was measured on the bench.
Many batteries pass the door together (`extract_many`): all their pulse trains become numbers in one
pass, which changes no bit of them.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from features.capacity_test import capacity_test_features
from features.errors import InvalidInput
from features.feature_set import FEATURE_SETS, FeatureVector, Method, MethodFeatures
from features.field_telemetry import field_telemetry_features
from features.findings import Finding, Message, Severity
from features.identity_findings import code_findings
from features.impedance import IMPEDANCE_DECISIVE, impedance_features
from features.measurement import BatteryHistory, BatteryIdentity, MeasurementRun
from features.partial_charge import partial_charge_features
from features.pulse import PulseTrain, features_of_trains
from features.quality import table_findings
from features.steps import graded_train
from features.string_charge import charge_findings
from features.string_groups import GROUPS_CONTRADICT
from features.train_pairs import pair_features
from features.vocabulary import Provenance, RunKind

RANKED_METHODS: tuple[tuple[RunKind, Method], ...] = (
    (RunKind.CAPACITY_TEST, Method.CAPACITY_TEST),
    (RunKind.PULSE_TEST, Method.TWO_PULSE_TRAINS),
    (RunKind.PULSE_TEST, Method.PULSE_TEST),
    (RunKind.PARTIAL_CHARGE, Method.PARTIAL_CHARGE),
    (RunKind.IMPEDANCE, Method.IMPEDANCE),
    (RunKind.FIELD_TELEMETRY, Method.FIELD_TELEMETRY),
)
"""Methods, best evidence first."""

_DECISIVE: Mapping[Method, str] = {
    Method.CAPACITY_TEST: "discharged_capacity_ah",
    Method.TWO_PULSE_TRAINS: "moved_charge_fraction",
    Method.PULSE_TEST: "open_circuit_voltage_volt",
    Method.PARTIAL_CHARGE: "window_begin_volt",
    Method.IMPEDANCE: IMPEDANCE_DECISIVE,
    Method.FIELD_TELEMETRY: "window_capacity_ah",
}
_WORST: Mapping[str, Callable[[list[float]], float]] = {"insulation_ohm_per_volt": min, "highest_alarm_level": max}
_DISCHARGED = ("discharged_capacity_ah", "discharged_capacity_uncertainty_ah")

_ABOUT_THE_TEST = ("pulse.", "capacity_test.", "partial_charge.", "impedance.", "string.")
"""How a bench test was done; a later test of the kind was done anew."""

VOIDS_A_DISCHARGE = frozenset({"quality.current_gap", "quality.clock_jump"})
"""Faults of the record after which the charge counted over it cannot be trusted."""

STUCK_CHARGE_FRACTION = 0.25
"""A voltage that stands still for this share of the rated charge hides where the discharge ended.

Below it a flat LFP plateau on a coarse meter looks the same.
"""

Measured = tuple[dict[str, float] | PulseTrain, tuple[Finding, ...]]
"""Values and findings of a run; a pulse train stands for its features until all trains are computed together."""


@dataclass(frozen=True)
class _Tried:
    """A run looked at, and what it measured."""

    method: Method
    run: MeasurementRun
    measured: dict[str, float] | PulseTrain
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Candidate:
    method: Method
    run: MeasurementRun
    values: dict[str, float]
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        decisive = _DECISIVE.get(self.method)
        return decisive is not None and not math.isnan(self.values[decisive])

    @property
    def features(self) -> MethodFeatures:
        return MethodFeatures(self.method, _digest(self), self.values, self.run.source.provenance)


def extract(history: BatteryHistory, as_of: datetime) -> FeatureVector:
    """Features of a battery as it could be known at a moment.

    Parameters
    ----------
    history : BatteryHistory
        Everything known about the battery.
    as_of : datetime
        Grading moment, aware; a run that became available later changes no feature.

    Returns
    -------
    FeatureVector
        Of the best method that could be measured; without one, of the best that was tried.

    Raises
    ------
    InvalidInput
        If a run cannot be what its kind says (a pulse train that is not there, sampling too slow).
    """
    known = history.as_available_at(as_of)
    return _vector(known, as_of, _candidates([(known, _tried(known))])[0])


def extract_many(asked: Sequence[tuple[BatteryHistory, datetime]]) -> list[FeatureVector | InvalidInput]:
    """Extract features of several batteries, to the last bit those `extract` gives of each.

    Parameters
    ----------
    asked : sequence of (BatteryHistory, datetime)
        Batteries, each with its grading moment.

    Returns
    -------
    list of FeatureVector or InvalidInput
        In the order asked; where `extract` raises, the error, which concerns that battery only.
    """
    known = [history.as_available_at(as_of) for history, as_of in asked]
    tried = [_tried_or_error(each) for each in known]
    sound = [(each, runs) for each, runs in zip(known, tried, strict=True) if not isinstance(runs, InvalidInput)]
    candidates = iter(_candidates(sound))
    return [
        runs if isinstance(runs, InvalidInput) else _vector(each, as_of, next(candidates))
        for each, (_, as_of), runs in zip(known, asked, tried, strict=True)
    ]


def _tried_or_error(known: BatteryHistory) -> list[_Tried] | InvalidInput:
    try:
        return _tried(known)
    except InvalidInput as error:
        return error


def _tried(known: BatteryHistory) -> list[_Tried]:
    return [
        _measured(method, run, known.identity)
        for kind, method in RANKED_METHODS
        if method in _FEATURES or kind.value == method.value
        for run in _latest_first(known, kind)
    ]


def _candidates(batteries: Sequence[tuple[BatteryHistory, list[_Tried]]]) -> list[list[_Candidate]]:
    """Runs of every battery with their values; the features of all pulse trains are computed together."""
    trains = [
        (each.measured, known.identity.rated_capacity_ah)
        for known, tried in batteries
        for each in tried
        if isinstance(each.measured, PulseTrain)
    ]
    computed = iter(features_of_trains([train for train, _ in trains], np.array([rated for _, rated in trains])))
    return [
        [
            _Candidate(
                each.method,
                each.run,
                next(computed) if isinstance(each.measured, PulseTrain) else each.measured,
                each.findings,
            )
            for each in tried
        ]
        for _, tried in batteries
    ]


def _vector(known: BatteryHistory, as_of: datetime, tried: list[_Candidate]) -> FeatureVector:
    chosen = _chosen(tried)
    findings = (*code_findings(known.identity), *_all_findings(chosen, tried), *_superseded(known))
    return FeatureVector(
        battery_id=known.identity.battery_id,
        as_of=as_of,
        method=chosen.method if chosen else None,
        feature_set_digest=_digest(chosen),
        values={**(chosen.values if chosen else {}), **_worst_safety_values(tried)},
        findings=findings,
        source_digests=tuple(sorted({each.run.source.sha256 for each in tried})),
        provenance=chosen.run.source.provenance if chosen else Provenance.BENCH_MEASURED,
        further=tuple(each.features for each in _latest_of_each(tried) if each is not chosen and each.usable),
    )


def _latest_first(history: BatteryHistory, kind: RunKind) -> list[MeasurementRun]:
    """Runs of a kind, the latest first; of two begun at one moment the one given last."""
    runs = [run for run in history.runs if run.kind is kind]
    return sorted(runs, key=lambda run: run.started_at)[::-1]


def _latest_of_each(tried: list[_Candidate]) -> list[_Candidate]:
    return [each for index, each in enumerate(tried) if index == 0 or tried[index - 1].method is not each.method]


def _chosen(tried: list[_Candidate]) -> _Candidate | None:
    latest = _latest_of_each(tried)
    asked_for = [each for each in latest if each.method.value == each.run.kind.value]
    return next((each for each in latest if each.usable), asked_for[0] if asked_for else None)


def _measured(method: Method, run: MeasurementRun, identity: BatteryIdentity) -> _Tried:
    compute = _FEATURES.get(method)
    values, findings = compute(run, identity) if compute else ({}, ())
    if method.value != run.kind.value:  # a further method of the run: what the run itself shows is told once
        return _Tried(method, run, values, findings)
    noticed = (*run.findings, *table_findings(run, identity), *findings)
    if (
        method is Method.CAPACITY_TEST
        and isinstance(values, dict)
        and any(_voids_a_discharge(each) for each in noticed)
    ):
        values = {**values, **dict.fromkeys(_DISCHARGED, math.nan)}
    return _Tried(method, run, values, noticed)


def _voids_a_discharge(finding: Finding) -> bool:
    stuck = finding.code == "quality.voltage_stuck"
    return finding.code in VOIDS_A_DISCHARGE or (
        stuck and float(finding.evidence["charge_fraction"]) >= STUCK_CHARGE_FRACTION
    )


def _pulse_test(run: MeasurementRun, identity: BatteryIdentity) -> Measured:
    found, findings = graded_train(run.table, identity.rated_capacity_ah, run.train)
    if found is None:
        return dict.fromkeys(FEATURE_SETS[Method.PULSE_TEST].names, math.nan), findings
    return found.train, findings


def _two_pulse_trains(run: MeasurementRun, identity: BatteryIdentity) -> Measured:
    return pair_features(run.table, identity.rated_capacity_ah, run.train)


def _capacity_test(run: MeasurementRun, identity: BatteryIdentity) -> Measured:
    return capacity_test_features(run.table, identity)


def _partial_charge(run: MeasurementRun, identity: BatteryIdentity) -> Measured:
    values, findings = partial_charge_features(run.table, identity)
    told = charge_findings(run.table, identity)
    if any(each.code == GROUPS_CONTRADICT for each in told):
        values = dict.fromkeys(values, math.nan)
    return values, (*findings, *told)


def _impedance(run: MeasurementRun, identity: BatteryIdentity) -> Measured:
    return impedance_features(run.table, identity)


def _field_telemetry(run: MeasurementRun, identity: BatteryIdentity) -> Measured:
    return field_telemetry_features(run.table, identity, run.available_at)


_FEATURES: Mapping[Method, Callable[[MeasurementRun, BatteryIdentity], Measured]] = {
    Method.TWO_PULSE_TRAINS: _two_pulse_trains,
    Method.PULSE_TEST: _pulse_test,
    Method.CAPACITY_TEST: _capacity_test,
    Method.PARTIAL_CHARGE: _partial_charge,
    Method.IMPEDANCE: _impedance,
    Method.FIELD_TELEMETRY: _field_telemetry,
}


def _all_findings(chosen: _Candidate | None, tried: list[_Candidate]) -> tuple[Finding, ...]:
    """Findings of the chosen run first; of a superseded run all that is about the battery, not about that test."""
    latest = {id(each) for each in _latest_of_each(tried)}
    ordered = [each for each in tried if each is chosen] + [each for each in tried if each is not chosen]
    return tuple(
        finding
        for each in ordered
        for finding in each.findings
        if id(each) in latest or finding.disqualifies or not finding.code.startswith(_ABOUT_THE_TEST)
    )


def _superseded(history: BatteryHistory) -> tuple[Finding, ...]:
    """A note for every bench test of which several were given: the one begun last counts."""
    counts = Counter(run.kind for run in history.runs if run.kind is not RunKind.FIELD_TELEMETRY)
    return tuple(_several(kind, count) for kind, count in sorted(counts.items()) if count > 1)


def _several(kind: RunKind, count: int) -> Finding:
    words = kind.value.replace("_", " ")
    message = Message(
        f"{count} runs of kind {words} were given; the one begun last counts (of equal moments the one given last).",
        f"共提交 {count} 次 {kind.value};以最后开始的一次为准(时间相同则以最后提交者为准)。",
    )
    return Finding("history.several_runs", Severity.NOTE, message, {"kind": kind.value, "run_count": count})


def _digest(chosen: _Candidate | None) -> str:
    feature_set = FEATURE_SETS.get(chosen.method) if chosen else None
    return feature_set.digest if feature_set else ""


def _worst_safety_values(tried: list[_Candidate]) -> dict[str, float]:
    """Lowest insulation and highest alarm over every vehicle record given, whatever tells the capacity."""
    records = [each.values for each in tried if each.method is Method.FIELD_TELEMETRY]
    worst = {}
    for name, worse in _WORST.items():
        known = [values[name] for values in records if not math.isnan(values[name])]
        if known:
            worst[name] = worse(known)
    return worst
