"""A training plan: everything that decides what a bundle becomes, in TOML.

A *method's plan* trains one method and, run alone, makes a bundle of it. A *joint plan* names
several methods' plans and makes one bundle of them all. Unknown keys and words for numbers are
errors. Two runs of one plan on one data set give identical bundles; whatever is random has its seed
here.
"""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from features.errors import InvalidInput, Problem
from features.feature_set import Method
from training.plan_datasets import CanonicalTablesPlan, DatasetPlan
from training.plan_search import SearchPlan, searched_numbers
from training.plan_tables import (
    ApplicabilityPlan,
    BundleName,
    BundlePlan,
    IntervalPlan,
    ListedFeaturesPlan,
    MemberPlan,
    PulseCountingPlan,
    PulseRowsPlan,
    Seed,
    SplitsPlan,
    SuitabilityPlan,
    Table,
    Text,
    TrackingPlan,
)

_Read = TypeVar("_Read")


class _MethodPlan(Table):
    """What the plan of any method holds."""

    bundle: BundlePlan
    datasets: Annotated[tuple[DatasetPlan, ...], Field(min_length=1)]
    splits: SplitsPlan
    members: Annotated[tuple[MemberPlan, ...], Field(min_length=1)]
    interval: IntervalPlan
    suitability: SuitabilityPlan
    applicability: ApplicabilityPlan
    tracking: TrackingPlan
    seed: Seed
    search: SearchPlan | None = None

    @model_validator(mode="after")
    def _search_fits_members(self) -> Self:
        if self.search is not None:
            searched_numbers(self.search, self.members)
        return self

    def parameters(self) -> dict[str, str]:
        """Every number and word of the plan by its path, for the run; what may be searched is none of them."""
        return dict(_flat("", self.model_dump(mode="json", exclude={"search"})))


class PulsePlan(_MethodPlan):
    """Plan of the pulse test; which features and rows its members see follows from their amplitudes."""

    method: Literal[Method.PULSE_TEST]
    rows: PulseRowsPlan
    counting: PulseCountingPlan

    @model_validator(mode="after")
    def _members_name_amplitudes(self) -> Self:
        for member in self.members:
            if member.amplitudes is None or member.needed:
                raise ValueError(f"members.{member.name}: a pulse test's member has amplitudes, and nothing needed")
        return self


class ListedPlan(_MethodPlan):
    """Plan of any other method; it lists what the method's features are."""

    method: Literal[Method.TWO_PULSE_TRAINS, Method.PARTIAL_CHARGE, Method.IMPEDANCE, Method.FIELD_TELEMETRY]
    listed_features: ListedFeaturesPlan

    @model_validator(mode="after")
    def _members_name_no_amplitudes(self) -> Self:
        for member in self.members:
            if member.amplitudes is not None:
                raise ValueError(f"members.{member.name}: amplitudes belong to the members of a pulse test")
        return self


Plan = PulsePlan | ListedPlan
"""The plan of one method."""


class _JointTables(Table):
    bundle: BundleName
    methods: Annotated[tuple[Text, ...], Field(min_length=1)]
    tracking: TrackingPlan


@dataclass(frozen=True)
class JointPlan:
    """One bundle of several methods.

    Attributes
    ----------
    bundle : BundleName
        What it is called.
    methods : tuple of Plan
        The plan of each method, in the order of the file; no method twice.
    tracking : TrackingPlan
        Where its run goes and under which name it is registered.
    """

    bundle: BundleName
    methods: tuple[Plan, ...]
    tracking: TrackingPlan

    @classmethod
    def of(cls, plan: Plan) -> "JointPlan":
        """Plan of a bundle with one method."""
        return cls(plan.bundle, (plan,), plan.tracking)


def load_plan(path: Path) -> Plan:
    """Plan of one method from a TOML file.

    Parameters
    ----------
    path : Path
        Plan file; paths of own tables inside are taken relative to it.

    Returns
    -------
    Plan

    Raises
    ------
    InvalidInput
        ``PLAN_NOT_READABLE`` naming every key that is unknown, missing or of the wrong type.
    """
    plan: Plan = _checked(path, _written(path), _METHOD_PLAN.validate_python)
    datasets = tuple(_beside(path, dataset) for dataset in plan.datasets)
    return plan.model_copy(update={"datasets": datasets})


def load_joint_plan(path: Path) -> JointPlan:
    """Plan of a bundle from a TOML file: a joint plan, or a method's plan alone.

    Parameters
    ----------
    path : Path
        Plan file; plans it names are taken relative to it.

    Returns
    -------
    JointPlan

    Raises
    ------
    InvalidInput
        ``PLAN_NOT_READABLE``, also for a plan it names, and for a method that two of them train.
    """
    written = _written(path)
    if "methods" not in written:
        return JointPlan.of(load_plan(path))
    tables = _checked(path, written, _JointTables.model_validate)
    plans = tuple(load_plan(path.parent / name) for name in tables.methods)
    _require_methods_once(path, tables.methods, plans)
    return JointPlan(tables.bundle, plans, tables.tracking)


_METHOD_PLAN: TypeAdapter[Plan] = TypeAdapter(Annotated[Plan, Field(discriminator="method")])


def _written(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as problem:
        raise _refused(path, [Problem(path.name, "must be a readable file", problem.strerror or "")]) from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise _refused(path, [Problem(path.name, "must be UTF-8 TOML", str(problem))]) from problem


def _checked(path: Path, written: dict[str, Any], validated: Callable[[dict[str, Any]], _Read]) -> _Read:
    try:
        return validated(written)
    except ValidationError as problem:
        faults = [
            Problem(".".join(map(str, each["loc"])), each["msg"], repr(each["input"])[:80])
            for each in problem.errors(include_url=False)
        ]
        raise _refused(path, faults) from problem


def _require_methods_once(path: Path, names: Sequence[str], plans: Sequence[Plan]) -> None:
    first: dict[Method, str] = {}
    for name, plan in zip(names, plans, strict=True):
        if plan.method in first:
            rule = f"a method is trained by one plan; {first[plan.method]} trains it too"
            raise _refused(path, [Problem(f"methods {name}", rule, plan.method.value)])
        first[plan.method] = name


def _beside(path: Path, dataset: DatasetPlan) -> DatasetPlan:
    if not isinstance(dataset, CanonicalTablesPlan):
        return dataset
    folder = path.resolve().parent
    return dataset.model_copy(update={"manifest": folder / dataset.manifest, "labels": folder / dataset.labels})


def _flat(prefix: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        items = [(str(key), each) for key, each in value.items()]
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        items = [(str(each.get("name", number)), each) for number, each in enumerate(value)]
    else:
        return [(prefix, str(value))]
    return [pair for key, each in items for pair in _flat(f"{prefix}.{key}".lstrip("."), each)]


def _refused(path: Path, problems: list[Problem]) -> InvalidInput:
    return InvalidInput(f"Plan {path.name} was not loaded. Nothing was trained.", problems, code="PLAN_NOT_READABLE")
