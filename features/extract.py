"""The only door from a battery's history to its features.

    history -> as_available_at(moment) -> the best run's features -> FeatureVector

A full capacity test outranks a pulse test, a pulse test the vehicle's record; among runs of one
kind the latest counts. What the other runs noticed still travels along as findings, so that an
insulation fault in the telemetry holds a battery whose capacity was measured on the bench.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from features.capacity_test import capacity_test_features
from features.feature_set import FEATURE_SETS, FeatureVector, Method
from features.field_telemetry import field_telemetry_features
from features.findings import Finding
from features.identity_findings import code_findings
from features.measurement import BatteryHistory, BatteryIdentity, MeasurementRun
from features.pulse import pulse_features
from features.quality import table_findings
from features.steps import graded_train
from features.vocabulary import Provenance, RunKind

RANKED_METHODS: tuple[tuple[RunKind, Method], ...] = (
    (RunKind.CAPACITY_TEST, Method.CAPACITY_TEST),
    (RunKind.PULSE_TEST, Method.PULSE_TEST),
    (RunKind.PARTIAL_CHARGE, Method.PARTIAL_CHARGE),
    (RunKind.IMPEDANCE, Method.IMPEDANCE),
    (RunKind.FIELD_TELEMETRY, Method.FIELD_TELEMETRY),
)
"""Methods, best evidence first."""

_DECISIVE: Mapping[Method, str] = {
    Method.CAPACITY_TEST: "discharged_capacity_ah",
    Method.PULSE_TEST: "open_circuit_voltage_volt",
    Method.FIELD_TELEMETRY: "window_capacity_ah",
}
_SAFETY_FEATURES = ("insulation_ohm_per_volt", "highest_alarm_level")

Measured = tuple[dict[str, float], tuple[Finding, ...]]


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
    tried = [
        _measured(method, run, known.identity)
        for kind, method in RANKED_METHODS
        if (run := _latest(known, kind)) is not None
    ]
    chosen = next((each for each in tried if each.usable), tried[0] if tried else None)
    findings = (*code_findings(known.identity), *_all_findings(chosen, tried))
    return FeatureVector(
        battery_id=known.identity.battery_id,
        as_of=as_of,
        method=chosen.method if chosen else None,
        feature_set_digest=_digest(chosen),
        values={**(chosen.values if chosen else {}), **_safety_values(chosen, tried)},
        findings=findings,
        source_digests=tuple(sorted({each.run.source.sha256 for each in tried})),
        provenance=chosen.run.source.provenance if chosen else Provenance.BENCH_MEASURED,
    )


def _latest(history: BatteryHistory, kind: RunKind) -> MeasurementRun | None:
    runs = [run for run in history.runs if run.kind is kind]
    return max(reversed(runs), key=lambda run: run.started_at) if runs else None


def _measured(method: Method, run: MeasurementRun, identity: BatteryIdentity) -> _Candidate:
    compute = _FEATURES.get(method)
    values, findings = compute(run, identity) if compute else ({}, ())
    return _Candidate(method, run, values, (*run.findings, *table_findings(run, identity), *findings))


def _pulse_test(run: MeasurementRun, identity: BatteryIdentity) -> Measured:
    found, findings = graded_train(run.table, identity.rated_capacity_ah, run.train)
    if found is None:
        return dict.fromkeys(FEATURE_SETS[Method.PULSE_TEST].names, math.nan), findings
    return pulse_features(found.train, identity.rated_capacity_ah), findings


def _capacity_test(run: MeasurementRun, identity: BatteryIdentity) -> Measured:
    return capacity_test_features(run.table, identity)


def _field_telemetry(run: MeasurementRun, identity: BatteryIdentity) -> Measured:
    return field_telemetry_features(run.table, identity)


_FEATURES: Mapping[Method, Callable[[MeasurementRun, BatteryIdentity], Measured]] = {
    Method.PULSE_TEST: _pulse_test,
    Method.CAPACITY_TEST: _capacity_test,
    Method.FIELD_TELEMETRY: _field_telemetry,
}


def _all_findings(chosen: _Candidate | None, tried: list[_Candidate]) -> tuple[Finding, ...]:
    ordered = [each for each in tried if each is chosen] + [each for each in tried if each is not chosen]
    return tuple(finding for each in ordered for finding in each.findings)


def _digest(chosen: _Candidate | None) -> str:
    feature_set = FEATURE_SETS.get(chosen.method) if chosen else None
    return feature_set.digest if feature_set else ""


def _safety_values(chosen: _Candidate | None, tried: list[_Candidate]) -> dict[str, float]:
    """Insulation and alarms of the vehicle's record, also where another method tells the capacity."""
    vehicle = [each.values for each in tried if each.method is Method.FIELD_TELEMETRY and each is not chosen]
    return {name: values[name] for values in vehicle for name in _SAFETY_FEATURES}
