"""Gradings of one battery take turns; different batteries never wait."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from serving.turns import Turns


def test_two_who_want_one_name_never_hold_it_together() -> None:
    turns, inside, most = Turns(), list[int](), list[int]()

    def work(number: int) -> None:
        with turns.of(["cell-1"]):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert (len(most), max(most)) == (200, 1)


def test_different_names_are_held_at_once() -> None:
    turns, met = Turns(), Barrier(2, timeout=10.0)

    def work(name: str) -> None:
        with turns.of([name]):
            met.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ["cell-1", "cell-2"]))


def test_who_wants_several_names_in_another_order_never_waits_in_a_circle() -> None:
    turns = Turns()

    def work(number: int) -> None:
        names = ["cell-1", "cell-2", "cell-3"]
        with turns.of(names if number % 2 else reversed(names)):
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(400), timeout=30.0))


def test_a_name_is_free_again_after_a_fault() -> None:
    turns, told = Turns(), Event()
    with pytest.raises(ValueError, match="fault"), turns.of(["cell-1", "cell-1"]):
        raise ValueError("fault")
    with turns.of(["cell-1"]):
        told.set()
    assert told.is_set()
