"""Errors that say what happened, what was not done and what to do.

Findings are about the battery; the errors here are about us and what we were handed. Every one is
built from fields, so the same problem reads the same in a file, on the wire and in a batch row.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input.

    Attributes
    ----------
    where : str
        Place: a field path (``runs[0].table.current_ampere[3]``) or a file with row and column.
    rule : str
        The rule that is broken, in words.
    value : str
        The offending value as text; empty when there is none.
    """

    where: str
    rule: str
    value: str = ""

    def __str__(self) -> str:
        shown = f" (got {self.value})" if self.value else ""
        return f"{self.where}: {self.rule}{shown}"

    def inside(self, prefix: str) -> "Problem":
        """The same problem, seen from further out."""
        return Problem(f"{prefix}.{self.where}" if self.where else prefix, self.rule, self.value)


class PackGradeError(Exception):
    """A fault with a code, a sentence and the problems behind it.

    Parameters
    ----------
    code : str
        Upper-case identifier, stable across releases.
    message : str
        What happened, with the values; what was not done; what to do.
    problems : iterable of Problem, optional
        The single faults, each with place, rule and value.
    """

    def __init__(self, code: str, message: str, problems: Iterable[Problem] = ()) -> None:
        self.code = code
        self.message = message
        self.problems = tuple(problems)
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [f"{self.code}  {self.message}", *(f"  {problem}" for problem in self.problems)]
        return "\n".join(lines)


class InvalidInput(PackGradeError):  # noqa: N818 - reads as what it is: the input is invalid
    """Something handed to us breaks a rule. Nothing was graded."""

    def __init__(self, message: str, problems: Iterable[Problem] = (), code: str = "INVALID_INPUT") -> None:
        super().__init__(code, message, problems)

    def inside(self, prefix: str) -> "InvalidInput":
        """The same error with every problem's place prefixed."""
        return InvalidInput(self.message, [problem.inside(prefix) for problem in self.problems], self.code)


class UnreadableFile(InvalidInput):
    """A file could not be turned into a canonical table."""

    def __init__(self, file_name: str, rule: str, value: str = "", where: str = "") -> None:
        place = f"{file_name} {where}".strip()
        super().__init__(
            f"{file_name} could not be read: {rule}. Nothing was graded.",
            [Problem(place, rule, value)],
            code="UNREADABLE_FILE",
        )
