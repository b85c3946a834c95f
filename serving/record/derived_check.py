"""The rows that follow from leaves, as a record stores them, computed again; personal data against its pseudonym."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from serving.record.canonical import UnrecordableEntry
from serving.record.chain_check import RecordProblem
from serving.record.derived import ErasableRow, derived_rows, pseudonym_problems
from serving.record.evidence import Evidence
from serving.record.leaf import Leaf
from serving.record.sql import COLUMNS, Row, link_rows

_TABLES = {"outbox": "sequence", "link": "sequence, place"}


class DerivedCheck:
    """A comparison of outbox and links with what the leaves say, read in step with them.

    Parameters
    ----------
    evidence : Evidence
        The record.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._stored: dict[str, dict[int, list[Row]]] = {}
        self._seen = dict.fromkeys(_TABLES, 0)

    def fetch(self, first: int, last: int) -> None:
        """Fetch the rows of the entries with these indices, both included."""
        for table, order in _TABLES.items():
            columns = ", ".join(COLUMNS[table])
            query = f"SELECT {columns} FROM {table} WHERE sequence >= ? AND sequence <= ? ORDER BY {order}"
            by_entry: dict[int, list[Row]] = defaultdict(list)
            for row in self._evidence.rows(query, first, last):
                by_entry[row[0]].append(tuple(row))
            self._stored[table] = by_entry

    def problems_of(self, leaf: Leaf, body: Mapping[str, Any]) -> Iterator[RecordProblem]:
        """Compare what is stored beside a leaf with what follows from it."""
        try:
            outbox, links = derived_rows(leaf, body)
        except UnrecordableEntry as error:
            yield RecordProblem(f"announces rows it cannot have: {error.problems[0]}", leaf.sequence, leaf.event_id)
            return
        for table, expected in (("outbox", [tuple(row) for row in outbox]), ("link", link_rows(links))):
            found = self._stored[table].get(leaf.sequence, [])
            self._seen[table] += len(found)
            if found != expected:
                what = f"table {table} does not hold what follows from the entry"
                shown = (f"{expected!s:.200}", f"{found!s:.200}")
                yield RecordProblem(what, leaf.sequence, leaf.event_id, *shown)

    def problems_at_the_end(self) -> Iterator[RecordProblem]:
        """Rows of no entry, and personal data that its pseudonym does not name."""
        for table, seen in self._seen.items():
            stored = self._evidence.rows(f"SELECT count(*) FROM {table}{self._evidence.scan}")[0][0]
            if stored != seen:
                yield RecordProblem(f"table {table} has rows of no entry", expected=str(seen), found=str(stored))
        columns = ", ".join(COLUMNS["erasable"])
        for row in self._evidence.rows(f"SELECT {columns} FROM erasable{self._evidence.scan}"):
            for problem in pseudonym_problems(ErasableRow(*row)):
                yield RecordProblem(f"table erasable, pseudonym {row[0]!s:.32}: {problem}")
