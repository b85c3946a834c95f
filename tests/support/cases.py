"""Cases and assessments for tests of gates and policy: a sound battery, then one thing changed."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from features.feature_set import FeatureVector, Method
from features.findings import Finding
from features.measurement import BatteryIdentity, Inspection
from features.vocabulary import Chemistry, Level, Provenance
from models.decision import Assessment, CapacityEstimate, GradingCase, cut_key
from models.risk_levels import RiskLevels
from models.thresholds import CutThresholds, Thresholds

MOMENT = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
CUTS = (0.80, 0.70, 0.60)
THRESHOLDS = Thresholds(
    RiskLevels(0.02, 0.05, 0.95),
    {"LFP35": 100, "LMO10": 112},
    (CutThresholds(0.80, 0.85, 0.78), CutThresholds(0.70, 0.73, 0.70), CutThresholds(0.60, 0.62, 0.59)),
)


def a_cell(**changes: Any) -> BatteryIdentity:
    """An LFP cell of 35 Ah with a local identifier."""
    sound = BatteryIdentity("cell-1", Level.CELL, Chemistry.LFP, 35.0)
    return replace(sound, **changes)


def a_pack(**changes: Any) -> BatteryIdentity:
    """An LFP pack of 35 Ah."""
    return a_cell(battery_id="pack-1", level=Level.PACK, series_count=100, **changes)


def a_case(
    identity: BatteryIdentity | None = None,
    inspection: Inspection | None = None,
    findings: tuple[Finding, ...] = (),
    method: Method | None = Method.PULSE_TEST,
    values: dict[str, float] | None = None,
) -> GradingCase:
    """A battery that was looked at and shows no fault."""
    who = identity or a_cell()
    vector = FeatureVector(who.battery_id, MOMENT, method, "", values or {}, findings)
    return GradingCase(who, inspection or Inspection(leakage=False, swelling=False), vector)


def an_estimate(
    lower: float,
    upper: float,
    probability_below: dict[float, float] | None = None,
    provenance: Provenance = Provenance.BENCH_MEASURED,
) -> CapacityEstimate:
    """A directly measured capacity of a 35 Ah battery whose interval is given in state of health."""
    middle = (lower + upper) / 2.0
    below = probability_below or {cut: 0.0 if lower >= cut else 1.0 if upper < cut else 0.5 for cut in CUTS}
    return CapacityEstimate(
        method=Method.CAPACITY_TEST,
        remaining_capacity_ah=35.0 * middle,
        lower_ah=35.0 * lower,
        upper_ah=35.0 * upper,
        coverage_fraction=0.9,
        rated_capacity_ah=35.0,
        capacity_definition="1C discharge after CCCV, 25 °C",
        probability_below_cut={cut_key(cut): p for cut, p in below.items()},
        provenance=provenance,
    )


def assessed(lower: float, upper: float, **more: Any) -> Assessment:
    """An assessment without abstention, judged by its interval."""
    return Assessment(an_estimate(lower, upper, **more), (), known_type=True)


def predicted(
    score: float, thresholds: Thresholds | None = THRESHOLDS, half_width: float = 0.04, **more: Any
) -> Assessment:
    """An assessment by a pulse test with a predicted state of health, judged by certified thresholds."""
    bounds = {"lower_ah": 35.0 * max(score - half_width, 0.0), "upper_ah": 35.0 * (score + half_width)}
    estimate = replace(an_estimate(score, score), method=Method.PULSE_TEST, **bounds, **more)
    return Assessment(estimate, (), True, thresholds=thresholds, certified_methods=frozenset({Method.PULSE_TEST}))
