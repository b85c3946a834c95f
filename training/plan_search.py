"""What a search may change in a plan: numbers of its members, each within bounds the plan states.

Values only; how the best ones are found is in `training.search`. A range always holds the number
the plan is written with, so that a search begins at the plan itself and cannot end below it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, StrictFloat, StrictInt, ValidationError

from training.plan_tables import Table, Text, Word, YesOrNo

_Member = TypeVar("_Member", bound=BaseModel)
Number = StrictInt | StrictFloat


class SearchRange(Table):
    """Bounds of one number, both included; whole numbers stay whole.

    Attributes
    ----------
    lowest, highest : int or float
        Bounds, in the unit of the number.
    logarithmic : bool
        Whether halving and doubling count as equally large steps.
    """

    lowest: Number
    highest: Number
    logarithmic: YesOrNo = False


class SearchPlan(Table):
    """Which numbers of which members are searched, and by how many folds of cells a trial is judged.

    Attributes
    ----------
    inner_fold_count : int
        Folds by physical cell inside the part that searches.
    members : mapping of str to mapping of str to SearchRange
        Ranges by member and number.
    """

    inner_fold_count: Annotated[int, Field(ge=2, strict=True)]
    members: Annotated[
        dict[Word, Annotated[dict[Text, SearchRange], Field(min_length=1)]],
        Field(min_length=1),
    ]


@dataclass(frozen=True, slots=True)
class SearchedNumber:
    """One number of one member, with the range it may take."""

    member: str
    name: str
    written: int | float
    range: SearchRange

    @property
    def path(self) -> str:
        """Where it stands in the plan, as in the parameters of a run."""
        return f"members.{self.member}.{self.name}"


def searched_numbers(search: SearchPlan, members: Sequence[BaseModel]) -> tuple[SearchedNumber, ...]:
    """Every number a search changes, in the order of the plan.

    Parameters
    ----------
    search : SearchPlan
        The ranges.
    members : sequence of member plans
        Members of the same plan.

    Raises
    ------
    ValueError
        If a member or number is not in the plan, a bound is not a number the member may have, or the
        range does not hold the number the plan is written with.
    """
    return tuple(_numbers(search, members))


def _numbers(search: SearchPlan, members: Sequence[BaseModel]) -> Iterator[SearchedNumber]:
    for member_name, ranges in search.members.items():
        named = [member for member in members if getattr(member, "name", None) == member_name]
        if len(named) != 1:
            raise ValueError(f"search.members.{member_name}: one member has that name, the plan has {len(named)}")
        for name, within in ranges.items():
            written = named[0].model_dump().get(name)
            if isinstance(written, bool) or not isinstance(written, int | float):
                raise ValueError(f"search.members.{member_name}.{name}: must be a number of the member")
            number = SearchedNumber(member_name, name, written, within)
            _require_bounds(number, named[0])
            yield number


def _require_bounds(number: SearchedNumber, member: BaseModel) -> None:
    low, high, place = number.range.lowest, number.range.highest, f"search.members.{number.member}.{number.name}"
    if not low < high or not low <= number.written <= high:
        raise ValueError(
            f"{place}: bounds rise and hold the {number.written} the plan is written with, got {low} to {high}"
        )
    if number.range.logarithmic and not low > 0:
        raise ValueError(f"{place}: a logarithmic range begins above 0, got {low}")
    for bound in (low, high):
        try:
            changed(member, {number.name: bound})
        except ValidationError as problem:
            raise ValueError(f"{place}: {bound} is refused: {problem.errors()[0]['msg']}") from problem


def changed(member: _Member, numbers: Mapping[str, int | float]) -> _Member:
    """Return the member with other numbers, checked as if it had been written so."""
    return type(member).model_validate({**member.model_dump(), **numbers})
