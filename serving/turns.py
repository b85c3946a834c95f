"""One at a time for each battery, within a process.

Gradings of one battery depend on one another, so those of a process take turns instead of overtaking
each other again and again; different batteries never wait for one another. Between processes the
record itself says who came first.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Lock


@dataclass
class _Turn:
    lock: Lock = field(default_factory=Lock)
    asked_by: int = 0


class Turns:
    """Turns by name; a name nobody asks for is forgotten."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._turns = dict[str, _Turn]()

    @contextmanager
    def of(self, names: Iterable[str]) -> Iterator[None]:
        """Hold the turns of several names; taken in one order by everybody, so nobody waits in a circle."""
        with ExitStack() as held:
            for name in sorted(set(names)):
                held.enter_context(self._one(name))
            yield

    @contextmanager
    def _one(self, name: str) -> Iterator[None]:
        with self._guard:
            turn = self._turns.setdefault(name, _Turn())
            turn.asked_by += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._guard:
                turn.asked_by -= 1
                if turn.asked_by == 0:
                    del self._turns[name]
