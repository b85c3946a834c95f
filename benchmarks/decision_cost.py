"""What one certified decision costs the processor, alone and among many.

From a measured pulse test to a decision with its reasons: features, ensemble with interval, look and
probabilities, certified thresholds, policy. The record and the wire are not part of it (see
`serving_latency`, `record_throughput`). Simulated batteries of three known types, one pulse train
each. A round is a stream of different batteries one by one, then a batch; a busy machine disturbs all alike.
Run from the repository::

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.decision_cost --rounds 100 --together 64

Prints medians of processor milliseconds per battery; nothing is asserted.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TypeVar

from features.errors import InvalidInput
from features.extract import extract, extract_many
from features.feature_set import FeatureVector
from features.measurement import BatteryHistory
from features.vocabulary import Chemistry, RunKind
from models.assessment import assess, assess_many
from models.bundle import REFERENCE_BUNDLE, Bundle, load_bundle
from models.certification import certified
from models.decision import Assessment, GradingCase, GradingDecision
from models.policy import Policy
from models.policy_file import SHIPPED_POLICY, load_policy
from models.terms import GradingTerms
from tests.support.simulated_battery import SimulatedBattery

_TYPES = ((35.0, Chemistry.LFP), (21.0, Chemistry.NMC), (10.0, Chemistry.LMO))
_HEALTHIEST, _HEALTH_STEP, _HEALTH_COUNT = 0.95, 0.013, 24
_NOISE_VOLT = 1e-4
_STREAM = 24
"""Batteries one by one in a round."""
PARTS = ("features", "ensemble", "policy")

Result = TypeVar("Result")


@dataclass
class Costs:
    """Processor milliseconds per battery of every part, one number a round."""

    parts: dict[str, list[float]] = field(default_factory=lambda: {part: [] for part in PARTS})

    def timed(self, part: str, battery_count: int, work: Callable[[], Result]) -> Result:
        """Result of a part of the work, its cost noted."""
        begin = time.process_time_ns()
        done = work()
        self.parts[part].append((time.process_time_ns() - begin) / 1e6 / battery_count)
        return done

    @property
    def total(self) -> float:
        """Median over the rounds of the whole decision. [ms]."""
        return median(sum(of_round) for of_round in zip(*self.parts.values(), strict=True))

    def line(self) -> str:
        """The whole and its parts, as printed."""
        parts = ", ".join(f"{part} {median(each):.3f}" for part, each in self.parts.items())
        return f"{self.total:.3f} ms ({parts})"


@dataclass(frozen=True)
class Decider:
    """What a grader holds: a bundle, a policy and the terms both agree on."""

    bundle: Bundle
    policy: Policy
    terms: GradingTerms

    @classmethod
    def of(cls, bundle_folder: Path, policy_file: Path) -> "Decider":
        """From a bundle folder and a policy file."""
        bundle, policy = load_bundle(bundle_folder), load_policy(policy_file)
        return cls(bundle, policy, policy.terms(certified(bundle.calibration, policy.cuts, policy.risk)))

    def alone(self, history: BatteryHistory, moment: datetime, costs: Costs) -> GradingDecision:
        """Decision about one battery."""
        vector = costs.timed("features", 1, lambda: extract(history, moment))
        case = GradingCase(history.identity, history.inspection, vector)
        assessment = costs.timed("ensemble", 1, lambda: assess(case, self.bundle, self.terms))
        return costs.timed("policy", 1, lambda: self._decided(case, assessment))

    def together(self, histories: Sequence[BatteryHistory], moment: datetime, costs: Costs) -> list[GradingDecision]:
        """Decisions about several batteries."""
        count = len(histories)
        vectors = costs.timed("features", count, lambda: _vectors(extract_many([(each, moment) for each in histories])))
        cases = [
            GradingCase(each.identity, each.inspection, vector) for each, vector in zip(histories, vectors, strict=True)
        ]
        assessments = costs.timed("ensemble", count, lambda: assess_many(cases, self.bundle, self.terms))
        return costs.timed("policy", count, lambda: list(map(self._decided, cases, assessments)))

    def _decided(self, case: GradingCase, assessment: Assessment) -> GradingDecision:
        return self.policy.decide(case, assessment, self.bundle.sha256)


def main() -> None:
    """Measure and print."""
    options = _options()
    decider, histories = Decider.of(options.bundle, options.policy), _histories()
    many = [histories[number % len(histories)] for number in range(options.together)]
    moment = max(run.available_at for each in histories for run in each.runs)
    _measured(decider, histories, many, moment, rounds=5)
    alone, together, outcomes = _measured(decider, histories, many, moment, options.rounds)
    print(f"one battery: {alone.line()}")
    print(f"{options.together} batteries together, each: {together.line()}")
    print(f"medians of {options.rounds} rounds, CPU per battery; decisions: {outcomes}")


def _measured(
    decider: Decider,
    histories: Sequence[BatteryHistory],
    many: Sequence[BatteryHistory],
    moment: datetime,
    rounds: int,
) -> tuple[Costs, Costs, str]:
    alone, together = Costs(), Costs()
    for _ in range(rounds):
        for history in histories[:_STREAM]:
            decider.alone(history, moment, alone)
        decisions = decider.together(many, moment, together)
    counts: dict[str, int] = {}
    for decision in decisions:
        counts[decision.outcome.value] = counts.get(decision.outcome.value, 0) + 1
    return alone, together, ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Processor time of one certified decision")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--together", type=int, default=64)
    parser.add_argument("--bundle", type=Path, default=REFERENCE_BUNDLE)
    parser.add_argument("--policy", type=Path, default=SHIPPED_POLICY)
    return parser.parse_args()


def _vectors(extracted: Sequence[FeatureVector | InvalidInput]) -> list[FeatureVector]:
    return [each for each in extracted if isinstance(each, FeatureVector)]


def _histories() -> list[BatteryHistory]:
    healths = [_HEALTHIEST - _HEALTH_STEP * number for number in range(_HEALTH_COUNT)]
    batteries = [
        SimulatedBattery(rated_ah, health * rated_ah, chemistry, battery_id=f"bench-{chemistry}-{number}")
        for number, health in enumerate(healths)
        for rated_ah, chemistry in _TYPES
    ]
    return [
        each.history(each.run(RunKind.PULSE_TEST, each.pulse_train(noise_volt=_NOISE_VOLT, seed=number)))
        for number, each in enumerate(batteries)
    ]


if __name__ == "__main__":
    main()
