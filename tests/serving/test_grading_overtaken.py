"""No race: a decision respects whatever was recorded on its battery before it, however late that came in."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from features.errors import PackGradeError
from features.measurement import BatteryHistory, Inspection
from features.vocabulary import Chemistry
from models.bundle import REFERENCE_BUNDLE, load_bundle
from models.policy_file import SHIPPED_POLICY, load_policy
from serving.grading import MOST_TRIES, Grader, GradingRequest, history_sha256
from serving.record.entry import NewEntry, Recorded
from serving.record.ledger import Ledger
from serving.record.store import RecordUnavailable
from tests.support.cases import MOMENT
from tests.support.simulated_battery import SimulatedBattery

BUNDLE, POLICY = load_bundle(REFERENCE_BUNDLE), load_policy(SHIPPED_POLICY)
CELL = SimulatedBattery(35.0, 33.0, Chemistry.LFP, "cell-1")
SOUND, LEAKING = CELL.history(), BatteryHistory(CELL.identity, (), Inspection(leakage=True))


def asked(key: str, history: BatteryHistory, number: int) -> GradingRequest:
    return GradingRequest("station-1", key, history_sha256(history), f"{number:032x}", MOMENT)


@dataclass
class BusyRecord:
    """A record in which others write just before we do: a real ledger, and what they do, once each."""

    ledger: Ledger
    others: list[Callable[[], object]] = field(default_factory=list)

    def append_many(self, entries: Sequence[NewEntry]) -> list[Recorded | PackGradeError]:
        if self.others:
            self.others.pop(0)()
        return self.ledger.append_many(entries)

    def __getattr__(self, name: str) -> object:
        return getattr(self.ledger, name)


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[BusyRecord]:
    with Ledger.open(tmp_path / "record.sqlite", "test") as ledger:
        yield BusyRecord(ledger)


def another_station(busy: BusyRecord, history: BatteryHistory, number: int) -> Callable[[], object]:
    grader = Grader(BUNDLE, POLICY, busy.ledger)
    return lambda: grader.grade(history, asked(f"other-{number}", history, number))


def test_a_hold_that_comes_in_while_a_battery_is_decided_on_is_respected(busy: BusyRecord) -> None:
    busy.others.append(another_station(busy, LEAKING, 7))
    decision = Grader(BUNDLE, POLICY, busy).grade(SOUND, asked("mine", SOUND, 1)).body["decision"]
    assert (decision["outcome"], decision["reasons"][0]["code"]) == ("hold", "VERDICT_STANDS")
    assert decision["reasons"][0]["evidence"]["decision_id"] == f"{7:032x}"


def test_only_the_overtaken_battery_of_a_batch_is_decided_again(busy: BusyRecord) -> None:
    busy.others.append(another_station(busy, LEAKING, 7))
    other = replace(CELL, battery_id="cell-2").history()
    overtaken, alone = Grader(BUNDLE, POLICY, busy).grade_many(
        [(SOUND, asked("mine-1", SOUND, 1)), (other, asked("mine-2", other, 2))]
    )
    assert overtaken.body["decision"]["outcome"] == "hold"
    assert (alone.body["decision"]["grade"], alone.body["past"]["standing"]) == ("A", None)


def test_who_is_overtaken_again_and_again_is_told_to_come_back_and_nothing_is_recorded(busy: BusyRecord) -> None:
    busy.others.extend(another_station(busy, LEAKING, 100 + number) for number in range(MOST_TRIES))
    with pytest.raises(RecordUnavailable, match=f"each of the {MOST_TRIES} times"):
        Grader(BUNDLE, POLICY, busy).grade(SOUND, asked("mine", SOUND, 1))
    assert busy.ledger.find("station-1", "mine") is None
    assert busy.ledger.head().sequence == MOST_TRIES - 1


def test_one_try_less_is_enough(busy: BusyRecord) -> None:
    busy.others.extend(another_station(busy, LEAKING, 100 + number) for number in range(MOST_TRIES - 1))
    recorded = Grader(BUNDLE, POLICY, busy).grade(SOUND, asked("mine", SOUND, 1))
    assert recorded.sequence == MOST_TRIES - 1
    assert recorded.body["past"]["standing"]["graded_since"] == MOST_TRIES - 2


def test_stations_that_grade_one_battery_at_once_never_pass_it_after_a_hold(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    with Ledger.open(path, "one") as one, Ledger.open(path, "two") as two, ThreadPoolExecutor(6) as pool:
        graders = [Grader(BUNDLE, POLICY, ledger) for ledger in (one, two)]
        rows = [LEAKING if number == 5 else SOUND for number in range(24)]
        graded = [
            pool.submit(graders[number % 2].grade, history, asked(f"key-{number}", history, number))
            for number, history in enumerate(rows)
        ]
        decided = [each.result() for each in graded if each.exception() is None]
        refused = [each.exception() for each in graded if each.exception() is not None]
        outcomes = [entry.leaf.body["decision"]["outcome"] for entry in one.by_battery("CELL-1")]
    first_hold = outcomes.index("hold")
    assert set(outcomes[:first_hold]) <= {"cascade"}
    assert set(outcomes[first_hold:]) == {"hold"}
    assert len(decided) == len(outcomes)
    assert all(isinstance(each, RecordUnavailable) for each in refused)


def test_one_key_sent_at_once_gives_one_decision(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "record.sqlite", "test") as ledger, ThreadPoolExecutor(6) as pool:
        grader = Grader(BUNDLE, POLICY, ledger)
        graded = [pool.submit(grader.grade, SOUND, asked("one", SOUND, number)) for number in range(12)]
        assert len({each.result().decision_id for each in graded}) == 1
        assert ledger.head().sequence == 0
