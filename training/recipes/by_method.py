"""The one door from a plan to its recipe; a plan that names a feature its method does not have is refused here."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from features.errors import InvalidInput, Problem
from features.feature_set import FEATURE_SETS, Method
from training.plan import Plan, PulsePlan
from training.recipes.listed import ListedRecipe
from training.recipes.pulse import PulseRecipe
from training.recipes.recipe import Recipe
from training.recipes.two_trains import TwoTrainRecipe


def recipe_of(plan: Plan) -> Recipe:
    """Recipe of a plan.

    Parameters
    ----------
    plan : Plan
        Plan of one method.

    Returns
    -------
    Recipe

    Raises
    ------
    InvalidInput
        ``NOT_A_FEATURE``, naming every name and prefix that fits no feature of the method;
        ``METHOD_HAS_NO_FEATURES`` where this release computes none.
    """
    if plan.method not in FEATURE_SETS:
        raise InvalidInput(
            f"This release computes no features for {plan.method.value}. Nothing was trained.",
            code="METHOD_HAS_NO_FEATURES",
        )
    problems = list(_unknown_names(plan, FEATURE_SETS[plan.method].names))
    if problems:
        message = f"The plan names what is no feature of {plan.method.value}. Nothing was trained."
        raise InvalidInput(message, problems, code="NOT_A_FEATURE")
    if isinstance(plan, PulsePlan):
        return PulseRecipe.of(plan)
    return TwoTrainRecipe.of(plan) if plan.method is Method.TWO_PULSE_TRAINS else ListedRecipe.of(plan)


def _unknown_names(plan: Plan, names: Sequence[str]) -> Iterator[Problem]:
    def begins_one(prefix: str) -> bool:
        return any(name.startswith(prefix) for name in names)

    exact, begins = names.__contains__, begins_one
    yield from _faults("applicability.features", plan.applicability.features, exact, "must be a feature")
    yield from _faults("suitability.features", plan.suitability.features, begins, _A_BEGINNING)
    for member in plan.members:
        yield from _faults(f"members.{member.name}.features", member.features, begins, _A_BEGINNING)
        yield from _faults(f"members.{member.name}.needed", member.needed, begins, _A_BEGINNING)
    if not isinstance(plan, PulsePlan):
        listed = plan.listed_features
        yield from _faults("listed_features.required", listed.required, exact, "must be a feature")
        yield from _faults("listed_features.anchors", listed.anchors, exact, "must be a feature")
        for key in ("logarithmic", "resistances", "times_rated_capacity", "over_rated_capacity"):
            yield from _faults(f"listed_features.{key}", getattr(listed, key), begins, _A_BEGINNING)


_A_BEGINNING = "must be how a feature's name begins"


def _faults(where: str, written: Iterable[str], fits: Callable[[str], bool], rule: str) -> Iterator[Problem]:
    return (Problem(where, rule, name) for name in written if not fits(name))
