"""Reading a dated policy from TOML.

The file is data with a source: every number carries its unit in the key, every table its `source`
and `status`. Unknown keys are errors, words for numbers are errors. What the numbers must obey
together is proved by `Policy` itself.
"""

import hashlib
import math
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from features.errors import InvalidInput, Problem
from features.feature_set import Method
from features.vocabulary import Level
from models.decision import AbstentionCode, PolicyStamp
from models.gates import GateName, Gates
from models.policy import OfferedTest, Policy, WhenUncertain
from models.policy_past import (
    PartsSection,
    StandingSection,
    TraceabilitySection,
    part_rule,
    standing_rule,
    traceability_terms,
)
from models.policy_tables import DescribedTest, Sourced, Table, Text
from models.risk_levels import CalibrateBy, RiskLevels, RiskRule, WhenNotCertifiable
from models.terms import CapacityTestTerms
from models.verdict import GradeBand

SHIPPED_POLICY = Path(__file__).parent / "policies" / "example-2026-11.toml"

Fraction = Annotated[float, Field(gt=0.0, le=1.5)]


class _Header(Sourced):
    id: Text
    version: Text
    effective_from: date


class _Decision(Sourced):
    when_uncertain: WhenUncertain
    maximum_probability_below_cut: Annotated[float, Field(gt=0.0, lt=0.5, strict=True)]
    recycle_below_state_of_health_fraction: Annotated[Fraction, Field(strict=True)]


class _Risk(Sourced):
    max_false_accept_share: Annotated[float, Field(gt=0.0, lt=0.5, strict=True)]
    max_false_reject_share: Annotated[float, Field(gt=0.0, lt=0.5, strict=True)]
    confidence: Annotated[float, Field(ge=0.5, lt=1.0, strict=True)]
    calibrate_by: CalibrateBy
    when_not_certifiable: WhenNotCertifiable
    least_batteries_per_type: Annotated[int, Field(ge=1, le=100_000, strict=True)]
    max_probability_below_cut: Annotated[float, Field(gt=0.0, lt=0.5, strict=True)]


class _Grade(Sourced):
    name: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9+-]{0,3}$")]
    minimum_state_of_health_fraction: Annotated[Fraction, Field(strict=True)]
    below_state_of_health_fraction: Annotated[Fraction, Field(strict=True)] | None = None
    uses: list[Text]


class _AlarmGate(Sourced):
    lowest_disqualifying_alarm_level: Annotated[int, Field(ge=1, le=4, strict=True)]


class _InsulationGate(Sourced):
    minimum_insulation_ohm_per_volt: Annotated[float, Field(gt=0.0, le=1e6, strict=True)]
    levels: list[Level]
    required: Annotated[bool, Field(strict=True)]


class _Gates(Table):
    order: list[GateName]
    alarms: _AlarmGate
    insulation: _InsulationGate


class _CapacityTest(Sourced):
    relative_standard_uncertainty_fraction: Annotated[float, Field(gt=0.0, lt=0.2, strict=True)]
    lowest_discharge_rate_c: Annotated[float, Field(gt=0.0, le=2.0, strict=True)]
    highest_discharge_rate_c: Annotated[float, Field(gt=0.0, le=5.0, strict=True)]
    lowest_temperature_celsius: Annotated[float, Field(ge=-40.0, le=60.0, strict=True)]
    highest_temperature_celsius: Annotated[float, Field(ge=-40.0, le=80.0, strict=True)]


class _ProvenanceRule(Sourced):
    bms_reported_ceiling: Text


class _NextTest(DescribedTest):
    answers: list[AbstentionCode]
    after: list[Method] = Field(default_factory=lambda: list(Method))
    levels: list[Level] = Field(default_factory=lambda: list(Level))
    needs_known_type: Annotated[bool, Field(strict=True)] = False


class _PolicyFile(Table):
    policy: _Header
    decision: _Decision
    risk: _Risk
    grades: list[_Grade]
    gates: _Gates
    capacity_test: _CapacityTest
    provenance: _ProvenanceRule
    next_tests: list[_NextTest]
    standing: StandingSection | None = None
    parts: PartsSection | None = None
    traceability: TraceabilitySection | None = None


def load_policy(path: Path) -> Policy:
    """Policy from a TOML file.

    Parameters
    ----------
    path : Path
        Policy file.

    Returns
    -------
    Policy
        Proved sound: every state of health has exactly one band, every open question a test.

    Raises
    ------
    InvalidInput
        If the file is missing, not TOML, has unknown keys or wrong types, or is not sound.
    """
    try:
        content = path.read_bytes()
        written = _PolicyFile.model_validate(tomllib.loads(content.decode("utf-8")))
    except OSError as problem:
        raise _refused(path, [Problem(path.name, "must be a readable file", problem.strerror or "")]) from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise _refused(path, [Problem(path.name, "must be UTF-8 TOML", str(problem))]) from problem
    except ValidationError as problem:
        raise _refused(path, _problems(problem)) from problem
    if sorted(written.gates.order) != sorted(GateName):
        rule = f"must name every gate once: {', '.join(GateName)}"
        raise _refused(path, [Problem("gates.order", rule, ", ".join(written.gates.order))])
    return _policy(written, hashlib.sha256(content).hexdigest())


def _refused(path: Path, problems: list[Problem]) -> InvalidInput:
    return InvalidInput(f"Policy file {path.name} was not loaded.", problems, code="POLICY_NOT_READABLE")


def _problems(error: ValidationError) -> list[Problem]:
    return [
        Problem(".".join(str(part) for part in each["loc"]), each["msg"], repr(each["input"])[:80])
        for each in error.errors(include_url=False)
    ]


def _policy(written: _PolicyFile, sha256: str) -> Policy:
    return Policy(
        stamp=PolicyStamp(written.policy.id, written.policy.version, sha256),
        effective_from=written.policy.effective_from,
        status=written.policy.status,
        bands=tuple(_band(grade) for grade in written.grades),
        recycle_below_fraction=written.decision.recycle_below_state_of_health_fraction,
        when_uncertain=written.decision.when_uncertain,
        maximum_probability_below_cut=written.decision.maximum_probability_below_cut,
        certified_probability_below_cut=written.risk.max_probability_below_cut,
        risk=_risk(written.risk),
        capacity_test=_capacity_test(written.capacity_test),
        bms_reported_ceiling=written.provenance.bms_reported_ceiling,
        gates=_gates(written.gates),
        offered_tests=tuple(_offered(each) for each in written.next_tests),
        standing=standing_rule(written.standing),
        part_rule=part_rule(written.parts),
        traceability=traceability_terms(written.traceability),
    )


def _band(grade: _Grade) -> GradeBand:
    below = grade.below_state_of_health_fraction
    upper_end = math.inf if below is None else below
    return GradeBand(grade.name, grade.minimum_state_of_health_fraction, upper_end, tuple(grade.uses))


def _risk(written: _Risk) -> RiskRule:
    return RiskRule(
        levels=RiskLevels(written.max_false_accept_share, written.max_false_reject_share, written.confidence),
        calibrate_by=written.calibrate_by,
        when_not_certifiable=written.when_not_certifiable,
        least_batteries_per_type=written.least_batteries_per_type,
    )


def _capacity_test(written: _CapacityTest) -> CapacityTestTerms:
    return CapacityTestTerms(
        relative_standard_uncertainty=written.relative_standard_uncertainty_fraction,
        lowest_rate_c=written.lowest_discharge_rate_c,
        highest_rate_c=written.highest_discharge_rate_c,
        lowest_temperature_celsius=written.lowest_temperature_celsius,
        highest_temperature_celsius=written.highest_temperature_celsius,
    )


def _gates(written: _Gates) -> Gates:
    return Gates(
        order=tuple(written.order),
        lowest_disqualifying_alarm_level=written.alarms.lowest_disqualifying_alarm_level,
        minimum_insulation_ohm_per_volt=written.insulation.minimum_insulation_ohm_per_volt,
        insulation_levels=frozenset(written.insulation.levels),
        insulation_required=written.insulation.required,
    )


def _offered(written: _NextTest) -> OfferedTest:
    return OfferedTest(
        test=written.next_test(),
        answers=frozenset(written.answers),
        after=frozenset(written.after),
        levels=frozenset(written.levels),
        needs_known_type=written.needs_known_type,
    )
