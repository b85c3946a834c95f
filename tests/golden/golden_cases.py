"""Sample batteries whose features and decisions are frozen; what is frozen lies beside this file.

Everything comes from equations with fixed seeds: synthetic pulse trains for the frozen bundle, the
simulated battery for the features. A number that moves means that physics, kernel, interval or
policy moved. Freeze it anew, on purpose only, with ``python -m tests.golden.regenerate``.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from features.extract import extract
from features.feature_set import FeatureVector
from features.measurement import (
    BatteryHistory,
    BatteryIdentity,
    CanonicalTable,
    Inspection,
    MeasurementRun,
    SourceStamp,
)
from features.pulse import train_from_turning_points
from features.vocabulary import Chemistry, Level, RunKind, TableFormat
from models.assessment import assess
from models.bundle import Bundle
from models.certification import certified
from models.decision import GradingCase, GradingDecision, Outcome
from models.past import NOTHING_PAST, PartVerdict, RecordedPast, StandingVerdict
from models.policy_file import SHIPPED_POLICY, load_policy
from models.risk_levels import CalibrateBy, RiskLevels, RiskRule, WhenNotCertifiable
from tests.support.cases import MOMENT
from tests.support.simulated_battery import SimulatedBattery
from tests.training.synthetic_pulses import LFP, NMC, SyntheticType, step_table, turning_points

FOLDER = Path(__file__).parent
BUNDLE_FOLDER = FOLDER / "bundle"
DECISIONS_FILE = FOLDER / "decisions.json"
FEATURES_FILE = FOLDER / "features.json"

RISK = RiskRule(RiskLevels(0.1, 0.1, 0.9), CalibrateBy.MIX, WhenNotCertifiable.REFUSE, 20)

CELL = SimulatedBattery(35.0, 28.0, Chemistry.LFP)
SLOPING = SimulatedBattery(21.0, 17.0, Chemistry.NMC)
SPENT = SimulatedBattery(35.0, 18.0, Chemistry.LFP)
PACK = SimulatedBattery(100.0, 81.0, Chemistry.LFP, level=Level.PACK, series_count=90)


def golden_features() -> dict[str, dict[str, Any]]:
    """Features of one simulated battery by method, with the digest of their definitions; None = not measurable."""
    runs = {
        "pulse_test": CELL.run(RunKind.PULSE_TEST, CELL.pulse_train()),
        "two_pulse_trains": CELL.run(RunKind.PULSE_TEST, CELL.two_trains()),
        "capacity_test": CELL.run(RunKind.CAPACITY_TEST, CELL.capacity_test()),
        "partial_charge": SLOPING.run(RunKind.PARTIAL_CHARGE, SLOPING.partial_charge()),
        "impedance": CELL.run(RunKind.IMPEDANCE, _spectrum()),
        "field_telemetry": PACK.run(RunKind.FIELD_TELEMETRY, PACK.telemetry()),
    }
    batteries = {"field_telemetry": PACK, "partial_charge": SLOPING}
    vectors = {method: _vector(batteries.get(method, CELL).history(run)) for method, run in runs.items()}
    return {
        method: {
            "feature_set_digest": vector.feature_set_digest,
            "values": {name: None if math.isnan(value) else value for name, value in vector.values.items()},
        }
        for method, vector in vectors.items()
    }


def golden_decisions(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """What the shipped policy decides, at risks the frozen bundle's 48 batteries support."""
    alone = {name: _plain(_decision(history, bundle, NOTHING_PAST)) for name, history in _histories().items()}
    known = {
        f"{name}, {told}": _plain(_decision(_histories()[name], bundle, past))
        for told, (name, past) in _pasts().items()
    }
    return alone | known


def frozen(file: Path) -> dict[str, dict[str, Any]]:
    """What was frozen."""
    held: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return held


def _histories() -> Mapping[str, BatteryHistory]:
    return {
        "healthy LFP": _pulsed(LFP, 0.95),
        "worn LFP": _pulsed(LFP, 0.74),
        "spent LFP": _pulsed(LFP, 0.64),
        "healthy NMC": _pulsed(NMC, 0.93),
        "borderline NMC": _pulsed(NMC, 0.80),
        "LFP whose train stopped after 1.5 C charge": _pulsed(LFP, 0.88, pulse_count=5),
        "LFP whose train stopped after 0.5 C": _pulsed(LFP, 0.88, pulse_count=2),
        "LFP of an unknown size": _pulsed(replace(LFP, rated_capacity_ah=35.0), 0.9),
        "LFP declared as NMC": _pulsed(LFP, 0.9, declared=NMC),
        "swollen LFP": _pulsed(LFP, 0.95, inspection=Inspection(swelling=True)),
        "capacity test": CELL.history(CELL.run(RunKind.CAPACITY_TEST, CELL.capacity_test())),
        "capacity test of a spent cell": SPENT.history(SPENT.run(RunKind.CAPACITY_TEST, SPENT.capacity_test())),
        "vehicle": PACK.history(PACK.run(RunKind.FIELD_TELEMETRY, PACK.telemetry())),
    }


def _pasts() -> Mapping[str, tuple[str, RecordedPast]]:
    recycled = StandingVerdict("1" * 32, 17, Outcome.RECYCLE, (), 2)
    leaked = StandingVerdict("2" * 32, 18, Outcome.HOLD, ("appearance.leakage",))
    part = PartVerdict("golden-part", "3" * 32, Outcome.CASCADE, "C", gated=True)
    return {
        "recycled before": ("healthy LFP", RecordedPast(recycled)),
        "held before": ("healthy LFP", RecordedPast(leaked)),
        "recycled before and tested on a bench": ("capacity test", RecordedPast(recycled)),
        "with a part of grade C": ("healthy LFP", RecordedPast(parts=(part,))),
    }


def _pulsed(
    kind: SyntheticType,
    state_of_health: float,
    *,
    pulse_count: int = 10,
    declared: SyntheticType | None = None,
    inspection: Inspection | None = None,
) -> BatteryHistory:
    plate = declared or kind
    volts = turning_points(kind, state_of_health, 0.4, 3.0, np.random.default_rng(3))
    train = train_from_turning_points(volts, 3.0, plate.rated_capacity_ah)
    table = step_table(replace(train, pulses=train.pulses[:pulse_count]))
    source = SourceStamp("golden", table.sha256, "canonical")
    identity = BatteryIdentity("golden", Level.CELL, Chemistry(plate.chemistry), plate.rated_capacity_ah)
    run = MeasurementRun(RunKind.PULSE_TEST, MOMENT, MOMENT, source, table)
    return BatteryHistory(identity, (run,), inspection or Inspection(leakage=False, swelling=False))


def _spectrum() -> CanonicalTable:
    """A resistance, an inductance, two arcs and a diffusion tail, 10 kHz to 10 mHz at 25 °C."""
    frequency = np.logspace(4.0, -2.0, 61)
    angular = 2j * np.pi * frequency
    arcs = 0.0008 / (1.0 + angular * 0.0016) + 0.0006 / (1.0 + angular * 0.024)
    impedance = 0.0010 + 2e-8 * angular + arcs + 0.0002 / np.sqrt(angular)
    columns = {
        "frequency_hertz": frequency,
        "real_impedance_ohm": impedance.real,
        "imaginary_impedance_ohm": impedance.imag,
        "surface_temperature_celsius": np.full(61, 25.0),
    }
    return CanonicalTable(TableFormat.SPECTRUM, columns)


def _vector(history: BatteryHistory) -> FeatureVector:
    return extract(history, max(run.available_at for run in history.runs))


def _decision(history: BatteryHistory, bundle: Bundle, past: RecordedPast) -> GradingDecision:
    policy = replace(load_policy(SHIPPED_POLICY), risk=RISK)
    certification = certified(bundle.calibration, policy.cuts, policy.risk)
    case = GradingCase(history.identity, history.inspection, _vector(history))
    assessment = assess(case, bundle, policy.terms(certification))
    return policy.decide(case, assessment, bundle.sha256, past)


def _plain(decision: GradingDecision) -> dict[str, Any]:
    estimate = decision.estimate
    return {
        "outcome": decision.outcome.value,
        "grade": decision.grade,
        "reasons": [reason.code for reason in decision.reasons],
        "next_test": decision.next_test and decision.next_test.test_id,
        "estimate": estimate
        and {
            "remaining_capacity_ah": estimate.remaining_capacity_ah,
            "lower_ah": estimate.lower_ah,
            "upper_ah": estimate.upper_ah,
            "probability_below_cut": dict(estimate.probability_below_cut),
        },
    }
