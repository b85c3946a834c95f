"""The plan of a search's best trial as a TOML file.

The written plan is the file the search began with, other numbers in their places: whatever else it
says, it says still. Comments do not survive; where its numbers come from stands at the top.
"""

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from features.errors import PackGradeError
from training.plan_search import SearchedNumber
from training.search import Numbers

_OWN_TABLES = ("manifest", "labels")


def searched_plan_file(plan_file: Path) -> Path:
    """Where the plan a search found is written when no other place is named.

    Examples
    --------
    >>> searched_plan_file(Path("plans/pulse.toml")).as_posix()
    'plans/pulse_searched.toml'
    """
    return plan_file.with_name(f"{plan_file.stem}_searched.toml")


def require_absent(target: Path) -> None:
    """Refuse to write over a file.

    Raises
    ------
    PackGradeError
        ``FILE_EXISTS``, naming it.
    """
    if target.exists():
        raise PackGradeError("FILE_EXISTS", f"{target} exists already. Nothing was searched. Name another file: --out.")


def plan_text(
    plan_file: Path, target: Path, searched: Sequence[SearchedNumber], numbers: Numbers, origin: Sequence[str]
) -> str:
    """TOML of a plan with other numbers.

    Parameters
    ----------
    plan_file : Path
        The plan as written.
    target : Path
        Where the text will stand; paths of own tables are told from there.
    searched : sequence of SearchedNumber
        Which numbers are replaced.
    numbers : mapping of str to int or float
        By what, by path.
    origin : sequence of str
        Sentences for the top, one a line.

    Returns
    -------
    str
    """
    written: dict[str, Any] = tomllib.loads(plan_file.read_text(encoding="utf-8"))
    members = {member["name"]: member for member in written["members"]}
    for each in searched:
        members[each.member][each.name] = numbers[each.path]
    for dataset in written["datasets"]:
        dataset |= {key: _from(target, plan_file, dataset[key]) for key in _OWN_TABLES if key in dataset}
    comment = "".join(f"# {line}\n" for line in origin)
    return f"{comment}\n{tomli_w.dumps(written)}"


def _from(target: Path, plan_file: Path, named: str) -> str:
    return Path(os.path.relpath(plan_file.resolve().parent / named, target.resolve().parent)).as_posix()
